"""The worker processes that batches share."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection

SMALL_BATCH = 2000
"""Listings up to which a batch stays in the service's own process: it takes under a second."""


class Workers:
    """Up to `count` processes, started when the first large batch needs them.

    They are spawned, not forked: gRPC does not survive a fork. When one dies, the batches that run
    fail with `BrokenProcessPool` and the next one gets new processes.
    """

    def __init__(self, count: int, small_batch: int = SMALL_BATCH) -> None:
        self._count, self._small_batch = count, small_batch
        self._lock = threading.Lock()
        self._pool: _Pool | None = None

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
        self.executor.shutdown(wait=wait, cancel_futures=True)


def _begin(lifeline: Connection) -> None:
    """Leave signals to the service, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)
