"""Rewrap seals everything anew: resumable, beside writers, without a revision or a watch event."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.fernet import Fernet

from config_service import setup
from config_service.cipher import new_key, parse_ring
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from config_service.idempotency import Claim
from config_service.store import Store
from dedup_model.change import Change
from dedup_model.errors import CiphertextInvalid, KeyNotInRing
from dedup_model.reports import StatusReport
from eventdedup.config.v1 import config_admin_service_pb2 as pb
from eventdedup.config.v1 import config_service_pb2 as config_pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub

Sql = Callable[..., Any]
NAME = "ai.api_key"
SEALED = {
    "config_settings": ("store_key", "audit_head"),
    "config_revisions": ("document",),
    "config_secrets": ("value",),
    "idempotency_keys": ("answer",),
    "client_status": ("report",),
}
REQUEST = "11111111-2222-4333-8444-55555555555{}"


def tokens(sql: Sql) -> list[str]:
    """Return every sealed cell, read with plain SQL."""
    return [
        row[0]
        for table, columns in SEALED.items()
        for column in columns
        for row in sql(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
    ]


def key_ids(sql: Sql) -> set[str]:
    return {token.split(".")[1] for token in tokens(sql)}


def fill(store: Store, revisions: int = 6) -> None:
    for number in range(revisions):
        claim = Claim("ann", REQUEST.format(number % 10), b"content %d" % number)
        change = Change({"geo": {"neutral_score": (number % 9 + 1) / 10}})
        store.apply(Update(change, Meta("ann")), claim=claim if number < 10 else None)
    store.apply(SetSecret(NAME, "secret-1", Meta("ann")))
    store.report("matcher", StatusReport("pod-1", applied_revision=3))


@pytest.fixture
def old_key() -> str:
    return new_key()


@pytest.fixture
def rotated(env: Env, old_key: str) -> Env:
    """Return the Env of a filled store whose ring begins with a new key."""
    store = setup.open_store(replace(env, keyring=old_key, keyring_file=None))
    fill(store)
    store.close()
    return replace(env, keyring=f"{new_key()}\n{old_key}")


def only_new(rotated: Env) -> Env:
    return replace(rotated, keyring=str(rotated.keyring).splitlines()[0])


def test_everything_opens_with_the_new_ring_alone_afterwards(
    rotated: Env, old_key: str, sql: Sql
) -> None:
    store = setup.open_store(rotated)
    before = [store.state(), store.revision(2), store.clients(), store.stamp()]
    count = len(tokens(sql))
    assert count == 2 + 8 + 1 + 6 + 1
    assert store.rewrap("ann") == (count, 0)
    new = parse_ring(str(only_new(rotated).keyring).splitlines()).primary
    assert key_ids(sql) == {new}
    assert sql("SELECT key_id FROM config_secrets") == [(new,)]
    alone = setup.open_store(only_new(rotated))
    assert alone.unopened() == []
    assert alone.verify_audit().findings == ()
    after = [alone.state(), alone.revision(2), alone.clients(), alone.stamp()]
    assert [after[1:], after[0].revision] == [before[1:], before[0].revision]
    assert alone.access_secret(NAME, "m") == ("secret-1", 1)
    claim = Claim("ann", REQUEST.format(0), b"content 0")
    edit = Update(Change({"geo": {"neutral_score": 0.1}}), Meta("ann"))
    assert alone.apply(edit, claim=claim)[1].revision.number == 2
    assert store.rewrap("ann") == (0, 0)


def test_it_goes_on_where_it_stopped(rotated: Env, sql: Sql) -> None:
    store, count = setup.open_store(rotated), len(tokens(sql))
    done = []
    while (step := store.rewrap("ann", 5))[0]:
        done.append(step)
    # the end of the log is sealed anew by each step's own event
    assert sum(cells for cells, _ in done) in (count, count - 1)
    assert [remaining for _, remaining in done] == sorted(
        (remaining for _, remaining in done), reverse=True
    )
    assert done[-1][1] == 0
    assert all(cells <= 5 for cells, _ in done)
    assert store.verify_audit().findings == ()


async def test_the_rpc_counts_and_makes_neither_revision_nor_watch_event(
    rotated: Env, serve: Any, connect: Any
) -> None:
    client = connect((await serve(rotated)).address)
    admin = _admin(client)
    call = client.stub.WatchConfig(config_pb.WatchConfigRequest())
    assert (await call.read()).state.revision.revision == 8
    before = await client.get()
    first = await admin.Rewrap(pb.RewrapRequest(max_cells=3))
    assert first.rewrapped == 3
    assert first.remaining >= 14
    rest = await admin.Rewrap(pb.RewrapRequest())
    assert (rest.remaining, rest.key_id) == (0, first.key_id)
    status = await admin.GetKeyringStatus(pb.GetKeyringStatusRequest())
    assert [(key.key_id == first.key_id, key.cells > 0) for key in status.keys] == [
        (True, True), (False, False),
    ]  # fmt: skip
    assert await client.stored() == 8
    after = await client.get()
    assert (after.revision, after.effective) == (before.revision, before.effective)
    await client.update({"ai": {"enabled": True}})
    state = (await asyncio.wait_for(call.read(), 20)).state
    assert (state.revision.revision, state.skipped_revisions) == (9, 0)


async def test_the_present_key_of_a_secret_is_shown_whoever_sealed_it_anew(
    serve: Any, connect: Any, rotated: Env
) -> None:
    """By this server at once, by another process within seconds; nobody who watches is woken."""
    client = connect((await serve(rotated)).address)
    first, second = parse_ring(str(rotated.keyring).splitlines()).keys
    watch = client.stub.WatchConfig(config_pb.WatchConfigRequest(heartbeat_seconds=0.5))
    await watch.read()

    async def shown() -> str:
        return str((await client.get()).secrets[0].key_id)

    assert await shown() == second
    await _admin(client).Rewrap(pb.RewrapRequest())
    assert await shown() == first
    other = setup.open_store(replace(rotated, keyring="\n".join(reversed(_lines(rotated)))))
    await asyncio.to_thread(other.rewrap, "ann")
    other.close()
    ends = asyncio.get_running_loop().time() + 20
    while await shown() != second:
        assert asyncio.get_running_loop().time() < ends
        await asyncio.sleep(0.1)
    events = [await watch.read() for _ in range(3)]
    assert [event.WhichOneof("event") for event in events] == ["heartbeat"] * 3


def _lines(env: Env) -> list[str]:
    return str(env.keyring).splitlines()


@pytest.mark.parametrize("cells", [-1, 100_001])
async def test_a_number_of_cells_out_of_range_is_refused(client: Any, cells: int) -> None:
    refused = await client.refused(_admin(client).Rewrap(pb.RewrapRequest(max_cells=cells)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "RANGE")


def _admin(client: Any) -> Any:
    return ConfigAdminServiceStub(client.channel)


def test_writers_beside_it_lose_nothing(rotated: Env, sql: Sql) -> None:
    store = setup.open_store(rotated)
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            mine = setup.open_store(rotated)
            for step in range(15):
                change = Change({"scoring": {SCORES[writer]: 0.2 + step / 100}})
                mine.apply(Update(change, Meta(f"writer {writer}")))
                mine.apply(SetSecret(NAME, f"{writer}-{step}", Meta("ann")))
                mine.report("matcher", StatusReport(f"pod-{writer}", applied_revision=step))
            mine.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store.rewrap("ann", 4)
    for thread in threads:
        thread.join()
    assert not errors
    store.rewrap("ann")
    assert len(key_ids(sql)) == 1
    alone = setup.open_store(only_new(rotated))
    assert alone.unopened() == []
    assert alone.verify_audit().findings == ()
    assert sql("SELECT count(*), max(revision) FROM config_revisions") == [(98, 98)]
    scores = alone.state().revision.layers.effective["scoring"]
    assert [scores[name] for name in SCORES] == [pytest.approx(0.34)] * 3
    ((name, version, value),) = sql("SELECT name, version, value FROM config_secrets")
    assert (name, version) == (NAME, 46)
    assert value.startswith("cse2.")


SCORES = ("date", "geo", "title")


def test_a_damaged_cell_does_not_keep_the_others_under_the_old_key(rotated: Env, sql: Sql) -> None:
    store = setup.open_store(rotated)
    sql("UPDATE config_revisions SET document = substr(document, 1, 60) WHERE revision = 2")
    with pytest.raises(CiphertextInvalid) as caught:
        store.rewrap("ann")
    assert caught.value.facts["row"] == "2"
    assert store._remaining() == 1
    assert len(key_ids(sql)) == 2
    (sentence,) = store.unopened()
    assert sentence.startswith("config_revisions.document of row 2")


@pytest.fixture
def with_legacy(env: Env, sql: Sql) -> Callable[[str, str], Env]:
    """Put an earlier system's cell in the secret's place."""

    def plant(cell: str, value: str) -> Env:
        store = setup.open_store(env)
        store.apply(SetSecret(NAME, value, Meta("ann")))
        sql("UPDATE config_secrets SET value = ?", cell)
        return env

    return plant


def test_a_fernet_token_is_read_with_its_key_and_sealed_anew(
    with_legacy: Callable[[str, str], Env], sql: Sql
) -> None:
    key = Fernet.generate_key()
    env = with_legacy(Fernet(key).encrypt(b"legacy-1").decode(), "legacy-1")
    for wrong in (None, Fernet.generate_key().decode(), "no key"):
        store = setup.open_store(replace(env, legacy_key=wrong))
        with pytest.raises(KeyNotInRing):
            store.access_secret(NAME, "m")
        assert store.cells()["fernet"] == 1
        with pytest.raises(KeyNotInRing):
            store.rewrap("ann")
    store = setup.open_store(replace(env, legacy_key=key.decode()))
    assert store.access_secret(NAME, "m") == ("legacy-1", 1)
    assert store.rewrap("ann") == (1, 0)
    assert setup.open_store(env).access_secret(NAME, "m") == ("legacy-1", 1)
    assert store.verify_audit().findings == ()


async def test_a_plain_cell_is_refused_unless_it_is_allowed(
    with_legacy: Callable[[str, str], Env], serve: Any, connect: Any, sql: Sql
) -> None:
    env = with_legacy("plain:legacy-2", "legacy-2")
    server = await serve(env)
    client = connect(server.address)
    for call in (client.key(), _admin(client).Rewrap(pb.RewrapRequest())):
        refused = await client.refused(call)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION, "PLAINTEXT_REFUSED",
        )  # fmt: skip
        assert "legacy-2" not in str(refused)
    status = await _admin(client).GetKeyringStatus(pb.GetKeyringStatusRequest())
    assert [(key.key_id, key.cells) for key in status.keys if not key.in_ring] == [("plain", 1)]
    assert sql("SELECT value FROM config_secrets") == [("plain:legacy-2",)]
    await server.stop(0)
    allowed = connect((await serve(replace(env, allow_plain=True))).address)
    assert (await allowed.key()).value == "legacy-2"
    assert (await _admin(allowed).Rewrap(pb.RewrapRequest())).remaining == 0
    ((value,),) = sql("SELECT value FROM config_secrets")
    assert value.startswith("cse2.")


def test_a_legacy_cell_with_another_value_than_the_set_one_is_not_believed(
    with_legacy: Callable[[str, str], Env],
) -> None:
    env = with_legacy("plain:mine-now", "the-real-one")
    with pytest.raises(CiphertextInvalid):
        setup.open_store(replace(env, allow_plain=True)).access_secret(NAME, "m")


@pytest.mark.parametrize("cell", ["plain:x", "gAAAAABx", "", "cse2.", "cse2.x", "cse3.x.y", "."])
def test_a_legacy_cell_in_any_other_table_does_not_authenticate(
    env: Env, sql: Sql, cell: str
) -> None:
    store = setup.open_store(replace(env, allow_plain=True))
    fill(store, 2)
    sql("UPDATE config_revisions SET document = ? WHERE revision = 2", cell)
    with pytest.raises((CiphertextInvalid, KeyNotInRing)):
        store.revision(2)
    assert sum(store.cells().values()) == len(tokens(sql))
    assert len(store.unopened()) == 1


def test_a_store_of_many_batches_is_sealed_anew_whole(env: Env, old_key: str, sql: Sql) -> None:
    store = setup.open_store(replace(env, keyring=old_key))
    fill(store, 450)
    rotated = setup.open_store(replace(env, keyring=f"{new_key()}\n{old_key}"))
    done, remaining = rotated.rewrap("ann")
    assert (remaining, len(key_ids(sql))) == (0, 1)
    assert done >= 450
    logged = sql("SELECT count(*) FROM audit_events WHERE action = 'Rewrap'")
    assert logged[0][0] >= 3
    assert rotated.verify_audit().findings == ()


def test_the_development_key_file_is_a_ring_too(env: Env) -> None:
    setup.open_store(env).close()
    path = Path(env.database_url.removeprefix("sqlite:///")).with_suffix(".key")
    assert path.stat().st_mode & 0o777 == 0o600
    old = path.read_text()
    path.write_text(f"{new_key()}\n{old}")
    store = setup.open_store(env)
    assert store.rewrap("ann")[1] == 0
