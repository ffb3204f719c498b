"""One grpc.aio server at an address; made anew there when the library ends it.

A call whose `:path` is no UTF-8 ends the task in which grpc.aio takes calls (seen with 1.85): nobody
is answered any more, and anybody who can connect can do it. That task is watched here.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

import grpc

from dedup_rpc import core_threads

LOG = logging.getLogger("event_dedup.server")
BIND_TRIES, BIND_PAUSE_SECONDS = 100, 0.05
DRAIN_SECONDS = 15 * 60.0
"""For the calls of a server that was ended; longer than a watch lives."""


class Listener:
    """A server that listens until it is stopped, whatever a call's path holds."""

    def __init__(
        self, make: Callable[[], grpc.aio.Server], tls: grpc.ServerCredentials | None = None
    ) -> None:
        self._make, self._tls = make, tls
        self._server = make()
        self._ended: dict[asyncio.Task[None], grpc.aio.Server] = {}
        self._guarding: asyncio.Task[None] | None = None

    async def start(self, address: str) -> str:
        """Listen on `host:port` or `unix:path`; returns the address with the port that was bound.

        Raises OSError when the address is taken or not to be bound.
        """
        core_threads.keep()
        bound = self._bind(address)
        self._guarding = asyncio.create_task(self._listen_on(bound, await self._taking_calls()))
        return bound

    async def stop(self, grace: float) -> None:
        """Take no more calls, and give those that run `grace` seconds."""
        if self._guarding:
            self._guarding.cancel()
        servers = (self._server, *self._ended.values())
        await asyncio.gather(*(_stop(server, grace) for server in servers))

    async def _listen_on(self, address: str, taking: set[asyncio.Task[Any]]) -> None:
        while taking:
            done, _ = await asyncio.wait(taking)
            if not any(task.cancelled() or task.exception() for task in done):
                return
            LOG.error("a call whose path is no text ended the server: it listens anew")
            drained = asyncio.create_task(_stop(self._server, DRAIN_SECONDS))
            self._ended[drained] = self._server
            drained.add_done_callback(self._ended.pop)
            taking = await self._again(address)

    async def _again(self, address: str) -> set[asyncio.Task[Any]]:
        for _ in range(BIND_TRIES):
            await asyncio.sleep(BIND_PAUSE_SECONDS)
            self._server = self._make()
            with contextlib.suppress(OSError):
                self._bind(address)
                return await self._taking_calls()
        raise OSError(f"{address} cannot be listened on any more")

    async def _taking_calls(self) -> set[asyncio.Task[Any]]:
        """Start the server; returns the task of the library that takes its calls."""
        before = asyncio.all_tasks()
        await self._server.start()
        begun = asyncio.all_tasks() - before
        return {task for task in begun if not inspect.iscoroutine(task.get_coro())}

    def _bind(self, address: str) -> str:
        add, tls = self._server, self._tls
        try:
            port = add.add_secure_port(address, tls) if tls else add.add_insecure_port(address)
        except RuntimeError:
            text = f"cannot listen on {address}: taken, or not an address here"
            raise OSError(text) from None
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


async def _stop(server: grpc.aio.Server, grace: float) -> None:
    with contextlib.suppress(UnicodeDecodeError):
        await server.stop(grace)
