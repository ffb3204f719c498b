"""A server goes on whatever a call's path holds: the library would end it."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from reliability.transport import call, data, head, message, request_headers

from config_service import serving
from config_service.env import Env
from config_service.serving import ConfigServer
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

NO_TEXT = request_headers(b"/\xff")


@pytest.fixture
async def server(tmp_path: Any) -> AsyncIterator[ConfigServer]:
    url = f"sqlite:///{tmp_path / 'c.db'}"
    started = await serving.start(Env(address=f"unix:{tmp_path / 's'}", database_url=url))
    yield started
    await started.stop(1)


async def updated(stub: Any, high: float) -> int:
    """Change a setting as a retrying client does; returns the revision."""
    update = pb.UpdateConfigRequest(request_id=str(uuid.uuid4()))
    update.config.thresholds.high = high
    for _ in range(10):
        with contextlib.suppress(grpc.aio.AioRpcError):
            answer = await stub.UpdateConfig(update, wait_for_ready=True, timeout=30)
            return int(answer.revision.revision)
        await asyncio.sleep(0.2)
    raise AssertionError("the server is gone")


async def test_calls_are_answered_again_and_an_open_watch_goes_on(server: ConfigServer) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = ConfigServiceStub(channel)
        watch = stub.WatchConfig(pb.WatchConfigRequest(), timeout=60)
        await watch.read()
        for step in range(3):
            await call(server.address, head(NO_TEXT), data(message(b"")), seconds=2)
            assert await updated(stub, 0.8 + step / 100) == step + 2
            seen = await watch.read()
            assert seen.state.revision.revision == step + 2
