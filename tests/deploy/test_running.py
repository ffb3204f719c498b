"""What is deployed, run: services as compose file and manifests say, their probes, metrics and alerts."""

import asyncio
import base64
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from deploy.conftest import (
    DEPLOY,
    PATHS,
    compose,
    dashboard,
    deployments,
    environment,
    of_kind,
    overlay,
    pod,
    rules,
)
from deploy.running import Place, Running, command, free_ports, serving, until_healthy
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dedup_rpc.channel import Credentials, connect_aio
from dedup_rpc.client import AsyncConfigClient
from eventdedup.matcher.v1.matcher_service_pb2 import DeduplicateBatchRequest
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

LISTINGS = [
    {
        "id": name,
        "title": "Fasnetsumzug",
        "event_dates": [{"date": "2026-02-15"}],
        "location": {"city": "Lahr"},
    }
    for name in "ab"
]
PROMETHEUS = {"up"}
"""Metrics that Prometheus makes itself."""


@asynccontextmanager
async def pair(
    variables: dict[str, dict[str, str]], places: dict[str, Place], folder: Path
) -> AsyncIterator[dict[str, Running]]:
    """Migrate, then run both services; yields them when their health commands are content."""
    async with AsyncExitStack() as stack:
        running = {}
        for service, given in variables.items():
            if service == "config-service":
                here = {name: places[service].here(value) for name, value in given.items()}
                done = await asyncio.to_thread(command, service, here, "migrate")
                assert done.returncode == 0, done.stderr
            log = folder / f"{service}.log"
            started = serving(service, given, places[service], log)
            running[service] = stack.enter_context(started)
        await asyncio.gather(*map(until_healthy, running.values()))
        yield running


@pytest.fixture
async def composed(secrets: Path, tmp_path: Path) -> AsyncIterator[dict[str, Running]]:
    """The pair of the compose file, on a SQLite file in PostgreSQL's place."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, secret in compose()["secrets"].items():
        content = (DEPLOY / secret["file"]).name
        (folder / name).write_bytes((secrets / content).read_bytes())
    (folder / "database-url").write_text(f"sqlite:///{tmp_path / 'config.db'}\n")
    state = tmp_path / "state"
    state.mkdir()
    place = Place({"/run/secrets": folder, "/state": state}, *free_ports(1))
    services = {
        name: compose()["services"][name]["environment"]
        for name in ("config-service", "matcher-service")
    }
    async with pair(services, dict.fromkeys(services, place), tmp_path) as running:
        yield running


async def deduplicated(running: Running, credentials: Credentials) -> Any:
    async with connect_aio(running.address, credentials) as channel:
        request = ParseDict({"listings": LISTINGS}, DeduplicateBatchRequest())
        stub: Any = MatcherServiceStub(channel)
        return await stub.DeduplicateBatch(request, timeout=30)


async def probed(running: Running, service: str) -> int:
    """Return the status that the kubelet's probe of `service` gets."""
    async with connect_aio(running.health) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_the_composed_pair_answers_probes_calls_scrapes_and_knows_what_alerts_ask(
    composed: dict[str, Running], secrets: Path
) -> None:
    config, matcher = composed["config-service"], composed["matcher-service"]
    ca = secrets / "ca.crt"
    answer = await deduplicated(matcher, Credentials(ca, token_file=secrets / "caller.token"))
    assert answer.started.source == "live"
    operator = Credentials(ca, token_file=secrets / "operator.token")
    async with AsyncConfigClient(config.address, operator) as client:
        await client.update({"thresholds.high": 0.8})
    for name in ("dev", "production", "mtls"):
        for service, deployment in deployments(name).items():
            (container,) = pod(deployment)["containers"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container[probe]["grpc"].get("service", "")
                found = await probed(composed[service], asked)
                assert found == health_pb2.HealthCheckResponse.SERVING
    scraped = [await asyncio.to_thread(one.scraped) for one in composed.values()]
    known = {name: scraped[0].get(name, set()) | scraped[1].get(name, set()) for one in scraped for name in one}
    for query in (*alert_queries(), *dashboard_queries()):
        for selector in selectors(promql_parser.parse(query)):
            assert selector.name in known.keys() | PROMETHEUS, query
