"""One grpc.aio server at an address; made anew there when the library ends it.

A call whose `:path` is no UTF-8 ends the loop in which grpc.aio takes calls: the port is closed while
the process lives on, and anybody who can connect can do it. `wait_for_termination` raises then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

import grpc

LOG = logging.getLogger("event_dedup.server")
BIND_TRIES, BIND_PAUSE_SECONDS = 100, 0.05


class Listener:
    """A server that listens until it is stopped, whatever a call's path holds."""

    def __init__(
        self, make: Callable[[], grpc.aio.Server], tls: grpc.ServerCredentials | None = None
    ) -> None:
        self._make, self._tls = make, tls
        self._server = make()
        self._ended: list[grpc.aio.Server] = []
        self._guarding: asyncio.Task[None] | None = None

    async def start(self, address: str) -> str:
        """Listen on `host:port` or `unix:path`; returns the address with the port that was bound.

        Raises OSError when the address is taken or not to be bound.
        """
        bound = self._bind(address)
        await self._server.start()
        self._guarding = asyncio.create_task(self._listen_on(bound))
        return bound

    async def stop(self, grace: float) -> None:
        """Take no more calls, and give those that run `grace` seconds."""
        if self._guarding:
            self._guarding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._guarding
        await self._server.stop(grace)

    async def _listen_on(self, address: str) -> None:
        while True:
            try:
                await self._server.wait_for_termination()
                return
            except UnicodeDecodeError:
                LOG.error("a call whose path is no text ended the server: it listens anew")
            self._ended.append(self._server)  # calls that it took still end
            await self._again(address)

    async def _again(self, address: str) -> None:
        for _ in range(BIND_TRIES):
            self._server = self._make()
            try:
                self._bind(address)
            except OSError:
                await asyncio.sleep(BIND_PAUSE_SECONDS)
                continue
            await self._server.start()
            return
        LOG.critical("%s cannot be listened on any more", address)

    def _bind(self, address: str) -> str:
        add, tls = self._server, self._tls
        try:
            port = add.add_secure_port(address, tls) if tls else add.add_insecure_port(address)
        except RuntimeError:
            text = f"cannot listen on {address}: taken, or not an address here"
            raise OSError(text) from None
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
