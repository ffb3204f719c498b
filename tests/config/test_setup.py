"""Starting: migrations, bootstrap files, foreign databases, and wrong ways to run."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import database, setup
from config_service.cipher import new_key
from config_service.edits import Meta, Update
from config_service.env import Env
from config_service.keyring import Keyring
from config_service.revision import Origin
from config_service.store import Store
from dedup_model import tree
from dedup_model.change import Change
from dedup_model.errors import InvalidRequest, KeyNotInRing
from dedup_model.reports import StatusReport
from dedup_rpc.access import Access
from eventdedup.config.v1 import config_service_pb2 as pb

Bootstrap = Callable[[str], Env]
Refused = Callable[[list[str]], str]
PRODUCTION = Access("CONFIG", production=True)


def test_migrating_twice_changes_nothing(env: Env) -> None:
    first = setup.migrate(env).state()
    assert first.revision.origin is Origin.INITIAL
    assert setup.migrate(env).state() == first
    assert first.revision.layers.effective == tree.DEFAULTS


def test_a_bootstrap_file_is_inherited_and_shows_as_such(with_bootstrap: Bootstrap) -> None:
    state = setup.migrate(with_bootstrap("thresholds: {high: 0.8}\n")).state()
    assert (state.revision.number, state.revision.origin) == (1, Origin.INITIAL)
    layers = state.revision.layers
    assert (layers.overrides, layers.bootstrap) == ({}, {"thresholds": {"high": 0.8}})
    assert layers.effective["thresholds"]["high"] == 0.8
    sources = dict(layers.provenance())
    assert (sources["thresholds.high"], sources["thresholds.low"]) == ("bootstrap", "default")


@pytest.mark.parametrize("text", ["thresholds: {high: 0.85, low: 0.1}\n", ""])
def test_another_bootstrap_file_appends_one_revision_and_keeps_overrides(
    with_bootstrap: Bootstrap, text: str
) -> None:
    store = setup.migrate(with_bootstrap("thresholds: {high: 0.8}\nai: {enabled: true}\n"))
    change = Change({"thresholds": {"low": 0.2}})
    store.apply(Update(change, Meta("tester")))
    env = with_bootstrap(text)
    state = setup.migrate(env).state()
    assert (state.revision.number, state.revision.origin) == (3, Origin.BOOTSTRAP)
    layers = state.revision.layers
    assert layers.overrides == {"thresholds": {"low": 0.2}}
    assert layers.effective["thresholds"]["low"] == 0.2
    assert layers.effective["thresholds"]["high"] == (0.85 if text else 0.75)
    assert layers.effective["ai"]["enabled"] is False
    assert set(state.revision.changed_paths) == {"thresholds.high", "ai.enabled"}
    assert setup.migrate(env).state().revision.number == 3


def test_a_server_does_not_append_only_migrate_does(with_bootstrap: Bootstrap) -> None:
    setup.migrate(with_bootstrap("thresholds: {high: 0.8}\n"))
    state = setup.open_store(with_bootstrap("thresholds: {high: 0.9}\n")).state()
    assert (state.revision.number, state.revision.layers.effective["thresholds"]["high"]) == (
        1,
        0.8,
    )


@pytest.mark.parametrize("other", [None, new_key()], ids=["no ring", "another ring"])
def test_what_a_sealed_migration_leaves_out_the_next_one_appends(
    with_bootstrap: Bootstrap, env: Env, other: str | None
) -> None:
    env = replace(with_bootstrap("thresholds: {high: 0.8}\n"), keyring=new_key(), access=PRODUCTION)
    setup.migrate(env).close()
    with_bootstrap("thresholds: {high: 0.9}\n")
    sealed = setup.migrate(replace(env, keyring=other))
    assert sealed.keyring.problem
    sealed.close()
    kept = setup.open_store(env).state().revision
    assert (kept.number, kept.layers.effective["thresholds"]["high"]) == (1, 0.8)
    found = setup.migrate(env).state().revision
    assert (found.number, found.origin) == (2, Origin.BOOTSTRAP)
    assert found.layers.effective["thresholds"]["high"] == 0.9


def test_a_store_that_was_only_migrated_gets_its_first_revision_with_its_ring(env: Env) -> None:
    env = replace(env, access=PRODUCTION)
    setup.migrate(env).close()
    assert setup.open_store(env).keyring.problem
    store = setup.open_store(replace(env, keyring=new_key()))
    assert store.state().revision.origin is Origin.INITIAL
    assert store.verify_audit().findings == ()


def test_with_the_key_of_another_server_s_new_store_one_of_its_own_writes_nothing(
    env: Env, sql: Callable[..., Any]
) -> None:
    """Two servers whose rings differ come upon an empty store: to each its ring seems to fit."""
    setup.migrate(replace(env, access=PRODUCTION)).close()
    late = replace(env, keyring=new_key())
    engine = database.open_database(database.parse_url(env.database_url))
    store = Store(engine, Keyring(setup.EnvRing(late)))
    store.keyring.look(store)
    store.keyring.require()
    first = setup.open_store(replace(env, keyring=new_key()))
    with pytest.raises(KeyNotInRing):
        store.report("matcher", StatusReport("1", "0", "", 0, 0, "live"))
    setup.fill(store, setup.bootstrap_layers(late))
    for _ in range(2):
        assert store.keyring.problem
        assert store.keyring.problem.reason == "KEYRING_WRONG"
        store.keyring.look(store)
    assert sql("SELECT count(*) FROM client_status") == [(0,)]
    assert first.unopened() == []
    assert first.verify_audit().findings == ()
    engine.dispose()


def test_in_development_a_ring_that_does_not_open_the_store_is_refused(
    env: Env, url: str, refused_start: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.migrate(env).close()
    monkeypatch.setenv("CONFIG_KEYRING", new_key())
    assert "which seals this store" in refused_start(["migrate"])


def test_the_first_update_keeps_the_values_of_the_bootstrap_file(with_bootstrap: Bootstrap) -> None:
    text = "category_weights:\n  overrides: {markt: {date: 1.0}}\n  priority: [markt]\n"
    store = setup.migrate(with_bootstrap(text))
    change = Change({"category_weights": {"overrides": {"messe": {"geo": 1.0}}}})
    _, after = store.apply(Update(change, Meta("tester")))
    overrides = after.revision.layers.effective["category_weights"]["overrides"]
    assert overrides == {"markt": {"date": 1.0}, "messe": {"geo": 1.0}}


BAD_FILES = {
    "thresholds: {high: 7}\n": ("thresholds.high", "RANGE"),
    "thresholds: {high: 0.1}\n": ("thresholds.low", "CROSS_FIELD"),
    "treshold: {high: 0.8}\n": ("treshold", "UNKNOWN_KEY"),
    "thresholds: {hihg: 0.8}\n": ("thresholds.hihg", "UNKNOWN_KEY"),
    "thresholds: 5\n": ("thresholds", "TYPE"),
    "thresholds: [1]\n": ("thresholds", "TYPE"),
    "ai: {enabled: yes}\n": ("ai.enabled", "TYPE"),
    "ai: {model: [1]}\n": ("ai.model", "TYPE"),
    "ai: {enabled: true, enabled: false}\n": ("line 1", "DUPLICATE_KEY"),
    "category_weights: {overrides: {Markt: {date: 1}}}\n":
        ("category_weights.overrides.Markt", "KEY_CHARSET"),
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_bad_bootstrap_file_is_refused_by_path_and_the_store_stays(
    with_bootstrap: Bootstrap, env: Env, text: str
) -> None:
    before = setup.migrate(env).state()
    with pytest.raises(InvalidRequest) as caught:
        setup.migrate(with_bootstrap(text))
    assert [(v.path, v.rule) for v in caught.value.violations] == [BAD_FILES[text]]
    assert setup.open_store(env).state() == before


def test_a_bootstrap_file_that_contradicts_an_override_is_refused(
    with_bootstrap: Bootstrap, store: Store
) -> None:
    change = Change({"thresholds": {"low": 0.7}})
    _, kept = store.apply(Update(change, Meta("tester")))
    with pytest.raises(InvalidRequest):
        setup.migrate(with_bootstrap("thresholds: {high: 0.6, low: 0.5}\n"))
    assert store.state() == kept


def test_a_database_of_a_newer_release_is_refused(
    url: str, store: Store, sql: Callable[..., Any], refused_start: Refused
) -> None:
    sql("UPDATE alembic_version SET version_num = '9999'")
    assert "newer release" in refused_start(["serve", "--address", "127.0.0.1:0"])
    assert "newer release" in refused_start(["migrate"])
    assert sql("SELECT version_num FROM alembic_version") == [("9999",)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
        "DELETE FROM config_settings",
    ],
)
def test_a_database_that_is_not_migrated_is_refused(
    url: str,
    store: Store,
    sql: Callable[..., Any],
    refused_start: Refused,
    statement: str,
) -> None:
    sql(statement)
    assert "config-service migrate" in refused_start(["serve", "--address", "127.0.0.1:0"])


def test_a_migration_that_was_cut_off_before_its_first_revision_goes_on(
    env: Env, store: Store, sql: Callable[..., Any]
) -> None:
    for table in ("config_settings", "config_revisions", "audit_events"):
        sql(f"DELETE FROM {table}")
    assert setup.migrate(env).state().revision.number == 1


@pytest.mark.parametrize("statements", [(), ("PRAGMA journal_mode=WAL", "BEGIN IMMEDIATE")])
def test_a_file_that_a_killed_server_left_empty_is_made(
    env: Env, tmp_path: Path, statements: tuple[str, ...]
) -> None:
    path = database.sqlite_path(database.parse_url(env.database_url))
    assert path
    path.unlink(missing_ok=True)
    opened = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        opened.execute(statement)
    opened.close()
    assert path.exists()
    assert setup.open_store(env).state().revision.number == 1


def test_a_foreign_database_is_refused_and_left_alone(
    url: str, sql: Callable[..., Any], refused_start: Refused
) -> None:
    """As when CONFIG_DATABASE_URL names the earlier system's database."""
    sql("CREATE TABLE config_settings (id INTEGER PRIMARY KEY, config_json TEXT)")
    sql("INSERT INTO config_settings VALUES (1, '{}')")
    for command in (["serve", "--address", "127.0.0.1:0"], ["migrate"]):
        assert refused_start(command).startswith("config-service: ")
    assert sql("SELECT * FROM config_settings") == [(1, "{}")]


async def test_a_newer_schema_is_read_but_not_written(
    client: Any, store: Store, sql: Callable[..., Any]
) -> None:
    sql("UPDATE config_revisions SET schema_version = 2")
    sql("UPDATE config_settings SET epoch = '00000000-0000-4000-8000-000000000000'")
    await asyncio.sleep(0.2)
    found = await client.get()
    assert (found.revision.schema_version, found.epoch[0]) == (2, "0")
    snapshot = await client.stub.GetSnapshot(pb.GetSnapshotRequest())
    assert (snapshot.schema_version, snapshot.config) == (2, found.effective)
    for call in (
        client.update({"ai": {"enabled": True}}),
        client.update({"ai": {"enabled": True}}, validate_only=True),
        client.set_key("key-1"),
        client.stub.ClearSecret(pb.ClearSecretRequest(name="ai.api_key")),
        client.stub.RollbackConfig(pb.RollbackConfigRequest(revision=1)),
    ):
        refused = await client.refused(call)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION, "SCHEMA_TOO_NEW",
        )  # fmt: skip


def test_four_migrations_at_once_make_one_store(env: Env, tmp_path: Path) -> None:
    """Of a directory that holds neither database nor key file."""
    url = f"sqlite:///{tmp_path / 'new' / 'c.db'}"
    command = [sys.executable, "-m", "config_service", "--database-url", url, "migrate"]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, errors
    assert setup.open_store(replace(env, database_url=url)).state().revision.number == 1
