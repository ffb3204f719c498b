"""The script that makes a trial's secrets, run as the page and the compose file write it."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from deploy.conftest import DEPLOY, PATHS, ROOT, TOOLS, of_kind, overlay

COMMAND = ".venv/bin/config-service"
PAGE = (ROOT / "docs/deployment.md").read_text()


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(DEPLOY / "make-secrets.sh"), *arguments],
        cwd=folder, env=os.environ | PATHS, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
def test_a_command_may_be_named_from_where_the_script_is_called(tmp_path: Path) -> None:
    for page in ("docs/deployment.md", "deploy/compose.yaml"):
        assert f"deploy/make-secrets.sh deploy/secrets {COMMAND}\n" in (ROOT / page).read_text()
    (tmp_path / COMMAND).parent.mkdir(parents=True)
    (tmp_path / COMMAND).symlink_to(TOOLS / "config-service")
    done = make(tmp_path, "secrets", COMMAND)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert len((folder / "operator.token").read_text().strip()) == 43


@pytest.mark.parametrize("service", ["config-service", "matcher-service"])
def test_certificates_of_a_trial_name_the_service_as_those_of_a_cluster_do(
    service: str, secrets: Path
) -> None:
    certificates = of_kind(overlay("mtls"), "Certificate")
    (wanted,) = [
        one["spec"]["dnsNames"] for one in certificates if one["metadata"]["name"] == service
    ]
    assert "`dns:///matcher-service.event-dedup:50052`" in PAGE
    assert f"{service}.event-dedup" in wanted
    assert dns_names(secrets / f"{service}.crt") == {*wanted, "localhost"}


def dns_names(certificate: Path) -> set[str]:
    """Return the host names that a certificate holds for."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


def test_without_the_command_nothing_is_made(tmp_path: Path) -> None:
    done = make(tmp_path, "secrets", "nowhere/config-service")
    assert done.returncode == 1
    assert done.stderr == "make-secrets.sh: there is no command nowhere/config-service\n"
    assert not (tmp_path / "secrets").exists()
