"""The runbooks of certificates and tokens, typed block by block against a server with TLS."""

import re
from collections.abc import Callable

import pytest
from deploy.conftest import DEPLOY
from docs.conftest import Desk, desk_in, soon
from docs.pages import blocks
from e2e.conftest import Launcher, free_port

GET = "event-dedup config get thresholds"
SHOWN = "thresholds.high"
TOKEN = re.compile(r"^ *- .sha256.*\n", re.M)
NEW_CA = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=next"
    " -addext keyUsage=critical,keyCertSign -keyout new-ca.key -out new-ca.crt"
)


@pytest.fixture(scope="module")
def guarded(make_launcher: Callable[[str], Launcher]) -> Desk:
    """A server with the certificate and principals of a trial, and the desk of its operator."""
    desk = desk_in(make_launcher("guarded"))
    desk.says(f"{DEPLOY}/make-secrets.sh trial && cp trial/ca.* trial/operator.token .")
    address = desk.variables["CONFIG_ADDRESS"]
    desk.variables |= {
        "EVENT_DEDUP_CONFIG": address.replace("127.0.0.1", "localhost"),
        "CONFIG_TLS_CERT_FILE": str(desk.folder / "trial/config-service.crt"),
        "CONFIG_TLS_KEY_FILE": str(desk.folder / "trial/config-service.key"),
        "CONFIG_AUTHZ_FILE": str(desk.folder / "trial/config-authz.yaml"),
        "CONFIG_HEALTH_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    desk.launcher.config(address, wait=False, **desk.variables)
    soon(lambda: not desk.fails("config-service health"))
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
    assert SHOWN in guarded.says(GET)


def test_a_token_is_rotated_and_the_old_one_refused(guarded: Desk) -> None:
    guarded.types("Rotate a token")
    assert (guarded.folder / "new.token").stat().st_mode & 0o077 == 0
    (new,) = TOKEN.findall((guarded.folder / "entry.yaml").read_text())
    authz = guarded.folder / "trial/config-authz.yaml"
    old = TOKEN.findall(authz.read_text())[-1]
    authz.write_text(authz.read_text().replace(old, old + new))
    soon(lambda: not guarded.fails(f"{GET} --token-file new.token"))
    assert SHOWN in guarded.says(GET)
    authz.write_text(authz.read_text().replace(old, ""))
    soon(lambda: guarded.fails(GET))
    assert SHOWN in guarded.types("Rotate a token", 1)
    guarded.variables["EVENT_DEDUP_TOKEN_FILE"] = str(guarded.folder / "new.token")


def test_a_ca_is_changed_with_overlap(guarded: Desk) -> None:
    guarded.says(NEW_CA)
    assert SHOWN in guarded.types("Change the CA")
    guarded.says("mv ca.crt old-ca.crt && cp new-ca.crt ca.crt && cp new-ca.key ca.key")
    guarded.types("Renew a certificate")
    assert SHOWN in guarded.types("Change the CA", 1)
    assert SHOWN in guarded.says(f"{GET} --tls-ca both.crt")
    assert guarded.fails(f"{GET} --tls-ca old-ca.crt")
