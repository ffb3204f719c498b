"""What the tests of the client share: services that stop and come back, a proxy that fails, both twins."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import serving
from config_service.env import Env
from config_service.serving import ConfigServer
from dedup_rpc.access import Access
from dedup_rpc.client import (
    AdminClient,
    AsyncAdminClient,
    AsyncConfigClient,
    ConfigClient,
    Retry,
    WatchState,
)
from eventdedup.config.v1.config_service_pb2_grpc import (
    ConfigServiceServicer,
    add_ConfigServiceServicer_to_server,
)

QUICK = Retry(first_pause=0.02, longest_pause=0.1)


class Service:
    """A ConfigService on one address and one database that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address, self.access = folder, "127.0.0.1:0", Access("CONFIG")
        self.server: ConfigServer | None = None

    async def start(self) -> None:
        database = f"sqlite:///{self.folder / 'c.db'}"
        env = Env(self.address, database, poll_seconds=0.03, access=self.access)
        self.server = await serving.start(env)
        self.address = self.server.address

    async def stop(self) -> None:
        if self.server:
            await self.server.stop(0)
        self.server = None


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path)
    await service.start()
    yield service
    await service.stop()


class Proxy:
    """A TCP relay that fails on command."""

    ANSWER_BYTES = 1000
    """The services' answers are longer, what HTTP/2 says about itself is shorter."""

    def __init__(self, upstream: str) -> None:
        self.host, port = upstream.split(":")
        self.port = int(port)
        self.losing, self.lost, self.deaf = 0, 0, False
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self.server.close()
        self.cut()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def lose_answers(self, count: int) -> None:
        """Cut the connection in place of the next answers, each after the service gave it."""
        self.losing += count

    def cut(self) -> None:
        for writer in list(self.writers):
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, sender = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.close()
            return
        self.writers |= {writer, sender}
        for source, target, answers in ((reader, sender, False), (upstream, writer, True)):
            task = asyncio.create_task(self._relay(source, target, answers))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _relay(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, answers: bool
    ) -> None:
        with suppress(OSError):
            while chunk := await source.read(65536):
                if self.deaf:
                    continue
                if answers and self.losing and len(chunk) > self.ANSWER_BYTES:
                    self.losing, self.lost = self.losing - 1, self.lost + 1
                    self.cut()
                    return
                target.write(chunk)
        target.close()


@pytest.fixture
async def proxy(service: Service) -> AsyncIterator[Proxy]:
    proxy = Proxy(service.address)
    await proxy.start()
    yield proxy
    await proxy.stop()


class Scripted(ConfigServiceServicer):
    """A service that does what it is told, call by call, and keeps what it was sent."""

    def __init__(self) -> None:
        self.steps: list[Callable[[Any], Awaitable[Any]]] = []
        self.requests: list[Any] = []
        self.left: list[str] = []

    async def _next(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        try:
            return await step(context)
        except asyncio.CancelledError:
            self.left.append(type(request).__name__)
            raise

    GetConfig = UpdateConfig = GetSnapshot = WatchConfig = _next  # type: ignore[assignment]


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    servicer, server = Scripted(), grpc.aio.server()
    add_ConfigServiceServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"  # type: ignore[attr-defined]
    await server.start()
    yield servicer
    await server.stop(0)


class Twin:
    """The blocking client, or the asyncio one, with the same face: every call is awaited."""

    def __init__(self, kind: str, address: str, *more: Any, **options: Any) -> None:
        self.blocking = kind == "blocking"
        options = {"retry": QUICK, **options}
        make: Any = ConfigClient if self.blocking else AsyncConfigClient
        self.client: Any = make(address, *more, **options)
        make = AdminClient if self.blocking else AsyncAdminClient
        self.admin: Any = make(address, *more, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name, None) or getattr(self.admin, name)
        if not self.blocking:
            return method
        return lambda *args, **more: asyncio.to_thread(method, *args, **more)

    def within(self, seconds: float) -> "Twin":
        other = object.__new__(Twin)
        other.__dict__ = {**self.__dict__, "client": self.client.within(seconds)}
        return other

    async def listed(self, name: str, **more: Any) -> list[Any]:
        source = self.client if hasattr(self.client, name) else self.admin
        found = getattr(source, name)(**more)
        return (
            await asyncio.to_thread(list, found) if self.blocking else [one async for one in found]
        )

    def watched(self, *args: Any, **more: Any) -> "Watched":
        return Watched(self.client.watch(*args, **more), self.blocking)

    async def close(self) -> None:
        for client in (self.client, self.admin):
            await asyncio.to_thread(client.close) if self.blocking else await client.close()


class Watched:
    """A watch of either twin: `next` awaits one state, None after the end."""

    def __init__(self, watch: Any, blocking: bool) -> None:
        self.watch, self.blocking = watch, blocking

    async def next(self, seconds: float = 10.0) -> WatchState | None:
        async with asyncio.timeout(seconds):
            if self.blocking:
                return await asyncio.to_thread(next, self.watch, None)
            return await anext(self.watch, None)

    async def close(self) -> None:
        await asyncio.to_thread(self.watch.close) if self.blocking else await self.watch.aclose()


@pytest.fixture(params=["blocking", "asyncio"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Twin]]:
    """Make clients of one kind; every test that uses it runs for both."""
    made: list[Twin] = []

    def make(address: str, *more: Any, **options: Any) -> Twin:
        made.append(Twin(request.param, address, *more, **options))
        return made[-1]

    yield make
    for twin in made:
        await twin.close()
