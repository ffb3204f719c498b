"""The running service: store, feed and server of one process, wired by hand."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

from config_service.admin_servicer import AdminServicer
from config_service.env import Env
from config_service.feed import Feed
from config_service.gauges import add_gauges
from config_service.grants import ADMIN, GRANTS, SERVICE
from config_service.servicer import Servicer
from config_service.setup import open_store
from config_service.sole import sole_server
from config_service.state import State
from config_service.store import Store
from config_service.upkeep import Upkeep
from config_service.watches import Watches
from config_service.writers import Writers
from dedup_rpc import certificate
from dedup_rpc.server import NotAllowed, Options, Serving
from dedup_rpc.telemetry import Telemetry
from eventdedup.config.v1.config_admin_service_pb2_grpc import (
    add_ConfigAdminServiceServicer_to_server,
)
from eventdedup.config.v1.config_service_pb2_grpc import add_ConfigServiceServicer_to_server

LOG = logging.getLogger("event_dedup.config")
STORE_THREADS = 8
GRACE_SECONDS = 6.0
LONG = {f"/{ADMIN}/{method}": 120.0 for method in ("Rewrap", "VerifyAudit")}
"""Calls that work through the whole store, in seconds."""


@dataclass
class ConfigServer:
    """A ConfigService that listens on `address`."""

    address: str
    serving: Serving
    feed: Feed
    tasks: tuple[asyncio.Task[None], ...]
    held: contextlib.AsyncExitStack

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Drain: streams are told to go away, calls finish within `grace` seconds."""
        self.serving.stopping.set()
        self.feed.wake()
        await self.serving.stop(grace)
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        await self.held.aclose()

    async def serve_until_signal(self) -> None:
        """Run until SIGTERM or SIGINT, then drain."""
        await self.serving.signalled()
        await self.stop()


async def start(env: Env, options: Options = ()) -> ConfigServer:
    """Open the store and listen; `options` are grpc's, beside those of `dedup_rpc.server`.

    Raises `NotAllowed`, `DatabaseError`, `KeyRingError`, `DedupError` or OSError, each with a
    message that says what to do.
    """
    _require_safe(env)
    held = contextlib.AsyncExitStack()
    try:
        return await _started(env, held, options)
    except BaseException:
        await held.aclose()
        raise


async def _started(env: Env, held: contextlib.AsyncExitStack, options: Options) -> ConfigServer:
    telemetry = Telemetry(env.telemetry, "config-service")
    held.push_async_callback(telemetry.close)
    guard, tls = env.access.guard(GRANTS, telemetry, longer=LONG), env.access.credentials()
    held.enter_context(sole_server(env.database_url))
    store = open_store(env)
    held.callback(store.close)
    executor = held.enter_context(ThreadPoolExecutor(STORE_THREADS, "store"))
    feed = Feed(store, executor, _present(store), env.poll_seconds)
    serving = Serving((SERVICE, ADMIN), _registering(store, feed), guard, tls, options)
    add_gauges(telemetry, store, feed)
    certificate.add_gauge(telemetry.metrics, env.access.cert_file)
    telemetry.start()
    upkeep = Upkeep(env, store, feed, serving)
    held.push_async_callback(upkeep.leave)
    await upkeep.announce()  # before the first write: a rotation waits for the replicas it knows
    healthy = store.keyring.problem is None
    address = await serving.start(env.address, env.access.health_address, healthy=healthy)
    LOG.info("listening on %s%s", address, "" if healthy else ", sealed")
    tasks = asyncio.create_task(feed.poll()), asyncio.create_task(upkeep.run())
    return ConfigServer(address, serving, feed, tasks, held)


def _require_safe(env: Env) -> None:
    env.access.require_safe(env.address)
    configured = env.keyring_file or env.keyring
    if env.access.is_exposed(env.address) and not env.access.production and not configured:
        raise NotAllowed("no key ring: set CONFIG_KEYRING_FILE (config-service keys generate)")


def _present(store: Store) -> State | None:
    return store.state() if store.keyring.problem is None else None


def _registering(store: Store, feed: Feed) -> Callable[[Serving, grpc.aio.Server], None]:
    def register(serving: Serving, server: grpc.aio.Server) -> None:
        writers = Writers(store, feed)
        watches = Watches(feed, store, serving.stopping)
        servicer = Servicer(store, feed, writers, watches)
        add_ConfigServiceServicer_to_server(servicer, server)
        admin = AdminServicer(store, feed, writers)
        add_ConfigAdminServiceServicer_to_server(admin, server)

    return register
