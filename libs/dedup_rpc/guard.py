"""What stands before every handler: who may call, parsing, errors as statuses; nothing else leaks."""

import asyncio
import logging
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from dedup_model.errors import DedupError, LimitExceeded, MalformedRequest
from dedup_rpc.authz import Grants, Peer, Policy, Principal
from dedup_rpc.status import internal, status_of

LOG = logging.getLogger("event_dedup.rpc")
MAX_METADATA_BYTES = 8 * 1024

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Parse: TypeAlias = Callable[[bytes], Any]
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Judge: TypeAlias = Callable[[], float | None]
Admit: TypeAlias = Callable[[Context], Judge]


_CALLER: ContextVar[Principal] = ContextVar("caller")


def caller() -> Principal:
    """Return who makes the call that is being handled; raises LookupError outside of one.

    It is set in handlers and in the tasks that they start, not in executor threads.
    """
    return _CALLER.get()


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every handler: limit, authenticate, authorise, parse, then the handler.

    `public` methods need no credentials; any other needs a grant. While a stream runs its caller is
    judged again every `recheck_seconds`. A domain error gets its status from the one table;
    anything else is INTERNAL with an id that the log holds too, without values.
    """

    def __init__(
        self,
        policy: Policy,
        grants: Grants,
        public: Collection[str] = (),
        recheck_seconds: float = 15.0,
    ) -> None:
        self._policy, self._grants, self._public = policy, grants, frozenset(public)
        self.recheck_seconds = recheck_seconds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a call; unknown methods stay UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        metadata = tuple(handler_call_details.invocation_metadata or ())
        return _guarded(handler, method, partial(self.admit, method, metadata)) if handler else None

    def admit(self, method: str, metadata: Metadata, context: Context) -> Judge:
        """Let a call in, or raise why it is refused; returns what judges it again.

        The certificate is read here alone: grpc crashes when it is asked for after a call's end.
        """
        if sum(len(key) + len(value) for key, value in metadata) > MAX_METADATA_BYTES:
            raise LimitExceeded(f"the call's metadata exceeds {MAX_METADATA_BYTES} bytes")
        judge = partial(self._judge, method, _peer(metadata, context))
        judge()
        return judge

    def _judge(self, method: str, peer: Peer) -> float | None:
        """Make the caller known, or raise; returns after how many seconds to judge again."""
        if method in self._public:
            return None
        principal = self._policy.principal(peer)
        self._grants.require(principal, method)
        _CALLER.set(principal)
        return self.recheck_seconds


def _peer(metadata: Metadata, context: Context) -> Peer:
    """Return what the call shows: the certificate that TLS checked, and `authorization` alone."""
    names = context.auth_context().get("x509_subject_alternative_name", ())
    headers = (value for key, value in metadata if key == "authorization")
    return Peer(tuple(map(_text, names)), tuple(map(_text, headers)))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _guarded(handler: "grpc.RpcMethodHandler[Any, Any]", method: str, admit: Admit) -> Handler:
    parse: Parse = handler.request_deserializer or bytes
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )

    def decoded(request: Any) -> Any:
        return _stream(request, parse) if handler.request_streaming else _parsed(request, parse)

    async def single(request: Any, context: Context) -> Any:
        async with _reporting(method, context):
            admit(context)
            return await behaviour(decoded(request), context)

    async def several(request: Any, context: Context) -> AsyncIterator[Any]:
        async with _reporting(method, context):
            with _Rejudging(admit(context)):
                async for response in _responses(behaviour(decoded(request), context)):
                    yield response

    return _handler(handler, several if handler.response_streaming else single)


async def _responses(answer: Any) -> AsyncIterator[Any]:
    """Yield a handler's responses; grpc_health's one is a coroutine that writes them itself."""
    if isawaitable(answer):
        await answer
        return
    async with aclosing(answer):
        async for response in answer:
            yield response


class _Rejudging:
    """Judges a stream's call again and again; cancels it when it is refused."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: DedupError | None = None

    def __enter__(self) -> None:
        self._set_timer(self._judge())

    def _set_timer(self, seconds: float | None) -> None:
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._again)

    def _again(self) -> None:
        if self._task is None or self._task.done():
            return
        try:
            self._set_timer(self._judge())
        except DedupError as refusal:
            self._refusal = refusal
            self._task.cancel()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._timer:
            self._timer.cancel()
        if self._refusal and isinstance(error, asyncio.CancelledError):
            raise self._refusal from None


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
