"""Where a watch stands: what to ask for next, what to pass on, when to give up. No I/O."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NoReturn

import grpc

from dedup_model import tree
from dedup_rpc.client import answers
from dedup_rpc.client.errors import ServiceError, error_of
from dedup_rpc.client.retry import LEAST_SECONDS, Retry
from dedup_rpc.client.values import Position, WatchMode, WatchState
from dedup_rpc.status import RemoteError
from eventdedup.config.v1 import config_service_pb2 as pb

_AT_ONCE = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    )
)
_REFUSALS = _AT_ONCE | {grpc.StatusCode.OUT_OF_RANGE}
GRACE_SECONDS = 30.0
"""A refusal may pass: a token is being replaced, another replica is a revision behind."""
MISSED_HEARTBEATS = 3
STREAM_SECONDS = 900.0
"""A stream's deadline: more than the service lets it live."""

_NO_WORD = RemoteError(
    grpc.StatusCode.DEADLINE_EXCEEDED, "", "no word of the service in the time allowed", {}, ()
)

_MODES = {
    WatchMode.LATEST: pb.WATCH_MODE_LATEST,
    WatchMode.EVERY: pb.WATCH_MODE_EVERY,
}


@dataclass
class Following:
    """One watch over any number of streams.

    `connect_within` limits how long the first stream may take to open: None waits for ever, 0 tries
    once.
    """

    mode: WatchMode = WatchMode.LATEST
    after: Position | None = None
    heartbeat: float = 15.0
    connect_within: float | None = None
    retry: Retry = field(default_factory=Retry)
    clock: Callable[[], float] = time.monotonic
    _last: WatchState | None = None
    _failed: int = 0
    _contact: float | None = None
    _failure: grpc.RpcError | None = None

    def __post_init__(self) -> None:
        self._began = self.clock()

    def request(self) -> pb.WatchConfigRequest:
        """Return what the next stream asks for."""
        epoch, number = self.after or ("", None)
        every = self.mode is WatchMode.EVERY
        return pb.WatchConfigRequest(
            mode=_MODES[self.mode],
            epoch=epoch,
            after_revision=number if every else None,
            heartbeat_seconds=self.heartbeat,
        )

    @property
    def silence(self) -> float:
        """Seconds without a message after which the next stream counts as dead."""
        usual = self.heartbeat * MISSED_HEARTBEATS + 1.0
        if self._contact is not None or not self.connect_within:
            return usual
        return min(usual, max(self._began + self.connect_within - self.clock(), LEAST_SECONDS))

    def accept(self, message: pb.WatchConfigResponse) -> WatchState | None:
        """Return the state that a message shows; None for what is none, or was shown before."""
        self._failed, self._contact = 0, self.clock()
        kind = message.WhichOneof("event")
        if kind == "bookmark":
            self.after = message.bookmark.epoch, message.bookmark.after_revision
        return self._shown(message.state) if kind == "state" else None

    def _shown(self, found: pb.ConfigState) -> WatchState | None:
        epoch, number = self.after or ("", 0)
        if found.epoch == epoch and found.revision.revision <= number:
            if self._last is None and found.revision.revision == number:
                self._last = answers.watch_state(found)
            return None
        state = self._linked(answers.watch_state(found))
        self.after, self._last = state.position, state
        return state

    def _linked(self, state: WatchState) -> WatchState:
        """Return a state with what lies between it and the one before, over the end of a stream."""
        if self.after is None or self.after[0] != state.epoch:
            return state
        gap = state.revision.number - self.after[1] - 1
        paths = state.changed_paths or _between(self._last, state)
        return replace(state, skipped=max(state.skipped, gap), changed_paths=paths)

    def ended(self, error: grpc.RpcError | None) -> float:
        """Return the seconds to wait before the next stream; raises when there will be none.

        None stands for a stream that ended without a status of failure, or fell silent.
        """
        self._failed += 1
        self._failure = error or self._failure
        pause = self.retry.pause(self._failed)
        if (error is not None and self._is_refused(error.code())) or self._is_late(pause):
            self._give_up()
        return pause

    def _give_up(self) -> NoReturn:
        """Raise what the service said last; it may be that it said nothing."""
        if self._failure is None:
            raise ServiceError(_NO_WORD, maybe_applied=False)
        raise error_of(self._failure) from self._failure

    def _is_refused(self, code: grpc.StatusCode) -> bool:
        if self._contact is None and code in _AT_ONCE:
            return True
        since = self._began if self._contact is None else self._contact
        return code in _REFUSALS and self.clock() - since > GRACE_SECONDS

    def _is_late(self, pause: float) -> bool:
        if self._contact is not None or self.connect_within is None:
            return False
        return self.clock() + pause > self._began + self.connect_within


def _between(before: WatchState | None, after: WatchState) -> tuple[str, ...]:
    if before is None:
        return ()
    changes = tree.changes(before.settings.document, after.settings.document)
    names = sorted(before.secrets.keys() | after.secrets.keys())
    secrets = [n for n in names if before.secrets.get(n) != after.secrets.get(n)]
    return (*(path for path, _, _ in changes), *(f"secrets.{name}" for name in secrets))
