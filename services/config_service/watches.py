"""Writes watches to their streams: what many are sent is encoded once; who stalls is let go."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import lru_cache
from typing import TypeAlias

from config_service import convert
from config_service.feed import Feed
from config_service.steps import KEPT, Steps
from config_service.store import Store
from config_service.watch import Watch, WatchOptions
from dedup_model.errors import LimitExceeded
from dedup_rpc.stalls import Stalls

WRITE_SECONDS = 30.0

Write: TypeAlias = Callable[[bytes], Awaitable[None]]
MakeWatch: TypeAlias = Callable[[Feed, Steps, WatchOptions, asyncio.Event], Watch]


class Watches:
    """The watches of one server.

    A watcher that does not read holds one message. When a write to it is not taken within
    `write_seconds` its stream ends.
    """

    def __init__(
        self,
        feed: Feed,
        store: Store,
        stopping: asyncio.Event,
        write_seconds: float = WRITE_SECONDS,
        make: MakeWatch = Watch,
    ) -> None:
        self._feed, self._steps, self._stopping = feed, Steps(feed, store), stopping
        self._stalls, self._make = Stalls(write_seconds), make
        self._encoded = lru_cache(KEPT)(convert.watch_bytes)

    async def serve(self, options: WatchOptions, write: Write) -> None:
        """Write what one watcher sees until its stream ends; raises `LimitExceeded` when it stalls."""
        watch = self._make(self._feed, self._steps, options, self._stopping)
        async with aclosing(watch.events()) as events:
            async for event in events:
                await self._written(write, self._encoded(event))

    async def _written(self, write: Write, message: bytes) -> None:
        try:
            await self._stalls.within(write(message))
        except TimeoutError:
            text = f"the watcher has not read for {self._stalls.seconds:g} s; watch again"
            raise LimitExceeded(text) from None
