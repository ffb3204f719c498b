"""Opening a database so that what it acknowledges is on the disk: SQLite files and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

BUSY_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10
SILENT_SECONDS = 10
POOL_SIZE = 10
CACHE_KIB = 256
"""Pages that each SQLite connection keeps: what is read often is in memory anyway."""
OLDEST_POSTGRESQL = 150000
_FULL = 2
_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
DISK_FULL = ("SQLITE_FULL", "53100")
_STORE_LOCK = 0x6564_6475
"""Number of the advisory lock under which schema and first revision are made."""


class DatabaseError(Exception):
    """A database that cannot be used as it is; the message says what to do."""


def parse_url(given: str) -> URL:
    """Return the URL of a SQLite file or a PostgreSQL database; raises `DatabaseError`."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # a password with `@` and `:` in clear is taken for a port, and the error would show it
        text = "the database URL is malformed; use sqlite:///PATH, and %40 for @ in a password"
        raise DatabaseError(text) from None
    if url.drivername in _POSTGRESQL and url.database:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in _SQLITE or not url.database or url.database == ":memory:":
        raise DatabaseError("use sqlite:///PATH or postgresql://USER@HOST/DATABASE")
    return url


def sqlite_path(url: URL) -> Path | None:
    """Return the file of a SQLite URL, None for PostgreSQL."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def open_database(url: URL) -> Engine:
    """Return an engine whose every connection is checked to be durable.

    SQLite: WAL with `synchronous=FULL`. PostgreSQL: version 15 or newer, `fsync` on, and
    `synchronous_commit=on` whatever role or database say; at most POOL_SIZE connections, each given
    up when its path is dead for some SILENT_SECONDS. What else the URL sets for libpq holds.
    """
    if sqlite_path(url):
        engine = create_engine(
            url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
        )
        event.listen(engine, "connect", _durable_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        connect_args=_connect_args(url),
    )
    event.listen(engine, "connect", _durable_postgresql)
    return engine


_POSTGRESQL_SETTINGS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "synchronous_commit": "on",
        "lock_timeout": f"{BUSY_TIMEOUT_SECONDS}s",
        "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    }.items()
)


_POSTGRESQL_PATH = {
    "connect_timeout": BUSY_TIMEOUT_SECONDS,
    "tcp_user_timeout": SILENT_SECONDS * 1000,
    "keepalives_idle": SILENT_SECONDS // 2,
    "keepalives_interval": 1,
    "keepalives_count": SILENT_SECONDS // 2,
}
"""The kernel alone would wait a quarter of an hour for a host that is gone, and a thread with it."""


def _connect_args(url: URL) -> dict[str, Any]:
    """Return what libpq is told beside the URL: its own settings come last, and count."""
    path = {name: value for name, value in _POSTGRESQL_PATH.items() if name not in url.query}
    given = url.query.get("options", "")
    options = given if isinstance(given, str) else " ".join(given)
    return {**path, "options": f"{options} {_POSTGRESQL_SETTINGS}".lstrip()}


@contextmanager
def transaction(engine: Engine, *, writes: bool) -> Iterator[Connection]:
    """Run one transaction: reads see one snapshot, writes wait for each other.

    Commits at the end, rolls back when the block raises.
    """
    connection = engine.connect().execution_options(**_options(engine, writes))
    with connection, connection.begin():
        yield connection


def _options(engine: Engine, writes: bool) -> dict[str, Any]:
    if engine.dialect.name == "sqlite":
        return {"writes": writes}
    level = "READ COMMITTED" if writes else "REPEATABLE READ"
    return {"isolation_level": level, "postgresql_readonly": not writes}


def lock_store(connection: Connection) -> None:
    """Wait until no other process makes schema or first revision; ends with the transaction.

    SQLite needs none: a writing transaction is alone there.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_STORE_LOCK)))


@contextmanager
def usable() -> Iterator[None]:
    """Turn a database that does not answer into a `DatabaseError`."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        raise DatabaseError(
            f"the database cannot be used ({kind}): not there, not ours, not readable, or locked"
        ) from None


def name_of(error: BaseException) -> str:
    """Return the name that a database gives an error (SQLSTATE, `SQLITE_...`), else the error's class."""
    cause = getattr(error, "orig", None) or error
    given = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    return str(given or type(cause).__name__)


def _durable_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    level = cursor.execute("PRAGMA synchronous").fetchone()[0]
    cursor.close()
    if (mode, level) != ("wal", _FULL):
        raise DatabaseError("this file system gives no durable SQLite (WAL with synchronous=FULL)")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _durable_postgresql(connection: Any, _record: Any) -> None:
    if connection.info.server_version < OLDEST_POSTGRESQL:
        raise DatabaseError("PostgreSQL 15 or newer is needed")
    with connection.cursor() as cursor:
        query = "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
        fsync, commit = cursor.execute(query).fetchone()
    connection.rollback()
    if (fsync, commit) != ("on", "on"):
        raise DatabaseError("PostgreSQL would lose writes: fsync and synchronous_commit must be on")
