"""Which trace a call belongs to, as the headers that carry it from one service to the next."""

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADERS = ("traceparent", "tracestate")
_PROPAGATOR = TraceContextTextMapPropagator()


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Return the metadata that joins a call to the current span; empty when there is none."""
    if not trace.get_current_span().get_span_context().is_valid:
        return ()
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return tuple(carrier.items())


def trace_of(metadata: Iterable[tuple[str, Any]]) -> Context:
    """Return the trace that a call's metadata names; an empty one when it names none, or a bad one."""
    return _PROPAGATOR.extract({key: value for key, value in metadata if key in HEADERS})


def trace_ids() -> Mapping[str, str]:
    """Return `trace_id` and `span_id` of the current span; empty when there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
