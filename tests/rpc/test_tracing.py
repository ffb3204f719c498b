"""Spans around the calls of a server, and the header that joins calls of one service to another."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from rpc.guarded import GRANTS, ByName, eventually, refusal, serving

from dedup_rpc.client import AsyncConfigClient, ConfigClient
from dedup_rpc.guard import Guard
from dedup_rpc.telemetry import Telemetry, TelemetryEnv
from dedup_rpc.trace_context import trace_metadata
from dedup_rpc.tracing import FLUSH_SECONDS, Tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "do-not-show-me"


class Spans:
    """Spans as they end."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def spans() -> Spans:
    return Spans()


def traced(spans: Spans) -> Guard:
    return Guard(ByName(), GRANTS, tracing=Tracing(spans.provider))


async def test_a_call_is_one_span_with_names_and_status_and_no_values(spans: Spans) -> None:
    async with serving(traced(spans)) as (caller, handlers):
        handlers.echo = lambda _: SECRET.encode()
        await caller.unary("Echo")
    (span,) = spans.all()
    assert (span.name, span.kind, span.parent) == ("t.T/Echo", SpanKind.SERVER, None)
    assert span.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "t.T",
        "rpc.method": "Echo",
        "rpc.grpc.status_code": 0,
    }
    assert SECRET not in span.to_json()


async def test_a_call_joins_the_trace_that_its_metadata_names(spans: Spans) -> None:
    async with serving(traced(spans)) as (caller, _):
        metadata = [("authorization", "anna"), ("traceparent", PARENT)]
        await caller.channel.unary_unary("/t.T/Echo")(b"", metadata=metadata)
        metadata[1] = ("traceparent", "00-garbage")
        await caller.channel.unary_unary("/t.T/Echo")(b"", metadata=metadata)
    joined, alone = spans.all()
    assert joined.parent
    assert f"{joined.parent.trace_id:032x}-{joined.parent.span_id:016x}" == PARENT[3:-3]
    assert alone.parent is None


async def test_failures_show_as_status_without_any_text(spans: Spans) -> None:
    def fail(_: bytes) -> bytes:
        raise ValueError(SECRET)

    async with serving(traced(spans)) as (caller, handlers):
        handlers.echo = fail
        await refusal(caller.unary("Echo"))
        await refusal(caller.unary("Echo", "wrong"))
        call = caller.unary("Wait")
        await asyncio.sleep(0.2)
        call.cancel()
        await eventually(lambda: len(spans.all()) == 3)
    found = [(span.attributes or {}).get("rpc.grpc.status_code") for span in spans.all()]
    assert found == [13, 16, 1]
    assert [span.status.is_ok for span in spans.all()] == [False, True, True]
    assert all(not span.events and SECRET not in span.to_json() for span in spans.all())


async def test_a_stream_is_one_span_from_begin_to_end(spans: Spans) -> None:
    async with serving(traced(spans)) as (caller, handlers):
        stream = caller.watch()
        assert await stream.read() == b"first"
        assert not spans.all()
        handlers.release.set()
        assert await stream.read() == b"last"
        await eventually(lambda: len(spans.all()) == 1)
    assert (spans.all()[0].attributes or {})["rpc.grpc.status_code"] == 0


async def test_a_handlers_own_calls_carry_the_trace_on(spans: Spans) -> None:
    async with serving(traced(spans)) as (caller, handlers):
        sent: list[Any] = []
        handlers.echo = lambda _: sent.append(trace_metadata()) or b""
        await caller.unary("Echo")
    ((name, value),) = sent[0]
    context = spans.all()[0].context
    assert (name, value[3:-3]) == ("traceparent", f"{context.trace_id:032x}-{context.span_id:016x}")


def test_outside_of_a_span_nothing_is_sent() -> None:
    assert trace_metadata() == ()


@pytest.fixture
async def collector() -> AsyncIterator[tuple[str, list[otlp.ExportTraceServiceRequest]]]:
    """A collector that speaks OTLP, and what it received."""
    received: list[otlp.ExportTraceServiceRequest] = []

    def take(request: otlp.ExportTraceServiceRequest, _: Any) -> otlp.ExportTraceServiceResponse:
        received.append(request)
        return otlp.ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        take,
        otlp.ExportTraceServiceRequest.FromString,
        otlp.ExportTraceServiceResponse.SerializeToString,
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        handlers = grpc.method_handlers_generic_handler(service, {"Export": handler})
        server.add_generic_rpc_handlers((handlers,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"http://127.0.0.1:{port}", received
        await asyncio.to_thread(server.stop(0).wait)


async def test_spans_reach_a_collector_under_the_services_name(collector: Any) -> None:
    endpoint, received = collector
    telemetry = Telemetry(TelemetryEnv(endpoint=endpoint), "config-service")
    guard = Guard(ByName(), GRANTS, counts=telemetry.counts, tracing=telemetry.tracing)
    async with serving(guard) as (caller, _):
        await caller.unary("Echo")
    await telemetry.close()
    (resource,) = received[0].resource_spans
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert names["service.name"] == "config-service"
    assert [span.name for span in resource.scope_spans[0].spans] == ["t.T/Echo"]


async def test_a_collector_that_is_not_there_costs_no_call_and_holds_no_shutdown_up() -> None:
    telemetry = Telemetry(TelemetryEnv(endpoint="http://127.0.0.1:1"), "config-service")
    guard = Guard(ByName(), GRANTS, tracing=telemetry.tracing)
    async with serving(guard) as (caller, _):
        assert await caller.unary("Echo") == b"x"
    began = time.monotonic()
    await telemetry.close()
    assert time.monotonic() - began < FLUSH_SECONDS + 1


def test_without_an_endpoint_nothing_traces() -> None:
    assert Telemetry(TelemetryEnv(), "config-service").tracing is None


@pytest.mark.parametrize("kind", [ConfigClient, AsyncConfigClient])
async def test_both_clients_join_their_calls_to_the_current_span(spans: Spans, kind: Any) -> None:
    seen: list[dict[str, Any]] = []

    async def got(_: bytes, context: Any) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        return b""

    handler = grpc.unary_unary_rpc_method_handler(got)
    server = grpc.aio.server()
    service = "eventdedup.config.v1.ConfigService"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"ListClients": handler}),)
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()

    async def call() -> None:
        if kind is AsyncConfigClient:
            async with AsyncConfigClient(address) as client:
                await client.clients()
        else:
            with ConfigClient(address) as client:
                await asyncio.to_thread(client.clients)

    with spans.provider.get_tracer("test").start_as_current_span("batch") as span:
        await call()
    await call()
    await server.stop(0)
    assert f"{span.get_span_context().trace_id:032x}" in seen[0]["traceparent"]
    assert "traceparent" not in seen[1]
