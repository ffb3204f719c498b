"""A channel to one service and how calls are run on it, blocking and asyncio, side by side."""

import asyncio
import copy
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from dedup_rpc.channel import ANONYMOUS, Credentials, connect, connect_aio
from dedup_rpc.client.aio_watch import AsyncWatch
from dedup_rpc.client.blocking_watch import Watch
from dedup_rpc.client.calls import Call, Page
from dedup_rpc.client.following import Following
from dedup_rpc.client.retry import Retry, Tries
from dedup_rpc.client.values import Position, WatchMode
from dedup_rpc.trace_context import trace_metadata

T = TypeVar("T")
OPTIONS = (("grpc.enable_retries", 0),)
"""Calls are repeated here alone, where it is known which repeat is safe."""


def tries_of(call: Call[Any], retry: Retry, deadline: float) -> Tries:
    """Return the tries of a call that has `deadline` seconds from now."""
    patient = replace(retry, try_seconds=deadline) if call.long else retry
    return Tries(patient, deadline, call.request_id)


class Connected:
    """A channel to one service, and how calls are run on it.

    Each call gets `deadline` seconds, retries included; see `within`. Raises `UnusableCredentials` or OSError when
    the credentials cannot be used, `BadAddress` for a port that is none; connects when first used.
    """

    _make_stub: Callable[[grpc.Channel], Any]

    def __init__(
        self,
        address: str,
        credentials: Credentials = ANONYMOUS,
        *,
        deadline: float = 15.0,
        retry: Retry | None = None,
    ) -> None:
        self._channel = connect(address, credentials, OPTIONS)
        self._stub = type(self)._make_stub(self._channel)
        self._deadline, self._retry = deadline, retry or Retry()
        self._watches: weakref.WeakSet[Watch] = weakref.WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def within(self, seconds: float) -> Self:
        """Return this client with another deadline; both share the connection and its end."""
        other = copy.copy(self)
        other._deadline = seconds
        return other

    def close(self) -> None:
        """End all calls and watches, and the connection."""
        for watch in list(self._watches):
            watch.close()
        self._channel.close()

    def _run(self, call: Call[T]) -> T:
        """Run one call, again while that is safe and of use; raises as the package says."""
        tries = tries_of(call, self._retry, self._deadline)
        while True:
            try:
                rpc, metadata = getattr(self._stub, call.method), trace_metadata()
                answer = rpc(call.request, timeout=tries.seconds(), metadata=metadata)
            except grpc.RpcError as error:
                time.sleep(tries.pause(error))
            else:
                return call.decoded(answer)

    def _all(self, page: Callable[[str], Call[Page[T]]]) -> Iterator[T]:
        """Yield what all pages hold."""
        token = ""
        while True:
            found, token = self._run(page(token))
            yield from found
            if not token:
                return

    def _follow(
        self,
        mode: WatchMode,
        after: Position | None,
        heartbeat: float,
        connect_within: float | None,
    ) -> Watch:
        """Return a watch that ends with this connection at the latest."""
        following = Following(mode, after, heartbeat, connect_within, self._retry)
        watch = Watch(self._stub.WatchConfig, following)
        self._watches.add(watch)
        return watch


class AsyncConnected:
    """A channel to one service, and how calls are run on it.

    Each call gets `deadline` seconds, retries included; see `within`. Raises `UnusableCredentials` or OSError when
    the credentials cannot be used, `BadAddress` for a port that is none; connects when first used.
    """

    _make_stub: Callable[[grpc.aio.Channel], Any]

    def __init__(
        self,
        address: str,
        credentials: Credentials = ANONYMOUS,
        *,
        deadline: float = 15.0,
        retry: Retry | None = None,
    ) -> None:
        self._channel = connect_aio(address, credentials, OPTIONS)
        self._stub = type(self)._make_stub(self._channel)
        self._deadline, self._retry = deadline, retry or Retry()
        self._watches: weakref.WeakSet[AsyncWatch] = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def within(self, seconds: float) -> Self:
        """Return this client with another deadline; both share the connection and its end."""
        other = copy.copy(self)
        other._deadline = seconds
        return other

    async def close(self) -> None:
        """End all calls and watches, and the connection."""
        for watch in list(self._watches):
            await watch.aclose()
        await self._channel.close()

    async def _run(self, call: Call[T]) -> T:
        tries = tries_of(call, self._retry, self._deadline)
        while True:
            try:
                rpc, metadata = getattr(self._stub, call.method), trace_metadata()
                answer = await rpc(call.request, timeout=tries.seconds(), metadata=metadata)
            except grpc.RpcError as error:
                await asyncio.sleep(tries.pause(error))
            else:
                return call.decoded(answer)

    async def _all(self, page: Callable[[str], Call[Page[T]]]) -> AsyncIterator[T]:
        """Yield what all pages hold."""
        token = ""
        while True:
            found, token = await self._run(page(token))
            for one in found:
                yield one
            if not token:
                return

    def _follow(
        self,
        mode: WatchMode,
        after: Position | None,
        heartbeat: float,
        connect_within: float | None,
    ) -> AsyncWatch:
        """Return a watch that ends with this connection at the latest."""
        following = Following(mode, after, heartbeat, connect_within, self._retry)
        watch = AsyncWatch(self._stub.WatchConfig, following)
        self._watches.add(watch)
        return watch
