"""What docs/deployment.md and docs/monitoring.md name is what stands in `deploy/`."""

import os
import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import kubernetes_validate
import pytest
from deploy.conftest import (
    MINORS,
    OVERLAYS,
    ROOT,
    Document,
    built,
    deployments,
    of_kind,
    overlay,
    pod,
    rules,
    sources,
)

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
    table = MONITORING.partition("| alert | means |")[2]
    assert set(re.findall(r"`([A-Z][A-Za-z]+)`", table)) == {rule["alert"] for rule in rules()}


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


def test_a_way_to_the_language_model_is_taken_in_as_the_page_says(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", PAGE, re.S)
    (tmp_path / "kustomization.yaml").write_text(
        shown.replace("deploy/", f"{os.path.relpath(ROOT, tmp_path)}/deploy/")
    )
    documents = built(tmp_path)
    kinds = len(of_kind(overlay("production"), "NetworkPolicy"))
    policies = {one["metadata"]["name"]: one for one in of_kind(documents, "NetworkPolicy")}
    assert len(policies) == kinds + 1
    policy = policies["language-model"]
    kubernetes_validate.validate(policy, MINORS[0], strict=True)
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
