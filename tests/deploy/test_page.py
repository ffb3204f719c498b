"""What docs/deployment.md and docs/monitoring.md name is what stands in `deploy/`."""

import os
import re
from ipaddress import ip_address, ip_network

import kubernetes_validate
import pytest
from deploy.conftest import (
    MINORS,
    OVERLAYS,
    ROOT,
    Document,
    built,
    deployments,
    environment,
    of_kind,
    overlay,
    pod,
    rules,
    sources,
)
from docs.pages import anchors

from dedup_rpc.telemetry import ENDPOINT as OTLP

PORTS = re.compile(r"^\|[^|]*\| (\d+) \| (\d+) \|$", re.M)
"""Rows of two ports."""
PAGE = (ROOT / "docs/deployment.md").read_text()
MONITORING = (ROOT / "docs/monitoring.md").read_text()


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_page_names_every_secret_and_key(name: str) -> None:
    volumes = [
        one for deployment in deployments(name).values() for one in pod(deployment)["volumes"]
    ]
    found = [source for volume in volumes for source in sources(volume)]
    assert len(found) >= 5
    for source in found:
        assert f"`{source['name']}`" in PAGE
        assert all(f"`{item['key']}`" in PAGE for item in source["items"])


def test_the_page_explains_every_alert_and_no_other() -> None:
    named = [name for row in explained() for name in re.findall(r"`([A-Za-z]+)`", row[1])]
    assert sorted(named) == sorted(rule["alert"] for rule in rules())


def test_an_alert_s_runbook_is_the_one_of_the_page_and_there() -> None:
    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook"].removeprefix("docs/").partition("#")
        assert anchor in anchors(page), rule
        link = f"#{anchor}" if page == "monitoring.md" else f"{page}#{anchor}"
        (row,) = (row for row in explained() if f"`{rule['alert']}`" in row[1])
        assert f"]({link})" in row[3]


def explained() -> list[list[str]]:
    """Return the rows of the table of alerts, by columns from 1 on."""
    table = MONITORING.partition("| alert | means | do |\n|---|---|---|\n")[2].partition("\n\n")[0]
    return [row.split("|") for row in table.splitlines()]


def test_the_page_names_the_ports() -> None:
    for number, name in enumerate(("grpc", "health", "metrics")):
        row = PORTS.findall(PAGE)[number]
        for service, shown in zip(("config-service", "matcher-service"), row, strict=True):
            (container,) = pod(deployments("dev")[service])["containers"]
            ports = {one["name"]: one["containerPort"] for one in container["ports"]}
            assert ports[name] == int(shown)


def test_namespaces_are_let_in_by_the_labels_that_the_page_gives() -> None:
    labels = {
        f"{label}={value}"
        for policy in of_kind(overlay("production"), "NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for source in rule["from"]
        for label, value in source.get("namespaceSelector", {}).get("matchLabels", {}).items()
        if label.startswith("event-dedup/")
    }
    assert len(labels) == 2
    assert all(f"`{label}`" in PAGE for label in labels)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, ...]:
    """What the page's own folder makes, which takes the components in."""
    folder = tmp_path_factory.mktemp("own")
    (shown,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", PAGE, re.S)
    (folder / "kustomization.yaml").write_text(
        shown.replace("deploy/", f"{os.path.relpath(ROOT, folder)}/deploy/")
    )
    return built(folder)


def named(documents: tuple[Document, ...], kind: str) -> dict[str, Document]:
    return {one["metadata"]["name"]: one for one in of_kind(documents, kind)}


@pytest.mark.parametrize("minor", MINORS)
def test_what_components_add_is_valid(own: tuple[Document, ...], minor: str) -> None:
    there, made = (named(one, "NetworkPolicy") for one in (overlay("production"), own))
    assert made.keys() - there.keys() == {"language-model", "otlp"}
    for document in (*made.values(), *of_kind(own, "Deployment")):
        kubernetes_validate.validate(document, minor, strict=True)


def test_traces_go_where_the_page_says_and_may(own: tuple[Document, ...]) -> None:
    for service, deployment in named(own, "Deployment").items():
        (container,) = pod(deployment)["containers"]
        added = {OTLP: "http://otel-collector.monitoring:4317"}
        before = environment(pod(deployments("production")[service])["containers"][0])
        assert environment(container) == before | added
        assert f"`{added[OTLP]}`" in PAGE
    spec = named(own, "NetworkPolicy")["otlp"]["spec"]
    assert (spec["podSelector"], spec["policyTypes"]) == ({}, ["Egress"])
    (rule,) = spec["egress"]
    (peer,) = rule["to"]
    assert peer == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    }
    assert rule["ports"] == [{"protocol": "TCP", "port": 4317}]


def test_a_way_to_the_language_model_leads_to_nothing_inside(own: tuple[Document, ...]) -> None:
    policy = named(own, "NetworkPolicy")["language-model"]
    assert policy["spec"]["policyTypes"] == ["Egress"]
    assert not reaches(policy, "10.1.2.3")
    assert not reaches(policy, "192.168.1.1")
    assert not reaches(policy, "169.254.169.254")
    assert not reaches(policy, "fd00::1")
    assert reaches(policy, "93.184.216.34")
    assert reaches(policy, "2606:4700::1")


def reaches(policy: Document, address: str) -> bool:
    """Tell whether a policy of addresses lets pods reach one."""
    (rule,) = policy["spec"]["egress"]
    blocks = [one["ipBlock"] for one in rule["to"]]
    return any(
        is_in(address, block["cidr"]) and not any(is_in(address, one) for one in block["except"])
        for block in blocks
    )


def is_in(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)
