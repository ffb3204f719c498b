"""What stands in `deploy/`, as the tools that read it see it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from postgres.conftest import database, postgres
from security.conftest import authority

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("dev", "production", "mtls")
MINORS = ("1.35", "1.36", "1.37")
"""Of Kubernetes, tried."""
TOOLS = Path(sys.executable).parent
PATHS = {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}

Document = dict[str, Any]
__all__ = ["authority", "database", "postgres"]
"""Fixtures."""


@cache
def overlay(name: str) -> tuple[Document, ...]:
    """Return what `kubectl apply -k` would apply."""
    return built(DEPLOY / "k8s/overlays" / name)


def built(folder: Path) -> tuple[Document, ...]:
    """Return the documents that a folder's kustomization makes."""
    command = [str(TOOLS / "kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns"
    return tuple(yaml.safe_load_all(done.stdout))


@cache
def maintenance(name: str) -> Document:
    """Return the pod in which an operator of an overlay works while its servers are stopped."""
    folder = "dev" if name == "dev" else "production"
    (found,) = built(DEPLOY / "k8s/tools" / folder)
    return found


def of_kind(documents: tuple[Document, ...], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def deployments(name: str) -> dict[str, Document]:
    """Return the Deployments of an overlay by name."""
    return {one["metadata"]["name"]: one for one in of_kind(overlay(name), "Deployment")}


def pod(deployment: Document) -> Document:
    found: Document = deployment["spec"]["template"]["spec"]
    return found


def sources(volume: Document) -> list[Document]:
    """Return the Secrets and ConfigMaps that a volume is made of, each with its `name`."""
    parts = [volume, *volume.get("projected", {}).get("sources", ())]
    found = [part[kind] for part in parts for kind in ("secret", "configMap") if kind in part]
    return [{"name": one.get("secretName"), **one} for one in found]


def selected(selector: Document, labels: dict[str, str]) -> bool:
    """Tell whether a selector of labels, or of expressions with `In`, chooses a pod."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ())
    )


def environment(container: Document) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container.get("env", ())}


@cache
def compose() -> Document:
    found: Document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


@cache
def dashboard() -> Document:
    path = DEPLOY / "k8s/components/monitoring/dashboard.json"
    found: Document = json.loads(path.read_text())
    return found


def rules() -> Iterator[Document]:
    """Yield the alerts."""
    for group in yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text())["groups"]:
        yield from group["rules"]


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that `make-secrets.sh` made."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificates of a trial, is not installed")
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    command = [str(DEPLOY / "make-secrets.sh"), str(folder), str(TOOLS / "config-service")]
    subprocess.run(command, check=True, timeout=120, env=os.environ | PATHS)
    return folder
