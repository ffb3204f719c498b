"""Who runs next: so many batches at once, so many that wait, callers in turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TypeAlias

from dedup_model.errors import BatchLimit

SHORTEST_HINT, LONGEST_HINT = 1.0, 60.0
"""Seconds after which a refused caller is told to try again."""
MEMORY = 0.2
"""How much the newest turn counts in the mean of their seconds."""

Told: TypeAlias = Callable[[int], None]
"""Hears how many batches go first, at once and whenever it changes."""


@dataclass(eq=False)
class _Waiter:
    owner: str
    told: Told
    called: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Turns:
    """At most `places` batches run at once, and up to `waiting` wait.

    Callers take turns, so who sends one batch does not wait behind all of those of who sends many.
    When no more may wait, the newest batch of the caller with the most goes: it is refused with
    `BatchLimit`, which says when to try again.
    """

    def __init__(self, places: int, waiting: int) -> None:
        self._places, self._most = places, waiting
        self.running = 0
        self._begun: deque[_Waiter] = deque()
        self._queues: dict[str, deque[_Waiter]] = {}
        self._seconds = 0.0

    @property
    def waiting(self) -> int:
        """Return how many batches wait."""
        return len(self._begun) + sum(map(len, list(self._queues.values())))

    @asynccontextmanager
    async def one(self, owner: str, told: Told, *, begun: bool = False) -> AsyncIterator[None]:
        """Hold a place while the block runs; raises `BatchLimit`.

        A batch that has `begun`, and gave its place back in between, goes first, and is not refused.
        """
        await self._entered(_Waiter(owner, told), begun=begun)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            yield
        finally:
            self._seconds += MEMORY * (clock() - began - self._seconds)
            self._left()

    async def _entered(self, waiter: _Waiter, *, begun: bool) -> None:
        if self.running < self._places:
            self.running += 1
            return
        self._queue(waiter, begun=begun)
        try:
            await waiter.called
        except asyncio.CancelledError:
            self._gone(waiter)
            raise

    def _queue(self, waiter: _Waiter, *, begun: bool) -> None:
        if begun:
            self._begun.append(waiter)
        else:
            self._make_room(waiter.owner)
            self._queues.setdefault(waiter.owner, deque()).append(waiter)
        self._tell()

    def _make_room(self, owner: str) -> None:
        """Refuse a batch when too many wait; raises `BatchLimit` when it is that of `owner`."""
        if sum(map(len, self._queues.values())) < self._most:
            return
        longest: deque[_Waiter] = max(self._queues.values(), key=len, default=deque())
        if len(longest) <= len(self._queues.get(owner, ())) + 1:
            raise self._refusal()
        last = longest.pop()
        if not last.called.done():
            last.called.set_exception(self._refusal())

    def _refusal(self) -> BatchLimit:
        seconds = self._seconds * (self.waiting + 1) / self._places
        return BatchLimit(
            "as many batches wait as may wait at once; try again later",
            min(max(seconds, SHORTEST_HINT), LONGEST_HINT),
        )

    def _left(self) -> None:
        """Give a place back, or to who is next."""
        following = next(self._order(), None)
        if following is None:
            self.running -= 1
            return
        self._remove(following)
        if queue := self._queues.pop(following.owner, None):
            self._queues[following.owner] = queue
        following.called.set_result(None)
        self._tell()

    def _gone(self, waiter: _Waiter) -> None:
        """Forget who waits no more; a place that it was called to goes on."""
        if not waiter.called.cancelled():
            if waiter.called.exception() is None:
                self._left()
            return
        self._remove(waiter)
        self._tell()

    def _remove(self, waiter: _Waiter) -> None:
        queue = self._begun if waiter in self._begun else self._queues.get(waiter.owner, deque())
        if waiter in queue:
            queue.remove(waiter)
        if not self._queues.get(waiter.owner, True):
            del self._queues[waiter.owner]

    def _order(self) -> Iterator[_Waiter]:
        """Yield who waits, in the order of their turns; who has been cancelled leaves by itself."""
        rounds = zip_longest(*self._queues.values())
        waiters = chain(self._begun, filter(None, chain.from_iterable(rounds)))
        return (waiter for waiter in waiters if not waiter.called.done())

    def _tell(self) -> None:
        for ahead, waiter in enumerate(self._order()):
            waiter.told(ahead)
