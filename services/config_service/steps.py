"""What watchers are shown of the revisions: each step is made once, for all who take it."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from config_service.feed import Feed
from config_service.revision import Revision, changes
from config_service.state import SecretStatus, State
from config_service.store import Store
from dedup_model.errors import RevisionCompacted, RevisionNotFound

KEPT = 16


@dataclass(frozen=True, eq=False)
class Seen:
    """A revision that watchers are shown; equal to itself alone."""

    epoch: str
    revision: Revision
    secrets: tuple[SecretStatus, ...]
    changed_paths: tuple[str, ...] = ()
    skipped: int = 0
    resync: bool = False


class Steps:
    """Makes what is shown, and keeps the last few: who asks for the same gets the same object."""

    def __init__(self, feed: Feed, store: Store) -> None:
        self._feed, self._store = feed, store
        self._kept: dict[Hashable, Seen] = {}
        self._reads: dict[Hashable, asyncio.Task[Revision]] = {}

    def whole(self, state: State, *, resync: bool = False, skipped: int = 0) -> Seen:
        """Return a state for a watcher that has nothing before it."""

        def make() -> Seen:
            return Seen(state.epoch, state.revision, state.secrets, skipped=skipped, resync=resync)

        return self._once(("whole", *state.stamp, resync, skipped), make)

    def between(self, before: State, after: State) -> Seen:
        """Return a newer state for a watcher that was sent the one before."""
        if before.epoch != after.epoch or after.is_before(before):
            return self.whole(after, resync=True)
        return self._once(("between", *before.stamp, *after.stamp), lambda: _step(before, after))

    async def following(self, head: State, after: int) -> Seen:
        """Return the revision after `after`, or the head as a resync when that one is gone."""
        number = after + 1
        key = ("following", head.epoch, number, *(secret.version for secret in head.secrets))
        if seen := self._kept.get((self._feed.returns, *key)):
            return seen
        try:
            revision = await self._revision(head, number)
        except (RevisionNotFound, RevisionCompacted):
            return self.whole(head, resync=True, skipped=head.revision.number - number)
        return self._once(
            key, lambda: Seen(head.epoch, revision, head.secrets, revision.changed_paths)
        )

    async def _revision(self, head: State, number: int) -> Revision:
        """Return a revision of the head's epoch; who waits for the same one shares one read."""
        if number == head.revision.number:
            return head.revision
        key = (head.epoch, number)
        read = self._reads.get(key)
        if read is None:
            work = self._feed.run_blocking(self._store.revision, number, head.epoch)
            read = self._reads[key] = asyncio.create_task(work)
            read.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(read)

    def _forget(self, key: Hashable, read: "asyncio.Task[Revision]") -> None:
        del self._reads[key]
        if not read.cancelled():
            read.exception()  # nobody may be left to be told

    def _once(self, key: tuple[Hashable, ...], make: Callable[[], Seen]) -> Seen:
        key = (self._feed.returns, *key)
        seen = self._kept.get(key)
        if seen is None:
            seen = self._kept[key] = make()
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return seen


def _step(before: State, after: State) -> Seen:
    paths = [path for path, _, _ in changes(before.revision.layers, after.revision.layers)]
    pairs = zip(before.secrets, after.secrets, strict=True)
    secrets = [f"secrets.{new.name}" for old, new in pairs if old.version != new.version]
    skipped = after.revision.number - before.revision.number - 1
    return Seen(after.epoch, after.revision, after.secrets, (*paths, *secrets), skipped=skipped)
