"""What stands before every handler: parsing inside, errors as statuses, nothing else leaks."""

import asyncio
import logging
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from dedup_model.errors import DedupError, LimitExceeded, MalformedRequest
from dedup_rpc.status import internal, status_of

LOG = logging.getLogger("event_dedup.rpc")
MAX_METADATA_BYTES = 8 * 1024

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Parse: TypeAlias = Callable[[bytes], Any]


class Guard(grpc.aio.ServerInterceptor):
    """Receives bytes, parses them, runs the handler, and turns what it raises into a status.

    A domain error gets its status from the one table; anything else is INTERNAL with an id that
    the log holds too, without values.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a call; unknown methods stay UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        metadata = handler_call_details.invocation_metadata or ()
        size = sum(len(key) + len(value) for key, value in metadata)
        return _guarded(handler, method, size) if handler else None


def _guarded(
    handler: "grpc.RpcMethodHandler[Any, Any]", method: str, metadata_bytes: int
) -> Handler:
    parse: Parse = handler.request_deserializer or bytes
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )

    async def decoded(request: Any) -> Any:
        if metadata_bytes > MAX_METADATA_BYTES:
            raise LimitExceeded(f"the call's metadata exceeds {MAX_METADATA_BYTES} bytes")
        return _stream(request, parse) if handler.request_streaming else _parsed(request, parse)

    async def single(request: Any, context: Context) -> Any:
        async with _reporting(method, context):
            return await behaviour(await decoded(request), context)

    async def several(request: Any, context: Context) -> AsyncIterator[Any]:
        async with _reporting(method, context):
            async for response in behaviour(await decoded(request), context):
                yield response

    return _handler(handler, several if handler.response_streaming else single)


def _handler(handler: "grpc.RpcMethodHandler[Any, Any]", behaviour: Any) -> Handler:
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
    made: Handler = make(behaviour, None, _serialised)
    return made


def _serialised(response: Any) -> bytes:
    """Return a response's bytes; what a handler serialised already passes as it is."""
    return response if isinstance(response, bytes) else bytes(response.SerializeToString())


def _parsed(request: bytes, parse: Parse) -> Any:
    try:
        return parse(request)
    except DecodeError:
        raise MalformedRequest("the request is no message of the expected type") from None


async def _stream(requests: AsyncIterator[bytes], parse: Parse) -> AsyncIterator[Any]:
    async for request in requests:
        yield _parsed(request, parse)


class _reporting:  # noqa: N801
    """Turns the errors of one call into its status and logs how it ended."""

    def __init__(self, method: str, context: Context) -> None:
        self.method, self.context, self.began = method, context, time.monotonic()

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, grpc.aio.AbortError):
            self._log("OK" if error is None else "ABORTED")
        elif isinstance(error, DedupError):
            code, status = status_of(error)
            self._log(code.name, error.reason)
            await _abort(self.context, code, status)
        elif isinstance(error, Exception):
            error_id = str(uuid.uuid4())
            LOG.error("%s failed; id=%s %s", self.method, error_id, where(error))
            await _abort(self.context, *internal(error_id))
        elif isinstance(error, asyncio.CancelledError):
            self._log("CANCELLED")

    def _log(self, code: str, reason: str = "") -> None:
        spent = (time.monotonic() - self.began) * 1000
        LOG.debug("%s %s %s %.1f ms", self.method, code, reason, spent)


async def _abort(context: Context, code: grpc.StatusCode, status: Any) -> None:
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, status.message, details)


def where(error: BaseException) -> str:
    """Return an exception's type and its place in the code: never its text, which may hold values."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"
