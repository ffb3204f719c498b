"""What a matcher reports of its batches, to a listener and to a real ConfigService."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from config_service import serving as config_serving
from config_service.env import Env as ConfigEnv
from dedup_model.errors import PermissionDenied
from dedup_model.matching_config import MatchingConfig
from dedup_model.snapshot import Snapshot
from dedup_rpc.channel import connect_aio
from dedup_rpc.client import AsyncConfigClient, BatchStats, Rejection, ServiceError, StatusReport
from dedup_rpc.status import RemoteError
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub
from matcher_service import serving
from matcher_service.batch import Outcome
from matcher_service.config_client import BatchConfig, Rejected
from matcher_service.env import Env, Rung
from matcher_service.reporting import Reporter, instance_id, report_of, stats_of

COUNTS = {
    "read": 10,
    "quarantined": 2,
    "events": 5,
    "candidate_pairs": 8,
    "ambiguous": 2,
    "largest_cluster": 3,
}
PREFIX = "eventdedup_matcher_config_"
ZERO = dict.fromkeys(COUNTS, 0)


def pinned(revision: int = 4, epoch: str = "e", source: Rung = Rung.LIVE) -> BatchConfig:
    return BatchConfig(Snapshot(epoch, revision, "d", MatchingConfig(), 1), source)


def outcome(config: BatchConfig | None = None, counts: dict[str, int] = COUNTS) -> Outcome:
    result: Any = SimpleNamespace(counts=counts)
    return Outcome(config or pinned(), result)


def down() -> ServiceError:
    remote = RemoteError(grpc.StatusCode.UNAVAILABLE, "", "down", {}, ())
    return ServiceError(remote, maybe_applied=False)


class Listener:
    """Takes reports, or raises what it is told first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.heard = list(errors), asyncio.Event()
        self.reports: list[StatusReport] = []

    async def report_status(self, report: StatusReport) -> tuple[str, int]:
        self.reports.append(report)
        self.heard.set()
        if self.errors:
            raise self.errors.pop(0)
        return "e", 4


@pytest.fixture
async def reporting() -> AsyncIterator[Callable[..., Reporter]]:
    running: list[Reporter] = []

    def start(listener: Any, pause: float = 0.01) -> Reporter:
        running.append(Reporter(listener, pause))
        running[-1].start("127.0.0.1:50052")
        return running[-1]

    yield start
    for one in running:
        await one.close()


async def reported(listener: Listener, count: int) -> list[StatusReport]:
    async with asyncio.timeout(60):
        while len(listener.reports) < count:
            listener.heard.clear()
            await listener.heard.wait()
    return listener.reports


def test_the_figures_of_a_batch_are_shares_of_listings_and_pairs() -> None:
    assert stats_of(outcome()) == BatchStats(4, 1, 10, 0.3, 0.25, 3)
    assert stats_of(outcome(counts=ZERO)) == BatchStats(4, 1, 0, 0.0, 0.0, 0)


def test_a_report_names_what_was_received_applied_and_rejected() -> None:
    report = report_of(outcome(), "host.1")
    assert (report.epoch, report.received_revision, report.applied_revision) == ("e", 4, 4)
    assert (report.source, report.rejection) == ("live", None)
    refused = Rejected("e", Rejection(6, "odd"))
    config = replace(pinned(source=Rung.MEMORY), rejected=refused)
    report = report_of(outcome(config), "host.1")
    assert (report.received_revision, report.applied_revision) == (6, 4)
    assert (report.source, report.rejection) == ("memory", Rejection(6, "odd"))


def test_without_a_config_of_its_own_a_matcher_still_names_what_it_rejected() -> None:
    refused = Rejected("e", Rejection(6, "odd"))
    config = replace(pinned(0, "", Rung.BOOTSTRAP), rejected=refused)
    report = report_of(outcome(config), "host.1")
    assert (report.epoch, report.received_revision, report.applied_revision) == ("e", 6, 0)
    elsewhere = replace(pinned(), rejected=Rejected("other", Rejection(6, "odd")))
    assert report_of(outcome(elsewhere), "host.1").rejection is None


async def test_batches_are_reported_and_those_within_a_pause_share_a_report(
    reporting: Callable[..., Reporter],
) -> None:
    listener = Listener()
    reporter = reporting(listener, pause=0.2)
    reporter.done(outcome())
    await reported(listener, 1)
    for _ in range(5):
        reporter.done(outcome())
    first, second = await reported(listener, 2)
    assert first.stats == (BatchStats(4, 1, 10, 0.3, 0.25, 3),)
    (sums,) = second.stats
    assert (sums.batches, sums.listings, sums.largest_cluster) == (5, 50, 3)
    assert (sums.merge_rate, sums.ambiguous_rate) == (pytest.approx(0.3), pytest.approx(0.25))


async def test_what_was_not_taken_goes_with_the_next_report(
    reporting: Callable[..., Reporter],
) -> None:
    listener = Listener(down())
    reporter = reporting(listener)
    reporter.done(outcome())
    await reported(listener, 1)
    reporter.done(outcome(pinned(5)))
    _, second = await reported(listener, 2)
    assert [(one.revision, one.batches) for one in second.stats] == [(4, 1), (5, 1)]


async def test_what_was_refused_is_not_sent_again(reporting: Callable[..., Reporter]) -> None:
    listener = Listener(PermissionDenied("no role"))
    reporter = reporting(listener)
    reporter.done(outcome())
    await reported(listener, 1)
    reporter.done(outcome(pinned(5)))
    _, second = await reported(listener, 2)
    assert [one.revision for one in second.stats] == [5]


async def test_figures_of_another_epoch_are_forgotten(reporting: Callable[..., Reporter]) -> None:
    listener = Listener(down())
    reporter = reporting(listener)
    reporter.done(outcome())
    await reported(listener, 1)
    reporter.done(outcome(pinned(2, "f")))
    _, second = await reported(listener, 2)
    assert (second.epoch, [one.revision for one in second.stats]) == ("f", [2])


async def test_a_service_that_stays_away_costs_no_more_than_a_few_revisions_of_memory(
    reporting: Callable[..., Reporter],
) -> None:
    listener = Listener(*[down()] * 30)
    reporter = reporting(listener, pause=0)
    for revision in range(1, 31):
        reporter.done(outcome(pinned(revision)))
        await reported(listener, revision)
    reporter.done(outcome(pinned(31)))
    last = (await reported(listener, 31))[-1]
    assert [one.revision for one in last.stats] == list(range(24, 32))


async def test_the_last_batches_are_reported_at_the_end() -> None:
    listener = Listener()
    reporter = Reporter(listener, pause=60)
    reporter.start("127.0.0.1:50052")
    reporter.done(outcome())
    await reported(listener, 1)
    reporter.done(outcome(pinned(5)))
    await reporter.close()
    assert [report.applied_revision for report in listener.reports] == [4, 5]


async def test_the_end_does_not_wait_for_a_listener_that_hangs() -> None:
    class Deaf:
        async def report_status(self, report: StatusReport) -> tuple[str, int]:
            await asyncio.sleep(60)
            return "", 0

    reporter = Reporter(Deaf())
    reporter.start("127.0.0.1:50052")
    reporter.done(outcome())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await reporter.close()


@pytest.mark.parametrize(
    ("address", "end"),
    [("127.0.0.1:50052", ".50052"), ("unix:/run/x/matcher.sock", ".matcher.sock")],
)
def test_an_instance_keeps_its_name_over_a_restart(address: str, end: str) -> None:
    assert instance_id(address).endswith(end)
    assert instance_id(address) == instance_id(address)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[str, Callable[..., Any]]]:
    """A ConfigService, and a function that starts matchers of it."""
    env = ConfigEnv(address="127.0.0.1:0", database_url=f"sqlite:///{tmp_path / 'c.db'}")
    config = await config_serving.start(env)
    matchers = []

    async def matcher(**more: Any) -> serving.MatcherServer:
        matchers.append(
            await serving.start(Env("127.0.0.1:0", config_address=config.address, **more))
        )
        return matchers[-1]

    yield config.address, matcher
    for one in matchers:
        await one.stop(0)
    await config.stop(0)


async def batch(matcher: serving.MatcherServer, streamed: bool) -> None:
    dates = [pb.EventDate(date="2026-03-07")]
    listings = [pb.Listing(id=i, title="Orgelkonzert", event_dates=dates) for i in "abc"]
    async with connect_aio(matcher.address) as channel:
        stub: Any = MatcherServiceStub(channel)
        if not streamed:
            await stub.DeduplicateBatch(pb.DeduplicateBatchRequest(listings=listings))
            return
        requests = [
            pb.DeduplicateRequest(options=pb.BatchOptions()),
            pb.DeduplicateRequest(listings=pb.ListingChunk(listings=listings)),
        ]
        async for _ in stub.Deduplicate(iter(requests)):
            pass


@pytest.mark.parametrize("streamed", [False, True])
async def test_operators_see_the_batches_of_a_matcher(
    pair: tuple[str, Callable[..., Any]], streamed: bool
) -> None:
    address, start = pair
    matcher = await start()
    await batch(matcher, streamed)
    async with AsyncConfigClient(address) as client:
        found = (await client.clients()).clients
        for _ in range(100):
            if found:
                break
            await asyncio.sleep(0.05)
            found = (await client.clients()).clients
    (one,) = found
    assert one.report.instance_id == instance_id(matcher.address)
    assert (one.report.applied_revision, one.lag, one.report.source) == (1, 0, "live")
    assert [(stats.batches, stats.listings) for stats in one.report.stats] == [(1, 3)]


async def measured(**env: Any) -> dict[str, float]:
    """Return what a matcher counts and measures after one batch, by label or name."""
    matcher = await serving.start(Env("127.0.0.1:0", **env))
    await batch(matcher, streamed=False)
    await matcher.stop(0)
    return {
        sample.labels.get("source") or sample.name.removeprefix(PREFIX): sample.value
        for family in matcher.telemetry.metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith(PREFIX) or "source" in sample.labels
    }


async def test_a_matcher_that_cannot_report_measures_where_its_config_came_from(
    tmp_path: Path,
) -> None:
    nowhere = f"unix:{tmp_path / 'config.sock'}"
    found = await measured(config_address=nowhere, rungs=(Rung.LIVE, Rung.BOOTSTRAP))
    assert found == {
        "live": 0, "bootstrap": 1, "none": 0, "age_seconds": inf, "max_age_seconds": 3600
    }  # fmt: skip
    assert await measured(rungs=(Rung.BOOTSTRAP,)) == {"bootstrap": 1, "none": 0}


async def test_a_matcher_that_may_not_ask_for_its_config_reports_nothing(
    pair: tuple[str, Callable[..., Any]],
) -> None:
    address, start = pair
    matcher = await start(rungs=(Rung.BOOTSTRAP,))
    await batch(matcher, streamed=False)
    await matcher.stop(0)
    async with AsyncConfigClient(address) as client:
        assert (await client.clients()).clients == ()
