"""How a call ends: its status to the caller, its line in the log, its place in the counts."""

import asyncio
import logging
import math
import time
import uuid
from typing import Any, NoReturn, TypeAlias

import grpc

from dedup_model.errors import DeadlineExceeded, DedupError, RateLimited
from dedup_rpc.caller import CALLER
from dedup_rpc.counts import UNARY, Counts, MethodCounts
from dedup_rpc.logs import where
from dedup_rpc.status import internal, status_of

LOG = logging.getLogger("event_dedup.rpc")
ABORT_SECONDS = 1.0
SLOW_SECONDS = 1.0
CREDENTIAL_CODES = ("UNAUTHENTICATED", "PERMISSION_DENIED")
QUIET_CODES = ("OK", "CANCELLED")
CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Outcome:
    """Ends the calls of one method."""

    def __init__(self, path: str, counts: Counts, method: MethodCounts) -> None:
        self._path, self._counts, self._method = path, counts, method
        self._slow = SLOW_SECONDS if method.kind == UNARY else math.inf

    def good(self, began: float) -> None:
        """Note a call that went well."""
        seconds = time.monotonic() - began
        self._method.end("OK", seconds)
        if seconds > self._slow or LOG.isEnabledFor(logging.DEBUG):
            self._log("OK", "", seconds)

    async def bad(self, error: BaseException, context: Context, began: float) -> NoReturn:
        """Note a call that failed and send its status; raises what ends the call for grpc."""
        if isinstance(error, DedupError):
            code, status = status_of(error)
            self._refusal(code.name, error.reason)
            self._note(code.name, error.reason, began)
            await _abort(context, code, status)
        if isinstance(error, asyncio.CancelledError):
            self._note(_cancelled(context), "", began)
        elif isinstance(error, grpc.aio.AbortError):
            self._note(_aborted(context), "", began)
        elif isinstance(error, grpc.aio.BaseError):
            # the caller went away while it was written to: nothing failed, nobody is to be told
            self._note("CANCELLED", "", began)
            raise asyncio.CancelledError from None
        elif isinstance(error, Exception):
            error_id = str(uuid.uuid4())
            facts = {"error_id": error_id, "method": self._path}
            LOG.error("%s failed; id=%s %s", self._path, error_id, where(error), extra=facts)
            self._method.end("INTERNAL", time.monotonic() - began)
            await _abort(context, *internal(error_id))
        raise error

    def _refusal(self, code: str, reason: str) -> None:
        if code in CREDENTIAL_CODES or reason == RateLimited.reason:
            self._counts.refused[reason] += 1

    def _note(self, code: str, reason: str, began: float) -> None:
        seconds = time.monotonic() - began
        self._method.end(code, seconds)
        self._log(code, reason, seconds)

    def _log(self, code: str, reason: str, seconds: float) -> None:
        level = self._level(code, reason, seconds)
        if LOG.isEnabledFor(level):
            spent = round(seconds * 1000, 1)
            facts = {"method": self._path, "code": code, "reason": reason, "duration_ms": spent}
            facts["principal"] = who.name if (who := CALLER.get(None)) else ""
            LOG.log(level, "%s %s %s %.1f ms", self._path, code, reason, spent, extra=facts)

    def _level(self, code: str, reason: str, seconds: float) -> int:
        """Return how loud an end is; floods of refusals are quiet, their beginning is not."""
        if reason == RateLimited.reason:
            return logging.DEBUG
        if code not in QUIET_CODES:
            return logging.INFO
        return logging.WARNING if seconds > self._slow else logging.DEBUG


def _cancelled(context: Context) -> str:
    left = context.time_remaining()
    over = left is not None and left <= 0
    return DeadlineExceeded.reason if over else "CANCELLED"


def _aborted(context: Context) -> str:
    code: Any = context.code()
    return CODE_NAMES.get(code, "UNKNOWN") if isinstance(code, int) else code.name


async def _abort(context: Context, code: grpc.StatusCode, status: Any) -> NoReturn:
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            await context.abort(code, status.message, details)
    except (TimeoutError, grpc.aio.InternalError):
        # the status stands behind messages that the client does not read, or the client has left
        raise asyncio.CancelledError from None
    raise AssertionError("abort returned")
