"""The worker processes that batches share."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event

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
        self._spawn = multiprocessing.get_context("spawn")
        self._over = self._spawn.Event()
        self._pool: ProcessPoolExecutor | None = None

    @contextmanager
    def executor(self, listings: int) -> Iterator[Executor | None]:
        """Yield what runs the tasks of a batch; None, the calling thread, for a small one."""
        if listings <= self._small_batch:
            yield None
            return
        pool = self._started()
        try:
            yield pool
        except BrokenProcessPool:
            self._drop(pool)
            raise

    def close(self) -> None:
        """End the processes at once, in the midst of a task too; a batch that still runs fails."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._over.set()
        if pool:
            pool.shutdown(wait=True, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._count, self._spawn, _begin, initargs=(self._over,)
                )
            return self._pool

    def _drop(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(over: Event) -> None:
    """Leave signals to the service, and end when it says so or has ended, however it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.Thread(target=_end_when, args=(over,), daemon=True).start()


def _end_when(over: Event) -> None:
    over.wait()
    os._exit(0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
