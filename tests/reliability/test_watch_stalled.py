"""A watcher that does not read costs one message, and delays nobody; a queue for it is caught."""

import asyncio
import gc
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from math import inf
from pathlib import Path

from reliability.harness import FULL
from reliability.planted_watch import QueuesEvents

from config_service import setup
from config_service.edits import Meta, Update
from config_service.env import Env
from config_service.feed import Feed
from config_service.steps import Seen
from config_service.watch import Watch, WatchOptions
from config_service.watches import MakeWatch, Watches
from dedup_model.change import Change

STALLED, READING = 20, 5
REVISIONS = 2000 if FULL else 80
BOUND = 40
"""States in memory: what is kept for sharing, and one for each of a few moments of waking."""


class Stream:
    """A stream that takes so many messages and then no more."""

    def __init__(self, room: float) -> None:
        self.room, self.taken = room, 0

    async def write(self, message: bytes) -> None:
        if self.taken >= self.room:
            await asyncio.sleep(3600)
        self.taken += 1

    async def has(self, messages: int) -> None:
        """Wait until it took so many messages."""
        for _ in range(1000):
            if self.taken >= messages:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.taken} of {messages} messages came")


@asynccontextmanager
async def watched(folder: Path, make: MakeWatch, streams: list[Stream]) -> AsyncIterator[Feed]:
    """Open a store in this process and let every stream watch it."""
    env = Env(database_url=f"sqlite:///{folder / 'config.db'}")
    with ThreadPoolExecutor(4) as executor, closing(setup.open_store(env)) as store:
        feed = Feed(store, executor, store.state(), env.poll_seconds)
        watches = Watches(feed, store, asyncio.Event(), make=make)
        options = WatchOptions(every=True)
        serving = [asyncio.create_task(watches.serve(options, s.write)) for s in streams]
        for number in range(REVISIONS):
            change = Change({"geo": {"neutral_score": (number % 9973 + 1) / 10_000}})
            await feed.run_blocking(store.apply, Update(change, Meta("test")))
            await feed.refresh()
        yield feed
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def states_in_memory(folder: Path, make: MakeWatch) -> int:
    """Return how many shown states live after many revisions that most watchers do not read."""
    stalled, reading = [Stream(1) for _ in range(STALLED)], [Stream(inf) for _ in range(READING)]
    async with watched(folder, make, stalled + reading):
        await asyncio.gather(*(stream.has(REVISIONS + 1) for stream in reading))
        gc.collect()
        found = sum(isinstance(alive, Seen) for alive in gc.get_objects())
    assert [stream.taken for stream in stalled] == [1] * STALLED
    return found


async def test_stalled_watchers_hold_no_more_states_the_more_there_are(tmp_path: Path) -> None:
    assert await states_in_memory(tmp_path, Watch) <= BOUND


async def test_a_queue_for_each_watcher_is_caught(tmp_path: Path) -> None:
    assert await states_in_memory(tmp_path, QueuesEvents) >= REVISIONS > BOUND
