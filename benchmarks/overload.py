"""How long a unary call takes beside a crowd that only holds on, beside the quiet server.

`python benchmarks/overload.py [SECONDS]`: the crowd is 200 watchers, 100 streams whose request
never ends and 900 connections that do nothing, all in a process of their own; 8 callers read the
config in turn, one writes. Both figures come from one server in one run.
"""

import asyncio
import contextlib
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import grpc
from watch import (
    LAST_CORE,
    OWN_CONNECTION,
    SERVICE,
    config_server,
    memory,
    sqlite_env,
    started,
    update,
)

from eventdedup.config.v1 import config_service_pb2 as pb

WATCHERS, HALF_OPEN, IDLE, CALLERS = 200, 100, 900, 8
WRITE_SECONDS = 0.25
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What opens an HTTP/2 connection, with empty settings; nothing follows."""


async def never_ending() -> Any:
    """Yield no request, for ever."""
    await asyncio.sleep(3600)
    yield b""


async def crowd(address: str, ready: Connection) -> None:
    """Hold streams and connections until the process is ended."""
    held: list[Any] = []
    for _ in range(WATCHERS):
        channel = grpc.aio.insecure_channel(address, OWN_CONNECTION)
        request = pb.WatchConfigRequest().SerializeToString()
        call = channel.unary_stream(SERVICE + "WatchConfig")(request)
        await call.read()
        held += channel, asyncio.create_task(drain(call))
    channel = grpc.aio.insecure_channel(address, OWN_CONNECTION)
    for _ in range(HALF_OPEN):
        held.append(channel.stream_unary(SERVICE + "GetConfig")(never_ending()))
    host, _, port = address.rpartition(":")
    for _ in range(IDLE):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(PREFACE)
        held.append(connection)
    ready.send("here")
    await asyncio.sleep(3600)


async def drain(call: Any) -> None:
    """Read a watch to its end."""
    async for _ in call:
        pass


def run_crowd(address: str, ready: Connection) -> None:
    """Run the crowd in this process."""
    asyncio.run(crowd(address, ready))


@contextlib.contextmanager
def crowded(address: str) -> Iterator[None]:
    """Run the crowd beside the block."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run_crowd, args=(address, theirs))
    process.start()
    try:
        ours.recv()
        yield
    finally:
        process.terminate()
        process.join()


async def measured(address: str, seconds: float) -> list[float]:
    """Return the milliseconds of the callers' reads while one writer writes."""
    times: list[float] = []
    ends = time.perf_counter() + seconds

    async def read(channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(SERVICE + "GetConfig")
        while (began := time.perf_counter()) < ends:
            await call(b"")
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.005)

    async def write(channel: grpc.aio.Channel) -> None:
        publish = update(channel)
        while time.perf_counter() < ends:
            await publish()
            await asyncio.sleep(WRITE_SECONDS)

    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, OWN_CONNECTION))
            for _ in range(CALLERS + 1)
        ]
        await asyncio.gather(write(channels[0]), *(read(channel) for channel in channels[1:]))
    return times


def shown(times: list[float]) -> str:
    """Return the count and percentiles of some times."""
    return f"{len(times):6,} reads, p50 {median(times):5.1f} ms, p99 {p99(times):6.1f} ms"


def p99(times: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(times, n=100)[98]


def sockets(pid: int) -> int:
    """Return how many sockets a process holds."""
    links = (descriptor.readlink() for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return sum(str(link).startswith("socket:") for link in links)


async def compare(seconds: float) -> None:
    """Measure the quiet server, then the crowded one."""
    with started(config_server, sqlite_env()) as (address, pid):
        await measured(address, 1)
        before, quiet = memory(pid), await measured(address, seconds)
        with crowded(address):
            crowded_times = await measured(address, seconds)
            held, connections = memory(pid) - before, sockets(pid)
    print(f"quiet:   {shown(quiet)}")
    print(f"crowded: {shown(crowded_times)}; {held / 1e6:.0f} MB, {connections} sockets at the end")
    print(
        f"ratio: p50 {median(crowded_times) / median(quiet):.2f},"
        f" p99 {p99(crowded_times) / p99(quiet):.2f}"
    )


def main() -> None:
    """Run the comparison: the server has the first core, everything else the last one."""
    os.sched_setaffinity(0, {LAST_CORE})
    asyncio.run(compare(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))


if __name__ == "__main__":
    main()
