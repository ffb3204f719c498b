"""Serving: a grpc.aio server with health and reflection that drains on SIGTERM."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence

import google.rpc.error_details_pb2  # noqa: F401  (reflection can then print error details)
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dedup_rpc.authz import Development, Grants
from dedup_rpc.guard import Guard

LOG = logging.getLogger("event_dedup.server")
MAX_REQUEST_BYTES = 1024 * 1024
REFLECTION = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"
HEALTH = tuple(f"/{health.SERVICE_NAME}/{method}" for method in ("Check", "Watch", "List"))
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_concurrent_streams", 1000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.server.max_pending_requests", 10_000),
)


class NotAllowed(Exception):
    """A way to run that would not be safe; the message says why."""


class Serving:
    """A server with its health and its drain; `stopping` tells streams to end."""

    def __init__(
        self,
        services: Sequence[str],
        register: Callable[["Serving", grpc.aio.Server], None],
        guard: Guard,
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        self.stopping = asyncio.Event()
        self.server = grpc.aio.server(interceptors=[guard], options=OPTIONS)
        self.tls = tls
        self.health = health.aio.HealthServicer()
        self.health_server: grpc.aio.Server | None = None
        self.services = tuple(services)
        register(self, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self.server)

    async def start(
        self, address: str, health_address: str | None = None, *, healthy: bool = True
    ) -> str:
        """Listen on `host:port` or `unix:path`; returns the address with the port that was bound.

        On `health_address` health is served in plaintext, without credentials, and nothing else.
        Health answers NOT_SERVING while the service is not `healthy`, see `tell`.
        Raises OSError when an address is taken or not to be bound.
        """
        bound = _bind(self.server, address, self.tls)
        if health_address:
            self.health_server = _health_server(self.health)
            _bind(self.health_server, health_address, None)
            await self.health_server.start()
        await self.server.start()
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
        await self.server.stop(grace)
        if self.health_server:
            await self.health_server.stop(0)

    async def signalled(self) -> None:
        """Wait for SIGTERM or SIGINT."""
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        await told.wait()
        LOG.info("draining")


def _bind(server: grpc.aio.Server, address: str, tls: grpc.ServerCredentials | None) -> str:
    try:
        port = server.add_secure_port(address, tls) if tls else server.add_insecure_port(address)
    except RuntimeError:
        raise OSError(f"cannot listen on {address}: taken, or not an address here") from None
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def _health_server(servicer: health.aio.HealthServicer) -> grpc.aio.Server:
    guard = Guard(Development(), Grants({}), public=HEALTH)
    server = grpc.aio.server(interceptors=[guard], options=OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return server
