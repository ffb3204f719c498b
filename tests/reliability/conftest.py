"""What the experiments share: a service on a SQLite file, one PostgreSQL that may be killed."""

from collections.abc import Iterator

import pytest
from reliability.harness import Service, service, short_folder
from reliability.postgres_server import PostgresServer


@pytest.fixture
def sqlite_service() -> Iterator[Service]:
    """Yield a service on a SQLite file of its own, not started yet."""
    with service() as made:
        yield made


@pytest.fixture(scope="session")
def killable_postgres() -> Iterator[PostgresServer]:
    """Yield a running PostgreSQL; who kills it starts it again."""
    with short_folder() as folder:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
