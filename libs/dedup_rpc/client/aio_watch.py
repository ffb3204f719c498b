"""A watch for asyncio: one iterator over any number of streams."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import grpc

from dedup_rpc.client.following import STREAM_SECONDS, Following
from dedup_rpc.client.values import WatchState

Open = Callable[..., Any]
"""The stub's method that opens a stream."""


class AsyncWatch(AsyncIterator[WatchState]):
    """States as they come; reconnects and repeats none until it is closed.

    `aclose`, from any task, ends the call and the iteration; so does leaving the `async with`
    block.
    """

    def __init__(self, open_stream: Open, following: Following) -> None:
        self._open, self._following = open_stream, following
        self._closed = asyncio.Event()
        self._call: Any = None
        self._states = self._run()

    async def __anext__(self) -> WatchState:
        return await anext(self._states)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the call; the iteration stops."""
        self._closed.set()
        if self._call:
            self._call.cancel()

    async def _run(self) -> AsyncIterator[WatchState]:
        while not self._closed.is_set():
            failed: grpc.RpcError | None = None
            call = self._call = self._open(self._following.request(), timeout=STREAM_SECONDS)
            try:
                async for state in self._states_of(call):
                    yield state
            except grpc.RpcError as error:
                failed = error
            except TimeoutError:
                pass
            finally:
                call.cancel()
            if not self._closed.is_set():
                await self._wait(self._following.ended(failed))

    async def _states_of(self, call: Any) -> AsyncIterator[WatchState]:
        messages = aiter(call)
        while (message := await self._next(messages)) is not None:
            state = self._following.accept(message)
            if self._closed.is_set():
                return
            if state:
                yield state

    async def _next(self, messages: AsyncIterator[Any]) -> Any:
        """Return the next message, None at the stream's end or when the watch was closed."""
        try:
            async with asyncio.timeout(self._following.silence):
                return await anext(messages, None)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                return None
            raise

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            pass
