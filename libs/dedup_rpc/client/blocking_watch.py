"""A watch for blocking code: one iterator over any number of streams."""

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from dedup_rpc.client.following import STREAM_SECONDS, Following
from dedup_rpc.client.values import WatchState

Open = Callable[..., Any]
"""The stub's method that opens a stream."""


class Watch(Iterator[WatchState]):
    """States as they come; reconnects and repeats none until it is closed.

    Iterating blocks until there is a state. `close`, from any thread, ends the call and the
    iteration; so does leaving the `with` block.
    """

    def __init__(self, open_stream: Open, following: Following) -> None:
        self._open, self._following = open_stream, following
        self._closed = threading.Event()
        self._stream: _Stream | None = None
        self._states = self._run()

    def __next__(self) -> WatchState:
        return next(self._states)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the call; the iteration stops."""
        self._closed.set()
        if stream := self._stream:
            stream.close()

    def _run(self) -> Iterator[WatchState]:
        while not self._closed.is_set():
            failed: grpc.RpcError | None = None
            try:
                yield from self._streamed()
            except grpc.RpcError as error:
                silent = self._stream and self._stream.is_silent
                failed = None if silent else error
            if not self._closed.is_set():
                self._closed.wait(self._following.ended(failed))

    def _streamed(self) -> Iterator[WatchState]:
        call = self._open(self._following.request(), timeout=STREAM_SECONDS)
        self._stream = stream = _Stream(call, self._following.silence)
        try:
            if self._closed.is_set():
                return
            for message in call:
                stream.heard()
                state = self._following.accept(message)
                if self._closed.is_set():
                    return
                if state:
                    yield state
        finally:
            stream.close()


class _Stream:
    """A call that is cancelled when it falls silent: then its service lives but does not work.

    A reader that is busy for longer than that gets its next state from a new stream.
    """

    def __init__(self, call: Any, silence: float) -> None:
        self._call, self._silence = call, silence
        self._closed, self._last = False, time.monotonic()
        self.is_silent = False
        self._set_timer(silence)

    def heard(self) -> None:
        self._last = time.monotonic()

    def close(self) -> None:
        self._closed = True
        self._timer.cancel()
        self._call.cancel()

    def _set_timer(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._judge)
        self._timer.daemon = True
        self._timer.start()

    def _judge(self) -> None:
        left = self._last + self._silence - time.monotonic()
        if left <= 0:
            self.is_silent = True
            self._call.cancel()
        elif not self._closed:
            self._set_timer(left)
