"""Lets few writers at the store at once, refuses a crowd, and wakes watchers after each write."""

import logging

from config_service.edits import Edit
from config_service.feed import Feed
from config_service.idempotency import Claim
from config_service.state import State
from config_service.store import Store
from config_service.turns import Turns

LOG = logging.getLogger("event_dedup.config")
WRITERS = 4
"""Fewer writers than store threads, so that reads find one while writers wait for the lock."""


class Writers:
    """The queue in front of one store's lock; `run` lets other work that writes through it."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store, self._feed = store, feed
        self.run = Turns(feed, WRITERS).run

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
