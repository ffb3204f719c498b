"""A matcher in this process, and clients of it that send batches of any size and behave as told."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from dedup_rpc.channel import connect_aio
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub
from matcher_service import serving
from matcher_service.env import Env
from matcher_service.serving import MatcherServer

ALONE = {
    "MATCHER_ADDRESS": "127.0.0.1:0",
    "MATCHER_CONFIG_RUNGS": "bootstrap",
    "MATCHER_WORKERS": "1",
}
OPTIONS = pb.DeduplicateRequest(options=pb.BatchOptions(decision_floor=0))
A_CHUNK = 500
METHODS = ("Deduplicate", "DeduplicateBatch", "ExplainPair", "ExplainCluster", "PreviewConfig")
LONGEST = 60.0


@asynccontextmanager
async def matcher(**variables: Any) -> AsyncIterator[MatcherServer]:
    """Serve with variables of the process, without their prefix."""
    named = {f"MATCHER_{name}": str(value) for name, value in variables.items()}
    server = await serving.start(Env.read(ALONE | named))
    try:
        yield server
    finally:
        await server.stop(0)


@asynccontextmanager
async def stub_of(server: MatcherServer) -> AsyncIterator[Any]:
    """Connect to a matcher; no call of the stub lasts longer than `LONGEST` seconds."""
    async with connect_aio(
        server.address, more=(("grpc.use_local_subchannel_pool", 1),)
    ) as channel:
        stub: Any = MatcherServiceStub(channel)
        calls = {name: partial(getattr(stub, name), timeout=LONGEST) for name in METHODS}
        yield SimpleNamespace(**calls)


def listings(count: int, days: int = 20, text: str = "") -> Iterator[pb.Listing]:
    """Yield listings of one town; those of one day are all compared."""
    for number in range(count):
        month, day = divmod(number % days, 28)
        yield pb.Listing(
            id=f"id-{number:06}",
            title=f"Orgelabend Nummer {number * 7}",
            description=text,
            event_dates=[pb.EventDate(date=f"2027-{month + 1:02}-{day + 1:02}")],
            location=pb.Location(city="Lahr", name="Stiftskirche"),
        )


def requests(count: int, **more: Any) -> Iterator[pb.DeduplicateRequest]:
    """Yield the messages of a batch."""
    yield OPTIONS
    every = list(listings(count, **more))
    for start in range(0, count, A_CHUNK):
        chunk = pb.ListingChunk(listings=every[start : start + A_CHUNK])
        yield pb.DeduplicateRequest(listings=chunk)


async def progress_of(call: Any) -> AsyncIterator[pb.Progress]:
    """Yield the progress of a batch."""
    async for message in call:
        if message.WhichOneof("message") == "progress":
            yield message.progress


async def until(call: Any, stage: str) -> pb.Progress:
    """Read a batch until it is in a stage."""
    async for progress in progress_of(call):
        if progress.stage == stage:
            return progress
    raise AssertionError(f"the batch was never in {stage}")


async def soon(is_so: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for something to be so; returns the CPU seconds that this process spent meanwhile."""
    began = time.process_time()
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return time.process_time() - began
