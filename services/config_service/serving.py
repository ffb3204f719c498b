"""The running service: store, feed and server of one process, wired by hand."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

from config_service.env import Env
from config_service.feed import Feed
from config_service.grants import GRANTS, SERVICE
from config_service.servicer import Servicer
from config_service.setup import open_store
from config_service.store import Store
from dedup_rpc.server import NotAllowed, Serving
from eventdedup.config.v1.config_service_pb2_grpc import add_ConfigServiceServicer_to_server

LOG = logging.getLogger("event_dedup.config")
STORE_THREADS = 8
GRACE_SECONDS = 6.0


@dataclass
class ConfigServer:
    """A ConfigService that listens on `address`."""

    address: str
    serving: Serving
    feed: Feed
    poll: asyncio.Task[None]
    executor: ThreadPoolExecutor

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Drain: streams are told to go away, calls finish within `grace` seconds."""
        self.serving.stopping.set()
        self.feed.wake()
        await self.serving.stop(grace)
        self.poll.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.poll
        self.executor.shutdown()
        self.feed.close()

    async def serve_until_signal(self) -> None:
        """Run until SIGTERM or SIGINT, then drain."""
        await self.serving.signalled()
        await self.stop()


async def start(env: Env) -> ConfigServer:
    """Open the store and listen.

    Raises `NotAllowed`, `DatabaseError`, `KeyRingError`, `DedupError` or OSError, each with a
    message that says what to do.
    """
    _require_safe(env)
    guard, tls = env.access.guard(GRANTS), env.access.credentials()
    store = open_store(env)
    executor = ThreadPoolExecutor(STORE_THREADS, "store")
    feed = Feed(store, executor, store.state(), env.poll_seconds)
    serving = Serving((SERVICE,), _registering(store, feed), guard, tls)
    address = await serving.start(env.address, env.access.health_address)
    LOG.info("listening on %s at revision %d", address, feed.state.revision.number)
    return ConfigServer(address, serving, feed, asyncio.create_task(feed.poll()), executor)


def _require_safe(env: Env) -> None:
    env.access.require_safe(env.address)
    if env.access.is_exposed(env.address) and not (env.keyring_file or env.keyring):
        raise NotAllowed("no key ring: set CONFIG_KEYRING_FILE (config-service keys generate)")


def _registering(store: Store, feed: Feed) -> Callable[[Serving, grpc.aio.Server], None]:
    def register(serving: Serving, server: grpc.aio.Server) -> None:
        servicer = Servicer(store, feed, serving.stopping)
        add_ConfigServiceServicer_to_server(servicer, server)

    return register
