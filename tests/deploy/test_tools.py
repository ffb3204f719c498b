"""The pod of `deploy/k8s/tools`, and what the runbooks say of work in a cluster."""

import re

import kubernetes_validate
import pytest
from deploy.conftest import (
    MINORS,
    OVERLAYS,
    ROOT,
    Document,
    deployments,
    environment,
    maintenance,
    of_kind,
    overlay,
    pod,
    selected,
    sources,
)
from docs.pages import blocks

TYPED = "\n".join(
    block.text for block in blocks("operations.md") if block.heading == "In a cluster"
)


def migration(name: str) -> Document:
    """Return the container that does in a server's pod what the operator does by hand."""
    (found,) = pod(deployments(name)["config-service"])["initContainers"]
    return dict(found)


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_it_is_valid_in_every_supported_minor(name: str, minor: str) -> None:
    kubernetes_validate.validate(maintenance(name), minor, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_is_as_restricted_as_a_server_and_ends_by_itself(name: str) -> None:
    spec, server = maintenance(name)["spec"], pod(deployments(name)["config-service"])
    for field in ("securityContext", "serviceAccountName", "automountServiceAccountToken"):
        assert spec[field] == server[field]
    (container,) = spec["containers"]
    for field in ("image", "securityContext", "resources"):
        assert container[field] == migration(name)[field]
    assert maintenance(name)["metadata"]["namespace"] == "event-dedup"
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] <= 12 * 3600


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_has_what_a_migration_has_and_no_secret_beside(name: str) -> None:
    spec = maintenance(name)["spec"]
    (container,) = spec["containers"]
    assert environment(container) == environment(migration(name))
    places = [{one["mountPath"] for one in c["volumeMounts"]} for c in (container, migration(name))]
    assert places[0] == places[1]
    held = {source["name"] for volume in spec["volumes"] for source in sources(volume)}
    assert held == {"config-service-keyring"} | (
        set() if name == "dev" else {"config-service-database"}
    )


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_name_leads_to_it_and_it_reaches_the_database(name: str) -> None:
    labels = maintenance(name)["metadata"]["labels"]
    server = deployments(name)["config-service"]["spec"]["template"]["metadata"]["labels"]
    for service in of_kind(overlay(name), "Service"):
        assert not selected({"matchLabels": service["spec"]["selector"]}, labels)
    for kind in ("Deployment", "PodDisruptionBudget"):
        for one in of_kind(overlay(name), kind):
            assert not selected(one["spec"]["selector"], labels)
    reached = {
        policy["metadata"]["name"]
        for policy in of_kind(overlay(name), "NetworkPolicy")
        if selected(policy["spec"]["podSelector"], labels)
    }
    assert reached == {"default-deny", "dns", "metrics"} | (
        set() if name == "dev" else {"database"}
    )
    for policy in of_kind(overlay(name), "NetworkPolicy"):
        if policy["metadata"]["name"] in ("database", "config-service"):
            assert selected(policy["spec"]["podSelector"], server)


def test_the_runbook_names_what_is_there() -> None:
    for folder in re.findall(r"-k (\S+)", TYPED):
        assert (ROOT / folder / "kustomization.yaml").is_file()
    tools = maintenance("production")["metadata"]["name"]
    assert set(re.findall(r"(?:exec -it|delete pod|pod/)[ ]?(config-\S+)", TYPED)) == {tools}
    servers = deployments("production")
    named = set(re.findall(r"(?:deployment[ /])(\S+)", TYPED))
    assert named == {"config-service"} < set(servers)
    replicas = servers["config-service"]["spec"]["replicas"]
    assert set(re.findall(r"--replicas=(\d+)", TYPED)) == {"0", str(replicas)}
    (selector,) = re.findall(r"-l (\S+)=(\S+)", TYPED)
    labels = servers["config-service"]["spec"]["template"]["metadata"]["labels"]
    assert selected({"matchLabels": dict([selector])}, labels)
    volumes = maintenance("production")["spec"]["volumes"]
    (keyring,) = [one for v in volumes for one in sources(v) if "keyring" in one["name"]]
    assert set(re.findall(r"(?:get secret|secret generic) (\S+)", TYPED)) == {keyring["name"]}
    (item,) = keyring["items"]
    assert f"--from-file={item['key']}=ring.new" in TYPED
