"""One batch: its config fetched and pinned, then the engine over its listings beside the event loop."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matcher_service.config_client import BatchConfig
from matcher_service.engine.pipeline import Result, deduplicate
from matcher_service.workers import Workers

AI_WARNING = "ai.enabled is on; ambiguous pairs are decided without the language model"


@dataclass(frozen=True)
class Outcome:
    """What a batch found, and what it ran under."""

    pinned: BatchConfig
    result: Result

    @property
    def warnings(self) -> list[str]:
        """Return what the operator should know, a sentence each."""
        asked = self.pinned.snapshot.config.ai.enabled
        return [*self.pinned.warnings, *([AI_WARNING] if asked else [])]


class _Cancelled(Exception):
    """The caller has gone; the engine stops at its next progress."""


async def run(
    pinned: BatchConfig,
    raw: Sequence[dict[str, Any]],
    floor: float,
    progress: Callable[[str, int, int], None],
    workers: Workers,
) -> Outcome:
    """Run the engine over raw listings; `progress` is called in the event loop's thread.

    Pairs of a large batch are judged by the workers. Cancelling the call stops the engine at its
    next progress. Raises `BrokenProcessPool` when a worker dies.
    """
    loop = asyncio.get_running_loop()
    gone = threading.Event()

    def report(stage: str, done: int, total: int) -> None:
        if gone.is_set():
            raise _Cancelled
        loop.call_soon_threadsafe(progress, stage, done, total)

    def work() -> Result:
        with workers.executor(len(raw)) as executor:
            return deduplicate(raw, pinned.snapshot.config, floor, report, executor)

    try:
        return Outcome(pinned, await asyncio.to_thread(work))
    except asyncio.CancelledError:
        gone.set()
        raise
