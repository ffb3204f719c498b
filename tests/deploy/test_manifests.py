"""The manifests of every overlay: valid, hardened, and at one with themselves."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from deploy.conftest import (
    DEPLOY,
    MINORS,
    OVERLAYS,
    PATHS,
    ROOT,
    Document,
    compose,
    deployments,
    environment,
    of_kind,
    overlay,
    pod,
    selected,
    sources,
)

from config_service import serving as config_serving
from matcher_service.llm import cache
from matcher_service.llm.answer import Answer

CUSTOM = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("cert-manager.io/v1", "Issuer"),
    ("cert-manager.io/v1", "Certificate"),
}
"""Kinds that a cluster learns from others' installations; no schema of Kubernetes holds them."""
IDLE_BYTES, LISTING_BYTES = 128 * 2**20, 12_000
"""Of a matcher, and what each listing of a batch adds; docs/deployment.md says how that was measured."""
JOURNAL = 1.25
"""What SQLite writes beside a file while it changes a part of it, and the last good settings."""
TELEMETRY_SECONDS = 10
"""For the last report and the last traces after a drain."""
IMAGE = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?:[a-z]?[0-9][A-Za-z0-9.-]*")
"""A repository without a host, and a tag that begins with a version."""


def containers(name: str) -> Iterator[Document]:
    for deployment in deployments(name).values():
        yield from pod(deployment).get("initContainers", ())
        yield from pod(deployment)["containers"]


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_valid_in_every_supported_minor(name: str, minor: str) -> None:
    for document in overlay(name):
        kind = document["apiVersion"], document["kind"]
        if kind not in CUSTOM:
            kubernetes_validate.validate(document, minor, strict=True)


def test_a_misspelt_field_is_found() -> None:
    document = {**deployments("dev")["config-service"], "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, MINORS[-1], strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_are_as_restricted_as_the_namespace_asks(name: str) -> None:
    (namespace,) = of_kind(overlay(name), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for deployment in deployments(name).values():
        context = pod(deployment)["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] >= 10_000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod(deployment)["automountServiceAccountToken"] is False
        assert pod(deployment)["enableServiceLinks"] is False
    for container in containers(name):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_stands_in_a_variable(name: str) -> None:
    for container in containers(name):
        assert "envFrom" not in container
        for variable in container["env"]:
            assert set(variable) == {"name", "value"}
            assert variable["name"] not in {"CONFIG_KEYRING", "EVENT_DEDUP_ENCRYPTION_KEY"}
            if name != "dev":
                assert variable["name"] != "CONFIG_DATABASE_URL"


def test_whom_a_service_with_client_certificates_trusts_is_one_bundle() -> None:
    for service, deployment in deployments("mtls").items():
        (container,) = pod(deployment)["containers"]
        files = {v for name, v in environment(container).items() if name.endswith("_CA_FILE")}
        assert files == {"/secrets/trust/ca.crt"}, service
        (volume,) = [one for one in pod(deployment)["volumes"] if one["name"] == "trust"]
        assert [one["name"] for one in sources(volume)] == ["event-dedup-trust"]


def test_images_have_a_version_and_no_host() -> None:
    images = {container["image"] for name in OVERLAYS for container in containers(name)}
    images |= {service["image"] for service in compose()["services"].values()}
    images |= set(re.findall(r"^ARG PYTHON=(.*)$", (DEPLOY / "Dockerfile").read_text(), re.M))
    assert len(images) == 5
    for image in images:
        assert IMAGE.fullmatch(image), image


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_lives_as_long_as_its_drain(name: str) -> None:
    for service, deployment in deployments(name).items():
        (container,) = pod(deployment)["containers"]
        waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = float(
            environment(container).get("MATCHER_DRAIN_SECONDS", config_serving.GRACE_SECONDS)
        )
        grace = pod(deployment)["terminationGracePeriodSeconds"]
        assert grace >= waits + drain + TELEMETRY_SECONDS, service


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_largest_batches_that_are_let_in_fit_the_memory(name: str) -> None:
    (container,) = pod(deployments(name)["matcher-service"])["containers"]
    listings, batches, waiting = (
        int(environment(container)[f"MATCHER_MAX_{limit}"])
        for limit in ("LISTINGS", "BATCHES", "INPUT_MIB")
    )
    gibibytes = int(container["resources"]["limits"]["memory"].removesuffix("Gi"))
    running = batches * listings * LISTING_BYTES
    assert IDLE_BYTES + running + waiting * 2**20 < gibibytes * 2**30


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_answers_that_are_kept_never_cost_a_pod_its_place(name: str, tmp_path: Path) -> None:
    every = pod(deployments(name)["matcher-service"])["volumes"]
    (limit,) = (one["emptyDir"]["sizeLimit"] for one in every if one["name"] == "state")
    most = cache.MAX_ROWS * answer_bytes(tmp_path)
    assert most * JOURNAL < int(limit.removesuffix("Gi")) * 2**30


def answer_bytes(folder: Path, count: int = 500) -> float:
    """Return what the longest answer takes on disk: of characters that JSON writes as six bytes."""
    longest = Answer.model_json_schema()["properties"]["reason"]["maxLength"]
    one = Answer(verdict="different", confidence=0.1 + 0.2, reason="\x01" * longest)
    keys = (sha256(str(number).encode()).hexdigest() for number in range(count))
    cache.Cache(folder).keep(dict.fromkeys(keys, one))
    return (folder / cache.FILE).stat().st_size / count


def test_compose_waits_as_long_as_a_drain() -> None:
    services = compose()["services"]
    for service, drain in (
        ("config-service", config_serving.GRACE_SECONDS),
        ("matcher-service", services["matcher-service"]["environment"]["MATCHER_DRAIN_SECONDS"]),
    ):
        period = services[service]["stop_grace_period"]
        assert float(period.removesuffix("s")) > float(drain) + 5


@pytest.mark.parametrize("name", OVERLAYS)
def test_ports_are_those_that_the_variables_bind(name: str) -> None:
    for service, deployment in deployments(name).items():
        (container,) = pod(deployment)["containers"]
        bound = {
            variable.partition("_")[2]: int(value.rpartition(":")[2])
            for variable, value in environment(container).items()
            if value.startswith("0.0.0.0:")
        }
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert bound == {
            "ADDRESS": ports["grpc"],
            "HEALTH_ADDRESS": ports["health"],
            "METRICS_ADDRESS": ports["metrics"],
        }
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["grpc"]["port"] == ports["health"]
        (found,) = [one for one in of_kind(overlay(name), "Service") if _name(one) == service]
        assert found["spec"]["clusterIP"] == "None"
        assert {port["name"]: port["port"] for port in found["spec"]["ports"]} == {
            "grpc": ports["grpc"],
            "metrics": ports["metrics"],
        }


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_selector_finds_a_pod_and_every_pod_has_what_guards_it(name: str) -> None:
    labels = {
        service: one["spec"]["template"]["metadata"]["labels"]
        for service, one in deployments(name).items()
    }
    for kind in ("Service", "PodDisruptionBudget"):
        for one in of_kind(overlay(name), kind):
            selector = one["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            assert wanted.items() <= labels[_name(one)].items()
        assert {_name(one) for one in of_kind(overlay(name), kind)} == set(labels)
    policies = {_name(one): one["spec"] for one in of_kind(overlay(name), "NetworkPolicy")}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ports = {port["name"] for one in containers(name) for port in one.get("ports", ())}
    for spec in policies.values():
        assert any(selected(spec["podSelector"], one) for one in labels.values())
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            assert {p["port"] for p in rule["ports"] if isinstance(p["port"], str)} <= ports


def test_only_one_server_opens_a_sqlite_file() -> None:
    config = deployments("dev")["config-service"]
    assert config["spec"]["replicas"] == 1
    assert config["spec"]["strategy"] == {"type": "Recreate"}


def test_the_number_of_autoscaled_pods_is_left_to_the_autoscaler() -> None:
    for name in ("production", "mtls"):
        (scaler,) = of_kind(overlay(name), "HorizontalPodAutoscaler")
        target = scaler["spec"]["scaleTargetRef"]["name"]
        assert "replicas" not in deployments(name)[target]["spec"]
        assert deployments(name)["config-service"]["spec"]["replicas"] == 3


def test_compose_gives_every_secret_that_is_named_and_hardens_its_services() -> None:
    for service, spec in compose()["services"].items():
        values = {str(value) for value in spec.get("environment", {}).values()}
        named = {value.rpartition("/")[2] for value in values if value.startswith("/run/secrets/")}
        assert named == set(spec.get("secrets", ())), service
        assert set(spec.get("secrets", ())) <= set(compose()["secrets"])
        assert "no-new-privileges:true" in spec["security_opt"]
        assert spec.get("read_only") or service == "database"


@pytest.mark.parametrize("broken", [None, *OVERLAYS])
def test_a_scan_fails_when_an_overlay_cannot_be_built(tmp_path: Path, broken: str | None) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements", "deploy"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    scanner = tmp_path / ".venv/scan/bin/checkov"
    scanner.parent.mkdir(parents=True)
    scanner.symlink_to("/bin/true")
    for ready in (".venv/ready", ".venv/scan/ready"):
        (tmp_path / ready).touch()
    if broken:
        with (tmp_path / f"deploy/k8s/overlays/{broken}/kustomization.yaml").open("a") as file:
            file.write("unknown: true\n")
    done = subprocess.run(
        ["make", "scan"], cwd=tmp_path, env=os.environ | PATHS, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert bool(done.returncode) == bool(broken), done.stderr
    assert not broken or "unknown" in done.stderr


def _name(document: dict[str, Any]) -> str:
    return str(document["metadata"]["name"])
