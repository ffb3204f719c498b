"""One watch: a cursor over the revisions, without a queue.

A reader that stalls holds one state; whatever happened meanwhile is read again when it goes on.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TypeAlias

from config_service.feed import Feed
from config_service.state import State
from config_service.steps import Seen, Steps
from dedup_model.errors import FutureRevision, invalid

LIFE_SECONDS = 600.0
JITTER = 0.2
_EPOCH = re.compile(r"[0-9a-f-]{36}")


@dataclass(frozen=True)
class Bookmark:
    """Where a stream of every revision begins."""

    epoch: str
    after: int
    head: int


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life: the last revision that this stream has sent or begun from."""

    epoch: str
    revision: int


@dataclass(frozen=True)
class GoAway:
    """The end of a stream: `stream_age` or `shutdown`."""

    reason: str


Event: TypeAlias = Seen | Bookmark | Heartbeat | GoAway


@dataclass(frozen=True)
class WatchOptions:
    """What a watcher asked for; `after` None means from the head on."""

    every: bool = False
    epoch: str = ""
    after: int | None = None
    heartbeat: float = 15.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.heartbeat <= 300:
            raise invalid("heartbeat_seconds", "RANGE", "0.1 to 300 seconds")
        if self.epoch and not _EPOCH.fullmatch(self.epoch):
            raise invalid("epoch", "EPOCH_FORMAT", "not an epoch of this service")
        if self.after is not None and self.after < 0:
            raise invalid("after_revision", "RANGE", "0 or more")


@dataclass
class Watch:
    """The stream of one watcher, from the present state to its go-away."""

    feed: Feed
    steps: Steps
    options: WatchOptions
    stopping: asyncio.Event
    life_seconds: float = field(
        default_factory=lambda: LIFE_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)
    )

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what the watcher sees; ends after a `GoAway`."""
        ends = time.monotonic() + self.life_seconds
        follow = self._every if self.options.every else self._latest
        async for event in follow(ends):
            yield event
            if self.stopping.is_set() or time.monotonic() >= ends:
                break
        yield GoAway("shutdown" if self.stopping.is_set() else "stream_age")

    async def _latest(self, ends: float) -> AsyncGenerator[Event, None]:
        sent = self.feed.state
        elsewhere = self.options.epoch not in ("", sent.epoch)
        yield self.steps.whole(sent, resync=elsewhere)
        while True:
            if await self._moved(sent, ends):
                before, sent = sent, self.feed.state
                yield self.steps.between(before, sent)
            else:
                yield Heartbeat(sent.epoch, sent.revision.number)

    async def _every(self, ends: float) -> AsyncGenerator[Event, None]:
        seen = self.feed.state
        after = self._start(seen)
        if after is None:
            yield self.steps.whole(seen, resync=True)
            after = seen.revision.number
        else:
            yield Bookmark(seen.epoch, after, seen.revision.number)
        epoch = seen.epoch
        while True:
            state = self.feed.state
            if state.epoch != epoch or state.revision.number < after:
                yield self.steps.whole(state, resync=True)
                epoch, after = state.epoch, state.revision.number
            elif after < state.revision.number:
                event = await self.steps.following(state, after)
                yield event
                after = event.revision.number
            elif not await self._moved(state, ends):
                yield Heartbeat(epoch, after)

    def _start(self, head: State) -> int | None:
        """Return the revision to begin after, or None for a whole state first."""
        options = self.options
        if options.epoch and options.epoch != head.epoch:
            return None
        after = head.revision.number if options.after is None else options.after
        if after > head.revision.number:
            text = "the revision lies beyond the head of this epoch"
            raise FutureRevision(text, head=str(head.revision.number))
        return after

    async def _moved(self, seen: State, ends: float) -> bool:
        """Wait for another state, a heartbeat's time, the end of life or the shutdown."""
        until = min(time.monotonic() + self.options.heartbeat, ends)
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            if await self.feed.changed(seen, left):
                return True
        return False
