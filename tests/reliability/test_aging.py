"""The service does not age: a compressed day leaves no memory, descriptor, thread or task behind.

A day of a hundred watchers is 14,400 lives of ten minutes. An hour here is what such an hour brings:
connections that come and go, watches that end in each way there is, writes, refusals, files that
are replaced.
"""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from reliability.aged_server import AgedServer, Vitals
from reliability.follower import EVERY, OWN_CONNECTION
from reliability.harness import FULL, service

from dedup_rpc.wire import to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

WARM_HOURS, HOURS, CLIENTS = (4, 24, 600) if FULL else (2, 4, 40)
AT_ONCE, DEADLINE_SECONDS = 40, 0.5
MORE_MEGABYTES = 8.0 if FULL else 24.0


class Day:
    """What happens to the service hour by hour."""

    def __init__(self, server: AgedServer) -> None:
        self.server, self.metadata = server, server.metadata
        self.watches = self.writes = 0
        self._room = asyncio.Semaphore(AT_ONCE)

    async def hour(self, number: int) -> None:
        """Let one hour pass."""
        await asyncio.to_thread(self.server.reload)
        clients = (self.client(number * CLIENTS + i) for i in range(CLIENTS))
        await asyncio.gather(*clients)

    async def client(self, number: int) -> None:
        """Connect, watch, call, and let the watch end in another way each time."""
        async with self._room:
            channel = grpc.aio.insecure_channel(self.server.address, OWN_CONNECTION)
            stub: Any = ConfigServiceStub(channel)
            request = pb.WatchConfigRequest(mode=EVERY if number % 2 else 0, heartbeat_seconds=0.1)
            timeout = DEADLINE_SECONDS if number % 3 == 0 else None
            watch = stub.WatchConfig(request, metadata=self.metadata, timeout=timeout)
            await self.write(stub, number)
            await self.refused(stub)
            await self.watched(watch, to_the_end=number % 3 == 0)
            if number % 3 == 1:
                watch.cancel()
            await channel.close()

    async def watched(self, watch: Any, *, to_the_end: bool) -> None:
        """Read one message, or all until the deadline."""
        with suppress(grpc.aio.AioRpcError):
            async for _ in watch:
                if not to_the_end:
                    break
        self.watches += 1

    async def write(self, stub: Any, number: int) -> None:
        """Change a setting to another value."""
        document = {"geo": {"neutral_score": (number % 9973) / 10_000}}
        config = to_message(document, MatchingConfig())
        request = pb.UpdateConfigRequest(config=config)
        await stub.UpdateConfig(request, metadata=self.metadata)
        self.writes += 1

    async def refused(self, stub: Any) -> None:
        """Make one call that fails of its content and one of its caller."""
        with suppress(grpc.aio.AioRpcError):
            await stub.GetConfig(pb.GetConfigRequest(revision=10**9), metadata=self.metadata)
        with suppress(grpc.aio.AioRpcError):
            await stub.AccessSecret(pb.AccessSecretRequest(), metadata=self.metadata)


@pytest.fixture
def aged_server() -> Iterator[AgedServer]:
    with service() as made:
        server = AgedServer(made)
        server.start()
        yield server
        server.kill()


async def settled(server: AgedServer) -> Vitals:
    """Return what the server holds when the last connections are gone.

    Calls of this process that failed hold their connections until they are collected.
    """
    gc.collect()
    await asyncio.sleep(1.5)
    return await asyncio.to_thread(server.vitals)


async def test_a_compressed_day_leaves_nothing_behind(aged_server: AgedServer) -> None:
    day = Day(aged_server)
    for number in range(WARM_HOURS):
        await day.hour(number)
    morning = await settled(aged_server)
    for number in range(WARM_HOURS, WARM_HOURS + HOURS):
        await day.hour(number)
    evening = await settled(aged_server)
    assert evening.tasks <= morning.tasks
    assert evening.descriptors <= morning.descriptors + 2
    assert evening.threads <= morning.threads + 2
    assert evening.megabytes <= morning.megabytes + MORE_MEGABYTES
    assert day.watches == day.writes == (WARM_HOURS + HOURS) * CLIENTS
