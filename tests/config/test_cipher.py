"""Sealing: tokens, key rings, and what does not open."""

import base64
import contextlib
import itertools
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import setup
from config_service.cipher import (
    Cell,
    KeyRing,
    KeyRingError,
    StoreKey,
    development_ring,
    key_id,
    new_key,
    parse_ring,
    read_ring,
)
from config_service.env import Env
from dedup_model.errors import CiphertextInvalid, KeyNotInRing
from eventdedup.config.v1 import config_service_pb2 as pb

CELL = Cell("store", "table", "column", "row", 3)
VALUE = b"geheim"
DATA_LOSS = grpc.StatusCode.DATA_LOSS


@pytest.fixture
def ring() -> KeyRing:
    return parse_ring([new_key()])


def test_a_value_comes_back_and_no_two_tokens_are_alike(ring: KeyRing) -> None:
    tokens = {ring.seal(VALUE, CELL) for _ in range(50)}
    assert len(tokens) == 50
    assert {ring.open(token, CELL) for token in tokens} == {VALUE}
    assert {tuple(token.split(".")[:2]) for token in tokens} == {("cse2", ring.primary)}
    assert ring.open(ring.seal(b"", CELL), CELL) == b""


@pytest.mark.parametrize(
    "other",
    [
        {"store_id": "other"}, {"table": "other"}, {"column": "other"}, {"row": "other"},
        {"version": 4}, {"table": "tablec", "column": "olumn"}, {"row": "row3", "version": 0},
    ],
)  # fmt: skip
def test_a_moved_token_does_not_open(ring: KeyRing, other: dict[str, Any]) -> None:
    with pytest.raises(CiphertextInvalid):
        ring.open(ring.seal(VALUE, CELL), replace(CELL, **other))


def test_any_flipped_bit_is_noticed(ring: KeyRing) -> None:
    opened = set()
    for token in (ring.seal(VALUE, CELL) for _ in range(10)):
        for place, bit in itertools.product(range(len(token)), range(7)):
            altered = token[:place] + chr(ord(token[place]) ^ 1 << bit) + token[place + 1 :]
            with contextlib.suppress(CiphertextInvalid, KeyNotInRing):
                ring.open(altered, CELL)
                opened.add((token[place:], altered[place:]))
    assert opened == set()


@pytest.mark.parametrize("length", [0, 1, 4, 5, 17, 18, 19, 30, 60])
def test_a_truncated_token_is_noticed(ring: KeyRing, length: int) -> None:
    token = ring.seal(VALUE, CELL)
    with pytest.raises((CiphertextInvalid, KeyNotInRing)):
        ring.open(token[:length], CELL)


@pytest.mark.parametrize("body", ["", "A", "ä", "%%", "A" * 16, "A" * 15, "a.b", "\x00"])
def test_a_body_of_garbage_is_noticed(ring: KeyRing, body: str) -> None:
    with pytest.raises(CiphertextInvalid):
        ring.open(f"cse2.{ring.primary}.{body}", CELL)


def test_another_ring_says_which_key_is_missing(ring: KeyRing) -> None:
    token = ring.seal(VALUE, CELL)
    with pytest.raises(KeyNotInRing) as caught:
        parse_ring([new_key()]).open(token, CELL)
    assert caught.value.facts == {"key_id": ring.primary}


def test_another_key_under_a_right_id_does_not_open(ring: KeyRing) -> None:
    token = ring.seal(VALUE, CELL)
    forged = KeyRing({ring.primary: b"\x01" * 32})
    with pytest.raises(CiphertextInvalid):
        forged.open(token, CELL)


def test_the_first_line_seals_and_every_line_opens() -> None:
    old, new = new_key(), new_key()
    sealed = parse_ring([old]).seal(VALUE, CELL)
    both = parse_ring(["# ring", "", f"  {new}  # since today", old])
    assert both.open(sealed, CELL) == VALUE
    assert both.seal(VALUE, CELL).startswith(f"cse2.{parse_ring([new]).primary}.")


WEAK = {
    "empty": "",
    "comment": "# nothing",
    "zero": base64.urlsafe_b64encode(bytes(32)).decode(),
    "repeated": base64.urlsafe_b64encode(b"ab" * 16).decode(),
    "short": base64.urlsafe_b64encode(bytes(range(31))).decode(),
    "long": base64.urlsafe_b64encode(bytes(range(33))).decode(),
    "hex": "0123456789abcdef" * 4,
    "no base64": "!" * 43,
    "umlaut": "ä" * 43,
    "spaces": "QUJD " * 9,
}


@pytest.mark.parametrize("line", WEAK.values(), ids=list(WEAK))
def test_a_weak_or_malformed_ring_is_refused_and_not_echoed(line: str) -> None:
    with pytest.raises(KeyRingError) as caught:
        parse_ring([new_key(), line] if line and not line.startswith("#") else [line])
    assert not line or line not in str(caught.value)
    assert "line 2" in str(caught.value) or "no key" in str(caught.value)


def test_a_ring_shows_no_key_and_ids_come_from_the_keys(ring: KeyRing) -> None:
    key = ring.keys[ring.primary]
    assert key_id(key) == ring.primary
    assert len(ring.primary) == 12
    assert repr(key) not in repr(ring)
    assert key.hex() not in repr(ring)
    assert key.hex()[:12] != ring.primary


def test_a_stores_hashes_are_keyed_by_store_and_purpose() -> None:
    key = StoreKey.new()
    assert key.is_hash(key.hash("a", VALUE), "a", VALUE)
    assert not key.is_hash(key.hash("a", VALUE), "a", VALUE + b"x")
    assert not key.is_hash(key.hash("a", VALUE), "b", VALUE)
    assert not StoreKey.new().is_hash(key.hash("a", VALUE), "a", VALUE)


def test_the_development_key_file_is_private_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "c.key"
    made = development_ring(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert development_ring(path) == made == read_ring(path)


def test_starts_that_race_for_the_development_key_file_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for attempt in range(150):
            path = tmp_path / f"{attempt}.key"
            rings = list(pool.map(development_ring, [path] * 8))
            assert {ring.primary for ring in rings} == {read_ring(path).primary}


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"short\n"])
def test_a_ring_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ring"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyRingError):
        read_ring(path)


def test_the_file_comes_before_the_variable_and_both_before_the_made_up_key(
    env: Env, tmp_path: Path
) -> None:
    one, two = new_key(), new_key()
    (tmp_path / "ring").write_text(one)
    both = replace(env, keyring=two, keyring_file=tmp_path / "ring")
    assert setup.EnvRing(both).read() == parse_ring([one])
    assert setup.EnvRing(replace(env, keyring=two)).read() == parse_ring([two])
    assert not (tmp_path / "c.key").exists()


SWAPS = {
    "another row": "UPDATE config_revisions SET document ="
    " (SELECT document FROM config_revisions WHERE revision = 1) WHERE revision = 2",
    "another column": "UPDATE config_revisions SET document ="
    " (SELECT value FROM config_secrets) WHERE revision = 2",
    "another store": "UPDATE config_settings SET store_id = 'x' || substr(store_id, 2)",
    "truncated": "UPDATE config_revisions SET document = substr(document, 1, 60) WHERE revision = 2",
    "emptied": "UPDATE config_revisions SET document = '' WHERE revision = 2",
    "a blob": "UPDATE config_revisions SET document = x'00ff00' WHERE revision = 2",
    "plain": "UPDATE config_revisions SET document = '{\"effective\":{}}' WHERE revision = 2",
    "a key id": "UPDATE config_revisions SET document ="
    " 'cse2.aaaaaaaaaaaa.' || substr(document, 19) WHERE revision = 2",
}


@pytest.mark.parametrize("name", SWAPS)
async def test_a_tampered_revision_is_data_loss_over_the_wire(
    client: Any, sql: Callable[..., Any], name: str
) -> None:
    await client.update({"ai": {"enabled": True}})
    await client.set_key("key-1")
    sql(SWAPS[name])
    refused = await client.refused(client.get(2))
    wanted = (DATA_LOSS, "CIPHERTEXT_INVALID")
    if name == "a key id":
        wanted = (grpc.StatusCode.FAILED_PRECONDITION, "KEY_NOT_IN_RING")
        assert refused.facts == {"key_id": "aaaaaaaaaaaa"}
    assert (refused.code, refused.reason) == wanted
    assert (await client.get()).revision.revision == 3


async def test_one_broken_revision_hides_no_other(client: Any, sql: Callable[..., Any]) -> None:
    """The list shows no config, so it has nothing to open."""
    for score in (0.1, 0.2, 0.3):
        await client.update({"geo": {"neutral_score": score}})
    sql(SWAPS["truncated"])
    assert (await client.get(3)).effective.geo.neutral_score == 0.2
    page = await client.stub.ListRevisions(pb.ListRevisionsRequest())
    assert [revision.revision for revision in page.revisions] == [4, 3, 2, 1]


async def test_a_secret_of_an_older_version_does_not_open(
    client: Any, sql: Callable[..., Any]
) -> None:
    await client.set_key("one")
    ((old,),) = sql("SELECT value FROM config_secrets")
    await client.set_key("two")
    sql("UPDATE config_secrets SET value = ?", old)
    refused = await client.refused(client.key())
    assert (refused.code, refused.reason) == (DATA_LOSS, "CIPHERTEXT_INVALID")
    assert refused.facts["table"] == "config_secrets"


async def test_a_digest_that_is_not_the_documents_is_noticed(
    client: Any, sql: Callable[..., Any]
) -> None:
    await client.update({"ai": {"enabled": True}})
    await client.update({"ai": {"enabled": False}})
    sql("UPDATE config_revisions SET digest = ? WHERE revision = 2", "0" * 64)
    assert (await client.refused(client.get(2))).code is DATA_LOSS
