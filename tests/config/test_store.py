"""The store: durable, and honest when it is locked."""

import asyncio
import contextlib
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from sqlalchemy import Engine, event

from config_service import database, setup
from config_service.database import DatabaseError
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from config_service.revision import Draft, Layers, Origin
from config_service.state import State
from config_service.store import Store
from dedup_model import tree
from dedup_model.change import Change
from dedup_model.errors import RevisionNotFound, SecretNotSet, StoreUnavailable
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_service_pb2 as pb

META = Meta("tester")


def _score(number: int) -> Update:
    return Update(Change({"geo": {"neutral_score": number / 1000}}), META)


def test_every_connection_is_wal_with_full_sync(env: Env, store: Store) -> None:
    engine = database.open_database(database.parse_url(env.database_url))
    for writes in (False, True):
        with engine.connect().execution_options(writes=writes) as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_database_that_cannot_be_durable_is_refused() -> None:
    memory = database.open_database(database.parse_url("sqlite:///file::memory:?uri=true"))
    with pytest.raises(DatabaseError, match="durable"):
        memory.connect()


@pytest.mark.parametrize(
    "url", ["", "x", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "postgresql://h"]
)
def test_a_url_that_names_no_sqlite_file_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError):
        database.open_database(database.parse_url(url))


def test_revisions_are_contiguous_and_reopen_byte_for_byte(env: Env, store: Store) -> None:
    for number in range(1, 6):
        store.apply(_score(number))
    store.apply(SetSecret("ai.api_key", "key-1", META))
    kept = store.page(None, 100)
    assert [revision.number for revision in kept] == [7, 6, 5, 4, 3, 2, 1]
    again = setup.open_store(env)
    assert again.page(None, 100) == kept
    whole = [again.revision(story.number) for story in kept]
    assert [tree.digest(r.layers.effective) for r in whole] == [r.digest for r in kept]
    assert again.state() == store.state()
    assert again.access_secret("ai.api_key", "test") == ("key-1", 1)


def test_the_head_row_names_the_last_revision_and_stays_alone(
    store: Store, sql: Callable[..., Any]
) -> None:
    store.apply(_score(1))
    ((identity, revision, author),) = sql("SELECT id, revision, updated_by FROM config_settings")
    assert (identity, revision, author) == (1, 2, "tester")
    with pytest.raises(sqlite3.IntegrityError):
        sql("INSERT INTO config_settings VALUES (2, 'a', 'b', 1, '', '', '', '', 0)")


def test_a_refused_edit_leaves_nothing_behind(store: Store) -> None:
    before = store.state()

    def failing(*_: Any) -> Draft:
        raise SecretNotSet("no")

    with pytest.raises(SecretNotSet):
        store.apply(failing)
    assert store.state() == before
    assert store.apply(_score(1))[1].revision.number == 2


def test_what_is_missing_has_its_own_error(store: Store) -> None:
    with pytest.raises(RevisionNotFound):
        store.revision(0)
    with pytest.raises(SecretNotSet):
        store.access_secret("ai.api_key", "test")


ODD = [
    (("thresholds", "low"), 0.9),
    (("ai", "max_output_tokens"), 10**9),
    (("thresholds", "new_key"), 1.0),
    (("canonical", "field_strategies", "title"), "newest_kind"),
]


@pytest.mark.parametrize(("path", "value"), ODD, ids=["order", "range", "key", "choice"])
async def test_what_another_release_stored_is_served_whatever_todays_rules_say(
    client: Any, store: Store, sql: Callable[..., Any], path: tuple[str, ...], value: Any
) -> None:
    def edit(_: Any, head: State) -> Draft:
        old = head.revision.layers
        odd = tree.put({}, path, value)
        layers = Layers(old.inherited, old.bootstrap, odd, tree.put(old.effective, path, value))
        return Draft(layers, Origin.UPDATE, "another release", "", "UpdateConfig")

    store.apply(edit)
    sql("UPDATE config_revisions SET schema_version = 2 WHERE revision = 2")
    snapshot = await client.stub.GetSnapshot(
        pb.GetSnapshotRequest(known_epoch=store.stamp()[0], min_revision=2)
    )
    assert snapshot.revision == 2
    assert (await client.get()).revision.revision == 2
    assert (await client.get(2)).effective == snapshot.config
    watch = client.stub.WatchConfig(pb.WatchConfigRequest())
    assert (await watch.read()).state.effective == snapshot.config


@contextlib.contextmanager
def _locked(env: Env) -> Iterator[None]:
    path = env.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_locked_database_is_unavailable_and_reads_go_on(client: Any, env: Env) -> None:
    with _locked(env):
        writing = asyncio.create_task(client.update_refused({"ai": {"enabled": True}}))
        setting = asyncio.create_task(client.refused(client.set_key("key-1")))
        await asyncio.sleep(0.1)
        assert (await client.get()).revision.revision == 1
        assert (await client.get(1)).revision.revision == 1
        for refused in (await writing, await setting):
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE",
            )  # fmt: skip
            assert "config_" not in refused.message
    await client.update({"ai": {"enabled": True}})
    assert await client.head() == 2


@contextlib.contextmanager
def _without_room(engine: Engine) -> Iterator[None]:
    """Let the database file grow no more; SQLite says the same of a disk without room."""
    most = [1]

    def limited(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most[0]}")

    event.listen(engine, "begin", limited)
    yield
    most[0] = 1_000_000


async def _refused_at_last(client: Any, call: Callable[[int], Any]) -> Any:
    """Return the refusal of the first call that finds no room among the pages that are there."""
    for number in range(100):
        try:
            await call(number)
        except grpc.aio.AioRpcError as error:
            return remote_error(error)
    raise AssertionError("there was room for all of them")


async def test_a_full_disk_is_told_to_callers_and_in_the_log_and_reads_go_on(
    client: Any, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await client.set_key("Canary-Full")
    calls = (
        lambda number: client.update({"geo": {"neutral_score": number / 100}}),
        lambda number: client.set_key(f"Canary-Full-{number}"),
        lambda number: client.key(),
    )
    with _without_room(server.feed._store._engine):
        for call in calls:
            refused = await _refused_at_last(client, call)
            assert (refused.code, refused.reason, refused.facts) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL", {"kind": "SQLITE_FULL"},
            )  # fmt: skip
        head = await client.head()
        assert await client.stored() == head
    lines = {r.getMessage() for r in caplog.records if r.levelno == logging.ERROR}
    assert lines == {"the database has no room left: SQLITE_FULL"}
    assert "Canary" not in caplog.text
    assert (await client.update({"ai": {"enabled": True}})).revision.revision == head + 1


async def test_a_lost_database_is_unavailable_not_internal(
    client: Any, sql: Callable[..., Any]
) -> None:
    sql("ALTER TABLE config_revisions RENAME TO gone")
    refused = await client.update_refused({"ai": {"enabled": True}})
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    sql("ALTER TABLE gone RENAME TO config_revisions")
    await client.update({"ai": {"enabled": True}})


async def test_the_poll_outlives_a_head_that_it_cannot_read(
    client: Any, store: Store, sql: Callable[..., Any]
) -> None:
    """Another release may write an origin that this one does not know."""
    store.apply(_score(1))
    sql("UPDATE config_revisions SET origin = 'compaction' WHERE revision = 2")
    await asyncio.sleep(0.2)
    sql("UPDATE config_revisions SET origin = 'update' WHERE revision = 2")
    store.apply(_score(2))
    async with asyncio.timeout(20):
        while await client.head() != 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def test_an_unreadable_row_is_a_domain_error(store: Store, sql: Callable[..., Any]) -> None:
    sql("UPDATE config_revisions SET document = 'x'")
    with pytest.raises(Exception, match="authenticate") as caught:
        store.state()
    assert not isinstance(caught.value, StoreUnavailable)


def _serve(env: Env) -> tuple[subprocess.Popen[str], str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("CONFIG_")}
    command = [sys.executable, "-m", "config_service", "--database-url", env.database_url]
    process = subprocess.Popen(
        [*command, "serve", "--address", "127.0.0.1:0"],
        stderr=subprocess.PIPE, text=True, env=variables,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"listening on ([\w.:/-]+)", line):
            return process, found[1]
    raise AssertionError("the service did not start")


async def test_sigterm_tells_watchers_to_go_and_ends_with_0(
    env: Env, connect: Callable[[str], Any]
) -> None:
    process, address = await asyncio.to_thread(_serve, env)
    client = connect(address)
    call = client.stub.WatchConfig(pb.WatchConfigRequest())
    await call.read()
    process.send_signal(signal.SIGTERM)
    while (message := await call.read()).WhichOneof("event") != "go_away":
        assert message.WhichOneof("event") == "heartbeat"
    assert message.go_away.reason == "shutdown"
    assert await call.read() is grpc.aio.EOF
    errors = await asyncio.to_thread(process.communicate, timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in str(errors)
