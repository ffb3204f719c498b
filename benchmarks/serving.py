"""How fast cached reads are served, beside a bare grpc.aio echo of equal size in the same run.

`python benchmarks/serving.py [SECONDS]` (of each of the short rounds): each server is a process on the first core, on the same
event loop and with the same settings of the garbage collector; the callers share the second one.
Prints calls a second, p50 and p99, and the ratio to the echo.
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from typing import Any

import grpc
import uvloop

from config_service import serving
from config_service.env import Env
from dedup_rpc import collector
from eventdedup.config.v1 import config_service_pb2 as pb

SERVICE = "/eventdedup.config.v1.ConfigService/"
CALLERS = (1, 16, 64)
ROUNDS = 11
FIRST_CORE, LAST_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
Call = Callable[[], Awaitable[bytes]]


async def echo_server(size: Connection) -> tuple[str, Any]:
    """Serve a method that answers as many bytes as the request's number says."""
    answers = {n: bytes(n) for n in size.recv()}

    async def answer(request: bytes, _: Any) -> bytes:
        return answers[int(request)]

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("Echo", {"Echo": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return f"127.0.0.1:{port}", server


async def config_server(_: Connection) -> tuple[str, Any]:
    """Serve a ConfigService on a new SQLite file."""
    folder = Path(tempfile.mkdtemp())
    server = await serving.start(
        Env(address="127.0.0.1:0", database_url=f"sqlite:///{folder / 'c.db'}")
    )
    return server.address, server


def run_server(
    make: Callable[[Connection], Awaitable[tuple[str, Any]]], pipe: Connection, core: int
) -> None:
    """Run one server in this process, pinned to the first core, until it is ended."""

    async def run() -> None:
        address, server = await make(pipe)
        collector.calm()
        pipe.send(address)
        await asyncio.sleep(3600)
        del server

    os.sched_setaffinity(0, {core})
    uvloop.run(run())


def started(
    make: Callable[[Connection], Awaitable[tuple[str, Any]]], *first: Any
) -> tuple[Any, str]:
    """Return a server's process and address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=run_server, args=(make, theirs, FIRST_CORE)
    )
    process.start()
    for message in first:
        ours.send(message)
    return process, ours.recv()


async def measure(call: Call, callers: int, seconds: float) -> tuple[float, float, float]:
    """Return calls a second, p50 and p99 in milliseconds."""
    times: list[float] = []
    ends = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < ends:
            await call()
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    cuts = quantiles(times, n=100)
    return len(times) / seconds, cuts[49] * 1000, cuts[98] * 1000


async def compare(address: str, seconds: float) -> None:
    """Print the table."""
    async with grpc.aio.insecure_channel(address) as config:
        snapshot = pb.GetSnapshotResponse.FromString(
            await config.unary_unary(SERVICE + "GetSnapshot")(b"")
        )
        known = pb.GetSnapshotRequest(
            known_epoch=snapshot.epoch, known_revision=snapshot.revision
        ).SerializeToString()
        reads = {
            "GetSnapshot, not modified": ("GetSnapshot", known),
            "GetSnapshot, full": ("GetSnapshot", b""),
            "GetConfig": ("GetConfig", b""),
        }
        sizes = {
            name: len(await config.unary_unary(SERVICE + method)(body))
            for name, (method, body) in reads.items()
        }
        process, other = started(echo_server, list(sizes.values()))
        try:
            async with grpc.aio.insecure_channel(other) as echo:
                for callers in CALLERS:
                    for name, (method, body) in reads.items():
                        ours = config.unary_unary(SERVICE + method)
                        bare = echo.unary_unary("/Echo/Echo")
                        size = str(sizes[name]).encode()
                        await report(
                            f"{name} ({sizes[name]} bytes), {callers} callers",
                            lambda ours=ours, body=body: ours(body),
                            lambda bare=bare, size=size: bare(size),
                            callers,
                            seconds,
                        )
        finally:
            process.terminate()
            process.join()


async def report(name: str, ours: Call, bare: Call, callers: int, seconds: float) -> None:
    """Measure both in turn, many times, and print the round with the median ratio."""
    rounds = [
        (await measure(ours, callers, seconds), await measure(bare, callers, seconds))
        for _ in range(ROUNDS)
    ]
    rounds.sort(key=lambda pair: pair[0][0] / pair[1][0])
    (rate, p50, p99), (bare_rate, _, _) = rounds[ROUNDS // 2]
    print(
        f"{name}: {rate:,.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms;"
        f" echo {bare_rate:,.0f}/s; ratio {rate / bare_rate:.2f}",
        flush=True,
    )


def main() -> None:
    """Run the comparison."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    process, address = started(config_server)
    os.sched_setaffinity(0, {LAST_CORE})
    try:
        asyncio.run(compare(address, seconds))
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    main()
