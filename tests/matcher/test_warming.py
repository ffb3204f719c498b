"""The matcher's watch, against a real ConfigService that comes, goes and refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from config_service import serving
from config_service.env import Env
from dedup_rpc.client import AsyncConfigClient
from matcher_service.warming import Warming

SECONDS = 20.0


class Warmed:
    """Counts calls; `reached` waits for so many."""

    def __init__(self) -> None:
        self.count = 0
        self._news = asyncio.Condition()

    async def __call__(self) -> None:
        async with self._news:
            self.count += 1
            self._news.notify_all()

    async def reached(self, count: int) -> None:
        async with self._news, asyncio.timeout(SECONDS):
            await self._news.wait_for(lambda: self.count >= count)


@asynccontextmanager
async def served(env: Env) -> AsyncIterator[str]:
    server = await serving.start(env)
    try:
        yield server.address
    finally:
        await server.stop(grace=0)


@asynccontextmanager
async def warming(address: str, warmed: Warmed, **more: float) -> AsyncIterator[AsyncConfigClient]:
    client = AsyncConfigClient(address)
    one = Warming(client, warmed, **more)
    one.start()
    try:
        yield client
    finally:
        await one.close()
        await client.close()


def env(folder: Path) -> Env:
    url = f"sqlite:///{folder / 'config.db'}"
    return Env(address=f"unix:{folder / 'config.sock'}", database_url=url)


async def test_every_change_is_heard_of_from_the_present_state_on(tmp_path: Path) -> None:
    warmed = Warmed()
    async with served(env(tmp_path)) as address, warming(address, warmed) as client:
        await warmed.reached(1)
        await client.update({"thresholds.high": 0.8})
        await warmed.reached(2)


async def test_without_a_change_what_holds_is_fetched_again_and_again(tmp_path: Path) -> None:
    warmed = Warmed()
    async with served(env(tmp_path)) as address, warming(address, warmed, refresh=0.01):
        await warmed.reached(5)


async def test_a_service_that_comes_later_or_restarts_is_found(tmp_path: Path) -> None:
    warmed = Warmed()
    async with warming(env(tmp_path).address, warmed):
        await asyncio.sleep(0.2)
        assert warmed.count == 0
        async with served(env(tmp_path)) as address:
            await warmed.reached(1)
            async with AsyncConfigClient(address) as other:
                await other.update({"thresholds.high": 0.8})
            await warmed.reached(2)
        async with served(env(tmp_path)) as address, AsyncConfigClient(address) as other:
            await other.update({"thresholds.high": 0.81})
            await warmed.reached(3)


async def test_what_fails_is_tried_again_and_closing_ends_it(tmp_path: Path) -> None:
    calls = Warmed()

    async def failing() -> None:
        await calls()
        raise OSError("no")

    async with served(env(tmp_path)) as address:
        client = AsyncConfigClient(address)
        one = Warming(client, failing, pause=0.01)
        one.start()
        await calls.reached(3)
        await one.close()
        seen = calls.count
        await asyncio.sleep(0.1)
        assert calls.count == seen
        await client.close()
