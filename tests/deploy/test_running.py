"""What is deployed, run: services as compose file and manifests say, their probes, metrics and alerts."""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import promql_parser
import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from deploy.conftest import (
    DEPLOY,
    PATHS,
    ROOT,
    compose,
    dashboard,
    deployments,
    environment,
    maintenance,
    of_kind,
    overlay,
    pod,
    rules,
    sources,
)
from deploy.running import Place, Running, command, serving, until_healthy
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ports import free_ports
from security.conftest import Authority

from dedup_rpc.channel import Credentials, connect_aio
from dedup_rpc.client import AsyncConfigClient
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
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
PAGE = ROOT / "docs/deployment.md"
PROMETHEUS = {"up"}
"""Metrics that Prometheus makes itself."""
PRINCIPALS = re.findall(r"^```yaml\n(principals:.*?)^```", PAGE.read_text(), re.S | re.M)
"""What the page puts into authz.yaml of both services."""
USAGES = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
CERTIFICATES = [
    yaml.safe_load(text)
    for text in re.findall(
        r"^```yaml\n(apiVersion: cert-manager.*?)^```", PAGE.read_text(), re.S | re.M
    )
]
"""Those of people that the page shows."""
TARGET = {"job", "namespace", "pod"}
"""Labels that Prometheus adds to what it scrapes."""
Scraped = dict[str, set[frozenset[tuple[str, str]]]]


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
        request = ParseDict({"listings": LISTINGS}, pb.DeduplicateBatchRequest())
        stub: Any = MatcherServiceStub(channel)
        return await stub.DeduplicateBatch(request, timeout=30)


async def until_reported(client: AsyncConfigClient) -> None:
    """Wait until the matcher has told of its batch, which it does in the background."""
    async with asyncio.timeout(60):
        while not (await client.clients()).clients:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


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
    assert answer.summary.run.source == pb.CONFIG_SOURCE_LIVE
    operator = Credentials(ca, token_file=secrets / "operator.token")
    async with AsyncConfigClient(config.address, operator) as client:
        await client.update({"thresholds.high": 0.8})
        await until_reported(client)
    with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
        await deduplicated(matcher, Credentials(ca))
    for name in ("dev", "production", "mtls"):
        for service, deployment in deployments(name).items():
            (container,) = pod(deployment)["containers"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container[probe]["grpc"].get("service", "")
                found = await probed(composed[service], asked)
                assert found == health_pb2.HealthCheckResponse.SERVING
    known = merged([await asyncio.to_thread(one.scraped) for one in composed.values()])
    for query in (*alert_queries(), *dashboard_queries()):
        found = list(selectors(promql_parser.parse(query)))
        assert found, query
        for selector in found:
            assert_known(selector, known)


def alert_queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())


def dashboard_queries() -> Iterator[str]:
    """Yield the dashboard's queries with what Grafana would put in its variables' places."""
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$namespace", ".*").replace("$__rate_interval", "1m")


def selectors(expression: Any) -> Iterator[Any]:
    """Yield every choice of a metric in a query."""
    match expression:
        case promql_parser.VectorSelector():
            yield expression
        case promql_parser.MatrixSelector():
            yield expression.vector_selector
        case promql_parser.BinaryExpr():
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case promql_parser.Call():
            for argument in expression.args:
                yield from selectors(argument)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr():
            yield from selectors(expression.expr)
        case _:
            assert isinstance(expression, promql_parser.NumberLiteral), expression


def merged(scraped: list[Scraped]) -> Scraped:
    names = {name for one in scraped for name in one}
    return {name: set().union(*(one.get(name, set()) for one in scraped)) for name in names}


def assert_known(selector: Any, known: Scraped) -> None:
    """A metric is one that a scrape shows, and so are the labels by which it is chosen."""
    assert selector.name in known.keys() | PROMETHEUS, selector
    labels = {label for sample in known.get(selector.name, ()) for label in sample}
    for matcher in selector.matchers.matchers:
        if matcher.name not in TARGET:
            assert matcher.name in {name for name, _ in labels}, selector
            if matcher.op == promql_parser.MatchOp.Equal:
                assert (matcher.name, matcher.value) in labels, selector


def test_the_operator_gets_the_same_alerts_as_prometheus() -> None:
    (rule,) = of_kind(overlay("production"), "PrometheusRule")
    groups = yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text())
    assert rule["spec"] == groups
    names = [one["alert"] for one in rules()]
    assert len(set(names)) == len(names)
    for one in rules():
        assert one["labels"]["severity"] in {"info", "warning", "critical"}
        assert {"summary", "description", "runbook"} == set(one["annotations"])


def test_the_dashboard_is_delivered_whole() -> None:
    (config_map,) = of_kind(overlay("production"), "ConfigMap")
    assert json.loads(config_map["data"]["event-dedup.json"]) == dashboard()
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_panels_of_the_dashboard_stand_side_by_side() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    for panel in panels:
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        assert panel["datasource"]["uid"] == "${datasource}"


@pytest.fixture
def next_authority(tmp_path: Path) -> Authority:
    """The CA to which a cluster changes over."""
    (tmp_path / "next").mkdir()
    return Authority(tmp_path / "next", "next-ca")


def trusted(*authorities: Authority) -> Path:
    """Write a file of several CAs."""
    path = authorities[-1].folder / "both.crt"
    path.write_text("".join(one.file.read_text() for one in authorities))
    return path


@pytest.fixture
async def in_cluster(
    secrets: Path, tmp_path: Path, database: str, authority: Authority, next_authority: Authority
) -> AsyncIterator[dict[str, Running]]:
    """The pair of the overlay `mtls` on PostgreSQL, with volumes laid out from its Secrets."""
    held = secrets_of(made_for(secrets, tmp_path / "made", database))
    held |= dict(certified(authority))
    held["event-dedup-trust"] = {"ca.crt": encoded(trusted(authority, next_authority))}
    (port,) = free_ports(1)
    variables, places = {}, {}
    for service, deployment in deployments("mtls").items():
        (container,) = pod(deployment)["containers"]
        folders = dict(volumes(pod(deployment), container, held, tmp_path / service))
        variables[service], places[service] = environment(container), Place(folders, port)
    async with pair(variables, places, tmp_path) as running:
        yield running


def made_for(secrets: Path, folder: Path, database: str) -> Path:
    """Copy the secrets of a trial, with another database, and principals that have certificates."""
    shutil.copytree(secrets, folder)
    (folder / "database-url").write_text(database)
    for service, principals in zip(("config", "matcher"), PRINCIPALS, strict=True):
        (folder / f"{service}-authz.yaml").write_text(principals)
    return folder


def certified(authority: Authority) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the Secrets that cert-manager would make, for this machine's name besides."""
    for one in of_kind(overlay("mtls"), "Certificate"):
        spec = one["spec"]
        names = [x509.UniformResourceIdentifier(uri) for uri in spec.get("uris", ())]
        hosts = [x509.DNSName(name) for name in (*spec["dnsNames"], "localhost")]
        usages = [USAGES[usage] for usage in spec["usages"] if usage in USAGES]
        cert, key = authority.issue(one["metadata"]["name"], [*names, *hosts], usages=usages)
        files = {"tls.crt": cert, "tls.key": key, "ca.crt": authority.file}
        yield spec["secretName"], {name: encoded(path) for name, path in files.items()}


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def secrets_of(folder: Path) -> dict[str, dict[str, str]]:
    """Return what `secrets.sh` would put into the cluster, by name and key."""
    command = [str(DEPLOY / "k8s/secrets.sh"), str(folder)]
    done = subprocess.run(
        command, env=os.environ | PATHS, capture_output=True, check=True, timeout=60
    )
    documents = [one for one in yaml.safe_load_all(done.stdout) if one]
    return {one["metadata"]["name"]: one["data"] for one in documents}


def volumes(
    pod: Any, container: Any, held: dict[str, dict[str, str]], folder: Path
) -> Iterator[tuple[str, Path]]:
    """Lay a pod's volumes out in a folder; yields where each is mounted, and its place."""
    by_name = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        place = folder / mount["name"]
        place.mkdir(parents=True)
        for source in sources(by_name[mount["name"]]):
            secret = held[source["name"]]
            for item in source["items"]:
                (place / item["path"]).write_bytes(base64.b64decode(secret[item["key"]]))
        yield mount["mountPath"], place


async def test_the_pair_in_a_cluster_runs_on_its_secrets_and_certificates(
    in_cluster: dict[str, Running], authority: Authority, next_authority: Authority
) -> None:
    config, matcher = in_cluster["config-service"], in_cluster["matcher-service"]
    caller = [x509.UniformResourceIdentifier("spiffe://event-dedup/caller")]
    for ca in (authority, next_authority):
        own = Credentials(authority.file, *ca.issue("caller", caller))
        answer = await deduplicated(matcher, own)
        assert answer.summary.run.source == pb.CONFIG_SOURCE_LIVE
    (shown,) = CERTIFICATES
    names = list(map(x509.UniformResourceIdentifier, shown["spec"]["uris"]))
    usages = [USAGES[usage] for usage in shown["spec"]["usages"] if usage in USAGES]
    anna = Credentials(authority.file, *authority.issue("anna", names, usages=usages))
    async with AsyncConfigClient(config.address, anna) as client:
        assert (await client.update({"thresholds.high": 0.8})).changed
    assert (await deduplicated(matcher, anna)).summary.run.revision == 2
    with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
        await deduplicated(matcher, Credentials(authority.file))
    assert list(Path(matcher.variables["MATCHER_STATE_DIR"]).iterdir())


@pytest.mark.parametrize("name", ["dev", "production"])
def test_the_secrets_of_a_trial_are_those_that_pods_mount(
    name: str, secrets: Path, tmp_path: Path
) -> None:
    held = secrets_of(secrets)
    pods = {service: pod(deployment) for service, deployment in deployments(name).items()}
    for service, spec in {**pods, "tools": maintenance(name)["spec"]}.items():
        (container,) = spec["containers"]
        laid = dict(volumes(spec, container, held, tmp_path / service))
        place = Place(laid, 0)
        for variable, value in environment(container).items():
            if variable.endswith("_FILE"):
                assert Path(place.here(value)).is_file(), variable
