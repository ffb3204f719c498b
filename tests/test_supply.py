"""What is known of the dependencies: licences, the bill of materials, and audits that tell the truth."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import audit
import licences
import locks
import pytest
import sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

VULNERABLE = "cryptography"
ADVISORY = {
    "id": "INVENTED-1",
    "summary": "an invented weakness",
    "affected": [
        {
            "package": {"name": VULNERABLE, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999"}]}],
        }
    ],
}


def test_a_lock_is_read_as_an_image_installs_it() -> None:
    matcher = dict(locks.pins("matcher"))
    assert len(matcher) == len(list(locks.pins("matcher")))
    assert {"numpy", "grpcio"} <= matcher.keys()
    assert "colorama" not in dict(locks.pins("cli"))


def test_every_deployed_package_states_a_licence_that_asks_little() -> None:
    stated = {name: licences.licence(name) for name, _ in licences.used()}
    assert len(stated) > 50
    assert licences.UNKNOWN not in stated.values()
    asks = {name for name, text in stated.items() if re.search(r"\bA?GPL|General Public", text)}
    assert asks == set()
    assert {name for name, text in stated.items() if "LGPL" in text} == {
        "psycopg",
        "psycopg-binary",
    }


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bills")
    sbom.write(folder)
    return folder


@pytest.mark.parametrize("lock", locks.DEPLOYED)
def test_a_bill_of_materials_lists_the_lock_with_licences(lock: str, bills: Path) -> None:
    document = json.loads((bills / f"{locks.DEPLOYED[lock]}.cdx.json").read_text())
    listed = {(canonicalize_name(one["name"]), one["version"]) for one in document["components"]}
    assert listed == set(locks.pins(lock))
    assert all(one["licenses"] and one["purl"] for one in document["components"])
    refs = {one["bom-ref"] for one in document["components"]} | {sbom.ROOT_REF}
    edges = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert edges.keys() == refs
    assert {ref for needs in edges.values() for ref in needs} <= refs
    assert edges[sbom.ROOT_REF]
    assert document["metadata"]["component"]["name"] == locks.DEPLOYED[lock]


def test_a_bill_of_materials_is_valid_and_the_same_again(bills: Path, tmp_path: Path) -> None:
    text = (bills / "config-service.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    sbom.write(tmp_path)
    assert (tmp_path / "config-service.cdx.json").read_text() == text


def test_a_package_that_is_not_installed_as_locked_is_named() -> None:
    whole = {"metadata": {"component": {}}, "components": [], "dependencies": []}
    with pytest.raises(LookupError, match=r"not installed as locked: a, b"):
        sbom.part(whole, {"b": "2", "a": "1"}, "x")


class Advisories(BaseHTTPRequestHandler):
    """A service of known vulnerabilities: answers as it is told."""

    status: ClassVar[int] = 200
    vulnerable: ClassVar[str] = ""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bad = asked["package"]["name"] == self.vulnerable
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(json.dumps({"vulns": [ADVISORY]} if bad else {}).encode())

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[tuple[type[Advisories], str]]:
    """Yield the handler, to be told what to answer, and where it answers."""
    handler = type("Told", (Advisories,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield handler, f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()


def audited(url: str) -> "subprocess.CompletedProcess[str]":
    script = Path(audit.__file__)
    command = [sys.executable, str(script), "--vulnerability-service", "osv", "--osv-url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_packages_without_a_known_weakness_pass(advisories: tuple[type[Advisories], str]) -> None:
    done = audited(advisories[1])
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(\d+) of \1 locked packages audited, 0 vulnerabilities\n", done.stdout)


def test_a_known_weakness_fails_and_is_named(advisories: tuple[type[Advisories], str]) -> None:
    advisories[0].vulnerable = VULNERABLE
    done = audited(advisories[1])
    assert done.returncode == 1
    assert re.search(rf"^{VULNERABLE} \S+: INVENTED-1, mended by 999$", done.stdout, re.M)


@pytest.mark.parametrize("status", [403, 500])
def test_a_service_that_refuses_fails_nothing(
    status: int, advisories: tuple[type[Advisories], str]
) -> None:
    advisories[0].status = status
    done = audited(advisories[1])
    assert (done.returncode, done.stdout[:12]) == (0, "NOT AUDITED:"), done.stderr


def test_the_want_of_a_network_fails_nothing() -> None:
    done = audited("http://127.0.0.1:1/v1/query")
    assert (done.returncode, done.stdout[:12]) == (0, "NOT AUDITED:"), done.stderr


def test_a_lock_that_cannot_be_read_is_no_want_of_a_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert audit.unanswered("WARNING\nERROR:pip_audit._cli:duplicate requirements\n") == 2
    assert "duplicate requirements" in capsys.readouterr().err
