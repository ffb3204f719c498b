"""From the schema of the first two migrations to the newest: everything is kept, killed or not."""

import functools
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from config.old_release import NAME, SECRET, OldStore, build, migrate, migrate_killed_at
from cryptography.fernet import Fernet
from reliability.harness import FULL, Service, service

from config_service import setup
from config_service.cipher import KeyRingError, new_key
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from config_service.store import Store
from dedup_model.change import Change
from dedup_model.errors import KeyNotInRing, PlaintextRefused
from dedup_rpc.access import Access

Sql = Callable[..., Any]
STEP = 1 if FULL else 11


@pytest.fixture
def env(env: Env) -> Env:
    return replace(env, keyring=new_key())


def assert_kept(store: Store, old: OldStore) -> None:
    """Compare a migrated store with what the old release wrote."""
    assert store.stamp() == (old.epoch, 4)
    assert [store.revision(number) for number in range(1, 5)] == old.revisions
    assert store.access_secret(NAME, "matcher") == (SECRET, 1)
    assert store.state().secret(NAME).set_by == "ann"
    assert store.verify_audit().findings == ()
    assert store.unopened() == []


def test_settings_secrets_and_history_are_kept_and_adopted(env: Env, sql: Sql) -> None:
    old = build(env)
    before = sql("SELECT * FROM config_revisions")
    store = setup.migrate(env)
    assert sql("SELECT * FROM config_revisions") == before
    found = sql("SELECT action, revision, principal FROM audit_events ORDER BY sequence")
    assert found == [
        ("migrate", 1, "config-service migrate"),
        ("adopted", 2, "ann"),
        ("adopted", 3, "ann"),
        ("adopted", 4, "ann"),
        ("adopted", 0, "ann"),
    ]
    assert_kept(store, old)
    assert sql("SELECT count(*) FROM idempotency_keys") == [(0,)]
    assert SECRET not in repr(sql("SELECT * FROM audit_events"))


def test_a_migrated_store_goes_on(env: Env) -> None:
    build(env)
    setup.migrate(env).close()
    store = setup.migrate(env)
    store.apply(Update(Change({"geo": {"neutral_score": 0.9}}), Meta("ann")))
    store.apply(SetSecret(NAME, "next", Meta("ann")))
    assert store.access_secret(NAME, "matcher") == ("next", 2)
    assert store.stamp()[1] == 6
    assert store.verify_audit().findings == ()
    store.rewrap("ann")
    assert store.verify_audit().findings == ()


def test_what_was_adopted_is_guarded_from_then_on(env: Env, sql: Sql) -> None:
    build(env)
    store = setup.migrate(env)
    sql("UPDATE config_revisions SET author = 'mallory' WHERE revision = 2")
    assert store.verify_audit().findings == ("revision 2 is not what the audit log says of it",)


@pytest.mark.parametrize("keyring", [None, new_key()], ids=["none", "another"])
def test_a_ring_that_does_not_open_the_old_store_migrates_nothing(
    env: Env, sql: Sql, keyring: str | None
) -> None:
    old = build(env)
    with pytest.raises(KeyRingError):
        setup.migrate(replace(env, keyring=keyring))
    assert sql("SELECT count(*) FROM audit_events") == [(0,)]
    assert_kept(setup.migrate(env), old)


@pytest.mark.parametrize("keyring", [None, new_key()], ids=["none", "another"])
def test_an_old_store_stays_sealed_in_production_and_is_adopted_with_its_ring(
    env: Env, sql: Sql, keyring: str | None
) -> None:
    old, access = build(env), Access("CONFIG", production=True)
    sealed = replace(env, keyring=keyring, access=access)
    setup.migrate(sealed).close()
    assert setup.open_store(sealed).keyring.problem
    assert sql("SELECT count(*) FROM audit_events") == [(0,)]
    assert_kept(setup.open_store(replace(env, access=access)), old)


def test_a_secret_of_the_earlier_system_is_adopted_with_its_key_or_leave(
    env: Env, tmp_path: Path, sql: Sql
) -> None:
    key = Fernet.generate_key()
    token = Fernet(key).encrypt(SECRET.encode()).decode()
    for number, (cell, refusal, given) in enumerate((
        (token, KeyNotInRing, {"legacy_key": key.decode()}),
        (f"plain:{SECRET}", PlaintextRefused, {"allow_plain": True}),
    )):  # fmt: skip
        one = replace(env, database_url=f"sqlite:///{tmp_path / f'{number}.db'}")
        build(one, cell)
        with pytest.raises(refusal):
            setup.migrate(one)
        store = setup.migrate(replace(one, **given))
        assert store.access_secret(NAME, "m") == (SECRET, 1)
        assert store.rewrap("ann") == (1, 0)
        assert setup.open_store(one).access_secret(NAME, "m") == (SECRET, 1)


def test_a_migration_may_be_killed_at_any_statement_and_repeated() -> None:
    with service(target=migrate) as base:
        old = build(base.env)
        folder, kills = base.folder, 0
        for number in range(0, 400, STEP):
            for part in folder.glob("again.db*"):
                part.unlink()
            shutil.copyfile(folder / "config.db", folder / "again.db")
            again = replace(base.env, database_url=f"sqlite:///{folder / 'again.db'}")
            process = Service(folder, again, functools.partial(migrate_killed_at, number))
            process.launch()
            if process.reap() == 0:
                break
            kills += 1
            process.target = migrate
            process.launch()
            assert process.reap() == 0, process.log.read_text()
            store = setup.open_store(again)
            assert_kept(store, old)
            store.close()
        else:
            raise AssertionError("the migration has no end")
    assert kills >= 5


def test_four_migrations_at_once_adopt_the_store_once() -> None:
    with service(target=migrate) as base:
        old = build(base.env)
        running = [Service(base.folder, base.env, migrate) for _ in range(4)]
        for process in running:
            process.launch()
        assert [process.reap() for process in running] == [0] * 4, base.log.read_text()
        store = setup.open_store(base.env)
        assert_kept(store, old)
        store.close()
        with closing(sqlite3.connect(base.folder / "config.db")) as connection:
            query = "SELECT count(*) FROM audit_events WHERE action IN ('migrate', 'adopted')"
            assert connection.execute(query).fetchone() == (5,)
