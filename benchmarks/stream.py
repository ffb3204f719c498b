"""How fast listings go through `Deduplicate` on loopback, beside the same engine without a wire in the same run.

`python benchmarks/stream.py [LISTINGS [ROUNDS]]`, 100,000 and 3 unless told otherwise: the matcher, its client
(`dedup_cli.batch_client`) and the bare engine are a process each; service and engine have as many worker
processes as there are cores, started beforehand. Engine and stream take turns; the median round counts.
What the client parses is ready before its clock runs, as the engine's input is.
"""

import asyncio
import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from engine import CONFIG, FLOOR, made

from dedup_cli import batch_client
from dedup_cli.reading import Record
from dedup_rpc.wire import to_message
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service import serving
from matcher_service.engine.pipeline import deduplicate
from matcher_service.env import Env, Rung
from matcher_service.garbage import collect_rarely
from matcher_service.workers import SMALL_BATCH, Workers

WARM = SMALL_BATCH + 1
"""Listings of the first batch, which starts the worker processes."""
ENV = Env(address="127.0.0.1:0", rungs=(Rung.BOOTSTRAP,))

Child = Callable[[Connection, Any], None]


def main() -> None:
    """Print a row for each round, then the ratio and the peaks."""
    size, rounds = (*map(int, sys.argv[1:]), *(100_000, 3)[len(sys.argv) - 1 :])
    with child(serve, None) as (server, server_pid):
        address = server.recv()
        with (
            child(bare, size) as (engine, engine_pid),
            child(stream, (size, address)) as (client, pid),
        ):
            print(f"{size:,} listings, {client.recv() / 1e6:.0f} MB of messages")
            engine.recv()
            pids = (engine_pid, server_pid, pid)
            idle = [megabytes(one) for one in pids]
            times = [(asked(engine), asked(client)) for _ in range(rounds)]
            peaks = [megabytes(one) for one in pids]
    for (alone, events), (streamed, same) in times:
        print(f"engine {alone:6.2f} s, stream {streamed:6.2f} s, ratio {alone / streamed:.2f}")
        if events != same:
            sys.exit("the two do not agree on the events")
    ratio = median(alone / streamed for (alone, _), (streamed, _) in times)
    rate = size / median(streamed for _, (streamed, _) in times)
    print(f"median: {ratio:.2f} of the engine's rate, {rate:,.0f} listings a second")
    for name, before, peak in zip(("engine", "server", "client"), idle, peaks, strict=True):
        print(f"{name}: {peak:,.0f} MiB at its peak, {before:,.0f} before the first round")


@contextlib.contextmanager
def child(work: Child, argument: Any) -> Iterator[tuple[Connection, int]]:
    """Run `work` in a process of its own; yields the connection to it and its id.

    It ends when the connection is closed.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(theirs, argument))
    process.start()
    theirs.close()
    try:
        yield ours, int(process.pid or 0)
    finally:
        ours.close()
        process.join()


def asked(worker: Connection) -> tuple[float, int]:
    """Let a process do a round; returns its seconds and how many events it found."""
    worker.send("go")
    seconds, events = worker.recv()
    return seconds, events


def megabytes(pid: int) -> float:
    """Return the most memory that a process has held, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def serve(pipe: Connection, _: Any) -> None:
    """Run a matcher until the connection is closed."""

    async def run() -> None:
        server = await serving.start(ENV)
        pipe.send(server.address)
        await asyncio.to_thread(pipe.poll, None)
        await server.stop(0)

    asyncio.run(run())


def bare(pipe: Connection, size: int) -> None:
    """Run the engine alone whenever it is asked."""
    collect_rarely()
    items, workers = [item.listing for item in made(size)], Workers(ENV.workers)

    def work(chosen: list[Any]) -> int:
        with workers.executor(len(chosen)) as executor:
            return deduplicate(chosen, CONFIG, FLOOR, lambda *_: None, executor).counts["events"]

    work(items[:WARM])
    pipe.send(None)
    rounds(pipe, lambda: work(items))
    workers.close()


def stream(pipe: Connection, argument: tuple[int, str]) -> None:
    """Send a batch to the matcher whenever it is asked."""
    size, address = argument
    records = [
        Record(to_message(item.listing, pb.Listing()), "made", position)
        for position, item in enumerate(made(size))
    ]

    def work(chosen: list[Record]) -> int:
        answer = batch_client.run(address, chosen, FLOOR, lambda *_: None)
        return len(answer.events)

    work(records[:WARM])
    pipe.send(sum(record.listing.ByteSize() for record in records))
    rounds(pipe, lambda: work(records))


def rounds(pipe: Connection, work: Callable[[], int]) -> None:
    """Do the work each time that it is asked for; answers with seconds and events."""
    with contextlib.suppress(EOFError):
        while pipe.recv():
            began = time.perf_counter()
            events = work()
            pipe.send((time.perf_counter() - began, events))


if __name__ == "__main__":
    main()
