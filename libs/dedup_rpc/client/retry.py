"""When a call is tried again: after which statuses, after which pause, until when."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from dedup_rpc.client.errors import error_of, is_unknown
from dedup_rpc.status import remote_error

_REPEATED = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
    )
)
INTERNAL_TRIES = 3
"""A fault of the service rarely goes away: so many tries, then the caller hears of it."""
LEAST_SECONDS = 0.001


@dataclass(frozen=True)
class Retry:
    """How patient a client is within the deadline of a call.

    Pauses double from `first_pause` to `longest_pause` seconds, each cut at random by up to a half.
    A single try takes up to `try_seconds`; there are up to `tries` of them, or any number.
    """

    first_pause: float = 0.1
    longest_pause: float = 2.0
    try_seconds: float = 5.0
    tries: int | None = None

    def pause(self, tried: int) -> float:
        """Return the seconds to wait after the try of this number."""
        doubled = self.first_pause * 2.0 ** min(tried - 1, 30)
        return min(doubled, self.longest_pause) * random.uniform(0.5, 1)


class Tries:
    """The tries of one call; a write has a `request_id`, which makes its repeat safe."""

    def __init__(
        self,
        retry: Retry,
        seconds: float,
        request_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retry, self._request_id, self._clock = retry, request_id, clock
        self._ends = clock() + seconds
        self._tried, self._in_doubt = 0, False

    def seconds(self) -> float:
        """Return how long the next try may take."""
        left = self._ends - self._clock()
        return max(min(left, self._retry.try_seconds), LEAST_SECONDS)

    def pause(self, error: grpc.RpcError) -> float:
        """Return the seconds to wait before the next try; raises what the caller gets if none."""
        self._tried += 1
        pause = self._pause(error)
        final = error_of(error, request_id=self._request_id, in_doubt=self._in_doubt)
        self._in_doubt = self._in_doubt or is_unknown(error.code())
        if pause is None or pause >= self._ends - self._clock():
            raise final from error
        return pause

    def _pause(self, error: grpc.RpcError) -> float | None:
        code = error.code()
        if self._tried >= self._most(code):
            return None
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            asked = remote_error(error).retry_seconds
            return None if asked is None else asked * random.uniform(1, 1.5)
        return self._retry.pause(self._tried) if code in _REPEATED else None

    def _most(self, code: grpc.StatusCode) -> float:
        most = self._retry.tries or math.inf
        return min(most, INTERNAL_TRIES) if code is grpc.StatusCode.INTERNAL else most
