"""A batch that runs at SIGTERM goes on for as long as MATCHER_DRAIN_SECONDS says, and no longer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from dedup_rpc.channel import connect_aio
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub
from matcher_service import serving
from matcher_service.env import Env

ALONE = {"MATCHER_ADDRESS": "127.0.0.1:0", "MATCHER_CONFIG_RUNGS": "bootstrap"}
LISTINGS = pb.ListingChunk(
    listings=[
        pb.Listing(id=name, title="Konzert", event_dates=[pb.EventDate(date="2026-03-07")])
        for name in "ab"
    ]
)


async def batch(address: str, more: asyncio.Event) -> AsyncIterator[str]:
    """Begin a batch, send its listings when told to; yields what its messages hold."""

    async def requests() -> AsyncIterator[Any]:
        yield pb.DeduplicateRequest(options=pb.BatchOptions())
        await more.wait()
        yield pb.DeduplicateRequest(listings=LISTINGS)

    async with connect_aio(address) as channel:
        stub: Any = MatcherServiceStub(channel)
        async for message in stub.Deduplicate(requests(), timeout=60):
            yield message.WhichOneof("message")


async def test_a_batch_that_runs_at_the_end_is_finished() -> None:
    server = await serving.start(Env.read(ALONE | {"MATCHER_DRAIN_SECONDS": "60"}))
    more = asyncio.Event()
    running = batch(server.address, more)
    assert await anext(running) == "started"
    stopping = asyncio.create_task(server.stop())
    await server.serving.stopping.wait()
    more.set()
    assert [message async for message in running][-1] == "summary"
    await asyncio.wait_for(stopping, 30)


async def test_a_batch_that_outlives_the_drain_is_cancelled() -> None:
    server = await serving.start(Env.read(ALONE | {"MATCHER_DRAIN_SECONDS": "0.2"}))
    running = batch(server.address, asyncio.Event())
    assert await anext(running) == "started"
    await asyncio.wait_for(server.stop(), 30)
    with pytest.raises(grpc.aio.AioRpcError):
        await anext(running)


def test_the_drain_is_read_and_bounded() -> None:
    assert Env.read({}).drain_seconds == 5
    assert Env.read({"MATCHER_DRAIN_SECONDS": "90"}) == replace(Env(), drain_seconds=90)
    with pytest.raises(ValueError, match="MATCHER_DRAIN_SECONDS"):
        Env.read({"MATCHER_DRAIN_SECONDS": "-1"})
