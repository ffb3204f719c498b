"""Metrics as Prometheus scrapes them."""

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rpc.guarded import GRANTS, ByName, eventually, refusal, serving

from dedup_model.errors import KeyringUnavailable
from dedup_rpc.guard import Guard
from dedup_rpc.telemetry import Telemetry, TelemetryEnv

Scraped = dict[tuple[str, tuple[tuple[str, str], ...]], float]
TRAITS = {"grpc_type": "unary", "grpc_service": "t.T", "grpc_method": "Echo"}


def scraped(address: str | None) -> Scraped:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


@pytest.fixture
async def telemetry() -> AsyncIterator[Telemetry]:
    made = Telemetry(TelemetryEnv(metrics_address="127.0.0.1:0"), "test")
    yield made
    await made.close()


@pytest.fixture
async def scrape(telemetry: Telemetry) -> Callable[[], Any]:
    address = telemetry.start()
    return lambda: asyncio.to_thread(scraped, address)


def guard(telemetry: Telemetry) -> Guard:
    return Guard(ByName(), GRANTS, counts=telemetry.counts)


async def test_calls_are_counted_by_method_and_code(
    telemetry: Telemetry, scrape: Callable[[], Any]
) -> None:
    async with serving(guard(telemetry)) as (caller, _):
        for _ in range(3):
            await caller.unary("Echo")
        await refusal(caller.unary("Echo", "wrong"))
        await refusal(caller.unary("Nothing"))
    found = await scrape()
    handled = "grpc_server_handled_total"
    assert found[key(handled, grpc_code="OK", **TRAITS)] == 3
    assert found[key(handled, grpc_code="UNAUTHENTICATED", **TRAITS)] == 1
    unknown = {"grpc_service": "unknown", "grpc_method": "unknown"}
    assert found[key(handled, grpc_code="UNIMPLEMENTED", **(TRAITS | unknown))] == 1
    assert found[key("eventdedup_refused_credentials_total", reason="UNAUTHENTICATED")] == 1


async def test_latencies_fill_a_histogram(telemetry: Telemetry, scrape: Callable[[], Any]) -> None:
    async with serving(guard(telemetry)) as (caller, handlers):
        call = caller.unary("Wait")
        running = telemetry.counts.of("/t.T/Wait", "unary")
        await eventually(lambda: running.running == 1)
        await asyncio.sleep(0.06)
        handlers.release.set()
        await call
    found, traits = await scrape(), TRAITS | {"grpc_method": "Wait"}
    seconds = "grpc_server_handling_seconds"
    assert found[key(f"{seconds}_bucket", le="0.05", **traits)] == 0
    assert found[key(f"{seconds}_bucket", le="10.0", **traits)] == 1
    assert found[key(f"{seconds}_bucket", le="+Inf", **traits)] == 1
    assert found[key(f"{seconds}_count", **traits)] == 1
    assert 0.05 < found[key(f"{seconds}_sum", **traits)] < 10


async def test_calls_and_streams_in_flight_are_gauges(
    telemetry: Telemetry, scrape: Callable[[], Any]
) -> None:
    name = "grpc_server_in_flight"
    wait = key(name, **(TRAITS | {"grpc_method": "Wait"}))
    watch = key(name, **(TRAITS | {"grpc_method": "Watch", "grpc_type": "server_stream"}))
    async with serving(guard(telemetry)) as (caller, handlers):
        streams, call = [caller.watch() for _ in range(3)], caller.unary("Wait")
        for stream in streams:
            await stream.read()
        running = telemetry.counts.of("/t.T/Wait", "unary")
        await eventually(lambda: running.running == 1)
        found = await scrape()
        assert (found[wait], found[watch]) == (1, 3)
        handlers.release.set()
        await call
        for stream in streams:
            assert await stream.read() == b"last"
        await eventually(lambda: not any(m.running for m in telemetry.counts.methods.values()))
    found = await scrape()
    assert (found[wait], found[watch]) == (0, 0)


async def test_a_service_adds_gauges_that_are_read_at_each_scrape(
    telemetry: Telemetry, scrape: Callable[[], Any]
) -> None:
    numbers = {("k1",): 3.0}
    telemetry.metrics.gauge("revision", "The head", lambda: 7)
    telemetry.metrics.gauges("cells", "Cells by key", ("key_id",), lambda: numbers)
    found = await scrape()
    assert (found[key("revision")], found[key("cells", key_id="k1")]) == (7, 3)
    numbers["k2",] = 1
    assert (await scrape())[key("cells", key_id="k2")] == 1


@pytest.mark.parametrize("error", [KeyringUnavailable("sealed"), ZeroDivisionError("x")])
async def test_a_gauge_that_cannot_be_read_is_left_out_and_the_others_stay(
    telemetry: Telemetry, scrape: Callable[[], Any], error: Exception
) -> None:
    def fail() -> float:
        raise error

    telemetry.metrics.gauge("broken", "Not there", fail)
    telemetry.metrics.gauge("whole", "There", lambda: 1)
    found = await scrape()
    assert key("broken") not in found
    assert found[key("whole")] == 1


async def test_the_process_tells_its_memory_and_descriptors(scrape: Callable[[], Any]) -> None:
    found = await scrape()
    assert found[key("process_resident_memory_bytes")] > 1e6
    assert found[key("process_open_fds")] > 3


async def test_two_servers_in_one_process_share_no_metric(telemetry: Telemetry) -> None:
    other = Telemetry(TelemetryEnv(metrics_address="127.0.0.1:0"), "test")
    address = other.start()
    telemetry.metrics.gauge("mine", "Mine alone", lambda: 1)
    try:
        assert key("mine") not in await asyncio.to_thread(scraped, address)
    finally:
        await other.close()


async def test_a_connection_that_says_nothing_holds_no_scrape_up(telemetry: Telemetry) -> None:
    address = telemetry.start()
    assert address
    host, _, port = address.rpartition(":")
    with closing(socket.create_connection((host, int(port)))):
        assert await asyncio.to_thread(scraped, address)


async def test_a_taken_port_is_refused_loudly(telemetry: Telemetry) -> None:
    other = Telemetry(TelemetryEnv(metrics_address=telemetry.start()), "test")
    with pytest.raises(OSError, match=r"metrics cannot listen on 127\.0\.0\.1:"):
        other.start()


async def test_without_an_address_no_port_is_open() -> None:
    assert Telemetry(TelemetryEnv(), "test").start() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONFIG_METRICS_ADDRESS", "canary"),
        ("CONFIG_METRICS_ADDRESS", "127.0.0.1:canary"),
        ("LOG_FORMAT", "canary"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "canary:4317"),
    ],
)
def test_a_bad_variable_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        TelemetryEnv.read({name: value}, "CONFIG")
    assert "canary" not in str(caught.value)


def test_variables_that_are_set_count() -> None:
    variables = {
        "CONFIG_METRICS_ADDRESS": "[::1]:9090",
        "LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
    }
    found = TelemetryEnv.read(variables, "CONFIG")
    assert found == TelemetryEnv("[::1]:9090", "http://127.0.0.1:4317", "json")
    assert TelemetryEnv.read({}, "CONFIG") == TelemetryEnv()
