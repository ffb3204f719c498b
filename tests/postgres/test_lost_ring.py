"""A running server whose store was put aside for another one: the new ring is taken, or it is sealed."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import create_engine, text

from config_service import serving, setup
from config_service.cipher import new_key, parse_ring
from config_service.edits import Meta, Update
from config_service.env import Env
from config_service.reset import archive
from dedup_model.change import Change
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

NOTICED_SECONDS = 20.0
SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass
class Replica:
    """A running server, its ring's file, and what it says of itself."""

    server: serving.ConfigServer
    ring: Path
    config: Any
    admin: Any
    asked: Any

    async def serves(self) -> bool:
        answer = await self.asked.Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == SERVING)

    async def score(self) -> float:
        found = await self.config.GetConfig(pb.GetConfigRequest())
        return float(found.effective.geo.neutral_score)

    async def until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        ends = time.monotonic() + NOTICED_SECONDS
        while not await ready():
            assert time.monotonic() < ends
            await asyncio.sleep(0.05)


@pytest.fixture
async def running(env: Env, tmp_path: Path) -> AsyncIterator[Replica]:
    ring = tmp_path / "ring"
    ring.write_text(env.keyring or "")
    setup.migrate(env).close()
    server = await serving.start(replace(env, keyring_file=ring, keyring=None, poll_seconds=0.03))
    async with grpc.aio.insecure_channel(server.address) as channel:
        stubs = ConfigServiceStub(channel), ConfigAdminServiceStub(channel)
        yield Replica(server, ring, *stubs, health_pb2_grpc.HealthStub(channel))
    await server.stop(0)


def begin_another(env: Env) -> str:
    """Put the store aside and begin one with other settings and another ring, which is returned."""
    other = replace(env, keyring=new_key())
    archive(other)
    store = setup.migrate(other)
    store.apply(Update(Change({"geo": {"neutral_score": 0.25}}), Meta("ann")))
    store.close()
    return other.keyring or ""


async def test_a_server_is_sealed_until_it_has_the_ring_of_the_store_that_is_there(
    running: Replica, env: Env, caplog: pytest.LogCaptureFixture
) -> None:
    watch = running.config.WatchConfig(pb.WatchConfigRequest(), timeout=60)
    await watch.read()
    other = begin_another(env)

    async def is_sealed() -> bool:
        return not await running.serves()

    await running.until(is_sealed)
    for call in (running.config.GetConfig(pb.GetConfigRequest()), watch.read()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert remote_error(caught.value).reason == "KEYRING_UNAVAILABLE"
    status = await running.admin.GetKeyringStatus(admin_pb.GetKeyringStatusRequest())
    assert (status.sealed, status.sealed_reason) == (True, "KEYRING_WRONG")
    assert parse_ring([other]).primary in status.note
    running.ring.write_text(other)
    await running.until(running.serves)
    assert await running.score() == 0.25
    assert running.server.feed.lag() < NOTICED_SECONDS
    said = [r.getMessage() for r in caplog.records if "the head cannot be read" in r.getMessage()]
    assert len(said) <= 2, "told at every poll"


async def test_a_ring_that_opens_the_store_that_is_there_is_taken_at_once(
    running: Replica, env: Env, caplog: pytest.LogCaptureFixture
) -> None:
    """Though the key that seals in the old one is not in it."""
    running.ring.write_text(begin_another(env))

    async def shows_it() -> bool:
        try:
            return await running.score() == 0.25
        except grpc.aio.AioRpcError:
            return False  # the server looked between the store and the file

    await running.until(shows_it)
    await running.until(running.serves)
    request = pb.UpdateConfigRequest()
    request.config.geo.neutral_score = 0.5
    assert (await running.config.UpdateConfig(request)).revision.revision == 3
    assert not [r for r in caplog.records if "newer key ring is refused" in r.getMessage()]


async def test_a_store_that_is_not_there_for_a_moment_seals_nothing(
    running: Replica, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Served on is what is in memory; the lag grows meanwhile, and a line says why, once."""
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with caplog.at_level(logging.INFO), engine.connect() as connection:
        connection.execute(text("ALTER TABLE config_settings RENAME TO elsewhere"))
        await asyncio.sleep(2.5)
        assert await running.serves()
        assert await running.score() > 0
        assert running.server.feed.lag() > 2
        connection.execute(text("ALTER TABLE elsewhere RENAME TO config_settings"))

        async def is_read() -> bool:
            return running.server.feed.lag() < 1

        await running.until(is_read)
    engine.dispose()
    said = [r.getMessage() for r in caplog.records if r.name == "event_dedup.config.feed"]
    assert said == ["the head cannot be read: STORE_UNAVAILABLE", "the head is read again"]
