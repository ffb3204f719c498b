"""What batches share: places to run in, threads, worker processes."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractAsyncContextManager, contextmanager
from multiprocessing.connection import Connection

from dedup_rpc.caller import CALLER
from matcher_service.engine.blocked import Progress
from matcher_service.turns import Turns

MENDED = (3, 11, 5)
"""The Python from which a pool ends when its processes do, whatever they were sent."""
SMALL_BATCH = 2000
"""Listings up to which a batch stays in the service's own process: it takes under a second."""


class Workers:
    """Up to `count` processes, started when the first large batch needs them.

    Of small batches, and of large ones, `places` run at once and `waiting` wait, so that a small one
    never waits for a large one. `threads` has room for all that run.

    Processes are spawned, not forked: gRPC does not survive a fork. When one dies, the batches that run
    fail with `BrokenProcessPool` and the next one gets new processes.
    """

    def __init__(
        self, count: int, small_batch: int = SMALL_BATCH, places: int = 2, waiting: int = 100
    ) -> None:
        self._count, self._small_batch = count, small_batch
        self.small, self.large = Turns(places, waiting), Turns(places, waiting)
        self.threads = ThreadPoolExecutor(2 * places, "batch")
        self._lock = threading.Lock()
        self._pool: _Pool | None = None

    def turn(
        self, listings: int, progress: Progress, *, begun: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Hold a place for a batch while the block runs, see `Turns.one`.

        `progress` hears `queued`, 0 and how many batches go first.
        """
        turns = self.small if listings <= self._small_batch else self.large
        owner = caller.name if (caller := CALLER.get(None)) else ""
        return turns.one(owner, lambda ahead: progress("queued", 0, ahead), begun=begun)

    @contextmanager
    def executor(self, listings: int) -> Iterator[Executor | None]:
        """Yield what runs the tasks of a batch; None, the calling thread, for a small one."""
        if listings <= self._small_batch:
            yield None
            return
        pool = self._started()
        try:
            yield pool.executor
        except BrokenProcessPool:
            self._drop(pool)
            raise

    def close(self) -> None:
        """End the processes at once, in the midst of a task too; a batch that still runs fails."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            pool.end(wait=True)
        self.threads.shutdown(wait=False)

    def _started(self) -> "_Pool":
        with self._lock:
            if self._pool is None:
                self._pool = _Pool(self._count)
            return self._pool

    def _drop(self, pool: "_Pool") -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.end(wait=False)


class _Pool:
    """Processes that hold the reading end of a pipe: when its writing end closes, they end.

    It closes with the service too, however that ends. A lock or an event that a killed process
    waited for could keep the others, and the service, for ever.
    """

    def __init__(self, count: int) -> None:
        reading, self._lifeline = multiprocessing.Pipe(duplex=False)
        spawn = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(count, spawn, _begin, initargs=(reading,))

    def end(self, *, wait: bool) -> None:
        self._lifeline.close()
        self._let_go()
        self._hear_the_end()
        self.executor.shutdown(wait=wait, cancel_futures=True)

    def _let_go(self) -> None:
        """Let a task that is being sent fail once the processes are gone, where Python does not.

        An old one holds the pipe's reading end open, and the pool waits for ever for its full pipe
        to be read (cpython issue 94777); a newer one closes it, which must not be done twice.
        """
        tasks = getattr(self.executor, "_call_queue", None)
        if tasks is not None and sys.version_info < MENDED:
            tasks._reader.close()

    def _hear_the_end(self) -> None:
        """Close this side's writing end of the results, which nothing writes to here.

        A process that ends in the midst of a long result leaves half of it in the pipe, and the pool
        would wait for the rest for ever: the pipe ends when all of its writing ends are closed.
        """
        results = getattr(self.executor, "_result_queue", None)
        if results is not None:
            results._writer.close()


def _begin(lifeline: Connection) -> None:
    """Leave signals to the service, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)
