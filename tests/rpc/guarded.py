"""A server with handlers of every kind behind a guard, and callers with tokens that are their names."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from dedup_model.errors import Unauthenticated
from dedup_rpc.authz import Grants, Peer, Principal
from dedup_rpc.guard import Guard
from dedup_rpc.server import Serving
from dedup_rpc.status import RemoteError, remote_error

ROLES = frozenset({"reader"})
METHODS = ("Echo", "Peer", "Wait", "Watch", "Chat")
GRANTS = Grants({f"/t.T/{name}": ROLES for name in METHODS})


class ByName:
    """A policy in which the header is the principal's name, and `wrong` names nobody; counts questions."""

    def __init__(self) -> None:
        self.asked = 0

    def principal(self, peer: Peer) -> Principal:
        self.asked += 1
        if not self.knows(peer):
            raise Unauthenticated("valid credentials are required")
        return Principal(peer.authorization[0], ROLES)

    def knows(self, peer: Peer) -> bool:
        return bool(peer.authorization) and not peer.authorization[0].startswith("wrong")


class Handlers:
    """What the server does; `release` lets calls of `Wait` and streams of `Watch` end."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.cancelled = 0
        self.echo: Callable[[bytes], Any] = lambda request: request

    async def Echo(self, request: bytes, context: Any) -> Any:
        return self.echo(request)

    async def Peer(self, request: bytes, context: Any) -> bytes:
        return context.peer().encode()

    async def Wait(self, request: bytes, context: Any) -> bytes:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return b"done"

    async def Watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await self.release.wait()
        yield b"last"

    async def Chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request
        await self.release.wait()

    def register(self, _: Serving, server: grpc.aio.Server) -> None:
        made = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.Echo),
            "Peer": grpc.unary_unary_rpc_method_handler(self.Peer),
            "Wait": grpc.unary_unary_rpc_method_handler(self.Wait),
            "Watch": grpc.unary_stream_rpc_method_handler(self.Watch),
            "Chat": grpc.stream_stream_rpc_method_handler(self.Chat),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", made),))


class Caller:
    """A channel to the server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def unary(self, method: str, who: str = "anna", **more: Any) -> Any:
        return self.channel.unary_unary(f"/t.T/{method}")(b"x", metadata=self._as(who), **more)

    def watch(self, who: str = "anna") -> Any:
        return self.channel.unary_stream("/t.T/Watch")(b"", metadata=self._as(who))

    def chat(self, who: str = "anna") -> Any:
        return self.channel.unary_stream("/t.T/Chat")(b"hello", metadata=self._as(who))

    def _as(self, who: str) -> list[tuple[str, str]]:
        return [("authorization", who)] if who else []


@asynccontextmanager
async def serving(
    guard: Guard, handlers: Handlers | None = None, options: Any = ()
) -> AsyncIterator[tuple[Caller, Handlers]]:
    """Serve on a free port."""
    handlers = handlers or Handlers()
    server = Serving((), handlers.register, guard, options=options)
    address = await server.start("127.0.0.1:0")
    local = [("grpc.use_local_subchannel_pool", 1)]
    try:
        async with grpc.aio.insecure_channel(address, local) as channel:
            yield Caller(channel), handlers
    finally:
        handlers.release.set()
        await server.stop(0)


async def refusal(call: Any) -> RemoteError:
    """Return the status of a call that has to fail."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return remote_error(error)
    raise AssertionError("the call went well")


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait up to twenty seconds for something to be so."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
