"""Data keys are rotated under load: no call fails, nothing stays under an old key."""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from reliability.harness import FULL, Service, short_folder
from reliability.postgres_server import PostgresServer
from sqlalchemy import create_engine, text

from config_service import setup
from config_service.cipher import new_key, parse_ring
from config_service.database import parse_url
from config_service.env import Env
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig, Scoring

ROTATIONS = 24 if FULL else 2
NAME = "ai.api_key"
FOLLOWED_SECONDS = 20.0
RETRIED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
TRIES = 8
SECRET, OLD = pb.AccessSecretRequest(name=NAME), pb.GetConfigRequest(revision=1)
SEALED = (
    ("config_settings", "store_key"),
    ("config_settings", "audit_head"),
    ("config_revisions", "document"),
    ("config_secrets", "value"),
    ("idempotency_keys", "answer"),
    ("client_status", "report"),
)


class Replica(Service):
    """A service that reads its keys from a file which others replace."""

    def __init__(self, folder: Path, env: Env, number: int) -> None:
        super().__init__(folder, replace(env, address=f"unix:{folder / f's{number}'}"))
        self.log = folder / f"service{number}.log"

    def _variables(self) -> dict[str, str]:
        kept = {n: v for n, v in super()._variables().items() if n != "CONFIG_KEYRING"}
        return {**kept, "CONFIG_KEYRING_FILE": str(self.env.keyring_file)}


@dataclass
class Load:
    """Writers, readers and watchers on all replicas; notes what they should not see."""

    channels: list[grpc.aio.Channel]
    calls: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    secrets: set[str] = field(default_factory=set)
    written: int = 0

    def config(self, number: int) -> Any:
        return ConfigServiceStub(self.channels[number % len(self.channels)])

    def admin(self, number: int) -> Any:
        return ConfigAdminServiceStub(self.channels[number % len(self.channels)])

    async def call(self, name: str, make: Callable[[int], Awaitable[Any]]) -> Any:
        """Make a call, again where a client would; notes it when it fails all the same."""
        self.calls[name] += 1
        for attempt in range(TRIES):
            try:
                return await make(attempt)
            except grpc.aio.AioRpcError as error:
                if error.code() not in RETRIED or attempt == TRIES - 1:
                    self.failed.append(f"{name}: {error.code()} {error.details()}")
                    return None
                self.calls["retries"] += 1
                await asyncio.sleep(0.05 * 2**attempt)
        return None

    async def write(self, writer: int) -> None:
        names = ("date", "geo", "title", "description")
        for step in itertools.count(1):
            if self.stopped.is_set():
                return
            scoring = Scoring(**{names[writer]: 0.2 + step % 500 / 1000})
            request = pb.UpdateConfigRequest(
                config=MatchingConfig(scoring=scoring), request_id=str(uuid.uuid4())
            )
            done = await self.call(
                "UpdateConfig",
                lambda n, r=request: self.config(writer + n).UpdateConfig(r, timeout=10),
            )
            self.written += bool(done and done.changed)
            await asyncio.sleep(0.02)

    async def keep_secret(self) -> None:
        for step in itertools.count(1):
            if self.stopped.is_set():
                return
            self.secrets.add(f"secret-{step}")
            request = pb.SetSecretRequest(
                name=NAME, value=f"secret-{step}", request_id=str(uuid.uuid4())
            )
            done = await self.call(
                "SetSecret", lambda n, r=request: self.config(n).SetSecret(r, timeout=10)
            )
            self.written += bool(done)
            report = pb.ReportStatusRequest(instance_id=f"pod-{step % 3}", applied_revision=step)
            await self.call(
                "ReportStatus", lambda n, r=report: self.config(n).ReportStatus(r, timeout=10)
            )
            await asyncio.sleep(0.05)

    async def read(self, reader: int) -> None:
        while not self.stopped.is_set():
            found = await self.call(
                "AccessSecret", lambda n: self.config(reader + n).AccessSecret(SECRET, timeout=10)
            )
            if found and found.value not in self.secrets:
                self.failed.append("AccessSecret gave a value that nobody set")
            await self.call(
                "GetConfig", lambda n: self.config(reader + n).GetConfig(OLD, timeout=10)
            )
            await self.call(
                "ListClients",
                lambda n: self.config(reader + n).ListClients(pb.ListClientsRequest(), timeout=10),
            )
            await asyncio.sleep(0.02)

    async def watch(self, number: int) -> None:
        """Follow every revision; each comes once, in order, whatever happens to the keys."""
        epoch, seen = "", 0
        while not self.stopped.is_set():
            request = pb.WatchConfigRequest(
                mode=pb.WATCH_MODE_EVERY, epoch=epoch, after_revision=seen
            )
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                async for message in self.config(number).WatchConfig(request):
                    if message.HasField("state"):
                        state = message.state
                        if seen and (state.resync or state.revision.revision != seen + 1):
                            self.failed.append(f"watch {number}: {seen} then {state.revision}")
                        seen, epoch = state.revision.revision, state.revision.etag.partition(":")[0]
                        self.calls["watched"] += 1


@dataclass
class Rotation:
    """One ring file, the replicas that follow it, and the database below."""

    ring: Path
    url: str
    load: Load
    replicas: int
    current: str

    def put(self, *keys: str) -> None:
        new = self.ring.with_name("ring.new")
        new.write_text("\n".join(keys))
        new.rename(self.ring)

    async def all_say(self, true: Callable[[Any], bool]) -> None:
        """Wait until the keys are on every replica as awaited."""
        ends = time.monotonic() + FOLLOWED_SECONDS
        for number in range(self.replicas):
            while True:
                admin, request = self.load.admin(number), admin_pb.GetKeyringStatusRequest()
                found = await admin.GetKeyringStatus(request, timeout=10)
                if true(found):
                    break
                assert time.monotonic() < ends, found
                await asyncio.sleep(0.05)

    async def once(self) -> None:
        """Add a key, promote it, seal everything anew, retire the old one."""
        new, old = new_key(), self.current
        first = parse_ring([new]).primary
        self.put(old, new)
        await self.all_say(
            lambda s: any(k.key_id == first and k.replicas == self.replicas for k in s.keys)
        )
        self.put(new, old)
        await self.all_say(lambda s: s.keys[0].key_id == first and s.keys[0].writes)
        answer = await self.load.call(
            "Rewrap", lambda n: self.load.admin(n).Rewrap(admin_pb.RewrapRequest(), timeout=60)
        )
        assert (answer.key_id, answer.remaining) == (first, 0)
        assert await asyncio.to_thread(self.key_ids) == {first}
        self.put(new)
        await self.all_say(lambda s: [k.key_id for k in s.keys] == [first] and not s.note)
        self.current = new

    def key_ids(self) -> set[str]:
        """Return the ids of all keys that seal something, by SQL."""
        engine = create_engine(parse_url(self.url))
        queries = (
            f"SELECT DISTINCT substr({column}, 6, 12) FROM {table} WHERE {column} IS NOT NULL"
            for table, column in SEALED
        )
        with engine.connect() as connection:
            found = {row[0] for query in queries for row in connection.execute(text(query))}
        engine.dispose()
        return found


@asynccontextmanager
async def under_load(url: str, replicas: int) -> AsyncIterator[Rotation]:
    """Start replicas with a load on them; both have ended afterwards."""
    with short_folder() as folder:
        key = new_key()
        (folder / "ring").write_text(key)
        url = url or f"sqlite:///{folder / 'config.db'}"
        env = Env(database_url=url, keyring_file=folder / "ring")
        setup.migrate(env).close()
        services = [Replica(folder, env, number) for number in range(replicas)]
        try:
            for service in services:
                await asyncio.to_thread(service.start)
            async with _loaded(services) as load:
                yield Rotation(folder / "ring", url, load, replicas, key)
            codes = [await asyncio.to_thread(service.stop) for service in services]
            assert codes == [0] * replicas
        finally:
            for service in services:
                service.kill()


@asynccontextmanager
async def _loaded(services: list[Replica]) -> AsyncIterator[Load]:
    channels = [grpc.aio.insecure_channel(service.address) for service in services]
    load = Load(channels)
    load.secrets.add("secret-0")
    await load.config(0).SetSecret(pb.SetSecretRequest(name=NAME, value="secret-0"))
    tasks = [asyncio.create_task(load.write(writer)) for writer in range(4)]
    tasks += [asyncio.create_task(load.read(reader)) for reader in range(2)]
    tasks.append(asyncio.create_task(load.keep_secret()))
    watches = [asyncio.create_task(load.watch(number)) for number in range(len(services))]
    try:
        yield load
    finally:
        load.stopped.set()
        await asyncio.gather(*tasks)
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        for channel in channels:
            await channel.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_keys_are_rotated_under_load_without_a_failed_call(
    kind: str, killable_postgres: PostgresServer
) -> None:
    url, replicas = (killable_postgres.create(), 2) if kind == "postgresql" else ("", 1)
    began = time.monotonic()
    async with under_load(url, replicas) as rotation:
        for _ in range(ROTATIONS):
            await rotation.once()
        rotation.load.stopped.set()
        await asyncio.sleep(0.2)
        load = rotation.load
        stored = await load.config(0).ListRevisions(pb.ListRevisionsRequest(page_size=1))
        await asyncio.to_thread(_opens_alone, rotation, stored.revisions[0].revision)
    assert load.failed == []
    assert min(load.calls[name] for name in ("UpdateConfig", "AccessSecret", "watched")) > 20
    took = time.monotonic() - began
    print(f"{kind}: {ROTATIONS} rotations in {took:.0f} s, 0 failed of {dict(load.calls)}")


def _opens_alone(rotation: Rotation, head: int) -> None:
    """Open everything with the last ring alone."""
    assert rotation.key_ids() == {parse_ring([rotation.current]).primary}
    store = setup.open_store(Env(database_url=rotation.url, keyring=rotation.current))
    try:
        assert store.unopened() == []
        assert store.verify_audit().findings == ()
        assert store.stamp()[1] >= head
    finally:
        store.close()
