"""Without a ring that opens the store a production service is sealed: it says so and does nothing."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from reliability.harness import Service
from security.conftest import LOCALHOST, Authority

from config_service import setup
from config_service.cipher import new_key
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from dedup_model.change import Change
from dedup_rpc.authz import ROLES, new_token, token_digest
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
START_SECONDS, UNSEALED_SECONDS = 60.0, 10.0
"""A look at the file comes every second; the rest is for a machine that does other work, too."""
REASONS = {
    "no ring": "KEYRING_MISSING",
    "no ring, nothing there": "KEYRING_MISSING",
    "missing file": "KEYRING_BAD",
    "missing file, nothing there": "KEYRING_BAD",
    "empty file": "KEYRING_BAD",
    "weak key": "KEYRING_BAD",
    "another store's ring": "KEYRING_WRONG",
    "a ring without the newest key": "KEYRING_WRONG",
}
REQUESTS: dict[str, Any] = {
    "SetSecret": pb.SetSecretRequest(name="ai.api_key", value="key-2"),
    "ClearSecret": pb.ClearSecretRequest(name="ai.api_key"),
    "AccessSecret": pb.AccessSecretRequest(name="ai.api_key"),
    "RollbackConfig": pb.RollbackConfigRequest(revision=1),
    "ReportStatus": pb.ReportStatusRequest(instance_id="pod-1"),
    "ImportConfig": admin_pb.ImportConfigRequest(yaml="ai: {enabled: true}"),
}


class Sealed(Service):
    """A service in production, with its folder and what opens its store."""

    channel: grpc.Channel

    def __init__(self, folder: Path, variables: dict[str, str], good: str) -> None:
        super().__init__(folder, Env())
        self.given, self.good = variables, good

    def _variables(self) -> dict[str, str]:
        return self.given

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def connect(self, ca: bytes, token: str) -> None:
        """Wait until it listens, and open a channel with all roles."""
        ends = time.monotonic() + START_SECONDS
        while "listening on " not in self.said:
            assert self.process
            assert self.process.is_alive(), self.said
            assert time.monotonic() < ends, self.said
            time.sleep(0.02)
        line = next(line for line in self.said.splitlines() if "listening on " in line)
        assert line.endswith(", sealed")
        address = line.partition("listening on ")[2].removesuffix(", sealed")
        credentials = grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(ca), grpc.access_token_call_credentials(token)
        )
        self.channel = grpc.secure_channel(address, credentials)

    def health(self) -> int:
        with grpc.insecure_channel(f"unix:{self.folder / 'h'}") as channel:
            request = health_pb2.HealthCheckRequest()
            return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status)

    def status(self) -> admin_pb.GetKeyringStatusResponse:
        stub: Any = ConfigAdminServiceStub(self.channel)
        return stub.GetKeyringStatus(admin_pb.GetKeyringStatusRequest(), timeout=10)

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.folder / "c.db")) as connection:
            return list(connection.iterdump())

    def unseal(self) -> None:
        new = self.folder / "new"
        new.write_text(self.good)
        new.rename(self.folder / "ring")
        ends = time.monotonic() + UNSEALED_SECONDS
        while self.health() != SERVING:
            assert time.monotonic() < ends, self.said
            time.sleep(0.05)


def _prepared(folder: Path, name: str) -> str:
    """Make store and ring as a name says; returns a ring that opens the store."""
    first, second = new_key(), new_key()
    env = Env(database_url=f"sqlite:///{folder / 'c.db'}", keyring=first)
    if "nothing there" not in name:
        store = setup.migrate(env)
        store.apply(SetSecret("ai.api_key", "key-1", Meta("ann")))
        store.close()
        store = setup.open_store(replace(env, keyring=f"{second}\n{first}"))
        store.apply(Update(Change({"geo": {"neutral_score": 0.25}}), Meta("ann")))
        store.close()
    rings = {
        "empty file": "",
        "weak key": "A" * 43,
        "another store's ring": new_key(),
        "a ring without the newest key": first,
    }
    if name in rings:
        (folder / "ring").write_text(rings[name])
    return f"{second}\n{first}"


Services = dict[str, Sealed]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    base = tmp_path_factory.mktemp("s")
    authority = Authority(base, "ca")
    certificate, key = authority.issue("server", LOCALHOST)
    token, table = new_token(), base / "authz.yaml"
    table.write_text(
        f'principals:\n  - name: "root"\n    roles: [{", ".join(ROLES)}]\n'
        f'    tokens: [{{sha256: "{token_digest(token)}", expires: "2099-01-01T00:00:00Z"}}]\n'
    )
    access = {
        "EVENT_DEDUP_ENV": "production",
        "LOG_FORMAT": "text",
        "CONFIG_ADDRESS": "127.0.0.1:0",
        "CONFIG_AUTHZ_FILE": str(table),
        "CONFIG_TLS_CERT_FILE": str(certificate),
        "CONFIG_TLS_KEY_FILE": str(key),
    }
    found: Services = {}
    try:
        for number, name in enumerate(REASONS):
            found[name] = _launched(base / str(number), name, access)
        for service in found.values():
            service.connect(authority.file.read_bytes(), token)
        yield found
    finally:
        for service in found.values():
            assert service.process
            service.process.terminate()
        codes = [service.reap() for service in found.values()]
    for service in found.values():
        service.channel.close()
    assert codes == [0] * len(codes)


def _launched(folder: Path, name: str, access: dict[str, str]) -> Sealed:
    folder.mkdir()
    good = _prepared(folder, name)
    variables = access | {
        "CONFIG_DATABASE_URL": f"sqlite:///{folder / 'c.db'}",
        "CONFIG_HEALTH_ADDRESS": f"unix:{folder / 'h'}",
    }
    if "no ring" not in name:
        variables["CONFIG_KEYRING_FILE"] = str(folder / "ring")
    _migrate(folder, variables)
    service = Sealed(folder, variables, good)
    service.launch()
    return service


def _migrate(folder: Path, variables: dict[str, str]) -> None:
    """Migrate as an init container does: it lets the sealed service start, and writes no settings."""
    before = _settings(folder)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CONFIG_")}
    done = subprocess.run(
        [sys.executable, "-m", "config_service", "migrate"],
        env=kept | variables, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "run `config-service migrate` again when the key ring opens the store" in done.stderr
    assert _settings(folder) == before


def _settings(folder: Path) -> list[str]:
    """Return what the tables hold but for the version of the schema."""
    with closing(sqlite3.connect(folder / "c.db")) as connection:
        dumped = connection.iterdump()
        return [line for line in dumped if line.startswith("INSERT") and "alembic" not in line]


@pytest.fixture(params=REASONS)
def sealed(services: Services, request: pytest.FixtureRequest) -> Sealed:
    return services[request.param]


def _methods(module: Any, service: str) -> list[tuple[str, Any]]:
    described = module.DESCRIPTOR.services_by_name[service].methods
    return [(m.name, getattr(module, m.input_type.name)()) for m in described]


def _call(stub: Any, name: str, request: Any) -> None:
    answer = getattr(stub, name)(REQUESTS.get(name, request), timeout=20)
    if name == "WatchConfig":
        next(answer)


def test_every_rpc_but_the_status_of_the_keys_says_that_it_is_sealed(sealed: Sealed) -> None:
    before = sealed.dump()
    stubs: list[tuple[Any, Any, str]] = [
        (ConfigServiceStub(sealed.channel), pb, "ConfigService"),
        (ConfigAdminServiceStub(sealed.channel), admin_pb, "ConfigAdminService"),
    ]
    called = 0
    for stub, module, service in stubs:
        for name, request in _methods(module, service):
            if name == "GetKeyringStatus":
                continue
            with pytest.raises(grpc.RpcError) as caught:
                _call(stub, name, request)
            refused = remote_error(caught.value)
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.FAILED_PRECONDITION, "KEYRING_UNAVAILABLE",
            ), name  # fmt: skip
            called += 1
    assert called >= 17
    assert sealed.process
    assert sealed.process.is_alive()
    assert sealed.dump() == before


def test_status_and_health_say_why(services: Services, sealed: Sealed) -> None:
    name = next(name for name, one in services.items() if one is sealed)
    found = sealed.status()
    assert (found.sealed, found.sealed_reason) == (True, REASONS[name])
    assert found.note
    assert f"sealed: {found.note}" in sealed.said
    assert not any(key.writes or key.in_ring for key in found.keys)
    assert sealed.health() == NOT_SERVING
    stub = health_pb2_grpc.HealthStub(sealed.channel)
    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status == NOT_SERVING


def test_reflection_works(sealed: Sealed) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(sealed.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=10)
    names = {service.name for service in answer.list_services_response.service}
    assert "eventdedup.config.v1.ConfigAdminService" in names


def test_no_key_was_made_up_and_nothing_was_written(services: Services) -> None:
    for name in ("no ring, nothing there", "missing file, nothing there"):
        folder = services[name].folder
        assert not list(folder.glob("*.key"))
        assert not (folder / "ring").exists()
        assert not [line for line in services[name].dump() if 'INTO "config' in line]


@pytest.mark.parametrize("name", [name for name in REASONS if "no ring" not in name])
def test_a_good_ring_in_the_file_unseals_without_a_restart(services: Services, name: str) -> None:
    service = services[name]
    service.unseal()
    stub: Any = ConfigServiceStub(service.channel)
    found = stub.GetConfig(pb.GetConfigRequest(), timeout=10)
    fresh = "nothing there" in name
    assert found.revision.revision == (1 if fresh else 3)
    watch = stub.WatchConfig(pb.WatchConfigRequest(), timeout=20)
    assert next(watch).state.revision == found.revision
    with_mask = pb.UpdateConfigRequest(reason="unsealed")
    with_mask.config.ai.enabled = True
    assert stub.UpdateConfig(with_mask, timeout=10).changed
    assert next(watch).state.revision.revision == found.revision.revision + 1
    watch.cancel()
    if not fresh:
        access = stub.AccessSecret(pb.AccessSecretRequest(name="ai.api_key"), timeout=10)
        assert access.value == "key-1"
    status = service.status()
    assert (status.sealed, status.note, status.sealed_reason) == (False, "", "")
    admin: Any = ConfigAdminServiceStub(service.channel)
    assert admin.VerifyAudit(admin_pb.VerifyAuditRequest(), timeout=10).intact
    assert service.said.count("unsealed") == 1


DAMAGE = {
    "no document of the head": "DELETE FROM config_revisions WHERE revision = 2",
    "a document cut off": "UPDATE config_revisions SET document = 'cse2.x' WHERE revision = 2",
    "a head beyond": "UPDATE config_settings SET revision = 3",
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_a_service_that_a_damaged_head_seals_says_so_to_writers(
    env: Env, serve: Callable[..., Any], connect: Any, sql: Callable[..., Any], name: str
) -> None:
    store = setup.open_store(env)
    store.apply(Update(Change({"geo": {"neutral_score": 0.25}}), Meta("ann")))
    store.close()
    sql(DAMAGE[name])
    client = connect((await serve(env)).address)
    admin: Any = ConfigAdminServiceStub(client.channel)
    status = await admin.GetKeyringStatus(admin_pb.GetKeyringStatusRequest())
    writes = {**REQUESTS, "UpdateConfig": client.request({"geo": {"neutral_score": 0.5}})}
    answers = {}
    for method, request in writes.items():
        call = getattr(admin if method == "ImportConfig" else client.stub, method)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request)
        refused = remote_error(caught.value)
        answers[method] = refused.code, refused.reason
    assert status.sealed
    assert set(answers.values()) == {
        (grpc.StatusCode.FAILED_PRECONDITION, "KEYRING_UNAVAILABLE")
    }, answers


async def test_a_database_that_is_busy_at_the_unsealing_delays_it_only(
    env: Env, serve: Callable[..., Any], connect: Any, tmp_path: Path
) -> None:
    """Else the service would stay NOT_SERVING for ever, or without its first revision."""
    ring = tmp_path / "ring"
    server = await serve(replace(env, keyring_file=ring))
    path = env.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        ring.write_text(new_key())
        await _until(lambda: not server.feed._store.keyring.problem)
        await asyncio.sleep(5.5)  # longer than a write waits for the lock
        blocker.execute("ROLLBACK")
    client = connect(server.address)
    stub = health_pb2_grpc.HealthStub(client.channel)

    async def healthy() -> bool:
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == SERVING)

    ends = time.monotonic() + UNSEALED_SECONDS
    while not await healthy():
        assert time.monotonic() < ends
        await asyncio.sleep(0.1)
    assert (await client.get()).revision.revision == 1


async def _until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + UNSEALED_SECONDS
    while not true():
        assert time.monotonic() < ends
        await asyncio.sleep(0.05)
