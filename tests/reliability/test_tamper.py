"""Every sealed cell altered, cut, moved or put back: what is read is right or is refused."""

import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from reliability.harness import FULL

from config_service import serving, setup
from config_service.cipher import new_key
from config_service.edits import Meta, Rollback, SetSecret
from config_service.env import Env
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import Geo, MatchingConfig

NAME = "ai.api_key"
SAMPLES = 10**9 if FULL else 16
"""Characters of each token that are altered."""
REFUSED = {grpc.StatusCode.DATA_LOSS, grpc.StatusCode.FAILED_PRECONDITION}
REQUEST_ID = str(uuid.UUID(int=77))
CELLS = [
    ("config_settings", "store_key", "id = 1"),
    ("config_settings", "audit_head", "id = 1"),
    ("config_revisions", "document", "revision = 1"),
    ("config_revisions", "document", "revision = 2"),
    ("config_revisions", "document", "revision = 5"),
    ("config_secrets", "value", f"name = '{NAME}'"),
    ("idempotency_keys", "answer", f"request_id = '{REQUEST_ID}'"),
    ("client_status", "report", "instance_id = 'pod-1'"),
]
NAMES = [f"{table}.{column} where {where}" for table, column, where in CELLS]


@dataclass
class Scene:
    """A running service, its database, tokens from elsewhere, and what each read answered."""

    path: Path
    config: Any
    admin: Any
    older: dict[tuple[str, str], list[str]]
    foreign: list[str]
    answers: dict[str, bytes]

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def token(self, cell: tuple[str, str, str]) -> str:
        table, column, where = cell
        return str(self.sql(f"SELECT {column} FROM {table} WHERE {where}")[0][0])

    def put(self, cell: tuple[str, str, str], token: Any) -> None:
        table, column, where = cell
        self.sql(f"UPDATE {table} SET {column} = ? WHERE {where}", token)

    def reads(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Return reads that go to the database, by name; none of them changes what is compared."""
        config, admin = self.config, self.admin
        ai = MatchingConfig(geo=Geo(neutral_score=0.125))
        plan = pb.UpdateConfigRequest(config=ai, validate_only=True)
        return {
            "GetConfig 1": lambda: config.GetConfig(pb.GetConfigRequest(revision=1)),
            "GetSnapshot 2": lambda: config.GetSnapshot(pb.GetSnapshotRequest(revision=2)),
            "Diff": lambda: config.DiffRevisions(
                pb.DiffRevisionsRequest(from_revision=1, to_revision=2)
            ),
            "Rollback 2": lambda: config.RollbackConfig(
                pb.RollbackConfigRequest(revision=2, validate_only=True)
            ),
            "Export 1": lambda: admin.ExportConfig(admin_pb.ExportConfigRequest(revision=1)),
            "plan": lambda: config.UpdateConfig(plan),
            "repeat": lambda: config.UpdateConfig(repeated()),
            "clients": lambda: config.ListClients(pb.ListClientsRequest()),
            "secret": lambda: config.AccessSecret(pb.AccessSecretRequest(name=NAME)),
        }

    async def outcome(self, only: set[str] | None = None) -> tuple[set[str], list[str]]:
        """Run reads; returns which were refused, and what was neither right nor refused."""
        refused, wrong = set(), []
        for name, read in self.reads().items():
            if only is not None and name not in only:
                continue
            try:
                answer = await read()
            except grpc.aio.AioRpcError as error:
                if error.code() in REFUSED:
                    refused.add(name)
                else:
                    wrong.append(f"{name}: {error.code()}")
            else:
                wrong += [] if _content(answer) == self.answers.get(name) else [f"{name} is wrong"]
        return refused, wrong

    async def intact(self) -> bool:
        try:
            return bool((await self.admin.VerifyAudit(admin_pb.VerifyAuditRequest())).intact)
        except grpc.aio.AioRpcError as error:
            return error.code() not in REFUSED


def _content(answer: Any) -> bytes:
    """Return an answer's bytes, without the time at which a plan was made."""
    if hasattr(answer, "revision") and hasattr(answer.revision, "ClearField"):
        answer.revision.ClearField("created_at")
    return bytes(answer.SerializeToString(deterministic=True))


def repeated() -> pb.UpdateConfigRequest:
    config = MatchingConfig(geo=Geo(neutral_score=0.25))
    return pb.UpdateConfigRequest(config=config, request_id=REQUEST_ID)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    path, ring = tmp_path / "c.db", new_key()
    env = Env(address="127.0.0.1:0", database_url=f"sqlite:///{path}", keyring=ring)
    server = await serving.start(env)
    channel = grpc.aio.insecure_channel(server.address)
    made = Scene(path, ConfigServiceStub(channel), ConfigAdminServiceStub(channel), {}, [], {})
    store = setup.open_store(env)
    await made.config.UpdateConfig(repeated())
    for version in ("one", "two"):
        await made.config.SetSecret(pb.SetSecretRequest(name=NAME, value=version))
        for stats in (100, 200):
            report = pb.ReportStatusRequest(instance_id="pod-1", applied_revision=stats)
            await made.config.ReportStatus(report)
        for table, column, where in CELLS:
            found = made.sql(f"SELECT {column} FROM {table} WHERE {where}")
            made.older.setdefault((table, column), []).extend(row[0] for row in found)
    store.apply(Rollback(1, Meta("ann")))
    store.access_secret(NAME, "ann")
    report = pb.ReportStatusRequest(instance_id="pod-1", applied_revision=300)
    await made.config.ReportStatus(report)
    other = setup.open_store(Env(database_url=f"sqlite:///{tmp_path / 'o.db'}", keyring=ring))
    other.apply(SetSecret(NAME, "foreign", Meta("ann")))
    other.close()
    with closing(sqlite3.connect(tmp_path / "o.db")) as connection:
        for query in (
            "SELECT document FROM config_revisions",
            "SELECT value FROM config_secrets",
            "SELECT store_key FROM config_settings",
            "SELECT audit_head FROM config_settings",
        ):
            made.foreign += [row[0] for row in connection.execute(query)]
    made.answers = {name: _content(await read()) for name, read in made.reads().items()}
    assert await made.intact()
    yield made
    store.close()
    await channel.close()
    await server.stop(0)


def altered(token: str) -> Iterator[str]:
    """Yield tokens with one bit of one character flipped, or cut, or longer, or of another form."""
    step = max(1, len(token) // SAMPLES)
    for place in {*range(0, len(token), step), *range(20), len(token) - 1}:
        flipped = chr(ord(token[place]) ^ 1 << place % 6)
        yield token[:place] + flipped + token[place + 1 :]
    for length in {0, 1, 5, 17, 18, 34, len(token) // 2, len(token) - 4, len(token) - 1}:
        yield token[:length]
    yield from (token + "A", token + "=", token + "\n", f" {token}", token.upper(), token * 2)
    yield from ("cse2..", "cse1" + token[4:], "plain:x", "gAAAAAB", token.replace(".", "", 1))


@pytest.mark.parametrize("cell", CELLS, ids=NAMES)
async def test_no_altered_token_gives_other_data(scene: Scene, cell: tuple[str, str, str]) -> None:
    token = scene.token(cell)
    scene.put(cell, token[:-1])
    first, found = await scene.outcome()
    assert (bool(first), found) == (True, [])
    tried = 0
    for wrong in altered(token):
        if wrong == token:
            continue
        tried += 1
        scene.put(cell, wrong)
        refused, found = await scene.outcome(None if tried % 50 == 0 else first)
        assert (refused, found) == (first, []), (cell, wrong)
    assert tried >= 45
    scene.put(cell, token)
    assert await scene.outcome() == (set(), [])
    print(f"{cell[0]}.{cell[1]}: {tried} altered tokens, all refused")


async def test_no_token_opens_in_another_place(scene: Scene) -> None:
    tokens = {cell: scene.token(cell) for cell in CELLS}
    tried = 0
    for cell, token in tokens.items():
        for other in {*tokens.values(), *scene.foreign} - {token}:
            tried += 1
            scene.put(cell, other)
            refused, found = await scene.outcome()
            assert (bool(refused), found) == (True, []), (cell, other)
        scene.put(cell, token)
    assert tried >= 80
    assert await scene.outcome() == (set(), [])
    assert await scene.intact()


@pytest.mark.parametrize("cell", CELLS, ids=NAMES)
async def test_no_older_token_of_the_same_cell_is_taken_for_the_present_one(
    scene: Scene, cell: tuple[str, str, str]
) -> None:
    token, replayed = scene.token(cell), 0
    for older in set(scene.older[cell[:2]]) - {token}:
        scene.put(cell, older)
        refused, found = await scene.outcome()
        assert not found
        assert refused or not await scene.intact()
        replayed += 1
    scene.put(cell, token)
    assert replayed or cell[1] in ("store_key", "answer", "document")
    assert await scene.intact()


async def test_a_cell_that_is_empty_or_of_another_type_is_refused(scene: Scene) -> None:
    for cell in CELLS:
        token = scene.token(cell)
        for wrong in (b"\x00\xff", b"cse2.", 5, 1.5):
            scene.put(cell, wrong)
            refused, found = await scene.outcome()
            assert (bool(refused), found) == (True, []), (cell, wrong)
        scene.put(cell, token)
    assert await scene.intact()
