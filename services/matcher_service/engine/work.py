"""Tasks of a batch: run here or by an executor, their results in the order of the tasks."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

AHEAD = 32
"""Tasks that wait or run in the executor at a time, to bound memory."""
LISTEN_SECONDS = 0.2
"""How often the batch may be ended while it waits for a task."""

Task = TypeVar("Task")
Made = TypeVar("Made")


def in_order(
    executor: Executor | None,
    function: Callable[[Task], Made],
    tasks: Iterable[Task],
    heard: Callable[[], None],
) -> Iterator[Made]:
    """Yield `function(task)` of each task, in the order of the tasks; None runs them here.

    `function` is at the top of a module, so that a process finds it. `heard` is called before each
    result and five times a second; what it raises, and what a task raises, ends the work: tasks that
    wait are cancelled, those that run are left to end alone.
    """
    if executor is None:
        yield from _here(function, tasks, heard)
        return
    running: deque[Future[Made]] = deque()
    try:
        for task in tasks:
            running.append(executor.submit(function, task))
            if len(running) == AHEAD:
                yield _result(running, heard)
        while running:
            yield _result(running, heard)
    finally:
        for future in running:
            future.cancel()


def _here(
    function: Callable[[Task], Made], tasks: Iterable[Task], heard: Callable[[], None]
) -> Iterator[Made]:
    for task in tasks:
        heard()
        yield function(task)


def _result(running: "deque[Future[Made]]", heard: Callable[[], None]) -> Made:
    heard()
    while wait([running[0]], LISTEN_SECONDS).not_done:
        heard()
    return running.popleft().result()
