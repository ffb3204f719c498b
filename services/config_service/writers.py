"""Lets few writers at the store at once, refuses a crowd, and wakes watchers after each write."""

import asyncio
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from config_service.edits import Edit
from config_service.feed import Feed
from config_service.idempotency import Claim
from config_service.state import State
from config_service.store import Store
from dedup_model.errors import LimitExceeded

LOG = logging.getLogger("event_dedup.config")
WRITERS, MAX_WAITING = 4, 200
"""Fewer writers than store threads, so that reads find one while writers wait for the lock."""
P = ParamSpec("P")
T = TypeVar("T")


class Writers:
    """The queue in front of one store's lock."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store, self._feed = store, feed
        self._turn, self._waiting = asyncio.Semaphore(WRITERS), 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that writes; raises `LimitExceeded` when too many wait."""
        if self._waiting >= MAX_WAITING:
            raise LimitExceeded("too many writers wait for the store; try again")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._feed.run_blocking(work, *args, **kwargs)
        finally:
            self._waiting -= 1

    async def apply(
        self, edit: Edit, claim: Claim | None, *, validate_only: bool = False
    ) -> tuple[State, State]:
        """Run one edit; returns the states before and after, as this process now serves them."""
        apply = self._store.apply
        before, after = await self.run(apply, edit, validate_only=validate_only, claim=claim)
        if before.stamp != after.stamp and not validate_only:
            await self._feed.refresh()
            number, author = after.revision.number, after.revision.author
            LOG.info("revision %d by %s", number, author, extra={"revision": number})
        return before, after
