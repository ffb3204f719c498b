"""OpenTelemetry traces: a span around each call of a server, sent to a collector."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from dedup_rpc.trace_context import trace_of

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behaviour: TypeAlias = Callable[[Any, Context], Awaitable[Any]]

FLUSH_SECONDS = 2.0
OK, CANCELLED = 0, 1
FAULTS = frozenset(
    code.value[0]
    for code in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)
"""Statuses that are the server's fault; the others are answers."""


class Tracing:
    """One span a call, joined to the caller's `traceparent`; names and status alone, no values."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider, self._tracer = provider, provider.get_tracer("event_dedup")

    @classmethod
    def to_collector(cls, service: str, endpoint: str) -> "Tracing":
        """Send spans to an OTLP collector, over gRPC, from a thread of their own."""
        resource = Resource({"service.name": service}).merge(OTELResourceDetector().detect())
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        return cls(provider)

    def around(self, path: str, handle: Behaviour) -> Behaviour:
        """Return a handler that does the same within a span."""
        name = path.lstrip("/")
        service, _, method = name.rpartition("/")
        facts = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}

        async def traced(request: Any, context: Context) -> Any:
            with self._tracer.start_as_current_span(
                name,
                trace_of(context.invocation_metadata() or ()),
                SpanKind.SERVER,
                facts,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    answer = await handle(request, context)
                except BaseException as error:
                    _fail(span, context, error)
                    raise
                span.set_attribute("rpc.grpc.status_code", OK)
                return answer

        return traced

    async def close(self) -> None:
        """Send what is left, for at most two seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_SECONDS)


def _fail(span: trace.Span, context: Context, error: BaseException) -> None:
    code: Any = CANCELLED if isinstance(error, asyncio.CancelledError) else context.code()
    number = code if isinstance(code, int) else code.value[0]
    span.set_attribute("rpc.grpc.status_code", number)
    if number in FAULTS:
        span.set_status(Status(StatusCode.ERROR))
