"""What matchers say of themselves: kept apart, merged, judged, and bound to who says it."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import reports, setup
from config_service.clients import lag, merged, suspects
from config_service.env import Env
from config_service.store import Store, utc_now
from dedup_model.errors import LimitExceeded
from dedup_model.reports import BatchStats, Rejection, StatusReport
from dedup_rpc.access import Access
from dedup_rpc.authz import new_token, token_digest
from eventdedup.config.v1 import config_service_pb2 as pb

EPOCH = "00000000-0000-4000-8000-000000000000"
NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)


def stats(revision: int, listings: int = 100, merge: float = 0.2, **more: Any) -> BatchStats:
    given = {"batches": 1, "ambiguous_rate": 0.05, "largest_cluster": 5, **more}
    return BatchStats(revision, listings=listings, merge_rate=merge, **given)


def report(*found: BatchStats, **fields: Any) -> StatusReport:
    return StatusReport(**{"instance_id": "pod-1", "epoch": EPOCH, "stats": found, **fields})


async def send(client: Any, **fields: Any) -> pb.ReportStatusResponse:
    given = {"instance_id": "pod-1", "version": "1.2.3", "source": "live", **fields}
    return await client.stub.ReportStatus(pb.ReportStatusRequest(**given))


async def listed(client: Any, **more: Any) -> pb.ListClientsResponse:
    return await client.stub.ListClients(pb.ListClientsRequest(), **more)


async def test_a_report_is_listed_with_its_lag(client: Any) -> None:
    await client.update({"geo": {"neutral_score": 0.25}})
    await client.update({"geo": {"neutral_score": 0.75}})
    epoch = (await client.get()).epoch
    receipt = await send(client, epoch=epoch, received_revision=3, applied_revision=1)
    assert (receipt.epoch, receipt.head) == (epoch, 3)
    found = await listed(client)
    (one,) = found.clients
    assert (one.principal, one.instance_id, one.version, one.source) == (
        "dev", "pod-1", "1.2.3", "live",
    )  # fmt: skip
    assert (one.received_revision, one.applied_revision, one.lag) == (3, 1, 2)
    assert not one.HasField("rejection")
    assert abs(one.reported_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=30)
    await send(client, epoch=epoch, applied_revision=3)
    assert [c.lag for c in (await listed(client)).clients] == [0]
    await send(client, epoch=EPOCH, applied_revision=3)
    assert [c.lag for c in (await listed(client)).clients] == [-1]


async def test_a_rejection_stays_after_recovery(client: Any) -> None:
    epoch = (await client.get()).epoch
    refused = pb.Rejection(revision=2, why="thresholds.high: 0 to 1")
    await send(client, epoch=epoch, rejection=refused)
    first = (await listed(client)).clients[0].rejection
    assert (first.revision, first.why) == (2, "thresholds.high: 0 to 1")
    await send(client, epoch=epoch, applied_revision=3)
    await send(client, epoch=epoch, rejection=refused)
    assert (await listed(client)).clients[0].rejection == first
    await send(client, epoch=epoch, rejection=pb.Rejection(revision=5, why="other"))
    assert (await listed(client)).clients[0].rejection.revision == 5


BAD_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"instance_id": ""}, "instance_id"),
    "a long name": ({"instance_id": "x" * 101}, "instance_id"),
    "a name with a space": ({"instance_id": "a b"}, "instance_id"),
    "a name with a line feed": ({"instance_id": "pod\n"}, "instance_id"),
    "a long version": ({"version": "1" * 65}, "version"),
    "a version with a NUL": ({"version": "1\0"}, "version"),
    "no epoch's form": ({"epoch": "1"}, "epoch"),
    "a source that is none": ({"source": "elsewhere"}, "source"),
    "a negative revision": ({"received_revision": -1}, "received_revision"),
    "a negative applied one": ({"applied_revision": -1}, "applied_revision"),
    "a rejection of nothing": ({"rejection": pb.Rejection()}, "rejection.revision"),
    "a long why": ({"rejection": pb.Rejection(revision=1, why="x" * 501)}, "rejection.why"),
    "a why with a NUL": ({"rejection": pb.Rejection(revision=1, why="\0")}, "rejection.why"),
    "many stats": ({"stats": [pb.BatchStats(revision=1)] * 101}, "stats"),
    "stats of no revision": ({"stats": [pb.BatchStats()]}, "stats[0].revision"),
    "negative listings": ({"stats": [pb.BatchStats(revision=1, listings=-1)]}, "stats[0].listings"),
    "many batches": ({"stats": [pb.BatchStats(revision=1, batches=10**13)]}, "stats[0].batches"),
    "a rate above 1": ({"stats": [pb.BatchStats(revision=1, merge_rate=1.5)]}, "stats[0].merge_rate"),
    "a rate that is no number":
        ({"stats": [pb.BatchStats(revision=1, ambiguous_rate=math.nan)]}, "stats[0].ambiguous_rate"),
    "a cluster below 0":
        ({"stats": [pb.BatchStats(revision=1, largest_cluster=-1)]}, "stats[0].largest_cluster"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FIELDS)
async def test_what_a_report_may_not_say_is_refused_by_its_field(client: Any, name: str) -> None:
    fields, path = BAD_FIELDS[name]
    refused = await client.refused(send(client, **fields))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.path for violation in refused.violations] == [path]
    assert not (await listed(client)).clients


async def test_all_mistakes_of_a_report_are_told_at_once(client: Any) -> None:
    refused = await client.refused(send(client, instance_id="", source="x", received_revision=-1))
    assert {v.path for v in refused.violations} == {"instance_id", "source", "received_revision"}


async def test_two_principals_with_one_instance_id_stay_apart(
    env: Env, serve: Any, connect: Any, tmp_path: Path
) -> None:
    tokens = {name: new_token() for name in ("matcher-a", "matcher-b", "ann")}
    entries = "".join(
        f'  - name: "{name}"\n    roles: [{"reader" if name == "ann" else "matcher"}]\n'
        f'    tokens: [{{sha256: "{token_digest(token)}", expires: "2099-01-01T00:00:00Z"}}]\n'
        for name, token in tokens.items()
    )
    table = tmp_path / "authz.yaml"
    table.write_text(f"principals:\n{entries}")
    client = connect((await serve(replace(env, access=Access("CONFIG", table)))).address)

    def as_(name: str) -> Any:
        return (("authorization", f"Bearer {tokens[name]}"),)

    for name, applied in (("matcher-a", 1), ("matcher-b", 2), ("matcher-b", 3)):
        request = pb.ReportStatusRequest(instance_id="pod-1", applied_revision=applied)
        await client.stub.ReportStatus(request, metadata=as_(name))
    found = await listed(client, metadata=as_("ann"))
    assert [(c.principal, c.instance_id, c.applied_revision) for c in found.clients] == [
        ("matcher-a", "pod-1", 1), ("matcher-b", "pod-1", 3),
    ]  # fmt: skip
    request = pb.ReportStatusRequest(instance_id="pod-1")
    refused = await client.refused(client.stub.ReportStatus(request, metadata=as_("ann")))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


async def test_suspects_are_listed(client: Any) -> None:
    epoch = (await client.get()).epoch
    for revision, rate in ((1, 0.2), (2, 0.8)):
        one = pb.BatchStats(revision=revision, batches=1, listings=200, merge_rate=rate)
        await send(client, epoch=epoch, stats=[one])
    found = await listed(client)
    (suspect,) = found.suspects
    assert suspect.revision == 2
    assert list(suspect.reasons) == ["merge rate 0.200 -> 0.800"]
    assert [s.revision for s in found.clients[0].stats] == [2, 1]


def marked(*found: BatchStats) -> list[int]:
    return sorted(suspects([report(*found)], EPOCH))


def test_a_jump_is_marked_at_its_revision() -> None:
    assert marked(stats(1), stats(2), stats(3, merge=0.6), stats(4, merge=0.61)) == [3]
    assert marked(stats(1), stats(2, ambiguous_rate=0.4)) == [2]
    assert marked(stats(1), stats(2, largest_cluster=60)) == [2]
    assert marked(stats(1, merge=0.6), stats(2, merge=0.1)) == [2]


def test_what_is_no_jump_is_not_marked() -> None:
    assert marked(stats(1), stats(2, merge=0.29)) == []
    assert marked(stats(1, merge=0.8), stats(2, merge=0.95)) == []
    assert marked(stats(1), stats(2, largest_cluster=15)) == []
    assert marked(stats(1, largest_cluster=19), stats(2, largest_cluster=50)) == []
    assert marked(stats(5, merge=0.9)) == [], "there is nothing to compare with"


def test_the_rollback_of_a_mistake_is_not_marked() -> None:
    found = [stats(1), stats(2, merge=0.8), stats(3)]
    assert marked(*found) == [2]


def test_few_listings_are_not_judged() -> None:
    assert marked(stats(1), stats(2, 49, merge=0.9)) == []
    assert marked(stats(1, 49), stats(2, merge=0.9)) == []
    two = [report(stats(1), stats(2, 30, merge=0.9)), report(stats(2, 30, merge=0.9))]
    assert sorted(suspects(two, EPOCH)) == [2], "together they are enough"


def test_reports_of_another_epoch_are_not_judged() -> None:
    other = report(stats(2, merge=0.9), epoch="1" * 36)
    assert suspects([report(stats(1)), other], EPOCH) == {}


def test_batches_of_one_revision_are_summed_by_their_listings() -> None:
    old = merged(None, report(stats(1, 100, 0.2)), NOW)
    new = merged(old, report(stats(1, 300, 0.4, largest_cluster=9), stats(2)), NOW)
    first = {one.revision: one for one in new.stats}[1]
    assert (first.batches, first.listings, first.largest_cluster) == (2, 400, 9)
    assert first.merge_rate == pytest.approx(0.35)


def test_batches_without_a_listing_have_a_rate_of_zero() -> None:
    again = merged(report(stats(1, 0, 0.0)), report(stats(1, 0, 0.0)), NOW)
    assert [(one.listings, one.merge_rate) for one in again.stats] == [(0, 0.0)]


def test_only_the_newest_revisions_are_kept_of_an_instance() -> None:
    old: StatusReport | None = None
    for number in range(1, 30):
        old = merged(old, report(stats(number)), NOW)
    assert old
    assert [one.revision for one in old.stats] == list(range(29, 21, -1))


def test_another_epoch_begins_anew() -> None:
    refused = Rejection(2, "no")
    old = merged(None, report(stats(7), rejection=refused), NOW)
    assert old.rejection == replace(refused, reported_at=NOW)
    new = merged(old, report(stats(1), epoch="1" * 36), NOW)
    assert ([one.revision for one in new.stats], new.rejection) == ([1], None)


def test_lag_counts_only_within_the_epoch() -> None:
    assert lag(report(applied_revision=3), EPOCH, 7) == 4
    assert lag(report(applied_revision=3, epoch=""), EPOCH, 7) == -1


def test_a_client_that_fell_silent_is_forgotten(env: Env) -> None:
    store = setup.open_store(env)
    later = Store(store._engine, store.keyring, lambda: utc_now() + timedelta(hours=25))
    store.report("m", report(instance_id="old"))
    assert [c.report.instance_id for c in store.clients()] == ["old"]
    assert later.clients() == []
    later.report("m", report(instance_id="new"))
    assert [c.report.instance_id for c in store.clients()] == ["new"]


def test_a_principal_has_only_so_many_instances(env: Env, sql: Callable[..., Any]) -> None:
    store = setup.open_store(env)
    store.report("m", report(instance_id="pod-0"))
    ((at, cell),) = sql("SELECT reported_at, report FROM client_status")
    sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO client_status SELECT 'm', 'pod-' || i, ?, ? FROM n",
        reports.MAX_INSTANCES - 1, at, cell,
    )  # fmt: skip
    with pytest.raises(LimitExceeded):
        store.report("m", report(instance_id="one-more"))
    store.report("m", report(instance_id="pod-0", applied_revision=2))
    store.report("other", report(instance_id="one-more"))
    assert sql("SELECT count(*) FROM client_status") == [(reports.MAX_INSTANCES + 1,)]


def test_what_a_report_says_is_sealed(env: Env, sql: Callable[..., Any]) -> None:
    store = setup.open_store(env)
    store.report("m", report(rejection=Rejection(3, "Canary-Why-5"), version="Canary-6"))
    assert "Canary" not in repr(sql("SELECT * FROM client_status"))
    (one,) = store.clients()
    assert one.report.rejection
    assert one.report.rejection.why == "Canary-Why-5"
