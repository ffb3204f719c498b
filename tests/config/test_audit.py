"""The audit log: one event for each deed, in its transaction, and nothing altered goes unseen."""

import json
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import setup
from config_service.__main__ import main
from config_service.audit_check import Known
from config_service.cipher import new_key
from config_service.edits import ClearSecret, Import, Meta, Rollback, SetSecret, Update
from config_service.env import Env
from config_service.idempotency import KEPT
from config_service.retention import Retention
from config_service.store import Store, utc_now
from dedup_model.change import Change
from dedup_model.errors import CiphertextInvalid, DedupError
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as pb

NAME = "ai.api_key"
CANARY = "Canary-Audit-Key-31"
HIGH = {"thresholds": {"high": 0.8125}}
Sql = Callable[..., Any]


async def events(admin: Any, **only: str) -> list[admin_pb.AuditEvent]:
    """Return the audit log, oldest first."""
    answer = await admin.ListAuditEvents(admin_pb.ListAuditEventsRequest(page_size=500, **only))
    return list(reversed(answer.events))


async def actions(admin: Any) -> list[tuple[str, int]]:
    return [(event.action, event.revision) for event in await events(admin)]


async def test_each_rpc_that_changes_or_reads_a_secret_leaves_one_event(
    client: Any, admin: Any
) -> None:
    stub = client.stub
    await client.update(HIGH, reason="first")
    await client.set_key(CANARY)
    await client.key()
    await stub.RollbackConfig(pb.RollbackConfigRequest(revision=1))
    await admin.ImportConfig(admin_pb.ImportConfigRequest(yaml="ai: {enabled: true}"))
    await stub.ClearSecret(pb.ClearSecretRequest(name=NAME))
    assert await actions(admin) == [
        ("migrate", 1),
        ("UpdateConfig", 2),
        ("SetSecret", 3),
        ("AccessSecret", 3),
        ("RollbackConfig", 4),
        ("ImportConfig", 5),
        ("ClearSecret", 6),
    ]
    found = await events(admin)
    assert [event.sequence for event in found] == list(range(1, 8))
    assert {event.principal for event in found[1:]} == {"dev"}
    assert {event.epoch for event in found} == {(await client.get()).epoch}
    assert (found[1].facts["reason"], found[1].facts["changed"]) == ("first", "thresholds.high")
    assert (found[3].facts["secret"], found[3].facts["version"]) == (NAME, "1")
    history = await stub.ListRevisions(pb.ListRevisionsRequest())
    times = {revision.revision: revision.created_at for revision in history.revisions}
    assert all(times[event.revision] == event.at for event in found[1:] if "record" in event.facts)


async def test_what_changes_nothing_leaves_no_event(client: Any, admin: Any) -> None:
    request_id = str(uuid.uuid4())
    await client.set_key(CANARY)
    stale = (await client.get()).revision.etag
    await client.update(HIGH, request_id=request_id)
    before = await actions(admin)
    await client.update(HIGH, request_id=request_id)
    await client.update(HIGH)
    await client.update({"geo": {"neutral_score": 0.1}}, validate_only=True)
    await client.update_refused({"thresholds": {"high": 7.0}})
    await client.update_refused({"thresholds": {"high": 0.9}}, etag=stale)
    await client.stub.RollbackConfig(pb.RollbackConfigRequest(revision=1, validate_only=True))
    plan = admin_pb.ImportConfigRequest(yaml="ai: {enabled: true}", validate_only=True)
    await admin.ImportConfig(plan)
    same = (await admin.ExportConfig(admin_pb.ExportConfigRequest())).yaml
    await admin.ImportConfig(admin_pb.ImportConfigRequest(yaml=same))
    known = pb.AccessSecretRequest(name=NAME, known_version=1)
    assert (await client.stub.AccessSecret(known)).not_modified
    await client.refused(client.stub.AccessSecret(pb.AccessSecretRequest(name="other")))
    await admin.Rewrap(admin_pb.RewrapRequest())
    assert await actions(admin) == before


def test_each_command_that_changes_something_leaves_one_event(
    env: Env, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: Sql
) -> None:
    ring, bootstrap, loaded = (tmp_path / name for name in ("ring", "boot.yaml", "load.yaml"))
    old = new_key()
    ring.write_text(old)
    bootstrap.write_text("ai: {enabled: true}")
    loaded.write_text("thresholds: {high: 0.8}")
    monkeypatch.setenv("CONFIG_KEYRING_FILE", str(ring))
    main(["migrate"])
    monkeypatch.setenv("CONFIG_BOOTSTRAP_FILE", str(bootstrap))
    main(["migrate"])
    main(["migrate"])
    main(["load", str(loaded), "--dry-run"])
    main(["load", str(loaded), "--reason", "as agreed"])
    main(["load", str(loaded)])
    main(["import-legacy", earlier_system(tmp_path)])
    main(["store", "new-epoch"])
    ring.write_text(f"{new_key()}\n{old}")
    main(["keys", "rewrap"])
    main(["keys", "rewrap"])
    main(["store", "compact"])
    found = sql("SELECT action, revision, principal, facts FROM audit_events ORDER BY sequence")
    assert [row[:2] for row in found] == [
        ("migrate", 1),
        ("migrate", 2),
        ("load", 3),
        ("import-legacy", 4),
        ("SetSecret", 5),
        ("new-epoch", 5),
        ("Rewrap", 5),
    ]
    assert found[2][2].startswith("config-service load")
    assert json.loads(found[2][3])["reason"] == "as agreed"


def earlier_system(folder: Path) -> str:
    path = folder / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE config_settings"
            " (id INTEGER, config_json TEXT, encrypted_api_key TEXT, updated_by TEXT)"
        )
        values = ('{"geo": {"neutral_score": 0.25}}', f"plain:{CANARY}")
        connection.execute("INSERT INTO config_settings VALUES (1, ?, ?, '')", values)
        connection.commit()
    return f"sqlite:///{path}"


def test_a_compaction_leaves_one_event_and_one_that_removes_nothing_none(
    store: Store, sql: Sql
) -> None:
    later = Store(store._engine, store.keyring, lambda: utc_now() + timedelta(days=3))
    for number in range(5):
        store.apply(Update(Change({"geo": {"neutral_score": number / 10}}), Meta("a")))
    keep = Retention(count=2, age=timedelta(days=1))
    assert (later.compact(keep, "ann"), later.compact(keep, "ann")) == (4, 0)
    found = sql("SELECT principal, revision, facts FROM audit_events WHERE action = 'compact'")
    assert found == [("ann", 4, '{"removed":"4"}')]


async def test_neither_secrets_nor_values_are_in_the_log(client: Any, admin: Any, sql: Sql) -> None:
    await client.update({"thresholds": {"high": 0.8125}, "text": {"prefixes": [{"text": CANARY}]}})
    await client.set_key(CANARY + "2")
    await client.key()
    await admin.ImportConfig(admin_pb.ImportConfigRequest(yaml=f"ai: {{model: {CANARY}}}"))
    whole = repr(sql("SELECT * FROM audit_events")) + str(await events(admin))
    assert CANARY not in whole
    assert "8125" not in whole


REFUSE = (
    "CREATE TRIGGER full BEFORE INSERT ON audit_events"
    " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
)


async def test_a_deed_that_cannot_be_logged_does_not_happen(
    client: Any, admin: Any, sql: Sql
) -> None:
    await client.set_key(CANARY)
    await client.update(HIGH)
    sql("UPDATE config_revisions SET created_at = '2020-01-01T00:00:00.000000+00:00'")
    tables = ("config_settings", "config_revisions", "config_secrets", "idempotency_keys")
    before = [sql(f"SELECT * FROM {table}") for table in tables]
    sql(REFUSE)
    stub, request_id = client.stub, str(uuid.uuid4())
    calls = [
        client.update({"thresholds": {"high": 0.9}}, request_id=request_id),
        client.set_key("other"),
        stub.ClearSecret(pb.ClearSecretRequest(name=NAME)),
        stub.RollbackConfig(pb.RollbackConfigRequest(revision=1)),
        stub.AccessSecret(pb.AccessSecretRequest(name=NAME)),
        admin.ImportConfig(admin_pb.ImportConfigRequest(yaml="ai: {enabled: true}")),
    ]
    for call in calls:
        refused = await client.refused(call)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE",
        )  # fmt: skip
        assert "disk" not in str(refused)
    assert [sql(f"SELECT * FROM {table}") for table in tables] == before
    assert (await client.effective())["thresholds"]["high"] == 0.8125
    sql("DROP TRIGGER full")
    assert (await client.update({"thresholds": {"high": 0.9}}, request_id=request_id)).changed


def test_cells_are_not_sealed_anew_nor_removed_without_their_event(
    store: Store, sql: Sql, env: Env
) -> None:
    beside = Path(env.database_url.removeprefix("sqlite:///")).with_suffix(".key")
    beside.write_text(f"{new_key()}\n{beside.read_text()}")
    rotated = setup.open_store(env)
    for number in range(5):
        store.apply(Update(Change({"geo": {"neutral_score": number / 10}}), Meta("a")))
    before = sql("SELECT document FROM config_revisions"), sql("SELECT * FROM config_settings")
    sql(REFUSE)
    later = Store(store._engine, store.keyring, lambda: utc_now() + timedelta(days=3))
    for deed in (
        lambda: rotated.rewrap("ann"),
        lambda: later.compact(Retention(1, timedelta(days=1)), "ann"),
        lambda: store.new_epoch("ann"),
    ):
        with pytest.raises(DedupError, match="does not answer"):
            deed()
    after = sql("SELECT document FROM config_revisions"), sql("SELECT * FROM config_settings")
    assert after == before


async def test_pages_and_filters_of_the_log(client: Any, admin: Any) -> None:
    for number in range(1, 8):
        await client.update({"geo": {"neutral_score": number / 10}})
    await client.set_key(CANARY)
    token, seen = "", []
    while token or not seen:
        request = admin_pb.ListAuditEventsRequest(page_size=2, page_token=token)
        page = await admin.ListAuditEvents(request)
        assert len(page.events) <= 2
        seen += [event.sequence for event in page.events]
        token = page.next_page_token
    assert seen == list(range(9, 0, -1))
    assert [e.action for e in await events(admin, action="SetSecret")] == ["SetSecret"]
    assert await events(admin, principal="nobody") == []
    assert len(await events(admin, principal="dev", action="UpdateConfig")) == 7
    request = admin_pb.ListAuditEventsRequest(page_size=3, action="UpdateConfig")
    first = await admin.ListAuditEvents(request)
    request.page_token = first.next_page_token
    second = await admin.ListAuditEvents(request)
    assert [event.revision for event in (*first.events, *second.events)] == [8, 7, 6, 5, 4, 3]


async def test_a_page_of_the_log_ends_before_it_is_too_large_to_be_read(
    client: Any, admin: Any, sql: Sql
) -> None:
    for number in range(1, 5):
        await client.update({"geo": {"neutral_score": number / 10}})
    sql("UPDATE audit_events SET facts = ?", json.dumps({"reason": "x" * 400_000}))
    token, pages = "", []
    while token or not pages:
        request = admin_pb.ListAuditEventsRequest(page_size=500, page_token=token)
        page = await admin.ListAuditEvents(request)
        pages.append([event.sequence for event in page.events])
        token = page.next_page_token
    assert pages == [[5, 4], [3, 2], [1]]


@pytest.mark.parametrize("token", ["x", "é", "bm9uZSAx", "YXVkaXQgMA==", "YXVkaXQgLTE="])
async def test_a_foreign_page_token_is_refused(client: Any, admin: Any, token: str) -> None:
    request = admin_pb.ListAuditEventsRequest(page_token=token)
    refused = await client.refused(admin.ListAuditEvents(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN")


async def test_a_token_of_the_history_is_none_of_the_log(client: Any, admin: Any) -> None:
    await client.update(HIGH)
    page = await client.stub.ListRevisions(pb.ListRevisionsRequest(page_size=1))
    request = admin_pb.ListAuditEventsRequest(page_token=page.next_page_token)
    assert (await client.refused(admin.ListAuditEvents(request))).reason == "PAGE_TOKEN"


@pytest.mark.parametrize("size", [-1, 501])
async def test_a_page_size_out_of_range_is_refused(client: Any, admin: Any, size: int) -> None:
    request = admin_pb.ListAuditEventsRequest(page_size=size)
    assert (await client.refused(admin.ListAuditEvents(request))).reason == "RANGE"


@dataclass(frozen=True)
class Filled:
    """A store with everything in it, copied for each attack."""

    env: Env
    path: Path

    def attacked(self, *statements: str, known: Known | None = None) -> list[str]:
        """Return what is found after some SQL on a copy; the reason of an error when one comes."""
        copy = self.path.with_name("copy.db")
        for old in copy.parent.glob("copy.db*"):
            old.unlink()
        shutil.copyfile(self.path, copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            for statement in statements:
                changed = connection.execute(statement).rowcount
                assert changed, statement
        try:
            store = setup.open_store(replace(self.env, database_url=f"sqlite:///{copy}"))
            try:
                return list(store.verify_audit(known).findings)
            finally:
                store.close()
        except DedupError as error:
            return [error.reason]

    def value(self, query: str) -> Any:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("filled")
    env = Env(database_url=f"sqlite:///{folder / 'c.db'}", keyring=new_key())
    store = setup.migrate(env)
    meta = Meta("ann", "because")
    early = Store(store._engine, store.keyring, lambda: utc_now() - timedelta(days=9))
    for number in range(1, 5):
        early.apply(Update(Change({"geo": {"neutral_score": number / 10}}), meta))
    early.apply(SetSecret(NAME, "one", meta))
    assert store.compact(Retention(5, KEPT), "ann") == 1
    store.apply(SetSecret(NAME, "two", meta))
    store.apply(Rollback(3, meta))
    store.access_secret(NAME, "matcher")
    store.new_epoch("ann")
    store.apply(Import({"ai": {"enabled": True}}, meta))
    for reader in ("matcher-1", "matcher-2", "matcher-3"):
        store.access_secret(NAME, reader)
    with closing(sqlite3.connect(folder / "c.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    yield Filled(env, folder / "c.db")
    store.close()


def test_a_store_that_nobody_touched_is_intact(filled: Filled) -> None:
    assert filled.attacked("UPDATE config_settings SET id = 1") == []
    (count,) = filled.value("SELECT count(*) FROM audit_events")[0]
    assert count == 15


COLUMNS = {
    "audit_events": "sequence at principal action epoch revision facts mac",
    "config_revisions": "revision origin created_at author reason changed_paths digest"
    " schema_version document",
    "config_secrets": "name version value fingerprint set_at set_by",
    "config_settings": "store_id epoch revision updated_at updated_by store_key audit_head"
    " compacted_through",
}
NUMBERS = {"sequence", "revision", "schema_version", "version", "compacted_through"}


@pytest.mark.parametrize(
    ("table", "column"), [(t, column) for t in COLUMNS for column in COLUMNS[t].split()]
)
def test_every_column_of_every_row_that_is_altered_is_found(
    filled: Filled, table: str, column: str
) -> None:
    for (row,) in filled.value(f"SELECT rowid FROM {table}"):
        altered = f"{column} + 1000" if column in NUMBERS else f"'x' || substr({column}, 2)"
        statements = [f"UPDATE {table} SET {column} = {altered} WHERE rowid = {row}"]
        assert filled.attacked(*statements), (table, column, row)


def test_a_document_that_was_moved_or_altered_is_named(filled: Filled) -> None:
    numbers = [row[0] for row in filled.value("SELECT revision FROM config_revisions")]
    other = f"(SELECT document FROM config_revisions WHERE revision = {numbers[1]})"
    for wrong in (other, "substr(document, 1, 60)", "'cse2.0123456789ab.' || substr(document, 19)"):
        move = f"UPDATE config_revisions SET document = {wrong} WHERE revision = {numbers[0]}"
        (found,) = filled.attacked(move)
        assert found.startswith(f"the document of revision {numbers[0]} is not to be had: ")


def test_a_document_that_the_same_revision_had_before_a_restore_is_found(
    env: Env, sql: Sql
) -> None:
    """It opens in its place, but what the log says of the revision is another config's digest."""
    path = Path(env.database_url.removeprefix("sqlite:///"))
    setup.open_store(env).close()
    backup = shutil.copyfile(path, path.with_name("backup"))
    store = setup.open_store(env)
    store.apply(Update(Change(HIGH), Meta("ann")))
    ((document,),) = sql("SELECT document FROM config_revisions WHERE revision = 2")
    store.close()
    shutil.copyfile(backup, path)
    store = setup.open_store(env)
    store.apply(Update(Change({"geo": {"neutral_score": 0.25}}), Meta("ann")))
    store.apply(Update(Change({"geo": {"neutral_score": 0.75}}), Meta("ann")))
    assert store.verify_audit().findings == ()
    sql("UPDATE config_revisions SET document = ? WHERE revision = 2", document)
    (found,) = store.verify_audit().findings
    assert found == "the document of revision 2 is not the one of its digest"
    store.close()


@pytest.mark.parametrize("wrong", ["NULL", "x'00ff'", "''", "'5'", "'[1]'", "'{\"secret\":[]}'"])
@pytest.mark.parametrize("column", ["facts", "at", "mac", "epoch"])
def test_what_no_event_can_hold_is_found_too(filled: Filled, column: str, wrong: str) -> None:
    statements = [f"UPDATE audit_events SET {column} = {wrong} WHERE sequence = 6"]
    if wrong == "NULL":
        with pytest.raises(sqlite3.IntegrityError):
            filled.attacked(*statements)
    else:
        assert filled.attacked(*statements)


@pytest.mark.parametrize("sequence", range(1, 16))
def test_an_event_that_was_removed_is_found(filled: Filled, sequence: int) -> None:
    assert filled.attacked(f"DELETE FROM audit_events WHERE sequence = {sequence}")


@pytest.mark.parametrize("left", range(15))
def test_events_cut_off_at_the_end_are_found(filled: Filled, left: int) -> None:
    assert filled.attacked(f"DELETE FROM audit_events WHERE sequence > {left}")


@pytest.mark.parametrize("left", [14, 13, 12])
def test_events_cut_off_stay_found_after_more_events(filled: Filled, left: int) -> None:
    """The chain goes on where the head row says, so nobody can cut and let the service go on."""
    copy = filled.path.with_name("cut.db")
    shutil.copyfile(filled.path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(f"DELETE FROM audit_events WHERE sequence > {left}")
        connection.commit()
    store = setup.open_store(replace(filled.env, database_url=f"sqlite:///{copy}"))
    store.access_secret(NAME, "later")
    store.apply(ClearSecret(NAME, Meta("ann")))
    findings = store.verify_audit().findings
    store.close()
    for path in copy.parent.glob("cut.db*"):
        path.unlink()
    missing = f"events {left + 1} to 15 are missing"
    assert missing in findings


def test_events_that_changed_places_are_found(filled: Filled) -> None:
    moves = ((12, 99), (13, 12), (99, 13))
    swap = [f"UPDATE audit_events SET sequence = {b} WHERE sequence = {a}" for a, b in moves]
    assert filled.attacked(*swap)


def test_an_event_that_was_added_is_found(filled: Filled) -> None:
    copied = "at, 'mallory', action, epoch, revision, facts, mac FROM audit_events"
    add = f"INSERT INTO audit_events SELECT 16, {copied} WHERE sequence = 15"
    assert filled.attacked(add)
    shift = "UPDATE audit_events SET sequence = sequence + 100 WHERE sequence > 7"
    back = "UPDATE audit_events SET sequence = sequence - 99 WHERE sequence > 100"
    middle = f"INSERT INTO audit_events SELECT 8, {copied} WHERE sequence = 7"
    assert filled.attacked(shift, back, middle)


@pytest.mark.parametrize("number", range(3, 9))
def test_a_revision_that_was_removed_is_found(filled: Filled, number: int) -> None:
    assert filled.attacked(f"DELETE FROM config_revisions WHERE revision = {number}")


def test_history_that_was_removed_as_if_compacted_is_found(filled: Filled) -> None:
    found = filled.attacked(
        "DELETE FROM config_revisions WHERE revision <= 4",
        "UPDATE config_settings SET compacted_through = 4",
    )
    assert any("removed" in finding for finding in found)


def test_a_secret_that_was_removed_is_found(filled: Filled) -> None:
    assert filled.attacked("DELETE FROM config_secrets")
    assert filled.attacked("UPDATE config_secrets SET value = NULL")


def test_an_older_end_of_the_log_is_found(env: Env, sql: Sql) -> None:
    store = setup.migrate(env)
    store.apply(SetSecret(NAME, "one", Meta("ann")))
    store.access_secret(NAME, "a")
    ((older,),) = sql("SELECT audit_head FROM config_settings")
    store.access_secret(NAME, "b")
    sql("UPDATE config_settings SET audit_head = ?", older)
    assert store.verify_audit().findings == ("the log ends at event 4, but its end was event 3",)
    with pytest.raises(DedupError):
        store.access_secret(NAME, "c")


def test_a_log_without_an_end_is_not_gone_on_with(env: Env, sql: Sql) -> None:
    store = setup.migrate(env)
    sql("UPDATE config_settings SET audit_head = NULL")
    sql("DELETE FROM audit_events")
    with pytest.raises(CiphertextInvalid):
        store.apply(Update(Change(HIGH), Meta("ann")))
    assert store.state().revision.number == 1


@pytest.mark.parametrize("order", ["epoch first", "epoch last"])
def test_a_clock_that_goes_back_about_a_new_epoch_is_no_finding(store: Store, order: str) -> None:
    slow = Store(store._engine, store.keyring, lambda: utc_now() - timedelta(minutes=2))
    edit = Update(Change({"geo": {"neutral_score": 0.4}}), Meta("ann"))
    deeds = [lambda on: on.new_epoch("ann"), lambda on: on.apply(edit)]
    first, last = deeds if order == "epoch first" else reversed(deeds)
    first(store)
    last(slow)
    assert store.verify_audit().findings == ()


def test_a_secret_put_back_to_a_value_of_an_abandoned_branch_is_found(env: Env, sql: Sql) -> None:
    """After a restore the same version may have had another value before; its token opens."""
    path = Path(env.database_url.removeprefix("sqlite:///"))
    setup.migrate(env).close()
    shutil.copyfile(path, path.with_suffix(".backup"))
    store = setup.open_store(env)
    store.apply(SetSecret(NAME, "abandoned", Meta("ann")))
    ((abandoned,),) = sql("SELECT value FROM config_secrets")
    store.close()
    for part in path.parent.glob("c.db*"):
        part.unlink()
    shutil.copyfile(path.with_suffix(".backup"), path)
    store = setup.open_store(env)
    store.new_epoch("ann")
    store.apply(SetSecret(NAME, "present", Meta("ann")))
    sql("UPDATE config_secrets SET value = ?", abandoned)
    with pytest.raises(CiphertextInvalid):
        store.access_secret(NAME, "matcher")
    assert store.verify_audit().findings
    store.close()


async def test_a_noted_event_finds_a_store_that_was_put_back_as_a_whole(
    client: Any, admin: Any, sql: Sql
) -> None:
    await client.update(HIGH)
    verdict = await admin.VerifyAudit(admin_pb.VerifyAuditRequest())
    assert (verdict.intact, verdict.events, list(verdict.findings)) == (True, 2, [])
    noted = {"known_sequence": verdict.events, "known_mac": verdict.head_mac}
    await client.update({"ai": {"enabled": True}})
    assert (await admin.VerifyAudit(admin_pb.VerifyAuditRequest(**noted))).intact
    other = admin_pb.VerifyAuditRequest(known_sequence=2, known_mac="0" * 64)
    assert list((await admin.VerifyAudit(other)).findings) == [
        "event 2 is not the one that was noted"
    ]
    later = admin_pb.VerifyAuditRequest(known_sequence=9, known_mac="0" * 64)
    assert not (await admin.VerifyAudit(later)).intact
    below = admin_pb.VerifyAuditRequest(known_sequence=-1, known_mac="0" * 64)
    assert (await client.refused(admin.VerifyAudit(below))).reason == "RANGE"


async def test_damage_is_told_as_data_loss_and_not_as_our_mistake(
    client: Any, admin: Any, sql: Sql
) -> None:
    await client.update(HIGH)
    sql("UPDATE audit_events SET facts = '5' WHERE sequence = 2")
    sql("UPDATE config_revisions SET created_at = 'x', changed_paths = '{' WHERE revision = 1")
    for call in (
        admin.ListAuditEvents(admin_pb.ListAuditEventsRequest()),
        client.get(1),
        client.stub.ListRevisions(pb.ListRevisionsRequest()),
    ):
        refused = await client.refused(call)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.DATA_LOSS, "CIPHERTEXT_INVALID",
        )  # fmt: skip
    assert not (await admin.VerifyAudit(admin_pb.VerifyAuditRequest())).intact
