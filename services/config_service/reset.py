"""Putting a store aside whose keys are lost: nothing is deleted, a new one can begin."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import inspect, text

from config_service import database
from config_service.env import Env
from config_service.sole import sole_server
from config_service.tables import METADATA


def archive(env: Env) -> str:
    """Move the store away; returns the name of the file or the schema that holds it now.

    Raises `DatabaseError` while a server runs on a SQLite file, when there is nothing to move, or
    when a PostgreSQL schema holds tables that are not ours.
    """
    url = database.parse_url(env.database_url)
    name = f"lost_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    if database.sqlite_path(url):
        with sole_server(env.database_url):
            return _renamed(env, name)
    return _moved(env, name)


def _renamed(env: Env, name: str) -> str:
    path = database.sqlite_path(database.parse_url(env.database_url))
    if path is None or not path.exists():
        raise database.DatabaseError("there is no store to put aside")
    kept = path.with_name(f"{path.name}.{name}")
    for end in ("", "-wal", "-shm"):
        part = path.with_name(path.name + end)
        if part.exists():
            part.rename(kept.with_name(kept.name + end))
    return kept.name


def _require_ours(tables: Iterable[str]) -> None:
    """Refuse to move what another system, or a newer release, keeps beside our tables."""
    if others := sorted({*tables} - {*METADATA.tables, "alembic_version"}):
        names = ", ".join(others)
        raise database.DatabaseError(f"tables that are not this release's are there, too: {names}")


def _moved(env: Env, name: str) -> str:
    engine = database.open_database(database.parse_url(env.database_url))
    try:
        with database.usable(), database.transaction(engine, writes=True) as connection:
            database.lock_store(connection)
            tables = inspect(connection).get_table_names()
            if not tables:
                raise database.DatabaseError("there is no store to put aside")
            _require_ours(tables)
            connection.execute(text(f"CREATE SCHEMA {name}"))
            for table in tables:
                connection.execute(text(f'ALTER TABLE "{table}" SET SCHEMA {name}'))
        return f"schema {name}"
    finally:
        engine.dispose()
