"""Wakes watchers: keeps the present state in memory and tells when it is another one.

A wake-up is a hint: who is woken reads the state again. Writes of this process are seen at once,
writes of other processes by one indexed read of the head at every poll.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from config_service.state import State
from config_service.store import Store
from dedup_model.errors import CiphertextInvalid, DedupError, KeyNotInRing, StoreUnavailable
from dedup_rpc.logs import where

LOG = logging.getLogger("event_dedup.config.feed")
WENT_BACK = (
    "the store went back from revision %d to %d in one epoch: it was restored, or another server of"
    " the database took over; run `config-service store new-epoch`"
)
P = ParamSpec("P")
T = TypeVar("T")


class Feed:
    """The newest known state of one store."""

    def __init__(
        self, store: Store, executor: Executor, state: State | None, poll_seconds: float
    ) -> None:
        self._store, self._executor, self._poll = store, executor, poll_seconds
        self._state = state
        self._waiters: set[asyncio.Future[None]] = set()
        self._reading, self._begun, self._completed = asyncio.Lock(), 0, 0
        self._looked, self._said = time.monotonic(), ""
        self.lost = False
        """Whether the head is another one than the state, and the ring in use does not open it."""
        self.returns = 0
        """How often the store went back within its epoch: numbers were then given out a second time."""

    @property
    def state(self) -> State:
        """Return the newest known state; raises `KeyringUnavailable` while the service is sealed."""
        if self._state is None:
            self._store.keyring.ring()
            raise StoreUnavailable("the settings were not read yet")
        return self._state

    def lag(self) -> float:
        """Return the seconds since the head was last read; it grows while it cannot be."""
        return time.monotonic() - self._looked

    async def run_blocking(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking store work in the bounded pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    async def refresh(self) -> State:
        """Read the store and wake watchers when the state is another one; returns the newest.

        Reads follow each other, so one that was overtaken never takes a newer one's place; who waits
        for its turn shares the first read that begins after the call.
        """
        asked = self._begun
        async with self._reading:
            if self._completed <= asked:
                self._begun += 1
                self._take(await self.run_blocking(self._store.state))
                self._completed = self._begun
        return self.state

    def _take(self, found: State) -> None:
        old = self._state
        if old is not None and found.stamp == old.stamp:
            # a secret that was sealed anew is no other state to watchers
            self._state = old if found.secrets == old.secrets else found
            return
        if old is not None and found.is_before(old):
            self.returns += 1
            LOG.error(WENT_BACK, old.revision.number, found.revision.number)
        self._state = found
        self.wake()

    async def changed(self, seen: State, seconds: float) -> bool:
        """Wait for a wake-up, at most `seconds`; tells whether the state is another one."""
        if self.state.stamp == seen.stamp:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            timer = loop.call_later(seconds, _wake, waiter)
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiters.discard(waiter)
        return self.state.stamp != seen.stamp

    def wake(self) -> None:
        """Wake everyone who waits, to look at the state or at something else."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            _wake(waiter)

    async def poll(self) -> None:
        """Look for writes of other processes until cancelled; a store that is down is waited for."""
        while True:
            await asyncio.sleep(self._poll)
            if self._store.keyring.problem is None:
                await self._try_to_look()

    async def _try_to_look(self) -> None:
        try:
            await self._look()
        except DedupError as error:
            self.lost = isinstance(error, KeyNotInRing | CiphertextInvalid)
            self._say(logging.WARNING, error.reason)
        except Exception as error:
            # without the poll this replica would show an old head for ever
            self._say(logging.ERROR, where(error))
        else:
            self.lost = False
            self._say(logging.INFO, "")

    def _say(self, level: int, why: str) -> None:
        """Log why the head cannot be read, or that it is read again, once."""
        if why != self._said:
            LOG.log(level, "the head %s", f"cannot be read: {why}" if why else "is read again")
        self._said = why

    async def _look(self) -> None:
        stamp = await self.run_blocking(self._store.stamp)
        if self._state is None or stamp != self._state.stamp:
            await self.refresh()
        self._looked = time.monotonic()

    async def look_at_secrets(self) -> None:
        """Read the store again when a secret was sealed anew: that makes no revision."""
        found = await self.run_blocking(self._store.secret_key_ids)
        if self._state is not None and found != self._state.secret_key_ids:
            await self.refresh()

    async def forget(self) -> None:
        """Have no state any more: the service is sealed, and who waits is told."""
        async with self._reading:
            self._state = None
        self.wake()


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
