"""One batch, one revision (P11); without ConfigService an allowed rung or UNAVAILABLE (P12)."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from reliability.batches import Batches, Writer, wrong
from reliability.harness import FULL, Service
from reliability.planted_matcher import (
    Plant,
    any_rung,
    lazy,
    names_the_newest,
    planted,
    silent_defaults,
    sticky,
    torn,
)

from dedup_rpc.client import AsyncConfigClient, Retry
from matcher_service import serving
from matcher_service.env import Env, Rung

BATCHES, PAUSE = (10_000, 0.02) if FULL else (400, 0.005)
PLANTED_BATCHES = 200
KILL_SECONDS = 120.0 if FULL else 5.0
CALLERS = 4
UP_SECONDS, DOWN_SECONDS = (0.2, 0.7), (0.1, 0.5)
TIMEOUT = 0.3
UNAVAILABLE = "UNAVAILABLE CONFIG_UNAVAILABLE"


@asynccontextmanager
async def matcher(env: Env, plant: Plant | None) -> AsyncIterator[str]:
    """Serve a matcher, with a bug or as it is; yields the address."""
    if plant:
        async with planted(env, plant) as address:
            yield address
        return
    server = await serving.start(env)
    yield server.address
    await server.stop(0)


@dataclass
class Experiment:
    """A ConfigService whose settings change, and batches of one matcher."""

    service: Service
    client: AsyncConfigClient
    batches: Batches
    rungs: tuple[Rung, ...]

    async def wrong(self) -> list[str]:
        """Return what does not hold."""
        return await wrong(self.client, self.batches, set(self.rungs))

    async def run(self, count: int) -> None:
        """Run batches from several callers at once, none of whom waits for another."""
        left = iter(range(count))
        await asyncio.gather(*(self.batches.run(left) for _ in range(CALLERS)))

    async def run_for(self, seconds: float) -> None:
        """Run batches for a while."""
        ends = time.monotonic() + seconds
        left = iter(lambda: time.monotonic() < ends, False)
        await asyncio.gather(*(self.batches.run(left) for _ in range(CALLERS)))

    async def outages(self, ended: asyncio.Event) -> int:
        """Kill the service and start it again until told to end; returns how often."""
        chance, kills = random.Random(7), 0
        while not ended.is_set():
            await asyncio.sleep(chance.uniform(*UP_SECONDS))
            await asyncio.to_thread(self.service.kill)
            kills += 1
            await asyncio.sleep(chance.uniform(*DOWN_SECONDS))
            await asyncio.to_thread(self.service.start)
        return kills


@asynccontextmanager
async def experiment(
    service: Service, rungs: tuple[Rung, ...], plant: Plant | None
) -> AsyncIterator[Experiment]:
    """Yield a running pair whose settings are written all the time."""
    await asyncio.to_thread(service.start)
    address = service.address
    env = Env("127.0.0.1:0", address, rungs, config_timeout=TIMEOUT)
    async with AsyncConfigClient(address, retry=Retry(try_seconds=1)) as client:
        writer = Writer(client)
        await writer.begin()
        async with matcher(env, plant) as served:
            writing = asyncio.create_task(writer.run(PAUSE))
            yield Experiment(service, client, Batches(served, writer), rungs)
            writing.cancel()
            await asyncio.wait([writing])


async def test_no_batch_mixes_two_revisions_and_each_names_its_own(
    sqlite_service: Service,
) -> None:
    async with experiment(sqlite_service, (Rung.LIVE,), None) as made:
        await made.run(BATCHES)
        assert await made.wrong() == []
        assert made.batches.refusals == {}
        assert len(made.batches.answers) == BATCHES
        revisions = {answer.run.revision for answer in made.batches.answers}
        print(f"{BATCHES} batches under {len(revisions)} of {made.batches.newest} revisions")
        assert len(revisions) > BATCHES / 20


@pytest.mark.parametrize(
    ("plant", "problem"),
    [
        (torn, "a batch ran under other settings than those of its revision"),
        (names_the_newest, "a batch ran under other settings than those of its revision"),
        (lazy, "a live batch ran under a revision older than one acknowledged before it"),
    ],
)
async def test_a_matcher_that_mixes_or_misnames_is_caught(
    sqlite_service: Service, plant: Plant, problem: str
) -> None:
    async with experiment(sqlite_service, (Rung.LIVE,), plant) as made:
        await made.run(PLANTED_BATCHES)
        assert problem in await made.wrong()


async def under_outages(
    service: Service, rungs: tuple[Rung, ...], plant: Plant | None
) -> Experiment:
    """Run batches while the service is killed and restarted; returns what they gave, checked."""
    async with experiment(service, rungs, plant) as made:
        ended = asyncio.Event()
        outages = asyncio.create_task(made.outages(ended))
        await made.run_for(KILL_SECONDS if plant is None else 4.0)
        ended.set()
        kills = await outages
        batches = made.batches
        print(f"{kills} kills, {dict(batches.sources)}, {dict(batches.refusals)}")
        assert kills > 2
        assert (await made.wrong() == []) == (plant is None)
        return made


async def test_without_its_config_service_a_matcher_goes_on_with_the_last_good_config(
    sqlite_service: Service,
) -> None:
    made = await under_outages(sqlite_service, (Rung.LIVE, Rung.MEMORY), None)
    assert made.batches.sources.keys() == {"live", "memory"}
    assert made.batches.refusals == {}


async def test_a_matcher_that_may_run_live_configs_alone_is_unavailable_meanwhile(
    sqlite_service: Service,
) -> None:
    made = await under_outages(sqlite_service, (Rung.LIVE,), None)
    assert made.batches.sources.keys() == {"live"}
    assert made.batches.refusals.keys() == {UNAVAILABLE}


@pytest.mark.parametrize(
    ("rungs", "plant"),
    [
        ((Rung.LIVE, Rung.MEMORY), sticky),
        ((Rung.LIVE,), silent_defaults),
        ((Rung.LIVE,), any_rung),
    ],
)
async def test_a_matcher_that_falls_back_to_what_it_must_not_is_caught(
    sqlite_service: Service, rungs: tuple[Rung, ...], plant: Plant
) -> None:
    await under_outages(sqlite_service, rungs, plant)
