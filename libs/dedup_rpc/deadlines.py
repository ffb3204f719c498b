"""Ends calls that run too long: one timer for all of them, since most are done at once."""

import asyncio
from typing import Any

SWEEP_SECONDS = 0.25


class Deadlines:
    """Cancels tasks whose time is over, within a quarter of a second.

    A timer for each call would cost as much as all the rest that stands before a handler.
    """

    def __init__(self) -> None:
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._over: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def begin(self, task: "asyncio.Task[Any]", ends: float) -> None:
        """Let a task run until `ends`, by the loop's clock."""
        self._ends[task] = ends
        if self._timer is None:
            self._set_timer(task.get_loop())

    def end(self, task: "asyncio.Task[Any]") -> None:
        """Forget a task that is done with its call."""
        self._ends.pop(task, None)
        self._over.discard(task)

    def is_over(self, task: "asyncio.Task[Any]") -> bool:
        """Tell whether a task that was cancelled was cancelled here and by nobody else."""
        return task in self._over and not task.uncancel()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task, ends in self._ends.items() if ends <= now]:
            self._ends[task] = float("inf")
            self._over.add(task)
            task.cancel()
        self._timer = None
        if self._ends:
            self._set_timer(loop)
