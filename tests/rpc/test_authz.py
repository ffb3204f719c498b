"""Who a peer is and what it may do: every credential, every way to be refused, reloads."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dedup_model.errors import (
    AmbiguousCredential,
    InvalidRequest,
    PermissionDenied,
    Unauthenticated,
)
from dedup_rpc.authz import (
    AuthzFile,
    Development,
    Grants,
    Peer,
    Principal,
    Table,
    new_token,
    token_digest,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANNA, BERT, OLD = new_token(), new_token(), new_token()
URI = "spiffe://example.org/matcher"


def document(extra: str = "") -> str:
    return f"""
principals:
  - name: matcher
    roles: [matcher]
    identities: ["{URI}", "matcher.internal"]
  - name: anna
    roles: [editor, auditor]
    tokens:
      - {{sha256: "{token_digest(ANNA)}", expires: "2026-12-31T00:00:00Z"}}
      - {{sha256: "{token_digest(OLD)}", expires: "2026-02-01T00:00:00Z"}}
  - name: bert
    roles: [reader]
    tokens:
      - {{sha256: "{token_digest(BERT)}", expires: "2026-12-31T00:00:00Z"}}
{extra}"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "authz.yaml"
    file.write_text(document())
    return file


def bearer(token: str) -> Peer:
    return Peer(authorization=(f"Bearer {token}",))


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (Peer(identities=(URI,)), "matcher"),
        (Peer(identities=("matcher.internal",)), "matcher"),
        (Peer(identities=("other.internal", URI)), "matcher"),
        (bearer(ANNA), "anna"),
        (bearer(BERT), "bert"),
    ],
)
def test_valid_credentials_name_their_principal(path: Path, peer: Peer, name: str) -> None:
    assert Table.load(path).principal(peer, NOW).name == name


@pytest.mark.parametrize(
    "peer",
    [
        Peer(),
        Peer(identities=("stranger.internal",)),
        Peer(identities=("spiffe://example.org/matcher/x",)),
        Peer(identities=("*.internal",)),
        bearer(new_token()),
        bearer(OLD),
        bearer(ANNA + "x"),
        bearer(""),
        Peer(authorization=(f"bearer {ANNA}",)),
        Peer(authorization=(f"Basic {ANNA}",)),
        Peer(authorization=("Bearer",)),
        Peer(authorization=("",)),
        Peer(authorization=("Bearer x y",)),
        Peer(authorization=("Bearer " + "x" * 10_000,)),
        Peer(authorization=(token_digest(ANNA),)),
    ],
)
def test_anything_else_is_unauthenticated_in_the_same_words(path: Path, peer: Peer) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Table.load(path).principal(peer, NOW)
    assert caught.value.message == "valid credentials are required"


@pytest.mark.parametrize(
    "peer",
    [
        Peer(authorization=(f"Bearer {ANNA}", f"Bearer {ANNA}")),
        Peer(identities=(URI,), authorization=(f"Bearer {ANNA}",)),
        Peer(identities=(URI, "spiffe://example.org/other")),
    ],
)
def test_credentials_that_do_not_agree_are_refused(path: Path, peer: Peer) -> None:
    with pytest.raises(AmbiguousCredential):
        Table.load(path).principal(peer, NOW)


def test_a_bad_token_is_not_made_good_by_a_certificate(path: Path) -> None:
    peer = Peer(identities=(URI,), authorization=(f"Bearer {new_token()}",))
    with pytest.raises(Unauthenticated):
        Table.load(path).principal(peer, NOW)


def test_a_token_ends_at_its_expiry(path: Path) -> None:
    table = Table.load(path)
    ends = datetime(2026, 12, 31, tzinfo=UTC)
    assert table.principal(bearer(ANNA), ends - timedelta(seconds=1)).name == "anna"
    with pytest.raises(Unauthenticated):
        table.principal(bearer(ANNA), ends)


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ("  - {name: x, roles: [boss]}", "principals.3.roles"),
        ("  - {name: x, roles: []}", "principals.3.roles"),
        ("  - {name: '', roles: [reader]}", "principals.3.name"),
        ("  - {name: x, roles: [reader], identities: ['*.internal']}", "principals.3.identities"),
        (f"  - {{name: x, roles: [reader], identities: ['{URI}']}}", "principals.3.identities"),
        ("  - {name: x, roles: [reader], token: y}", "principals.3.token"),
        (
            "  - {name: x, roles: [reader], tokens: [{sha256: zz, expires: '2027-01-01'}]}",
            "principals.3.tokens.0.sha256",
        ),
        (
            f"  - {{name: x, roles: [reader], tokens: [{{sha256: {token_digest('t')},"
            " expires: '2027-01-01T00:00:00'}]}",
            "principals.3.tokens",
        ),
    ],
)
def test_a_bad_entry_is_named_and_nothing_is_loaded(path: Path, entry: str, place: str) -> None:
    path.write_text(document(entry))
    with pytest.raises(InvalidRequest) as caught:
        Table.load(path)
    assert place in [violation.path for violation in caught.value.violations]


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


def test_a_changed_file_is_read_again(path: Path) -> None:
    authz = AuthzFile(path, lambda: NOW, Ticks())
    assert authz.principal(bearer(BERT)).roles == {"reader"}
    path.write_text(document().replace("[reader]", "[admin]"))
    assert authz.principal(bearer(BERT)).roles == {"admin"}
    path.write_text("principals: []")
    with pytest.raises(Unauthenticated):
        authz.principal(bearer(BERT))


@pytest.mark.parametrize("bad", ["", "principals: 5", "principals: [", "a: &x 1\nb: *x"])
def test_a_bad_file_keeps_the_old_table_and_raises_an_alarm(
    path: Path, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    authz = AuthzFile(path, lambda: NOW, Ticks())
    path.write_text(bad)
    assert authz.principal(bearer(ANNA)).name == "anna"
    assert "the old table stays" in caplog.text


def test_a_file_that_goes_keeps_the_old_table(path: Path) -> None:
    authz = AuthzFile(path, lambda: NOW, Ticks())
    path.unlink()
    assert authz.principal(bearer(ANNA)).name == "anna"


def test_a_method_without_a_grant_is_denied_to_everybody() -> None:
    grants = Grants({"/s/Get": frozenset({"reader", "admin"})})
    admin = Principal("root", frozenset({"admin"}))
    grants.require(admin, "/s/Get")
    with pytest.raises(PermissionDenied) as caught:
        grants.require(admin, "/s/Set")
    assert caught.value.facts == {"required_role": "none"}
    with pytest.raises(PermissionDenied) as caught:
        grants.require(Principal("m", frozenset({"matcher"})), "/s/Get")
    assert caught.value.facts == {"required_role": "admin, reader"}


def test_in_development_everybody_may_do_everything() -> None:
    principal = Development().principal(Peer())
    assert principal.name == "dev"
    assert {"admin", "matcher", "operator"} <= principal.roles


def test_tokens_are_random_and_never_shown_by_repr(path: Path) -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) == 43
    assert ANNA not in repr(bearer(ANNA))
    assert token_digest(ANNA) not in repr(Table.load(path))
