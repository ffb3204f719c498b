"""The service as a process that can be killed with SIGKILL and started again at its address.

Each process runs the `serve` command as it is. It is forked from a process that has imported the
command already and does nothing else, so that a start costs a tenth of a second.
"""

import multiprocessing
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from config_service.__main__ import main
from config_service.cipher import new_key
from config_service.database import parse_url, sqlite_path
from config_service.env import Env

FULL = os.environ.get("RELIABILITY") == "full"
"""Whether the long form of each experiment runs."""

START_SECONDS, STOP_SECONDS = 30.0, 15.0
PREFIXES = ("CONFIG_", "EVENT_DEDUP_")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", "config_service.__main__"])

Serve = Callable[[], None]


def serve() -> None:
    """Run `config-service serve` as the variables of the process say."""
    main(["serve"])


def _run(target: Serve, variables: dict[str, str], log: Path) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        del os.environ[name]
    os.environ.update(variables)
    target()


class Service:
    """One address and database, with at most one process at a time.

    The killed process is reaped before the next one starts, so whoever answers is the new one.
    """

    def __init__(self, folder: Path, env: Env, target: Serve = serve) -> None:
        self.folder, self.env, self.target = folder, env, target
        self.log = folder / "service.log"
        self.process: BaseProcess | None = None

    @property
    def address(self) -> str:
        """Return the address as gRPC takes it."""
        return self.env.address

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        assert self.process
        assert self.process.pid
        return self.process.pid

    def launch(self) -> None:
        """Start a process without waiting for it."""
        assert self.process is None
        arguments = (self.target, self._variables(), self.log)
        self.process = FORKS.Process(target=_run, args=arguments, daemon=True)
        self.process.start()

    def start(self) -> None:
        """Start a process and wait until it listens."""
        self.launch()
        self.wait_until_listening()

    def wait_until_listening(self) -> None:
        """Wait for the process; raises AssertionError with its log when it ends instead."""
        ends = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self.process
            assert self.process.is_alive(), f"it ended: {self.log.read_text()}"
            assert time.monotonic() < ends, f"it does not listen: {self.log.read_text()}"
            time.sleep(0.005)

    def kill(self) -> None:
        """End the process with SIGKILL and reap it."""
        if self.process:
            self.process.kill()
            self.reap()

    def stop(self) -> int | None:
        """End the process with SIGTERM and reap it; returns its exit code."""
        assert self.process
        self.process.terminate()
        return self.reap()

    def reap(self) -> int | None:
        """Wait until the process has ended; returns its exit code, -9 after SIGKILL."""
        assert self.process
        self.process.join(STOP_SECONDS)
        assert self.process.exitcode is not None, "it does not end"
        code, self.process = self.process.exitcode, None
        return code

    def _variables(self) -> dict[str, str]:
        env = self.env
        return {
            "CONFIG_ADDRESS": env.address,
            "CONFIG_DATABASE_URL": env.database_url,
            "CONFIG_KEYRING": str(env.keyring),
            "CONFIG_POLL_SECONDS": str(env.poll_seconds),
            "LOG_LEVEL": env.log_level,
        }

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.address.removeprefix("unix:"))
            except OSError:
                return False
        return True


@contextmanager
def database_as_it_is(env: Env) -> Iterator[Env]:
    """Yield the Env of a database to be read past the service, as a crash has left it.

    Of a SQLite file it is a copy with its log, so that the service itself recovers the original.
    """
    source = sqlite_path(parse_url(env.database_url))
    if source is None:
        yield env
        return
    with short_folder() as folder:
        for suffix in ("", "-wal"):
            if (original := Path(f"{source}{suffix}")).exists():
                shutil.copyfile(original, folder / f"copy.db{suffix}")
        yield replace(env, database_url=f"sqlite:///{folder / 'copy.db'}")


@contextmanager
def short_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder whose path is short enough for the name of a Unix socket."""
    with tempfile.TemporaryDirectory(
        prefix="dedup-", dir=parent, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


@contextmanager
def service(database_url: str = "", target: Serve = serve) -> Iterator[Service]:
    """Make a service that is not started yet; ends its process at the end.

    Without a URL it has a SQLite file of its own.
    """
    with short_folder() as folder:
        url = database_url or f"sqlite:///{folder / 'config.db'}"
        env = Env(address=f"unix:{folder / 's'}", database_url=url, keyring=new_key())
        made = Service(folder, env, target)
        try:
            yield made
        finally:
            made.kill()
