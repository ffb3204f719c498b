"""Services with one bug each: every experiment has to notice the bug that it is meant for.

A planted service is the real `serve` command with one part of it, or one of its libraries' hooks,
replaced in a process of its own.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from reliability.tracing import when_traced
from sqlalchemy import Engine, Pool, event

from config_service import serving
from config_service.__main__ import main
from config_service.database import parse_url, sqlite_path
from config_service.env import Env
from config_service.feed import Feed
from config_service.grants import ADMIN, GRANTS, SERVICE
from config_service.setup import open_store
from config_service.state import State
from config_service.store import Store
from dedup_rpc.server import Serving

WINDOW_SECONDS = 0.01
"""How long a planted bug leaves the database as it must not be."""


def two_transactions() -> None:
    """Commit the history before the head."""

    def split(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO config_revisions"):
            raw = connection.connection.driver_connection
            raw.commit()
            time.sleep(WINDOW_SECONDS)
            if isinstance(raw, sqlite3.Connection):
                raw.execute("BEGIN IMMEDIATE")

    event.listen(Engine, "after_cursor_execute", split)
    main(["serve"])


def forgotten_requests() -> None:
    """Keep no answer to a request_id."""

    def forget(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO idempotency_keys"):
            connection.exec_driver_sql("DELETE FROM idempotency_keys")

    event.listen(Engine, "after_cursor_execute", forget)
    main(["serve"])


def normal_sync() -> None:
    """Acknowledge what the disk may not have yet: SQLite with `synchronous=NORMAL`."""

    def weaken(connection: Any, *_: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(Pool, "checkout", weaken)
    main(["serve"])


def normal_sync_when_traced() -> None:
    """Run `normal_sync` as soon as the process is traced."""
    when_traced(normal_sync)


def asynchronous_commit() -> None:
    """Acknowledge what PostgreSQL has not written yet."""

    def weaken(connection: Any) -> None:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

    event.listen(Engine, "begin", weaken)
    main(["serve"])


class LateCommit(sqlite3.Connection):
    """A connection that says that it has committed before it does."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._late: threading.Thread | None = None

    def commit(self) -> None:
        """Commit after a while."""
        self._late = threading.Timer(WINDOW_SECONDS, super().commit)
        self._late.start()

    def rollback(self) -> None:
        """Leave a commit that is under way alone."""
        if self._late is None:
            super().rollback()

    def cursor(self, *args: Any, **more: Any) -> Any:
        """Wait for the commit before anything else happens."""
        if self._late:
            self._late.join()
            self._late = None
        return super().cursor(*args, **more)


def late_commit() -> None:
    """Acknowledge before the commit."""

    def replace(_dialect: Any, _record: Any, _args: Any, options: dict[str, Any]) -> None:
        options["factory"] = LateCommit

    event.listen(Engine, "do_connect", replace)
    main(["serve"])


class PlantedStore:
    """A store whose writes go wrong; everything else is the real one's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class ChattyStore(PlantedStore):
    """Logs what it is asked to do."""

    def apply(self, edit: Any, **more: Any) -> Any:
        """Log the request and apply it."""
        logging.getLogger("event_dedup.config").info("applying %s", vars(edit))
        return self._store.apply(edit, **more)


class SequenceStore(PlantedStore):
    """Takes revision numbers from a counter beside the database, which no rollback gives back."""

    def __init__(self, store: Store, counter: Path) -> None:
        super().__init__(store)
        self._counter = counter

    def apply(self, edit: Any, **more: Any) -> Any:
        """Apply an edit under the next number of the counter."""

        def numbered(transaction: Any, head: Any) -> Any:
            wanted = edit(transaction, head)
            if wanted is not None:
                number = self._next(head.revision.number)
                object.__setattr__(head.revision, "number", number - 1)
                time.sleep(WINDOW_SECONDS)
            return wanted

        return self._store.apply(numbered, **more)

    def _next(self, head: int) -> int:
        with self._counter.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            number = max(int(file.read() or 0), head) + 1
            file.truncate(0)
            file.write(str(number))
        return number


class ForgetfulFeed(Feed):
    """Sees the writes of its own process as late as those of others."""

    async def refresh(self) -> State:
        """Answer with what is known; look a while later."""
        asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._refresh_late)
        return self.state

    def _refresh_late(self) -> None:
        self._task = asyncio.create_task(super().refresh())


async def _run(plant: Callable[[Store, Env], Any], feed_type: type[Feed] = Feed) -> None:
    """Do what `config_service.serving` does, with a planted store or feed."""
    env = Env.read(os.environ)
    logging.basicConfig(level=env.log_level)
    real = open_store(env)
    store = plant(real, env)
    feed = feed_type(store, ThreadPoolExecutor(8), real.state(), env.poll_seconds)
    register = serving._registering(store, feed)
    running = Serving((SERVICE, ADMIN), register, env.access.guard(GRANTS))
    await running.start(env.address)
    await feed.poll()


def chatty() -> None:
    """Log requests."""
    asyncio.run(_run(lambda store, _: ChattyStore(store)))


def _sequence(store: Store, env: Env) -> SequenceStore:
    url = parse_url(env.database_url)
    folder = (sqlite_path(url) or Path(str(url.query.get("host"))) / "_").parent
    return SequenceStore(store, folder / f"{Path(str(url.database)).name}.sequence")


def sequence() -> None:
    """Take revision numbers from a sequence."""
    asyncio.run(_run(_sequence))


def unlocked() -> None:
    """Read, merge and write without the head's lock, under numbers from a sequence."""

    def unlock(_c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> Any:
        return statement.replace(" FOR UPDATE", ""), parameters

    event.listen(Engine, "before_cursor_execute", unlock, retval=True)
    sequence()


def forgetful() -> None:
    """Answer reads from before the acknowledged write."""
    asyncio.run(_run(lambda store, _: store, ForgetfulFeed))
