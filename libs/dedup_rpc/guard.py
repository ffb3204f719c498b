"""What stands before every handler: its order is that of `Guard`, and nothing else leaks out."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import aclosing
from functools import partial
from inspect import isawaitable
from typing import Any, Protocol, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError

from dedup_model.errors import CallLimit, DeadlineExceeded, MalformedRequest
from dedup_rpc.admission import Admission
from dedup_rpc.authz import Grants, Policy
from dedup_rpc.caller import caller
from dedup_rpc.counts import UNARY, WATCH, Counts
from dedup_rpc.deadlines import Deadlines
from dedup_rpc.limits import Limits, Streams
from dedup_rpc.outcome import Context, Outcome
from dedup_rpc.rejudging import Rejudging
from dedup_rpc.stalls import Stalls

__all__ = ["Guard", "Tracing", "caller"]

UNKNOWN = "/unknown/unknown"
RpcHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Parse: TypeAlias = Callable[[bytes], Any]
Behaviour: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
KINDS: dict[tuple[bool, bool], tuple[str, Any]] = {
    (False, False): (UNARY, grpc.unary_unary_rpc_method_handler),
    (False, True): (WATCH, grpc.unary_stream_rpc_method_handler),
    (True, False): ("client_stream", grpc.stream_unary_rpc_method_handler),
    (True, True): ("bidi_stream", grpc.stream_stream_rpc_method_handler),
}


class Tracing(Protocol):
    """Puts a span around each call of a method."""

    def around(self, path: str, handle: Behaviour) -> Behaviour:
        """Return a handler that does the same within a span."""
        ...


class Guard:
    """Stands before every handler: size, deadline, credentials, roles, limits, parse; then the handler.

    `public` methods need no credentials; any other needs a grant. While a stream runs its caller is
    judged again every `recheck_seconds`. A unary call ends at the server's own deadline at the
    latest, a stream when its caller does not read what a handler yields. A domain error gets its status from the one table; anything else is INTERNAL with an id
    that the log holds too, without values. `counts` are kept of every call. Without `certificates`
    no client can show one, and none is looked for.
    """

    def __init__(
        self,
        policy: Policy,
        grants: Grants,
        public: Collection[str] = (),
        recheck_seconds: float = 15.0,
        *,
        limits: Limits | None = None,
        counts: Counts | None = None,
        tracing: Tracing | None = None,
        certificates: bool = True,
    ) -> None:
        self._limits, self.counts, self._tracing = limits or Limits(), counts or Counts(), tracing
        self._admission = Admission(policy, grants, public, self._limits, certificates=certificates)
        self._deadlines, self._streams = Deadlines(), Streams(self._limits)
        self._stalls = Stalls(self._limits.stall_seconds)
        self.recheck_seconds = recheck_seconds

    def guarded(self, path: str, handler: RpcHandler) -> RpcHandler:
        """Return a handler with everything before it that a call has to pass."""
        kind, make = KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
        handle = self._unary(path, handler) if kind == UNARY else self._stream(path, kind, handler)
        traced = self._tracing.around(path, handle) if self._tracing else handle
        made: RpcHandler = make(traced, None, None if kind == UNARY else _serialised)
        return made

    def _unary(self, path: str, handler: RpcHandler) -> Behaviour:
        # one flat function, with everything looked up beforehand: it runs at every call
        behaviour: Any = handler.unary_unary
        parse: Parse = handler.request_deserializer or bytes
        counts = self.counts.of(path, UNARY)
        outcome = Outcome(path, self.counts, counts)
        admit, deadlines = self._admission.door(path), self._deadlines
        seconds = self._limits.longer.get(path, self._limits.unary_seconds)
        most = self._limits.calls if not self._admission.is_public(path) else None
        monotonic, current_task = time.monotonic, cast(Any, asyncio.current_task)

        async def handle(request: bytes, context: Context) -> bytes:
            began, task = monotonic(), current_task()
            try:
                admit(context, began)
                if most is not None and len(deadlines) >= most:
                    raise CallLimit("the server runs as many calls as it takes at once; try again")
                deadlines.begin(task, began + seconds)
                counts.running += 1
                try:
                    answer = await behaviour(_parsed(request, parse), context)
                except asyncio.CancelledError:
                    if deadlines.is_over(task):
                        raise DeadlineExceeded(f"the call ran for {seconds:g} s") from None
                    raise
                finally:
                    counts.running -= 1
                    deadlines.end(task)
                answer = _serialised(answer)
            except BaseException as error:
                await outcome.bad(error, context, began)
            outcome.good(began)
            return answer

        return handle

    def _stream(self, path: str, kind: str, handler: RpcHandler) -> Behaviour:
        behaviour: Any = handler.unary_stream or handler.stream_unary or handler.stream_stream
        parse: Parse = handler.request_deserializer or bytes
        counts = self.counts.of(path, kind)
        outcome = Outcome(path, self.counts, counts)
        admit = self._admission.door(path)
        parsed = _parsed_each if handler.request_streaming else _parsed

        async def handle(request: Any, context: Context) -> Any:
            began = time.monotonic()
            try:
                principal, peer = admit(context, began)
                judge = partial(self._admission.judge, path, peer)
                with (
                    self._streams.one(principal.name, counts),
                    Rejudging(judge, self.recheck_seconds),
                ):
                    made = behaviour(parsed(request, parse), context)
                    answer = await _answered(made, context, self._stalls)
            except BaseException as error:
                await outcome.bad(error, context, began)
            outcome.good(began)
            return answer

        return handle


class Guarded(grpc.GenericRpcHandler):
    """Stands where a server takes its services, and guards each method once, when it is first called.

    An interceptor would do the same at a tenth of a cached read's cost.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._services: list[grpc.GenericRpcHandler] = []
        self._guarded: dict[str, RpcHandler] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take a service in."""
        self._services.extend(handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None:
        """Leave the methods to the generic handlers.

        grpc.aio waits for each registered method anew at every call, which costs a fifth of the rate.
        """

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "RpcHandler | None":
        """Return the guarded handler of a call; unknown methods stay UNIMPLEMENTED."""
        path = handler_call_details.method
        return self._guarded.get(path) or self._made(path, handler_call_details)

    def _made(self, path: str, details: grpc.HandlerCallDetails) -> "RpcHandler | None":
        found = (service.service(details) for service in self._services)
        handler = next(filter(None, found), None)
        if handler is None:
            self._guard.counts.of(UNKNOWN, UNARY).end("UNIMPLEMENTED", 0.0)
            return None
        return self._guarded.setdefault(path, self._guard.guarded(path, handler))


def _serialised(response: Any) -> bytes:
    """Return a response's bytes; what a handler serialised already passes as it is."""
    return response if isinstance(response, bytes) else bytes(response.SerializeToString())


def _parsed(request: bytes, parse: Parse) -> Any:
    try:
        return parse(request)
    except DecodeError:
        raise MalformedRequest("the request is no message of the expected type") from None


async def _parsed_each(requests: AsyncIterator[bytes], parse: Parse) -> AsyncIterator[Any]:
    async for request in requests:
        yield _parsed(request, parse)


async def _answered(answer: Any, context: Context, stalls: Stalls) -> Any:
    """Write what a handler yields; one that writes itself, or has one answer, is awaited."""
    if isawaitable(answer):
        return await answer
    async with aclosing(answer):
        async for response in answer:
            await _written(context.write(response), stalls)
    return None


async def _written(write: Awaitable[None], stalls: Stalls) -> None:
    try:
        await stalls.within(write)
    except TimeoutError:
        raise DeadlineExceeded(f"the caller has not read for {stalls.seconds:g} s") from None
