"""Connections that the server ends for their age or for silence, and what their callers notice."""

import asyncio
import logging
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rpc.guarded import GRANTS, ByName, serving

from config_service import serving as config_serving
from config_service.env import Env
from config_service.watch import JITTER, LIFE_SECONDS
from dedup_rpc import server
from dedup_rpc.client import AsyncConfigClient, WatchMode
from dedup_rpc.client.aio_watch import AsyncWatch
from dedup_rpc.guard import Guard

AGED = (("grpc.max_connection_age_ms", 400), ("grpc.max_connection_age_grace_ms", 300))
IDLE = (("grpc.max_connection_idle_ms", 300),)
HANDSHAKE = (("grpc.server_handshake_timeout_ms", 300),)


def guard() -> Guard:
    return Guard(ByName(), GRANTS)


async def until_another_peer(caller: Any) -> None:
    """Call again and again until a call comes from another port than the first."""
    first = await caller.unary("Peer")
    async with asyncio.timeout(20):
        while await caller.unary("Peer") == first:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_unary_calls_go_on_over_connections_that_grow_old() -> None:
    async with serving(guard(), options=AGED) as (caller, _):
        for _ in range(2):
            await until_another_peer(caller)


async def test_a_call_that_runs_when_its_connection_grows_old_is_finished() -> None:
    options = (("grpc.max_connection_age_ms", 300), ("grpc.max_connection_age_grace_ms", 60_000))
    async with serving(guard(), options=options) as (caller, handlers):
        call, stream = caller.unary("Wait"), caller.watch()
        assert await stream.read() == b"first"
        await asyncio.sleep(1)
        handlers.release.set()
        assert (await call, await stream.read()) == (b"done", b"last")


async def test_a_silent_connection_is_closed_and_the_next_call_opens_another() -> None:
    async with serving(guard(), options=IDLE) as (caller, _):
        first = await caller.unary("Peer")
        await asyncio.sleep(2)
        assert await caller.unary("Peer") != first


async def test_a_connection_with_an_open_stream_is_not_silent() -> None:
    async with serving(guard(), options=IDLE) as (caller, handlers):
        stream = caller.watch()
        assert await stream.read() == b"first"
        await asyncio.sleep(1)
        handlers.release.set()
        assert await stream.read() == b"last"


async def test_who_connects_and_says_nothing_is_let_go() -> None:
    made = server.Serving((), lambda *_: None, guard(), None, HANDSHAKE)
    address = await made.start("127.0.0.1:0")
    host, _, port = address.rpartition(":")
    with closing(socket.create_connection((host, int(port)), timeout=10)) as silent:
        assert await asyncio.to_thread(_until_closed, silent)
    await made.stop(0)


def _until_closed(connection: socket.socket) -> bool:
    while connection.recv(4096):
        pass
    return True


async def test_a_watch_of_the_client_sees_every_revision_over_connections_that_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "event_dedup.rpc")
    env = Env(address="127.0.0.1:0", database_url=f"sqlite:///{tmp_path / 'c.db'}")
    service = await config_serving.start(env, options=AGED)
    seen: list[int] = []
    try:
        async with AsyncConfigClient(service.address) as client:
            first = (await client.get()).revision.number
            watch = client.watch(WatchMode.EVERY)
            follow = asyncio.create_task(_until(first + 6, watch, seen))
            for i in range(6):
                await client.update({"thresholds.high": 0.8 + i / 100})
                await asyncio.sleep(0.3)
            async with asyncio.timeout(10):
                await follow
        cut = [line for line in caplog.messages if "WatchConfig CANCELLED" in line]
        assert len(cut) >= 2
    finally:
        await service.stop(0)
    assert seen == list(range(first + 1, first + 7))


async def _until(last: int, watch: AsyncWatch, seen: list[int]) -> None:
    async for state in watch:
        seen.append(state.revision.number)
        if seen[-1] >= last:
            break
    await watch.aclose()


def value(name: str) -> int:
    return dict(server.OPTIONS)[name]


def test_a_watch_ends_by_itself_before_its_connection_is_cut() -> None:
    longest = LIFE_SECONDS * (1 + JITTER) * 1000
    assert value("grpc.max_connection_age_grace_ms") > longest
    assert value("grpc.max_connection_age_ms") > longest
    assert value("grpc.max_connection_idle_ms") > 60_000
