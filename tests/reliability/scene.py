"""A service that is down, with the database that it left: where crash experiments begin."""

import asyncio
import copy
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from reliability.checker import Checker
from reliability.harness import Serve, Service, database_as_it_is, serve, service
from reliability.tracing import killed_at, recorded
from reliability.workload import FIELDS, Client, Journal, Outcome, Write, new_id

from config_service import setup

PAGE_BYTES, FRAMES_BEFORE = 4096, 992
"""SQLite moves its log at 1,000 frames; a start adds up to seven, an update more than eight."""


@dataclass
class Scene:
    """A service that is down, the database that it left, and what its writer knows."""

    service: Service
    journal: Journal = field(default_factory=Journal)

    def next(self) -> Write:
        """Note the next update."""
        number = len(self.journal.writes)
        return self.journal.begin(FIELDS[number % 4], 0.1 + number / 1e4, request_id=new_id())

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Yield a client that is connected to the running service."""
        await asyncio.to_thread(self.service.start)
        client = Client(self.service.address, self.journal)
        await client.etag()
        try:
            yield client
        finally:
            await client.channel.close()
            self.service.kill()

    async def strike(self, call: str, number: int) -> tuple[bool, list[str]]:
        """Kill the service at one call of an update, then repeat the update.

        Tells whether the update makes so many calls, and what does not hold before and after the
        repetition.
        """
        write = self.next()
        async with self.client() as client:
            with killed_at(self.service.pid, call, number):
                outcome = await client.send(write)
            if reached := outcome is Outcome.UNKNOWN:
                assert await asyncio.to_thread(self.service.reap) == -9
        found = await self.check()
        if not found:
            async with self.client() as client:
                await client.settle(write)
            found = await self.check()
        return reached, found

    async def check(self) -> list[str]:
        """Return what does not hold in the database as it is."""
        acknowledged = self.journal.acknowledged()
        with database_as_it_is(self.service.env) as env:
            return await asyncio.to_thread(Checker(self.journal).check, env, acknowledged)

    async def count(self, call: str) -> int:
        """Return how often an update makes a call."""
        log = self.service.folder / "calls"
        async with self.client() as client:
            with recorded(self.service.pid, [call], log):
                await client.settle(self.next())
                self.service.kill()
        return log.read_text().count(f" {call}(")

    @contextmanager
    def copied(self) -> Iterator["Scene"]:
        """Yield the same scene elsewhere, on a copy of the SQLite file."""
        with service(target=self.service.target) as made:
            made.env = replace(made.env, keyring=self.service.env.keyring)
            for file in self.service.folder.glob("config.db*"):
                if not file.name.endswith("-shm"):
                    shutil.copyfile(file, made.folder / file.name)
            yield Scene(made, copy.deepcopy(self.journal))


@contextmanager
def freshly_migrated(target: Serve = serve, url: str = "") -> Iterator[Scene]:
    """Yield a scene whose database holds its first revision, closed in order."""
    with service(url, target) as made:
        setup.migrate(made.env).close()
        yield Scene(made)


@asynccontextmanager
async def after_some_updates(
    target: Serve = serve, url: str = "", updates: int = 3
) -> AsyncIterator[Scene]:
    """Yield a scene with a short history."""
    with freshly_migrated(target, url) as scene:
        async with scene.client() as client:
            for _ in range(updates):
                await client.settle(scene.next())
        yield scene


@asynccontextmanager
async def before_a_checkpoint() -> AsyncIterator[Scene]:
    """Yield a scene in which the next update makes SQLite move its log into the database."""
    async with after_some_updates(updates=20) as scene:
        with scene.copied() as before:
            database, kept = scene.service.folder / "config.db", before.service.folder
            log = Path(f"{database}-wal")
            with closing(sqlite3.connect(database, isolation_level=None)) as connection:
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                connection.execute("PRAGMA synchronous = OFF")
                while (frames := (log.stat().st_size - 32) // (PAGE_BYTES + 24)) < FRAMES_BEFORE:
                    connection.execute(f"PRAGMA user_version = {frames + 1}")
                for file in (database, log):
                    shutil.copyfile(file, kept / file.name)
            yield before
