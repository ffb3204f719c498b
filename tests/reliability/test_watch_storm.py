"""After a restart every watcher comes back at once: none of them is refused."""

import asyncio
import time
from collections import Counter
from typing import Any

import grpc
from reliability.follower import OWN_CONNECTION
from reliability.harness import FULL, serve, service
from reliability.planted_watch import for_a_crowd

from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

WATCHERS, CONNECTIONS, RESTARTS = (3000, 120, 5) if FULL else (1000, 40, 1)


class Storm:
    """Many watchers that come back whenever their stream ends, without a pause."""

    def __init__(self, address: str) -> None:
        self.channels = [
            grpc.aio.insecure_channel(address, OWN_CONNECTION) for _ in range(CONNECTIONS)
        ]
        self.ends: Counter[str] = Counter()
        self.watching = 0

    async def watch(self, number: int) -> None:
        """Watch until cancelled; counts how streams end."""
        stub: Any = ConfigServiceStub(self.channels[number % CONNECTIONS])
        while True:
            call = stub.WatchConfig(pb.WatchConfigRequest(), wait_for_ready=True)
            came = 0
            try:
                async for _ in call:
                    self.watching += not came
                    came += 1
            except grpc.aio.AioRpcError as error:
                self.ends[error.code().name] += 1
            self.watching -= bool(came)

    async def has(self, watching: int) -> float:
        """Wait until so many streams have their first message; returns the seconds."""
        began = time.monotonic()
        for _ in range(3000):
            if self.watching == watching:
                return time.monotonic() - began
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.watching} of {watching} watch; ends: {self.ends}")

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(channel.close() for channel in self.channels))


async def test_all_watchers_come_back_at_once_and_none_is_refused() -> None:
    with service(target=for_a_crowd if FULL else serve) as served:
        await asyncio.to_thread(served.start)
        storm = Storm(served.address)
        watching = [asyncio.create_task(storm.watch(number)) for number in range(WATCHERS)]
        await storm.has(WATCHERS)
        for _ in range(RESTARTS):
            await asyncio.to_thread(served.kill)
            await storm.has(0)
            await asyncio.to_thread(served.start)
            seconds = await storm.has(WATCHERS)
            assert seconds < 15
        assert set(storm.ends) == {"UNAVAILABLE"}
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await storm.close()
