"""Judges the caller of a stream again and again while it runs."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

from dedup_model.errors import DedupError


class Rejudging:
    """Calls `judge` every `seconds` within its block; a domain error of it ends the block."""

    def __init__(self, judge: Callable[[], None], seconds: float) -> None:
        self._judge, self._seconds = judge, seconds
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: DedupError | None = None

    def __enter__(self) -> Self:
        self._set_timer()
        return self

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._again)

    def _again(self) -> None:
        if self._task is None or self._task.done():
            return
        try:
            self._judge()
        except DedupError as refusal:
            self._refusal = refusal
            self._task.cancel()
        else:
            self._set_timer()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._timer:
            self._timer.cancel()
        if self._refusal and isinstance(error, asyncio.CancelledError):
            raise self._refusal from None
