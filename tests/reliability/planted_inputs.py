"""Services for experiments with bad inputs: one that trusts its callers, and one without room."""

import asyncio
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from reliability.harness import serve

from config_service.database import parse_url, sqlite_path
from config_service.env import Env
from config_service.feed import Feed
from config_service.grants import GRANTS, SERVICE
from config_service.servicer import Context, Servicer
from config_service.setup import open_store
from config_service.watches import Watches
from config_service.writers import Writers
from dedup_rpc.server import Serving
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import add_ConfigServiceServicer_to_server


class Trusting(Servicer):
    """Takes a text of the caller for a number."""

    async def ListRevisions(
        self, request: pb.ListRevisionsRequest, context: Context
    ) -> pb.ListRevisionsResponse:
        """Read the page token as a number."""
        int(request.page_token or 0)
        return await super().ListRevisions(request, context)


async def _serve() -> None:
    env = Env.read(os.environ)
    store = open_store(env)
    feed = Feed(store, ThreadPoolExecutor(8), store.state(), env.poll_seconds)

    def register(serving: Serving, server: grpc.aio.Server) -> None:
        watches = Watches(feed, store, serving.stopping)
        servicer: Any = Trusting(store, feed, Writers(store, feed), watches)
        add_ConfigServiceServicer_to_server(servicer, server)

    serving = Serving((SERVICE,), register, env.access.guard(GRANTS))
    await serving.start(env.address)
    await feed.poll()


def trusting() -> None:
    """Serve ConfigService with a handler that lets an exception through."""
    asyncio.run(_serve())


def full_disk() -> None:
    """Serve where the database's log finds no room beyond its first hundred kilobytes."""
    path = sqlite_path(parse_url(Env.read(os.environ).database_url))
    assert path
    limit = path.stat().st_size + 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    serve()
