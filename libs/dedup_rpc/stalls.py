"""Ends work that takes too long: one timer for all of it, since each piece is usually done at once."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

SWEEPS = 4

Done = TypeVar("Done")


class Stalls:
    """Gives each piece of work `seconds`, and up to a quarter more.

    A timer for each write to each watcher would cost as much as the write's other half.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began: dict[asyncio.Task[Any], float] = {}
        self._stalled: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, work: Awaitable[Done]) -> Done:
        """Return what one piece of work gives; raises TimeoutError when it takes too long."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task)
        self._began[task] = loop.time()
        if self._timer is None:
            self._set_timer(loop)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._stalled and not task.uncancel():
                raise TimeoutError from None
            raise
        finally:
            self._began.pop(task, None)
            self._stalled.discard(task)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.seconds / SWEEPS, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        late = loop.time() - self.seconds
        for task in [task for task, began in self._began.items() if began <= late]:
            del self._began[task]
            self._stalled.add(task)
            task.cancel()
        self._timer = None
        if self._began:
            self._set_timer(loop)
