"""Keys, audit log, migration and reset on PostgreSQL, with two replicas where it takes two."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from config.old_release import NAME, SECRET, build
from sqlalchemy import create_engine, text

from config_service import serving, setup
from config_service.__main__ import main
from config_service.cipher import new_key, parse_ring
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from dedup_model.change import Change
from dedup_model.errors import DedupError
from dedup_rpc.access import Access
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import Geo, MatchingConfig

FOLLOWED_SECONDS = 10.0
Sql = Callable[..., list[Any]]


@pytest.fixture
def sql(database: str) -> Iterator[Sql]:
    """Run one statement on the database, past the service."""
    engine = create_engine(database, isolation_level="AUTOCOMMIT")

    def run(statement: str, **values: Any) -> list[Any]:
        with engine.connect() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    yield run
    engine.dispose()


@dataclass
class Replica:
    """A running server with a ring file of its own."""

    ring: Path
    config: Any
    admin: Any

    async def status(self, ready: Callable[[Any], bool]) -> Any:
        ends = time.monotonic() + FOLLOWED_SECONDS
        while True:
            found = await self.admin.GetKeyringStatus(admin_pb.GetKeyringStatusRequest())
            if ready(found):
                return found
            assert time.monotonic() < ends, found
            await asyncio.sleep(0.05)

    async def write(self, score: float) -> str:
        config = MatchingConfig(geo=Geo(neutral_score=score))
        answer = await self.config.UpdateConfig(pb.UpdateConfigRequest(config=config))
        return str(answer.revision.revision)


Start = Callable[[str], Awaitable[Replica]]


@pytest.fixture
async def start(env: Env, tmp_path: Path) -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def run(keys: str) -> Replica:
            ring = tmp_path / f"ring{len(list(tmp_path.glob('ring*')))}"
            ring.write_text(keys)
            server = await serving.start(replace(env, keyring=None, keyring_file=ring))
            stack.push_async_callback(server.stop, 0)
            channel = grpc.aio.insecure_channel(server.address)
            stack.push_async_callback(channel.close)
            return Replica(ring, ConfigServiceStub(channel), ConfigAdminServiceStub(channel))

        yield run


async def test_a_new_first_key_seals_once_both_replicas_hold_it(
    env: Env, start: Start, sql: Sql
) -> None:
    setup.migrate(env).close()
    old, new = str(env.keyring), new_key()
    first, second = (parse_ring([key]).primary for key in (old, new))

    def key_of(revision: str) -> str:
        query = "SELECT substr(document, 6, 12) FROM config_revisions WHERE revision = :n"
        return str(sql(query, n=int(revision))[0][0])

    one, two = await start(old), await start(old)
    await one.status(lambda s: s.replicas == 2)
    one.ring.write_text(f"{new}\n{old}")
    found = await one.status(lambda s: "once every replica holds it" in s.note)
    assert [(k.key_id, k.writes) for k in found.keys] == [(second, False), (first, True)]
    assert [key_of(await r.write(s)) for r, s in ((one, 0.1), (two, 0.2))] == [first, first]
    two.ring.write_text(f"{new}\n{old}")
    for replica in (one, two):
        await replica.status(lambda s: s.keys[0].writes and not s.note)
    assert [key_of(await r.write(s)) for r, s in ((one, 0.3), (two, 0.4))] == [second, second]
    assert (await two.admin.Rewrap(admin_pb.RewrapRequest())).remaining == 0
    assert {row[0] for row in sql("SELECT substr(document, 6, 12) FROM config_revisions")} == {
        second
    }
    for replica in (one, two):
        replica.ring.write_text(new)
        await replica.status(lambda s: [k.key_id for k in s.keys] == [second] and not s.note)
        assert (await replica.admin.VerifyAudit(admin_pb.VerifyAuditRequest())).intact


async def test_replicas_that_started_sealed_make_the_store_when_their_ring_comes(
    env: Env, start: Start
) -> None:
    sealed = replace(env, keyring=None, access=Access("CONFIG", production=True))
    setup.migrate(sealed).close()
    one, two = await start(""), await start("")
    for replica in (one, two):
        await replica.status(lambda s: s.sealed)
        replica.ring.write_text(str(env.keyring))
    for replica in (one, two):
        await replica.status(lambda s: not s.sealed and s.replicas == 2)
    assert await one.write(0.1) == "2"
    assert await two.write(0.2) == "3"
    assert (await two.admin.VerifyAudit(admin_pb.VerifyAuditRequest())).intact


async def test_a_dead_replica_is_not_waited_for(env: Env, start: Start, sql: Sql) -> None:
    setup.migrate(env).close()
    old, new = str(env.keyring), new_key()
    sql(
        "INSERT INTO replica_status VALUES"
        " ('dead', to_char(now() AT TIME ZONE 'utc' - interval '58 seconds',"
        """ 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00', '["0123456789ab"]')"""
    )
    one = await start(old)
    one.ring.write_text(f"{new}\n{old}")
    await one.status(lambda s: "once every replica" in s.note)
    await one.status(lambda s: s.keys[0].writes)


async def test_what_cannot_be_logged_does_not_happen(env: Env, start: Start, sql: Sql) -> None:
    store = setup.migrate(env)
    store.apply(SetSecret(NAME, SECRET, Meta("ann")))
    store.close()
    one = await start(str(env.keyring))
    sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no room'; END $$"
    )
    sql("CREATE TRIGGER full_ BEFORE INSERT ON audit_events EXECUTE FUNCTION refuse()")
    before = sql("SELECT * FROM config_settings")
    for call in (
        one.write(0.1),
        one.config.AccessSecret(pb.AccessSecretRequest(name=NAME)),
        one.config.ClearSecret(pb.ClearSecretRequest(name=NAME)),
        one.admin.ImportConfig(admin_pb.ImportConfigRequest(yaml="ai: {enabled: true}")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        refused = remote_error(caught.value)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE",
        )  # fmt: skip
        assert "no room" not in str(refused)
    assert sql("SELECT * FROM config_settings") == before
    assert sql("SELECT count(*) FROM config_revisions") == [(2,)]


ATTACKS = (
    "UPDATE audit_events SET principal = 'mallory' WHERE sequence = 2",
    "DELETE FROM audit_events WHERE sequence = 3",
    "DELETE FROM audit_events WHERE sequence = 1",
    "UPDATE config_revisions SET author = 'mallory' WHERE revision = 1",
    "DELETE FROM config_revisions WHERE revision = 1",
    "UPDATE config_secrets SET set_by = 'mallory'",
    "UPDATE config_settings SET epoch = gen_random_uuid()",
    "UPDATE config_settings SET updated_by = 'mallory'",
    "UPDATE config_settings SET compacted_through = 1",
    "INSERT INTO audit_events SELECT 4, at, principal, action, epoch, revision, facts, mac"
    " FROM audit_events WHERE sequence = 3",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_altered_is_found(env: Env, sql: Sql, attack: str) -> None:
    store = setup.migrate(env)
    store.apply(SetSecret(NAME, SECRET, Meta("ann")))
    store.access_secret(NAME, "matcher")
    assert store.verify_audit().findings == ()
    sql(attack)
    assert store.verify_audit().findings
    store.close()


async def test_a_filter_that_no_column_can_hold_is_refused(env: Env, start: Start) -> None:
    """PostgreSQL keeps no NUL; that is the caller's mistake and no outage."""
    setup.migrate(env).close()
    one = await start(str(env.keyring))
    for call in (
        one.admin.ListAuditEvents(admin_pb.ListAuditEventsRequest(principal="a\0")),
        one.admin.ListAuditEvents(admin_pb.ListAuditEventsRequest(action="\0")),
        one.config.ListRevisions(pb.ListRevisionsRequest(author="\0")),
        one.config.ListRevisions(pb.ListRevisionsRequest(path_prefix="geo\0")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert remote_error(caught.value).code is grpc.StatusCode.INVALID_ARGUMENT


def test_four_migrations_of_an_old_store_at_once_adopt_it_once(env: Env, sql: Sql) -> None:
    old = build(env)
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(setup.migrate, [env] * 4))
    store = stores[0]
    assert store.stamp() == (old.epoch, 4)
    assert [store.revision(n) for n in range(1, 5)] == old.revisions
    assert store.access_secret(NAME, "m") == (SECRET, 1)
    assert store.verify_audit().findings == ()
    assert sql("SELECT count(*) FROM audit_events WHERE action IN ('migrate', 'adopted')") == [(5,)]
    for one in stores:
        one.close()


def test_a_reset_moves_no_table_of_another_system(
    env: Env, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    setup.migrate(env).close()
    sql("CREATE TABLE orders (id int)")
    ring = tmp_path / "ring"
    ring.write_text(new_key())
    monkeypatch.setenv("CONFIG_DATABASE_URL", env.database_url)
    monkeypatch.setenv("CONFIG_KEYRING_FILE", str(ring))
    with pytest.raises(SystemExit):
        main(["store", "reset", "--i-accept-loss"])
    assert "orders" in capsys.readouterr().err
    assert sql("SELECT count(*) FROM public.orders") == [(0,)]
    assert sql("SELECT count(*) FROM public.config_revisions") == [(1,)]


def test_a_reset_keeps_the_old_tables_in_a_schema(
    env: Env, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    store = setup.migrate(env)
    store.apply(Update(Change({"geo": {"neutral_score": 0.25}}), Meta("ann")))
    store.close()
    ring = tmp_path / "ring"
    ring.write_text(new_key())
    monkeypatch.setenv("CONFIG_DATABASE_URL", env.database_url)
    monkeypatch.setenv("CONFIG_KEYRING_FILE", str(ring))
    with pytest.raises(SystemExit):
        main(["store", "reset"])
    main(["store", "reset", "--i-accept-loss"])
    query = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'lost_%'"
    ((schema,),) = sql(query)
    assert f"schema {schema}" in capsys.readouterr().out
    assert sql(f"SELECT count(*) FROM {schema}.config_revisions") == [(2,)]
    assert sql("SELECT count(*) FROM config_revisions") == [(1,)]
    main(["keys", "verify"])
    assert capsys.readouterr().out.startswith("everything opens; 1 audit events")
    sealed = setup.open_store(env)
    with pytest.raises(DedupError):
        sealed.state()
    sealed.close()
