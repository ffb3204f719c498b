"""What docs/deployment.md names is what stands in `deploy/`."""

import re

import pytest
from deploy.conftest import OVERLAYS, ROOT, deployments, of_kind, overlay, pod, rules

PORTS = re.compile(r"^\|[^|]*\| (\d+) \| (\d+) \|$", re.M)
"""Rows of two ports."""
PAGE = (ROOT / "docs/deployment.md").read_text()


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_page_names_every_secret_and_key(name: str) -> None:
    sources = []
    for deployment in deployments(name).values():
        for volume in pod(deployment)["volumes"]:
            sources += [one["secret"] for one in volume.get("projected", {}).get("sources", ())]
            sources += [volume["secret"]] if "secret" in volume else []
    assert len(sources) >= 5
    for source in sources:
        assert f"`{source.get('name') or source['secretName']}`" in PAGE
        assert all(f"`{item['key']}`" in PAGE for item in source["items"])


def test_the_page_explains_every_alert_and_no_other() -> None:
    table = PAGE.partition("| alert | means |")[2]
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
