"""Work that runs beside its progress, and ends when its caller has gone."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Generic, TypeAlias, TypeVar

from matcher_service.engine.blocked import Progress

PROGRESS_SECONDS = 0.1
"""How often progress is told."""

Step: TypeAlias = tuple[str, int, int]
"""Stage, work done, work in all."""
Made = TypeVar("Made")


class _Cancelled(Exception):
    """The caller has gone; the engine stops at its next progress."""


class Threaded:
    """Work in threads, whose progress is told to `heard` in the event loop's thread."""

    def __init__(self, threads: Executor, heard: Progress) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads, self._heard = threads, heard
        self._gone = threading.Event()

    def report(self, stage: str, done: int, total: int) -> None:
        """Tell the progress of the work; ends it when its caller has gone."""
        if self._gone.is_set():
            raise _Cancelled
        self._loop.call_soon_threadsafe(self._heard, stage, done, total)

    async def run(self, work: Callable[[], Made]) -> Made:
        """Return what the work gives.

        When the call is cancelled, the work ends at its next progress, and the call with it: a
        place that is held around the call is free when nothing runs there any more.
        """
        running = self._loop.run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._gone.set()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()
            raise


class Running(Generic[Made]):
    """A coroutine that is run while its newest step is told, some times a second."""

    def __init__(self, work: Callable[[Progress], Coroutine[Any, Any, Made]]) -> None:
        self._work = work
        self._made: list[Made] = []

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Yield the steps until the work is done; leaving early cancels it."""
        latest: list[Step] = []
        task = asyncio.create_task(self._work(lambda *step: latest.append(step)))
        try:
            while not task.done():
                await asyncio.wait([task], timeout=PROGRESS_SECONDS)
                if latest:
                    yield latest[-1]
                    latest.clear()
            self._made.append(await task)
        finally:
            task.cancel()

    @property
    def result(self) -> Made:
        """Return what the work gave, after its last step."""
        return self._made[0]
