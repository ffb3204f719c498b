"""One server for one SQLite file: a second one would not see the first one's writes at once."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from config_service.database import DatabaseError, parse_url, sqlite_path


@contextmanager
def sole_server(database_url: str) -> Iterator[None]:
    """Hold the lock file beside a SQLite database; nothing for PostgreSQL.

    Raises `DatabaseError` while another server holds it. The system frees it when a process ends.
    """
    path = sqlite_path(parse_url(database_url))
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = "another server runs on this SQLite file: stop it, or use PostgreSQL"
            raise DatabaseError(text) from None
        yield
