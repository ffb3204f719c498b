"""Serving: a grpc.aio server with health and reflection that drains on SIGTERM."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, cast

import google.rpc.error_details_pb2  # noqa: F401  (reflection can then print error details)
import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from dedup_rpc.admission import MAX_METADATA_BYTES
from dedup_rpc.authz import Development, Grants
from dedup_rpc.guard import Guard, Guarded
from dedup_rpc.listener import Listener

LOG = logging.getLogger("event_dedup.server")
MAX_REQUEST_BYTES = 1024 * 1024
REFLECTION = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"
HEALTH = tuple(f"/{health.SERVICE_NAME}/{method}" for method in ("Check", "Watch", "List"))
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Options: TypeAlias = tuple[tuple[str, int], ...]
OPTIONS: Options = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    # the guard refuses less, and says why; what is over the first of the two, grpc refuses at random
    ("grpc.max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 4 * MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", 1000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.server.max_pending_requests", 10_000),
    # connections are renewed, so that clients find new replicas; a watch ends by itself before
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 15 * 60_000),
    ("grpc.max_connection_idle_ms", 5 * 60_000),
    ("grpc.server_handshake_timeout_ms", 20_000),
)


def run_server(main: Coroutine[Any, Any, None]) -> None:
    """Run a server to its end on the loop that serves a fifth more calls than asyncio's own.

    SIGTERM ends it also before it has begun to heed signals by itself.
    """

    async def heeding() -> None:
        task = asyncio.ensure_future(main)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    uvloop.run(heeding())


class NotAllowed(Exception):
    """A way to run that would not be safe; the message says why."""


class Serving:
    """A server with its health and its drain; `stopping` tells streams to end.

    `options` are grpc's, and stand above `OPTIONS`.
    """

    def __init__(
        self,
        services: Sequence[str],
        register: Callable[["Serving", grpc.aio.Server], None],
        guard: Guard,
        tls: grpc.ServerCredentials | None = None,
        options: Options = (),
    ) -> None:
        self.stopping = asyncio.Event()
        self.health = health.aio.HealthServicer()
        self.services = tuple(services)
        self._register, self._guard = register, guard
        self._options = {**dict(OPTIONS), **dict(options)}
        self._listener = Listener(self._server, tls)
        self._health_listener: Listener | None = None

    def _server(self) -> grpc.aio.Server:
        """Return a new server with all handlers."""
        server = grpc.aio.server(options=[*self._options.items()])
        guarded = _guarded(self._guard, server)
        self._register(self, guarded)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, guarded)
        names = (*self.services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        described = reflection.aio.ReflectionServicer(names)
        add_reflection: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        add_reflection(described, guarded)
        return server

    async def start(
        self, address: str, health_address: str | None = None, *, healthy: bool = True
    ) -> str:
        """Listen on `host:port` or `unix:path`; returns the address with the port that was bound.

        On `health_address` health is served in plaintext, without credentials, and nothing else.
        Health answers NOT_SERVING while the service is not `healthy`, see `tell`; of the service
        `grpc.health.v1.Health` it answers SERVING as long as it answers, until the drain: a process
        that cannot do its work, such as a sealed store, is not helped by a restart.
        Raises OSError when an address is taken or not to be bound.
        """
        if health_address:
            self._health_listener = Listener(lambda: _health_server(self.health))
            await self._health_listener.start(health_address)
        bound = await self._listener.start(address)
        await self.health.set(health.SERVICE_NAME, _SERVING)
        await self.tell(healthy=healthy)
        return bound

    async def tell(self, *, healthy: bool) -> None:
        """Let health say whether the service can do its work."""
        for service in ("", *self.services):
            await self.health.set(service, _SERVING if healthy else _NOT_SERVING)

    async def stop(self, grace: float) -> None:
        """Answer NOT_SERVING, tell streams to end, give calls `grace` seconds."""
        self.stopping.set()
        await self.health.enter_graceful_shutdown()
        await self._listener.stop(grace)
        if self._health_listener:
            await self._health_listener.stop(0)

    async def signalled(self) -> None:
        """Wait for SIGTERM or SIGINT."""
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        await told.wait()
        LOG.info("draining")


def _health_server(servicer: health.aio.HealthServicer) -> grpc.aio.Server:
    guard = Guard(Development(), Grants({}), public=HEALTH)
    server = grpc.aio.server(options=OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, _guarded(guard, server))
    return server


def _guarded(guard: Guard, server: grpc.aio.Server) -> grpc.aio.Server:
    """Return what takes services in for a server, behind the guard."""
    guarded = Guarded(guard)
    server.add_generic_rpc_handlers((guarded,))
    return cast(grpc.aio.Server, guarded)
