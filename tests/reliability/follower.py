"""A client that follows the settings over every disturbance, and judges what it is shown."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import grpc

from dedup_rpc.channel import OPTIONS
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

EVERY, LATEST = pb.WATCH_MODE_EVERY, pb.WATCH_MODE_LATEST
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""How a stream may end when its server was killed, its path was cut or its client left."""
OWN_CONNECTION = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
"""So that nobody waits out the backoff of somebody else's failures."""
LEAVES, PAUSE_SECONDS, HEARTBEAT_SECONDS = 0.03, 0.02, 0.1


@dataclass(frozen=True)
class Shown:
    """A state as it came in."""

    epoch: str
    revision: int
    digest: str
    changed_paths: tuple[str, ...]
    skipped: int
    resync: bool

    @classmethod
    def of(cls, state: pb.ConfigState) -> "Shown":
        return cls(
            state.epoch,
            state.revision.revision,
            state.revision.digest,
            tuple(state.changed_paths),
            state.skipped_revisions,
            state.resync,
        )


class Follower:
    """Follows one address in one mode; every broken promise becomes a sentence in `violations`.

    `position` is the epoch and revision of the last state, or where the first bookmark began. After each end of a stream it goes on from what the last message named, heartbeats included.
    Now and then it leaves by itself.
    """

    def __init__(
        self,
        address: str,
        mode: Any,
        seed: int,
        pause_seconds: float = PAUSE_SECONDS,
        leaves: float = LEAVES,
    ) -> None:
        self.address, self.mode = address, mode
        self.pause_seconds, self.leaves = pause_seconds, leaves
        self._random = random.Random(seed)
        self.shown: list[Shown] = []
        self.violations: list[str] = []
        self.streams = self.resyncs = self.beats = self.farewells = 0
        self.position = ("", 0)
        self._epoch = ""
        self._cursor: int | None = None
        self._sent: int | None = None
        self._said_goodbye = False

    async def follow(self) -> None:
        """Watch again and again until cancelled."""
        while True:
            async with grpc.aio.insecure_channel(self.address, OWN_CONNECTION) as channel:
                await self._stream(channel)
            await asyncio.sleep(self._random.uniform(0, self.pause_seconds))

    async def reaches(self, epoch: str, revision: int, seconds: float) -> None:
        """Stay with the service until a state comes; a violation when it does not."""
        self.leaves = self.pause_seconds = 0.0
        for _ in range(int(seconds * 100)):
            if self.position == (epoch, revision):
                return
            await asyncio.sleep(0.01)
        self._broken(f"it does not end on the head {revision} but on {self.position[1]}")

    def compare(self, history: dict[int, tuple[str, tuple[str, ...]]]) -> None:
        """Hold what was shown against digests and changed paths of the history."""
        for shown in (shown for shown in self.shown if shown.revision in history):
            digest, paths = history[shown.revision]
            if shown.digest != digest:
                self._broken(f"revision {shown.revision} has another digest than in the history")
            if self.mode == EVERY and not shown.resync and shown.changed_paths != paths:
                self._broken(f"revision {shown.revision} has other changed paths")

    async def _stream(self, channel: grpc.aio.Channel) -> None:
        request = pb.WatchConfigRequest(
            mode=self.mode,
            epoch=self._epoch,
            after_revision=self._cursor,
            heartbeat_seconds=HEARTBEAT_SECONDS,
        )
        self.streams += 1
        self._sent, self._said_goodbye = None, False
        call: Any = ConfigServiceStub(channel).WatchConfig(request)
        try:
            async for message in call:
                self._take(message)
                if self._random.random() < self.leaves:
                    call.cancel()
                    return
            if not self._said_goodbye:
                self._broken("a stream ended without go_away")
        except grpc.aio.AioRpcError as error:
            if error.code() not in PASSING:
                self._broken(f"a stream ended with {error.code().name}")

    def _take(self, message: pb.WatchConfigResponse) -> None:
        if self._said_goodbye:
            self._broken("a message came after go_away")
        kind = message.WhichOneof("event")
        if kind == "go_away":
            self._said_goodbye, self.farewells = True, self.farewells + 1
        elif kind == "heartbeat":
            self._take_heartbeat(message.heartbeat)
        elif kind == "bookmark":
            self._take_bookmark(message.bookmark)
        else:
            (self._take_every if self.mode == EVERY else self._take_latest)(Shown.of(message.state))

    def _take_heartbeat(self, heartbeat: pb.Heartbeat) -> None:
        self.beats += 1
        self._epoch, self._cursor = heartbeat.epoch, heartbeat.revision

    def _take_bookmark(self, bookmark: pb.Bookmark) -> None:
        if self._cursor not in (None, bookmark.after_revision) or self._sent is not None:
            self._broken(f"a bookmark names {bookmark.after_revision}, not {self._cursor}")
        if self.position == ("", 0):
            self.position = (bookmark.epoch, bookmark.after_revision)
        self._go_on(bookmark.epoch, bookmark.after_revision)

    def _take_every(self, shown: Shown) -> None:
        epoch, last = self.position
        if shown.resync:
            self.resyncs += 1
            if shown.epoch == epoch and shown.skipped != shown.revision - last - 1:
                self._broken(f"{shown.skipped} skipped between {last} and {shown.revision}")
        elif (shown.epoch, shown.revision) != (epoch, last + 1):
            self._broken(f"{shown.revision} came after {last} without resync")
        self._keep(shown)

    def _take_latest(self, shown: Shown) -> None:
        epoch, last = self.position
        self.resyncs += shown.resync
        if self.shown and shown.resync != (shown.epoch != epoch):
            self._broken(f"resync is {shown.resync} from {last} to {shown.revision}")
        if shown.epoch == epoch and shown.revision < last:
            self._broken(f"{shown.revision} came after {last}")
        in_stream = self._sent is not None and not shown.resync
        if in_stream and shown.skipped != shown.revision - (self._sent or 0) - 1:
            self._broken(f"{shown.skipped} skipped between {self._sent} and {shown.revision}")
        self._keep(shown)

    def _keep(self, shown: Shown) -> None:
        self.shown.append(shown)
        self.position = (shown.epoch, shown.revision)
        self._go_on(shown.epoch, shown.revision)

    def _go_on(self, epoch: str, revision: int) -> None:
        self._sent = revision
        self._epoch, self._cursor = epoch, revision

    def _broken(self, sentence: str) -> None:
        self.violations.append(f"stream {self.streams}: {sentence}")
