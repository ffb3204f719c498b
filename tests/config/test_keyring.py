"""The ring in use follows its file, keeps what it has when the file is bad, and waits for replicas."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config_service import setup
from config_service.cipher import key_id, new_key, parse_ring
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from config_service.keyring import Keyring
from config_service.serving import ConfigServer
from config_service.setup import EnvRing
from config_service.store import Store, utc_now
from dedup_model.change import Change
from eventdedup.config.v1 import config_admin_service_pb2 as pb

Sql = Callable[..., Any]
FOLLOWED_SECONDS = 20.0


def id_of(line: str) -> str:
    """Return the id of a key as a ring's line has it."""
    return parse_ring([line]).primary


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    path = tmp_path / "ring"
    path.write_text(new_key())
    return path


@pytest.fixture
def env(env: Env, ring: Path) -> Env:
    return replace(env, keyring_file=ring)


def put(ring: Path, *lines: str) -> None:
    """Replace the file at once, as a mounted secret is."""
    new = ring.with_name("ring.new")
    new.write_text("\n".join(lines))
    new.rename(ring)


def touch(store: Store, value: float = 0.25) -> None:
    store.apply(Update(Change({"geo": {"neutral_score": value}}), Meta("ann")))


def keys_of(sql: Sql) -> set[str]:
    """Return the key ids in the tokens of the history, read with plain SQL."""
    return {row[0] for row in sql("SELECT substr(document, 6, 12) FROM config_revisions")}


async def status_when(admin: Any, ready: Callable[[Any], bool]) -> Any:
    """Return the status of the keys once it is as awaited."""
    ends = time.monotonic() + FOLLOWED_SECONDS
    while True:
        found = await admin.GetKeyringStatus(pb.GetKeyringStatusRequest())
        if ready(found):
            return found
        assert time.monotonic() < ends, found
        await asyncio.sleep(0.05)


async def test_a_server_follows_its_file_without_a_restart(
    client: Any, admin: Any, ring: Path, sql: Sql
) -> None:
    old, new = ring.read_text(), new_key()
    put(ring, new, old)
    found = await status_when(admin, lambda s: s.keys[0].writes and len(s.keys) == 2)
    shown = [(key.key_id, key.in_ring, key.writes, key.replicas) for key in found.keys]
    assert shown[0][:3] == (id_of(new), True, True)
    assert shown[1][:3] == (id_of(old), True, False)
    assert (found.sealed, found.note) == (False, "")
    await client.update({"geo": {"neutral_score": 0.25}})
    assert sql("SELECT substr(document, 6, 12) FROM config_revisions WHERE revision = 2") == [
        (id_of(new),)
    ]
    assert (await client.get(1)).revision.revision == 1


async def test_keys_are_counted_by_their_cells_and_replicas(
    client: Any, admin: Any, ring: Path
) -> None:
    await client.set_key("secret-1")
    found = await admin.GetKeyringStatus(pb.GetKeyringStatusRequest())
    (key,) = found.keys
    assert (found.replicas, key.replicas) == (1, 1)
    assert key.cells == 5  # two documents, secret, store key, end of the log


BAD_RINGS = {
    "empty": "",
    "only a comment": "# none yet\n",
    "half a line": "{old:.20}",
    "a second line cut off": "{old}\n{new:.20}",
    "not base64": "{old}\n!!!!",
    "not ASCII": "{old}\n# ö\n",
    "twice the same": "{old}\n{old}",
    "weak": "{old}\n" + "A" * 43,
    "seventeen keys": "{old}\n{many}",
    "another store's": "{new}",
}


@pytest.mark.parametrize("name", BAD_RINGS)
def test_a_bad_file_keeps_the_ring_in_use_and_is_told_once(
    env: Env, ring: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, old = setup.open_store(env), ring.read_text()
    many = "\n".join(new_key() for _ in range(16))
    ring.write_bytes(BAD_RINGS[name].format(old=old, new=new_key(), many=many).encode())
    for _ in range(3):
        store.keyring.look(store)
    touch(store)
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert line == store.keyring.note == store.keyring.refused
    assert line.startswith("the newer key ring is refused: ")
    assert old not in line
    assert store.keyring.ring().primary == id_of(old)
    assert store.keyring.problem is None


def test_a_missing_file_keeps_the_ring_in_use(env: Env, ring: Path) -> None:
    store = setup.open_store(env)
    aside = ring.rename(ring.with_name("aside"))
    store.keyring.look(store)
    assert "cannot be read" in store.keyring.note
    touch(store)
    aside.rename(ring)
    store.keyring.look(store)
    assert store.keyring.note == ""


def test_a_good_file_after_a_bad_one_is_taken(env: Env, ring: Path) -> None:
    store, old, new = setup.open_store(env), ring.read_text(), new_key()
    put(ring, "broken")
    store.keyring.look(store)
    assert store.keyring.note
    put(ring, new, old)
    store.keyring.look(store)
    assert (store.keyring.note, store.keyring.ring().primary) == ("", id_of(new))


def test_a_file_that_stays_bad_is_told_once_though_its_first_key_waits(
    env: Env, ring: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason of a refusal is not hidden by the reason of a wait, nor told at every look."""
    store, old = setup.open_store(env), ring.read_text()
    other = setup.open_store(env)
    other.announce()
    put(ring, new_key(), old)
    store.keyring.look(store)
    assert "once every replica holds it" in store.keyring.note
    put(ring, "broken")
    for _ in range(4):
        store.keyring.look(store)
    assert "refused" in store.keyring.note
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1


def test_a_ring_without_a_key_in_use_is_refused_until_the_rewrap(
    env: Env, ring: Path, sql: Sql
) -> None:
    store, old, new = setup.open_store(env), ring.read_text(), new_key()
    touch(store)
    put(ring, new, old)
    store.keyring.look(store)
    put(ring, new)
    store.keyring.look(store)
    assert "rewrap first" in store.keyring.note
    assert id_of(old) in store.keyring.note
    touch(store, 0.5)
    assert store.state().revision.number == 3
    store.rewrap("ann")
    store.keyring.look(store)
    assert (store.keyring.note, store.keyring.key_ids) == ("", (id_of(new),))
    assert store.unopened() == []


def test_the_key_that_seals_cannot_vanish_before_it_has_sealed_anything(
    env: Env, ring: Path
) -> None:
    """Other replicas may seal with it at this very moment."""
    store, old, new = setup.open_store(env), ring.read_text(), new_key()
    put(ring, new, old)
    store.keyring.look(store)
    assert store.keyring.ring().primary == id_of(new)
    put(ring, old)
    store.keyring.look(store)
    assert f"{id_of(new)} seals here" in store.keyring.note
    touch(store)
    assert store.unopened() == []
    put(ring, old, new)
    store.keyring.look(store)
    assert store.keyring.ring().primary == id_of(old)


def test_a_new_first_key_waits_for_every_live_replica(
    env: Env, ring: Path, tmp_path: Path, sql: Sql
) -> None:
    second = tmp_path / "second"
    second.write_text(ring.read_text())
    one, two = setup.open_store(env), setup.open_store(replace(env, keyring_file=second))
    one.announce()
    two.announce()
    old, new = ring.read_text(), new_key()
    put(ring, new, old)
    one.keyring.look(one)
    one.announce()
    touch(one)
    assert (one.keyring.ring().primary, keys_of(sql)) == (id_of(old), {id_of(old)})
    assert "once every replica holds it" in one.keyring.note
    put(second, new, old)
    two.keyring.look(two)
    assert two.keyring.ring().primary == id_of(old), "it has not told that it holds the key"
    two.announce()
    for store in (one, two):
        store.keyring.look(store)
        touch(store, 0.5 if store is one else 0.75)
        assert (store.keyring.ring().primary, store.keyring.note) == (id_of(new), "")
    assert keys_of(sql) == {id_of(old), id_of(new)}


def test_a_key_is_not_dropped_while_another_replica_seals_with_it(
    env: Env, ring: Path, tmp_path: Path
) -> None:
    """Files reach replicas at different times: what the other one seals must stay readable here."""
    second = tmp_path / "second"
    old, new = ring.read_text(), new_key()
    second.write_text(f"{old}\n{new}")
    put(ring, old, new)
    one, two = setup.open_store(env), setup.open_store(replace(env, keyring_file=second))
    one.announce()
    two.announce()
    put(ring, new, old)
    one.keyring.look(one)
    one.announce()
    assert one.rewrap("ann")[1] == 0
    put(ring, new)
    one.keyring.look(one)
    assert f"{id_of(old)} still seals" in one.keyring.note
    touch(two, 0.75)
    assert one.state().revision.number == 2
    put(second, new, old)
    two.keyring.look(two)
    two.announce()
    one.keyring.look(one)
    assert f"{id_of(old)} still seals" in one.keyring.note, "two has sealed a cell with it"
    one.rewrap("ann")
    one.keyring.look(one)
    assert (one.keyring.note, one.keyring.key_ids) == ("", (id_of(new),))
    touch(two, 0.25)
    assert one.state().revision.number == 3


def test_a_replica_that_died_is_not_waited_for_and_one_that_left_at_once(
    env: Env, ring: Path, sql: Sql
) -> None:
    store, dead, left = (setup.open_store(env) for _ in range(3))
    dead.announce()
    left.announce()
    put(ring, new_key(), ring.read_text())
    left.leave()
    first = id_of(ring.read_text().splitlines()[0])
    sql("UPDATE replica_status SET seen_at = ?", (utc_now() - timedelta(seconds=50)).isoformat())
    store.keyring.look(store)
    assert store.keyring.ring().primary != first
    gone = (utc_now() - timedelta(seconds=61)).isoformat(timespec="microseconds")
    sql("UPDATE replica_status SET seen_at = ?", gone)
    store.keyring.look(store)
    assert store.keyring.ring().primary == first
    store.announce()
    assert sql("SELECT count(*) FROM replica_status") == [(1,)]


async def test_a_server_that_ends_is_waited_for_no_more(
    serve: Callable[[Env], Awaitable[ConfigServer]], env: Env, sql: Sql
) -> None:
    server = await serve(env)
    assert sql("SELECT count(*) FROM replica_status") == [(1,)]
    await server.stop(0)
    assert sql("SELECT count(*) FROM replica_status") == [(0,)]


async def test_nothing_that_goes_wrong_stops_the_following_of_the_file(
    client: Any, admin: Any, ring: Path, sql: Sql
) -> None:
    """A row that nobody of ours wrote must not end the regular work."""
    row = "('x', ?, 'not JSON')"
    sql(f"INSERT INTO replica_status VALUES {row}", utc_now().isoformat(timespec="microseconds"))
    new = new_key()
    put(ring, new, ring.read_text())
    await asyncio.sleep(1.5)
    sql("DELETE FROM replica_status WHERE replica_id = 'x'")
    await status_when(admin, lambda s: s.keys[0].key_id == id_of(new) and s.keys[0].writes)


def test_a_ring_that_lacks_the_key_of_the_present_settings_is_wrong(env: Env, ring: Path) -> None:
    """Though it opens the store's own key, which is older."""
    store, old, new = setup.open_store(env), ring.read_text(), new_key()
    put(ring, new, old)
    store.keyring.look(store)
    touch(store)
    late = Keyring(EnvRing(replace(env, keyring_file=None, keyring=old)))
    late.look(store)
    assert late.problem
    assert late.problem.reason == "KEYRING_WRONG"
    assert id_of(new) in late.problem.text


def test_the_id_of_a_key_says_nothing_of_it() -> None:
    (key,) = parse_ring([new_key()]).keys.values()
    assert key.hex()[:12] != key_id(key)
    assert len(key_id(key)) == 12


def test_a_secret_set_before_and_after_a_rotation_opens(env: Env, ring: Path) -> None:
    store = setup.open_store(env)
    store.apply(SetSecret("ai.api_key", "one", Meta("ann")))
    put(ring, new_key(), ring.read_text())
    store.keyring.look(store)
    assert store.access_secret("ai.api_key", "m")[0] == "one"
    store.apply(SetSecret("ai.api_key", "two", Meta("ann")))
    store.rewrap("ann")
    assert store.access_secret("ai.api_key", "m")[0] == "two"
