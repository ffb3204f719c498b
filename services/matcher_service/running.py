"""Work that runs beside its progress, and ends when its caller has gone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

from matcher_service.engine.blocked import Progress

PROGRESS_SECONDS = 0.1
"""How often progress is told."""

Step: TypeAlias = tuple[str, int, int]
"""Stage, work done, work in all."""
Made = TypeVar("Made")


class _Cancelled(Exception):
    """The caller has gone; the engine stops at its next progress."""


@contextmanager
def cancellable(heard: Progress) -> Iterator[Progress]:
    """Yield a progress for work in other threads, told to `heard` in the event loop's thread.

    When the block is cancelled, the work's next progress raises.
    """
    loop = asyncio.get_running_loop()
    gone = threading.Event()

    def report(stage: str, done: int, total: int) -> None:
        if gone.is_set():
            raise _Cancelled
        loop.call_soon_threadsafe(heard, stage, done, total)

    try:
        yield report
    except asyncio.CancelledError:
        gone.set()
        raise


class Running(Generic[Made]):
    """A coroutine that is run while its newest step is told, some times a second."""

    def __init__(self, work: Callable[[Progress], Coroutine[Any, Any, Made]]) -> None:
        self._work = work
        self._made: list[Made] = []

    async def steps(self) -> AsyncIterator[Step]:
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
