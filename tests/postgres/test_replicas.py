"""Two ConfigService replicas on one PostgreSQL behave as one, and as one on SQLite does."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import Engine, create_engine, event, text

from config_service import database as databases
from config_service import serving, setup
from config_service.database import DatabaseError
from config_service.env import Env
from dedup_model import tree
from dedup_rpc.status import remote_error
from dedup_rpc.wire import to_document, to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1 import matching_config_pb2 as settings
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

Start = Callable[[], Awaitable[serving.ConfigServer]]
PATHS = [
    path
    for path in tree.leaf_paths()
    if isinstance(tree.find(tree.DEFAULTS, path), float) and path[0] in ("scoring", "geo", "ai")
][:8]


def stub(server: serving.ConfigServer) -> Any:
    return ConfigServiceStub(grpc.aio.insecure_channel(server.address))


def setting(path: tuple[str, ...], value: float, **more: Any) -> pb.UpdateConfigRequest:
    return pb.UpdateConfigRequest(
        config=to_message(tree.put({}, path, value), settings.MatchingConfig()),
        update_mask=FieldMask(paths=[".".join(path)]),
        **more,
    )


def threshold(value: float, **more: Any) -> pb.UpdateConfigRequest:
    return setting(("thresholds", "high"), value, **more)


async def test_eight_writers_on_two_replicas_lose_nothing(replica: Start) -> None:
    stubs = [stub(await replica()), stub(await replica())]

    async def write(writer: int) -> None:
        for step in range(1, 26):
            await stubs[(writer + step) % 2].UpdateConfig(setting(PATHS[writer], 0.5 + step / 1000))

    before = (await stubs[0].GetConfig(pb.GetConfigRequest())).revision.revision
    await asyncio.gather(*(write(writer) for writer in range(8)))
    page = await stubs[0].ListRevisions(pb.ListRevisionsRequest(page_size=500))
    numbers = [revision.revision for revision in page.revisions]
    assert numbers == list(range(before + 200, 0, -1))
    shown = to_document(
        (await stubs[0].GetConfig(pb.GetConfigRequest(revision=before + 200))).effective
    )
    assert [tree.find(shown, path) for path in PATHS] == [0.525] * 8


async def test_of_racers_with_one_etag_on_two_replicas_one_wins(replica: Start) -> None:
    stubs = [stub(await replica()), stub(await replica())]
    etag = (await stubs[0].GetConfig(pb.GetConfigRequest())).revision.etag

    async def race(i: int) -> grpc.StatusCode:
        try:
            await stubs[i % 2].UpdateConfig(threshold(0.6 + i / 100, etag=etag))
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    codes = await asyncio.gather(*(race(i) for i in range(10)))
    assert sorted(code.name for code in codes) == ["ABORTED"] * 9 + ["OK"]


async def test_a_watcher_on_one_replica_sees_the_writes_of_the_other(replica: Start) -> None:
    one, two = stub(await replica()), stub(await replica())
    request = pb.WatchConfigRequest(mode=pb.WATCH_MODE_EVERY, after_revision=1)
    watch = two.WatchConfig(request, timeout=20)
    assert (await watch.read()).bookmark.after_revision == 1
    for step in range(5):
        await one.UpdateConfig(threshold(0.6 + step / 100))
    seen = [await watch.read() for _ in range(5)]
    assert [event.state.revision.revision for event in seen] == [2, 3, 4, 5, 6]
    assert [round(event.state.effective.thresholds.high, 2) for event in seen] == [
        0.6, 0.61, 0.62, 0.63, 0.64,
    ]  # fmt: skip


async def test_a_snapshot_waits_for_a_revision_that_the_other_replica_made(replica: Start) -> None:
    one, two = stub(await replica()), stub(await replica())
    for step in range(10):
        made = (await one.UpdateConfig(threshold(0.6 + step / 100))).revision
        epoch, _, _ = made.etag.partition(":")
        request = pb.GetSnapshotRequest(known_epoch=epoch, min_revision=made.revision)
        answer = await two.GetSnapshot(request, timeout=30)
        assert answer.revision >= made.revision
        assert answer.digest == made.digest


async def test_a_secret_set_on_one_replica_is_read_on_the_other(replica: Start) -> None:
    one, two = stub(await replica()), stub(await replica())
    await one.SetSecret(pb.SetSecretRequest(name="ai.api_key", value="canary-key"))
    answer = await two.AccessSecret(pb.AccessSecretRequest(name="ai.api_key"))
    assert (answer.value, answer.version) == ("canary-key", 1)


async def conversation(server: serving.ConfigServer) -> list[Any]:
    """Return the answers to one sequence of calls, identifiers and times aside."""
    calls = stub(server)
    requests: list[tuple[str, Any]] = [
        ("GetConfig", pb.GetConfigRequest()),
        ("UpdateConfig", threshold(0.8, reason="first")),
        ("UpdateConfig", threshold(0.8)),
        ("UpdateConfig", threshold(1.8)),
        ("UpdateConfig", threshold(0.9, validate_only=True)),
        ("UpdateConfig", threshold(0.9, etag="00000000-0000-0000-0000-000000000000:1")),
        ("UpdateConfig", setting(("category_weights", "overrides", "konzert", "date"), 0.5)),
        ("SetSecret", pb.SetSecretRequest(name="ai.api_key", value="abc")),
        ("AccessSecret", pb.AccessSecretRequest(name="ai.api_key")),
        ("ClearSecret", pb.ClearSecretRequest(name="ai.api_key")),
        ("AccessSecret", pb.AccessSecretRequest(name="ai.api_key")),
        ("RollbackConfig", pb.RollbackConfigRequest(revision=2)),
        ("RollbackConfig", pb.RollbackConfigRequest(revision=99)),
        ("ListRevisions", pb.ListRevisionsRequest(page_size=3)),
        ("DiffRevisions", pb.DiffRevisionsRequest(from_revision=1)),
        ("GetSnapshot", pb.GetSnapshotRequest()),
        ("GetConfig", pb.GetConfigRequest(revision=3)),
    ]
    return [await answered(calls, method, request) for method, request in requests]


async def answered(calls: Any, method: str, request: Any) -> Any:
    try:
        answer = await getattr(calls, method)(request)
    except grpc.aio.AioRpcError as error:
        seen = remote_error(error)
        return method, seen.code.name, seen.reason, stable(seen.message), seen.violations
    return method, stable(str(answer))


def stable(message: str) -> str:
    """Return a message without identifiers, times and fingerprints."""
    message = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", message)
    message = re.sub(r'(fingerprint|key_id|next_page_token): "[^"]*"', r"\1", message)
    return re.sub(r"(seconds|nanos): \d+", r"\1", message)


async def test_both_databases_answer_alike(replica: Start, sqlite_env: Env) -> None:
    sqlite = await serving.start(sqlite_env)
    try:
        assert await conversation(await replica()) == await conversation(sqlite)
    finally:
        await sqlite.stop(0)


def test_migrations_that_race_make_one_store(env: Env) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: setup.migrate(env), range(4)))
    stamps = {store.stamp() for store in stores}
    for store in stores:
        store.close()
    assert len(stamps) == 1
    assert next(iter(stamps))[1] == 1


@contextmanager
def migrated_after(env: Env, statements: int) -> Iterator[list[str]]:
    """Let another replica make the store after so many statements; yields those until then."""
    seen: list[str] = []
    inner = threading.Event()

    def told(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if inner.is_set():
            return
        seen.append(statement)
        if len(seen) == statements:
            inner.set()
            setup.migrate(env).close()

    event.listen(Engine, "after_cursor_execute", told)
    try:
        yield seen
    finally:
        event.remove(Engine, "after_cursor_execute", told)


@pytest.mark.parametrize("statements", [1, 2])
def test_a_store_that_another_replica_makes_meanwhile_is_ours(env: Env, statements: int) -> None:
    with migrated_after(env, statements) as seen:
        store = setup.migrate(env)
    assert len(seen) == statements
    assert not any("advisory" in statement for statement in seen)
    assert store.stamp()[1] == 1
    store.close()


def test_a_database_that_is_not_migrated_is_refused_with_the_command(env: Env) -> None:
    with pytest.raises(DatabaseError, match="config-service migrate"):
        setup.open_store(env)


def test_a_role_that_turns_durability_off_is_overruled(env: Env, database: str) -> None:
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    engine.dispose()
    opened = databases.open_database(databases.parse_url(database))
    with opened.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
    opened.dispose()


async def test_a_locked_head_is_unavailable_and_nothing_is_stored(
    replica: Start, database: str
) -> None:
    calls = stub(await replica())
    engine = create_engine(database)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT * FROM config_settings FOR UPDATE"))
        shown = await calls.GetConfig(pb.GetConfigRequest())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await calls.UpdateConfig(threshold(0.8))
    engine.dispose()
    seen = remote_error(refused.value)
    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert shown.revision.revision == 1
    assert (await calls.UpdateConfig(threshold(0.8))).revision.revision == 2


async def test_connections_that_the_database_ends_are_replaced(
    replica: Start, database: str
) -> None:
    calls = stub(await replica())
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()
    assert (await calls.UpdateConfig(threshold(0.8))).revision.revision == 2


def test_the_secret_and_the_settings_are_sealed_before_postgresql_sees_them(
    env: Env, database: str
) -> None:
    store = setup.migrate(env)
    setup.take_over(store, {"ai": {"model": "canary-model"}}, "tester")
    store.close()
    engine = create_engine(database)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT document FROM config_revisions")).scalars().all()
    engine.dispose()
    assert len(rows) == 2
    assert all(row.startswith("cse2.") and "canary" not in row for row in rows)


def test_postgresql_without_a_key_ring_is_refused(env: Env, database: str) -> None:
    command = [sys.executable, "-m", "config_service", "--database-url", database, "migrate"]
    variables = {k: v for k, v in os.environ.items() if not k.startswith("CONFIG_")}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 78
    assert "CONFIG_KEYRING_FILE" in done.stderr
