"""The runbooks of certificates and tokens, typed block by block against a server with TLS."""

import re
from collections.abc import Callable

import pytest
from docs.conftest import Desk, desk_in, soon
from docs.pages import blocks
from e2e.conftest import Launcher

SHOWN = "thresholds.high"
TOKEN = re.compile(r"^ *- .sha256.*\n", re.M)
MAKE_CA = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN={0}"
    " -addext keyUsage=critical,keyCertSign -keyout {0}.key -out {0}.crt"
)
MAKE_TOKEN = (
    "config-service tokens new operator --role admin >operator.token 2>entry"
    " && (echo principals: && grep -v '^#' entry) >authz.yaml"
)


def call(ca: str = "ca.crt", token: str = "operator.token") -> str:
    """Return a command that reads the settings."""
    shown = f'-cacert {ca} -H "authorization: Bearer $(cat {token})" $EVENT_DEDUP_CONFIG'
    return f"grpcurl {shown} eventdedup.config.v1.ConfigService/GetConfig"


@pytest.fixture(scope="module")
def guarded(make_launcher: Callable[[str], Launcher]) -> Desk:
    """A server with TLS and one principal, and the desk of its operator."""
    desk = desk_in(make_launcher("guarded"))
    address = desk.variables["CONFIG_ADDRESS"]
    desk.variables |= {
        "EVENT_DEDUP_CONFIG": address.replace("127.0.0.1", "localhost"),
        "CONFIG_TLS_CERT_FILE": str(desk.folder / "server.crt"),
        "CONFIG_TLS_KEY_FILE": str(desk.folder / "server.key"),
        "CONFIG_AUTHZ_FILE": str(desk.folder / "authz.yaml"),
    }
    desk.says(f"{MAKE_CA.format('ca')} && {MAKE_TOKEN}")
    desk.types("Renew a certificate")
    desk.serves(wait=False)
    soon(lambda: not desk.fails(call()))
    desk.variables |= {
        "EVENT_DEDUP_TLS_CA": str(desk.folder / "ca.crt"),
        "EVENT_DEDUP_TOKEN_FILE": str(desk.folder / "operator.token"),
    }
    return desk


def test_the_cookbook_s_call_over_tls_is_answered(guarded: Desk) -> None:
    page = [block for block in blocks("cookbook.md") if block.language == "sh"]
    (script,) = [block.text for block in page if block.heading == "Over TLS"]
    here = f"CONFIG={guarded.variables['EVENT_DEDUP_CONFIG']}\n"
    assert '"high": 0.75' in guarded.says(page[0].text + here + script)


def test_a_certificate_is_renewed_while_the_service_serves(guarded: Desk) -> None:
    before = guarded.types("Renew a certificate", 1)
    guarded.types("Renew a certificate")
    after = guarded.types("Renew a certificate", 1)
    assert "serial=" in before
    assert "serial=" in after
    assert before != after
    names = guarded.says("openssl x509 -in server.crt -noout -ext subjectAltName")
    assert "DNS:config-service.event-dedup," in names
    guarded.says(call())


def test_the_calls_through_a_forwarded_port_are_answered(guarded: Desk) -> None:
    (script,) = [b.text for b in blocks("operations.md") if "port-forward" in b.text]
    calls = script.partition("&\n")[2]
    told = guarded.says(calls.replace("localhost:50051", guarded.variables["CONFIG_ADDRESS"]))
    assert "when (UTC)" in told
    assert '"writes": true' in told
    other = calls.replace("config-service", "another-service")
    assert guarded.fails(other.replace("localhost:50051", guarded.variables["CONFIG_ADDRESS"]))


def test_a_token_is_rotated_and_the_old_one_refused(guarded: Desk) -> None:
    guarded.types("Rotate a token")
    assert (guarded.folder / "new.token").stat().st_mode & 0o077 == 0
    (new,) = TOKEN.findall((guarded.folder / "entry.yaml").read_text())
    authz = guarded.folder / "authz.yaml"
    old = TOKEN.findall(authz.read_text())[-1]
    authz.write_text(authz.read_text().replace(old, old + new))
    soon(lambda: not guarded.fails(call(token="new.token")))
    guarded.says(call())
    authz.write_text(authz.read_text().replace(old, ""))
    soon(lambda: guarded.fails(call()))
    assert SHOWN in guarded.types("Rotate a token", 1)
    guarded.says("mv new.token operator.token")


def test_a_ca_is_changed_with_overlap(guarded: Desk) -> None:
    guarded.says(MAKE_CA.format("new-ca"))
    assert SHOWN in guarded.types("Change the CA")
    guarded.says("mv ca.crt old-ca.crt && cp new-ca.crt ca.crt && cp new-ca.key ca.key")
    guarded.types("Renew a certificate")
    assert SHOWN in guarded.types("Change the CA", 1)
    guarded.says(call("both.crt"))
    assert guarded.fails(call("old-ca.crt"))
