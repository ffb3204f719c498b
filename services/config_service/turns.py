"""Lets few pieces of one kind of blocking work at the store at once, and refuses a crowd."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from config_service.feed import Feed
from dedup_model.errors import LimitExceeded

MAX_WAITING = 200
P = ParamSpec("P")
T = TypeVar("T")


class Turns:
    """Fewer places than the store has threads, so that other work finds one; a queue before them."""

    def __init__(self, feed: Feed, places: int) -> None:
        self._feed, self._free, self._waiting = feed, asyncio.Semaphore(places), 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work when its turn comes; raises `LimitExceeded` when too many wait."""
        if self._waiting >= MAX_WAITING:
            raise LimitExceeded("too many wait for the store; try again")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        running = asyncio.ensure_future(self._feed.run_blocking(work, *args, **kwargs))
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    def _done(self, running: "asyncio.Future[T]") -> None:
        """Free a place when its thread is free again, however early the caller went."""
        self._free.release()
        if not running.cancelled():
            running.exception()  # nobody may be left to be told
