"""Wakes watchers: keeps the present state in memory and tells when it is another one.

A wake-up is a hint: who is woken reads the state again. Writes of this process are seen at once,
writes of other processes by one indexed read of the head at every poll.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from config_service.state import State
from config_service.store import Store
from dedup_model.errors import DedupError

LOG = logging.getLogger("event_dedup.config.feed")
P = ParamSpec("P")
T = TypeVar("T")


class Feed:
    """The newest known state of one store."""

    def __init__(self, store: Store, executor: Executor, state: State, poll_seconds: float) -> None:
        self._store, self._executor, self._poll = store, executor, poll_seconds
        self.state = state
        self._changed = asyncio.Event()

    async def run_blocking(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking store work in the bounded pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    async def refresh(self) -> State:
        """Read the store and wake watchers when the state is a newer one; returns the newest."""
        found = await self.run_blocking(self._store.state)
        if self._is_newer(found):
            self.state = found
            self._changed.set()
            self._changed = asyncio.Event()
        return self.state

    def _is_newer(self, found: State) -> bool:
        same_epoch = found.epoch == self.state.epoch
        return not same_epoch or found.revision.number > self.state.revision.number

    async def changed(self, seen: State, seconds: float) -> bool:
        """Wait for a wake-up, at most `seconds`; tells whether the state is another one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self.state.stamp == seen.stamp:
                    await self._changed.wait()
        return self.state.stamp != seen.stamp

    def wake(self) -> None:
        """Wake everyone who waits, to look at something else than the state."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Let the store go, when nothing runs any more."""
        self._store.close()

    async def poll(self) -> None:
        """Look for writes of other processes until cancelled; a store that is down is waited for."""
        while True:
            await asyncio.sleep(self._poll)
            try:
                if await self.run_blocking(self._store.stamp) != self.state.stamp:
                    await self.refresh()
            except DedupError as error:
                LOG.warning("the head cannot be read: %s", error.reason)
