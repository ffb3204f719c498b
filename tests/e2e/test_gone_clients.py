"""Clients that stall, leave or die: their batches stop within a second and leave nothing behind."""

import asyncio
import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from e2e.batches import OPTIONS, matcher, requests, soon, stub_of, until

from dedup_rpc.status import remote_error
from matcher_service.engine.pipeline import Decided, Result
from matcher_service.serving import MatcherServer

SECONDS = 1.0
"""How soon the work of who has gone stops, in CPU seconds: others may be at the machine too."""
LARGE = 20_000
TESTS = Path(__file__).parents[1]
CHILD = """
import asyncio, sys
from dedup_rpc.channel import connect_aio
from e2e.batches import requests, until
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

async def main():
    async with connect_aio(sys.argv[1]) as channel:
        call = MatcherServiceStub(channel).Deduplicate(requests(20_000, days=40))
        await until(call, "score")
        print("scoring", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def is_idle(server: MatcherServer) -> bool:
    """Tell whether a matcher neither runs nor holds anything for anybody."""
    lanes = server.workers.small, server.workers.large
    return not server.intake.held and not any(lane.running + lane.waiting for lane in lanes)


def alive(*kinds: type) -> int:
    """Return how many objects of some classes are in memory."""
    gc.collect()
    return sum(isinstance(one, kinds) for one in gc.get_objects())


@pytest.mark.parametrize("stage", ["normalise", "block", "score", "cluster", "canonical"])
async def test_a_batch_that_is_cancelled_stops_within_a_second(stage: str) -> None:
    async with matcher() as server, stub_of(server) as stub:
        call = stub.Deduplicate(requests(LARGE, days=300))
        await until(call, stage)
        call.cancel()
        assert await soon(lambda: is_idle(server)) < SECONDS
    assert alive(Decided, Result) == 0


async def test_a_batch_that_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    async with matcher(MAX_BATCHES=1) as server, stub_of(server) as stub:
        async with server.workers.turn(1, lambda *_: None):
            call = stub.Deduplicate(requests(3))
            await until(call, "queued")
            call.cancel()
            await soon(lambda: not server.workers.small.waiting)
        await soon(lambda: is_idle(server))


async def test_a_deadline_that_passes_stops_the_batch() -> None:
    async with matcher() as server, stub_of(server) as stub:
        call = stub.Deduplicate(requests(LARGE, days=40), timeout=3)
        with pytest.raises(grpc.aio.AioRpcError) as over:
            await until(call, "never")
        assert over.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await soon(lambda: is_idle(server)) < SECONDS


async def test_the_batch_of_a_client_that_is_killed_stops() -> None:
    async with matcher() as server:
        command = [sys.executable, "-c", CHILD, server.address]
        child = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(TESTS)}
        )
        try:
            assert child.stdout is not None
            async with asyncio.timeout(60):
                assert await child.stdout.readline() == b"scoring\n"
            assert server.workers.large.running == 1
        finally:
            child.kill()
            await child.wait()
        assert await soon(lambda: is_idle(server)) < SECONDS


async def stalled(server: MatcherServer, stub: Any) -> Any:
    """Send a batch whose answer is much larger than what waits on a connection, and read none of it."""
    call = stub.Deduplicate(requests(700, days=1))
    await soon(lambda: server.workers.small.running == 1)
    await soon(lambda: not server.workers.small.running, 60)
    return call


async def test_a_client_that_does_not_read_costs_one_result_until_it_is_let_go() -> None:
    async with matcher(STALL_SECONDS=2) as server, stub_of(server) as stub:
        call = await stalled(server, stub)
        assert server.intake.held > 0
        assert alive(Result) == 1
        await soon(lambda: is_idle(server))
        assert alive(Result) == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await until(call, "never")


async def test_who_does_not_read_keeps_nobody_from_running() -> None:
    async with matcher(STALL_SECONDS=30, MAX_BATCHES=1) as server, stub_of(server) as stub:
        held = await stalled(server, stub)
        messages = [message async for message in stub.Deduplicate(requests(3))]
        assert messages[-1].summary.read == 3
        held.cancel()
        await soon(lambda: is_idle(server))
    assert alive(Result) == 0


async def test_what_nobody_reads_keeps_the_room_of_further_input() -> None:
    async with matcher(STALL_SECONDS=30, MAX_INPUT_MIB=16) as server, stub_of(server) as stub:
        held = await stalled(server, stub)
        await soon(lambda: server.intake.held > 16 * 2**20)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await until(stub.Deduplicate(requests(3)), "never")
        assert remote_error(refusal.value).reason == "BATCH_LIMIT"
        held.cancel()
        await soon(lambda: is_idle(server))
        assert [one async for one in stub.Deduplicate(requests(3))][-1].summary.read == 3


async def test_a_client_that_reads_slowly_gets_everything() -> None:
    async with matcher(STALL_SECONDS=1) as server, stub_of(server) as stub:
        decisions = 0
        async for message in stub.Deduplicate(requests(400, days=1)):
            decisions += len(message.results.decisions)
            await asyncio.sleep(0.02)
        assert decisions == 400 * 399 // 2


async def test_a_client_that_stops_sending_is_let_go_with_all_that_it_sent() -> None:
    async with matcher(STALL_SECONDS=0.5) as server, stub_of(server) as stub:
        call = stub.Deduplicate()
        for message in requests(100):
            await call.write(message)
        await soon(lambda: server.intake.held > 0)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await until(call, "never")
        error = remote_error(refusal.value)
        assert (error.code, error.reason) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
        )
        assert "nothing was sent for 0.5 s" in error.message
        assert is_idle(server)


@pytest.mark.parametrize(
    "method", ["Deduplicate", "ExplainPair", "ExplainCluster", "PreviewConfig"]
)
async def test_a_client_that_never_begins_is_let_go(method: str) -> None:
    async with matcher(STALL_SECONDS=0.5) as server, stub_of(server) as stub:
        call = getattr(stub, method)()
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await asyncio.wait_for(call if method.startswith("Explain") else call.read(), 10)
        assert "nothing was sent for 0.5 s" in remote_error(refusal.value).message


async def test_a_client_that_sends_slowly_is_waited_for() -> None:
    async with matcher(STALL_SECONDS=0.5) as server, stub_of(server) as stub:
        call = stub.Deduplicate()
        await call.write(OPTIONS)
        for message in [*requests(2), *requests(3)]:
            if message.WhichOneof("message") == "listings":
                await asyncio.sleep(0.3)
                await call.write(message)
        await call.done_writing()
        messages = [message async for message in call]
        assert messages[-1].summary.read == 5
