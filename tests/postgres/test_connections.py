"""Connections to a PostgreSQL that became unsafe, and what a URL may say of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from sqlalchemy import create_engine, make_url, text

from config_service import serving
from config_service.database import open_database
from config_service.writers import WRITERS
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2 import VerifyAuditRequest
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import Geo, MatchingConfig

UPDATE = pb.UpdateConfigRequest(config=MatchingConfig(geo=Geo(neutral_score=0.25)))


def test_what_the_url_says_to_postgresql_holds_but_for_durability(database: str) -> None:
    more = {"options": "-c search_path=elsewhere -c synchronous_commit=off"}
    engine = open_database(make_url(database).update_query_dict(more))
    with engine.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("search_path", "synchronous_commit", "lock_timeout")
        ]
    engine.dispose()
    assert shown == ["elsewhere", "on", "5s"]


@pytest.fixture
async def channel(
    replica: Callable[[], Awaitable[serving.ConfigServer]],
) -> AsyncIterator[grpc.aio.Channel]:
    """Yield a channel to a server."""
    async with grpc.aio.insecure_channel((await replica()).address) as made:
        yield made


@contextmanager
def locked(database: str, statement: str) -> Iterator[None]:
    """Hold what a statement locks."""
    engine = create_engine(database)
    with engine.connect() as connection, connection.begin():
        connection.execute(text(statement))
        yield
    engine.dispose()


@pytest.fixture
def unsafe(database: str) -> Iterator[Callable[[], None]]:
    """Yield what lets the server lose writes from now on, and ends all connections to it."""
    engine = create_engine(database, isolation_level="AUTOCOMMIT")

    def execute(*statements: str) -> None:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def make_unsafe() -> None:
        execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf(), pg_sleep(0.5)")
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    yield make_unsafe
    execute("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf(), pg_sleep(0.5)")
    engine.dispose()


async def test_a_server_that_became_unsafe_is_unavailable_and_no_mistake_of_ours(
    channel: grpc.aio.Channel, unsafe: Callable[[], None]
) -> None:
    calls: Any = ConfigServiceStub(channel)
    await asyncio.to_thread(unsafe)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await calls.UpdateConfig(UPDATE)
    seen = remote_error(refused.value)
    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


FULL = (
    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
    " $$BEGIN RAISE EXCEPTION 'no space for Canary-Full' USING ERRCODE = 'disk_full'; END$$",
    "CREATE TRIGGER full_disk BEFORE INSERT ON config_revisions"
    " FOR EACH ROW EXECUTE FUNCTION full_disk()",
)


async def test_a_full_disk_is_told_to_callers_and_by_its_sqlstate_in_the_log(
    channel: grpc.aio.Channel, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: Any = ConfigServiceStub(channel)
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in FULL:
            connection.execute(text(statement))
    engine.dispose()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await calls.UpdateConfig(UPDATE)
    seen = remote_error(refused.value)
    assert (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert seen.facts == {"kind": "53100"}
    assert "the database has no room left: 53100" in caplog.messages
    assert "Canary" not in caplog.text + str(refused.value)
    assert (await calls.GetConfig(pb.GetConfigRequest())).revision.revision == 1


async def test_writers_whose_callers_have_gone_leave_threads_to_readers(
    channel: grpc.aio.Channel, database: str
) -> None:
    calls: Any = ConfigServiceStub(channel)
    with locked(database, "SELECT * FROM config_settings FOR UPDATE"):
        for _ in range(4 * WRITERS):
            with pytest.raises(grpc.aio.AioRpcError) as gone:
                await calls.UpdateConfig(UPDATE, timeout=0.1)
            assert gone.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        page = await calls.ListRevisions(pb.ListRevisionsRequest(), timeout=30)
    assert [shown.revision for shown in page.revisions] == [1]
    assert (await calls.UpdateConfig(UPDATE, timeout=10)).effective.geo.neutral_score == 0.25


async def test_checks_of_the_audit_log_leave_threads_to_readers(
    channel: grpc.aio.Channel, database: str
) -> None:
    calls: Any = ConfigServiceStub(channel)
    admin: Any = ConfigAdminServiceStub(channel)
    with locked(database, "LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE"):
        for _ in range(12):
            with pytest.raises(grpc.aio.AioRpcError):
                await admin.VerifyAudit(VerifyAuditRequest(), timeout=0.1)
        page = await calls.ListRevisions(pb.ListRevisionsRequest(), timeout=30)
    assert [shown.revision for shown in page.revisions] == [1]
    assert (await admin.VerifyAudit(VerifyAuditRequest(), timeout=10)).intact
