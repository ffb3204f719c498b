"""A watcher sees every revision exactly once, in order, or an explicit resync: whatever happens.

Followers in both modes, with writers beside them, over clients that leave, servers that are killed
or drained, compaction and new epochs. The same followers have to catch planted bugs.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import grpc
from reliability import planted_watch
from reliability.follower import EVERY, LATEST, OWN_CONNECTION, Follower
from reliability.harness import FULL, Service, serve, service

from config_service import database, setup
from config_service.edits import Meta, Update
from config_service.retention import Retention
from config_service.store import Store, utc_now
from dedup_model.change import Change
from dedup_rpc.wire import to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

ROUNDS, FAREWELLS = (152, 150) if FULL else (8, 5)
WRITERS, PAUSE_SECONDS, KEPT_REVISIONS = 3, 0.01, 5


@dataclass
class Experiment:
    """One running service with followers and writers."""

    service: Service
    followers: list[Follower]
    writing: bool = True
    written: int = 0
    epoch: str = ""
    history: dict[int, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    _values: Any = field(default_factory=lambda: count(1))

    async def write(self) -> None:
        """Change one setting after another; what fails is not tried again."""
        while self.writing:
            async with grpc.aio.insecure_channel(self.service.address, OWN_CONNECTION) as channel:
                with suppress(grpc.aio.AioRpcError):
                    await self._write_until_refused(ConfigServiceStub(channel))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _write_until_refused(self, stub: Any) -> None:
        while self.writing:
            value = (next(self._values) % 9973) / 10_000
            config = to_message({"geo": {"neutral_score": value}}, MatchingConfig())
            await stub.UpdateConfig(pb.UpdateConfigRequest(config=config), timeout=2)
            self.written += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def write_elsewhere(self) -> None:
        """Change the settings as another process does: the service learns of it by its poll."""
        store = await asyncio.to_thread(beside, self.service)
        while self.writing:
            change = Change({"geo": {"neutral_score": next(self._values) / 10_000}})
            await asyncio.to_thread(store.apply, Update(change, Meta("elsewhere")))
            self.written += 1
            await asyncio.sleep(PAUSE_SECONDS)
        store.close()

    async def judged(self) -> None:
        """Wait until every follower is on the head, and compare what they saw with the history."""
        async with grpc.aio.insecure_channel(self.service.address, OWN_CONNECTION) as channel:
            stub: Any = ConfigServiceStub(channel)
            page = await stub.ListRevisions(pb.ListRevisionsRequest(page_size=500))
        head = page.revisions[0].revision
        for found in page.revisions:
            self.history[found.revision] = found.digest, tuple(found.changed_paths)
        reached = (follower.reaches(page.epoch, head, 10) for follower in self.followers)
        await asyncio.gather(*reached)
        for follower in self.followers:
            follower.compare(self.history)

    @property
    def violations(self) -> list[str]:
        return [sentence for follower in self.followers for sentence in follower.violations]


@asynccontextmanager
async def running(
    service: Service, followers: list[Follower], *, elsewhere: bool = False
) -> AsyncIterator[Experiment]:
    """Start the service, and followers and writers on it; judges when the block is done."""
    await asyncio.to_thread(service.start)
    experiment = Experiment(service, followers)
    write = experiment.write_elsewhere if elsewhere else experiment.write
    following = [asyncio.create_task(follower.follow()) for follower in followers]
    writing = [asyncio.create_task(write()) for _ in range(1 if elsewhere else WRITERS)]
    try:
        yield experiment
        experiment.writing = False
        await asyncio.gather(*writing)
        await experiment.judged()
    finally:
        for task in (*writing, *following):
            task.cancel()
        for result in await asyncio.gather(*writing, *following, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result


def followers(service: Service) -> list[Follower]:
    """Return followers in both modes, some of which stay away for long."""
    kinds = ((EVERY, 0.02), (EVERY, 0.02), (EVERY, 0.6), (LATEST, 0.02), (LATEST, 0.6))
    return [
        Follower(service.address, mode, seed, pause_seconds)
        for seed, (mode, pause_seconds) in enumerate(kinds)
    ]


def beside(service: Service, ahead: timedelta = timedelta()) -> Store:
    """Return a store of the service's database, as the commands open it, with a clock ahead."""
    store = setup.open_store(service.env)
    store.close()
    engine = database.open_database(database.parse_url(service.env.database_url))
    return Store(engine, store.keyring, lambda: utc_now() + ahead)


async def killed(experiment: Experiment) -> None:
    """Kill the server and start it again."""
    await asyncio.to_thread(experiment.service.kill)
    await asyncio.to_thread(experiment.service.start)


async def drained(experiment: Experiment) -> None:
    """Ask the server to end and start it again."""
    service = experiment.service
    assert service.process
    service.process.terminate()
    assert await asyncio.to_thread(service.reap) == 0
    await asyncio.to_thread(service.start)


async def compacted(experiment: Experiment) -> None:
    """Write while nobody can watch, and remove more than the followers have seen of this epoch."""
    await until(lambda: all(one.position[0] == experiment.epoch for one in experiment.followers))
    await asyncio.to_thread(experiment.service.kill)
    store = beside(experiment.service, ahead=timedelta(days=3))
    for number in range(2 * KEPT_REVISIONS):
        change = Change({"geo": {"min_confidence": (number + 1) / 1000}})
        await asyncio.to_thread(store.apply, Update(change, Meta("elsewhere")))
    for story in await asyncio.to_thread(store.page, None, 100_000):
        experiment.history[story.number] = story.digest, story.changed_paths
    store.close()
    store = beside(experiment.service, ahead=timedelta(days=6))
    retention = Retention(count=KEPT_REVISIONS, age=timedelta(seconds=0))
    assert await asyncio.to_thread(store.compact, retention, "test")
    store.close()
    await asyncio.to_thread(experiment.service.start)


async def new_epoch(experiment: Experiment) -> None:
    """Begin another epoch under the running server."""
    store = beside(experiment.service)
    experiment.epoch = await asyncio.to_thread(store.new_epoch, "test")
    store.close()


DISTURBANCES = (killed, new_epoch, drained, compacted)


async def test_followers_see_each_revision_once_or_a_resync_whatever_happens() -> None:
    dice = random.Random(7)
    with service() as served:
        async with running(served, followers(served)) as experiment:
            for step in range(ROUNDS):
                await asyncio.sleep(dice.uniform(0.1, 0.5))
                await DISTURBANCES[step % len(DISTURBANCES)](experiment)
    assert experiment.violations == []
    assert experiment.written > ROUNDS
    assert len(experiment.history) > 2 * ROUNDS
    for follower in experiment.followers:
        assert len(follower.shown) > ROUNDS
        assert follower.streams > ROUNDS // 2
        assert follower.resyncs
    for follower in experiment.followers[:3]:
        assert any(shown.resync and shown.skipped for shown in follower.shown)


async def test_streams_that_end_of_age_twice_a_second_lose_nothing() -> None:
    with service(target=planted_watch.short_lives) as served:
        async with running(served, followers(served)) as experiment:
            for _ in range(100):
                await asyncio.sleep(1 if FULL else 0.2)
                if sum(follower.farewells for follower in experiment.followers) > FAREWELLS:
                    break
    assert experiment.violations == []
    assert sum(follower.farewells for follower in experiment.followers) > FAREWELLS
    assert all(follower.resyncs == 0 for follower in experiment.followers[:3])


def leaving(service: Service) -> list[Follower]:
    """Return followers of every revision that leave after every third message."""
    return [Follower(service.address, EVERY, seed, leaves=0.3) for seed in range(4)]


async def behind_a_slow_poll(
    target: Callable[[], None], enough: Callable[[Experiment], bool]
) -> Experiment:
    """Follow a service that sees another process's writes half a second late, until it is enough."""
    with service(target=target) as served:
        served.env = replace(served.env, poll_seconds=0.5)
        async with running(served, leaving(served), elsewhere=True) as experiment:
            await until(lambda: enough(experiment))
    return experiment


async def until(is_so: Callable[[], bool]) -> None:
    """Wait up to half a minute for something to be so."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def skipped_in_silence(experiment: Experiment) -> bool:
    """Tell whether a follower missed a revision without a word."""
    return any("without resync" in sentence for sentence in experiment.violations)


async def test_a_heartbeat_that_names_the_head_is_caught() -> None:
    planted = await behind_a_slow_poll(planted_watch.names_the_head, skipped_in_silence)
    assert skipped_in_silence(planted)


async def test_heartbeats_of_a_service_that_is_behind_name_what_was_sent() -> None:
    def enough(experiment: Experiment) -> bool:
        return all(follower.beats > 5 for follower in experiment.followers)

    experiment = await behind_a_slow_poll(serve, enough)
    assert experiment.violations == []


async def test_a_cursor_that_skips_is_caught() -> None:
    with service(target=planted_watch.skips_to_the_head) as served:
        async with running(served, followers(served)) as experiment:
            await until(lambda: skipped_in_silence(experiment))
