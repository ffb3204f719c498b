"""A real ConfigService per test: SQLite file in tmp_path, grpc.aio server on a free port."""

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import serving, setup
from config_service.__main__ import main
from config_service.env import Env
from config_service.serving import ConfigServer
from config_service.store import Store
from dedup_rpc.status import RemoteError, remote_error
from dedup_rpc.wire import to_document, to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

SERVICE = "/eventdedup.config.v1.ConfigService/"


class Client:
    """A real stub with documents instead of messages where that is shorter."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self.stub: Any = ConfigServiceStub(self.channel)

    async def get(self, revision: int | None = None) -> pb.GetConfigResponse:
        return await self.stub.GetConfig(pb.GetConfigRequest(revision=revision))

    async def effective(self) -> dict[str, Any]:
        return to_document((await self.get()).effective)

    async def overrides(self) -> dict[str, Any]:
        return to_document((await self.get()).overrides)

    async def head(self) -> int:
        """Return the revision that is served."""
        return (await self.get()).revision.revision

    async def stored(self) -> int:
        """Return the newest revision in the database, past the service's memory."""
        page = await self.stub.ListRevisions(pb.ListRevisionsRequest(page_size=1))
        return page.revisions[0].revision

    def request(
        self,
        document: dict[str, Any] | None = None,
        mask: Sequence[str] | None = None,
        clear: Sequence[str] = (),
        **more: Any,
    ) -> pb.UpdateConfigRequest:
        config = to_message(document or {}, MatchingConfig())
        request = pb.UpdateConfigRequest(config=config, **more)
        request.update_mask.paths.extend(mask) if mask is not None else None
        request.clear_mask.paths.extend(clear)
        return request

    async def update(self, *args: Any, **more: Any) -> pb.UpdateConfigResponse:
        return await self.stub.UpdateConfig(self.request(*args, **more))

    async def set_key(self, value: str, **more: Any) -> pb.SetSecretResponse:
        request = pb.SetSecretRequest(name="ai.api_key", value=value, **more)
        return await self.stub.SetSecret(request)

    async def key(self) -> pb.AccessSecretResponse:
        return await self.stub.AccessSecret(pb.AccessSecretRequest(name="ai.api_key"))

    async def raw(self, method: str, request: bytes) -> bytes:
        return await self.channel.unary_unary(SERVICE + method)(request)

    async def refused(self, call: Awaitable[Any]) -> RemoteError:
        """Return the status of a call that has to fail."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return remote_error(caught.value)

    async def update_refused(self, *args: Any, **more: Any) -> RemoteError:
        return await self.refused(self.update(*args, **more))


@pytest.fixture
def env(tmp_path: Path) -> Env:
    return Env(
        address="127.0.0.1:0", database_url=f"sqlite:///{tmp_path / 'c.db'}", poll_seconds=0.03
    )


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Env], Awaitable[ConfigServer]]]:
    """Start services; they stop when the test ends."""
    running: list[ConfigServer] = []

    async def start(env: Env) -> ConfigServer:
        running.append(await serving.start(env))
        return running[-1]

    yield start
    for server in running:
        await server.stop(0)


@pytest.fixture
async def server(env: Env, serve: Callable[[Env], Awaitable[ConfigServer]]) -> ConfigServer:
    return await serve(env)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[str], Client]]:
    clients: list[Client] = []

    def open_client(address: str) -> Client:
        clients.append(Client(address))
        return clients[-1]

    yield open_client
    for client in clients:
        await client.channel.close()


@pytest.fixture
async def client(server: ConfigServer, connect: Callable[[str], Client]) -> Client:
    return connect(server.address)


@pytest.fixture
def admin(client: Client) -> Any:
    """A stub of ConfigAdminService on the client's connection."""
    return ConfigAdminServiceStub(client.channel)


@pytest.fixture
def store(env: Env) -> Store:
    """A Store object of its own on the test's file, as another process would have."""
    return setup.open_store(env)


@pytest.fixture
def sql(env: Env) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Run one statement on the database file, past the service."""
    path = env.database_url.removeprefix("sqlite:///")

    def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    return run


@pytest.fixture
def with_bootstrap(env: Env, tmp_path: Path) -> Callable[[str], Env]:
    """Write a bootstrap file and return the Env that names it."""

    def write(text: str) -> Env:
        path = tmp_path / "bootstrap.yaml"
        path.write_text(text, encoding="utf-8")
        return replace(env, bootstrap_file=path)

    return write


@pytest.fixture
def url(env: Env, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let commands of this process find the test's database and nothing else."""
    for name in [name for name in os.environ if name.startswith("CONFIG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONFIG_DATABASE_URL", env.database_url)
    return env.database_url


@pytest.fixture
def refused_start(url: str, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Run a command that has to be refused; returns its one line."""

    def run(arguments: list[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 78
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert captured.out == ""
        return line

    return run
