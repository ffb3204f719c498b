"""Services whose watches differ from the real ones in one thing; most of them are bugs."""

import asyncio
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import grpc

from config_service.env import Env
from config_service.feed import Feed
from config_service.grants import GRANTS, SERVICE
from config_service.servicer import Servicer
from config_service.setup import open_store
from config_service.state import State
from config_service.steps import Seen, Steps
from config_service.store import Store
from config_service.watch import Event, Heartbeat, Watch, WatchOptions
from config_service.watches import MakeWatch, Watches
from config_service.writers import Writers
from dedup_rpc.authz import Development
from dedup_rpc.guard import Guard
from dedup_rpc.limits import Limits
from dedup_rpc.server import Serving
from eventdedup.config.v1.config_service_pb2_grpc import add_ConfigServiceServicer_to_server

SHORT_LIFE_SECONDS = 0.5


async def serve_with(env: Env, make: MakeWatch = Watch, guard: Guard | None = None) -> None:
    """Serve ConfigService as `serve` does, with other watches or another guard, until cancelled."""
    store = open_store(env)
    feed = Feed(store, ThreadPoolExecutor(8), store.state(), env.poll_seconds)

    def register(serving: Serving, server: grpc.aio.Server) -> None:
        watches = Watches(feed, store, serving.stopping, make=make)
        servicer = Servicer(store, feed, Writers(store, feed), watches)
        add_ConfigServiceServicer_to_server(servicer, server)

    serving = Serving((SERVICE,), register, guard or env.access.guard(GRANTS))
    await serving.start(env.address)
    await feed.poll()


def short_lives() -> None:
    """Let every stream live half a second: no bug, but many ends."""
    make = partial(Watch, life_seconds=SHORT_LIFE_SECONDS)
    asyncio.run(serve_with(Env.read(os.environ), make))


def for_a_crowd() -> None:
    """Let one principal have 5,000 streams: no bug."""
    limits = Limits(streams=5000, streams_per_principal=5000)
    guard = Guard(Development(), GRANTS, limits=limits)
    asyncio.run(serve_with(Env.read(os.environ), guard=guard))


@dataclass
class NamesTheHead(Watch):
    """Names the store's head in heartbeats, sent or not."""

    store: Store = field(kw_only=True)

    async def events(self) -> AsyncGenerator[Event, None]:
        async for event in super().events():
            if isinstance(event, Heartbeat):
                _, head = await self.feed.run_blocking(self.store.stamp)
                event = replace(event, revision=head)
            yield event


class SkippingSteps(Steps):
    """Shows the newest revision where the next one is due."""

    async def following(self, head: State, after: int) -> Seen:
        return self.whole(head)


class QueuesEvents(Watch):
    """Keeps what the reader has not taken yet in a queue of its own."""

    async def events(self) -> AsyncGenerator[Event, None]:
        queue: asyncio.Queue[Event] = asyncio.Queue()

        async def fill() -> None:
            async for event in super(QueuesEvents, self).events():
                queue.put_nowait(event)

        filling = asyncio.create_task(fill())
        try:
            while True:
                yield await queue.get()
        finally:
            filling.cancel()


def names_the_head() -> None:
    """Serve with a heartbeat that names the head."""
    env = Env.read(os.environ)
    asyncio.run(serve_with(env, partial(NamesTheHead, store=open_store(env))))


def skips_to_the_head() -> None:
    """Serve with a cursor that skips."""
    env = Env.read(os.environ)
    store = open_store(env)

    def make(feed: Feed, _: Steps, options: WatchOptions, stopping: asyncio.Event) -> Watch:
        return Watch(feed, SkippingSteps(feed, store), options, stopping)

    asyncio.run(serve_with(env, make))
