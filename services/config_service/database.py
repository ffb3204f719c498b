"""Opening a database so that what it acknowledges is on the disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

BUSY_TIMEOUT_SECONDS = 5
_FULL = 2


class DatabaseError(Exception):
    """A database that cannot be used as it is; the message says what to do."""


def parse_url(text: str) -> URL:
    """Return the URL of a SQLite database; raises `DatabaseError` for any other."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise DatabaseError("the database URL is malformed; use sqlite:///PATH") from None
    if (
        url.drivername not in ("sqlite", "sqlite+pysqlite")
        or not url.database
        or url.database == ":memory:"
    ):
        raise DatabaseError("the database URL must name a SQLite file: sqlite:///PATH")
    return url


def open_database(url: URL) -> Engine:
    """Return an engine whose every connection is WAL with `synchronous=FULL`, checked."""
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
    )
    event.listen(engine, "connect", _durable)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def usable() -> Iterator[None]:
    """Turn a database that does not answer into a `DatabaseError`."""
    try:
        yield
    except DBAPIError as error:
        kind = type(error.orig).__name__
        raise DatabaseError(
            f"the database cannot be used ({kind}): no SQLite file, not readable, or locked"
        ) from None


def database_path(url: URL) -> Path:
    """Return the file of a SQLite URL."""
    return Path(str(url.database))


def _durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    cursor.execute("PRAGMA synchronous=FULL")
    level = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.close()
    if (mode, level) != ("wal", _FULL):
        raise DatabaseError("this file system gives no durable SQLite (WAL with synchronous=FULL)")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
