"""The service, with a way to ask it from outside how much it holds."""

import asyncio
import gc
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reliability.harness import Service

from config_service.__main__ import main
from config_service.cipher import new_key
from config_service.store import utc_now
from config_service.tokens import entry
from dedup_rpc.authz import new_token

COUNTED = "tasks.txt"


def serve_counted() -> None:
    """Run `config-service serve`; at SIGUSR1 write the number of its tasks into a file."""
    file = Path(os.environ["CONFIG_KEYRING_FILE"]).with_name(COUNTED)

    def count(*_: Any) -> None:
        gc.collect()
        file.with_suffix(".new").write_text(str(len(asyncio.all_tasks())))
        file.with_suffix(".new").replace(file)

    signal.signal(signal.SIGUSR1, count)
    main(["serve"])


@dataclass(frozen=True)
class Vitals:
    """What a process holds."""

    megabytes: float
    descriptors: int
    threads: int
    tasks: int


class AgedServer(Service):
    """A service with principals and key ring in files, which it reloads."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.folder, service.env, serve_counted)
        self.token = new_token()
        self._keys = [new_key(), new_key()]
        self.reload()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what a call shows."""
        return (("authorization", f"Bearer {self.token}"),)

    def reload(self) -> None:
        """Replace both files by others that hold what is in use, and more."""
        self._write("ring.txt", "\n".join(self._keys) + "\n")
        self._keys[1] = new_key()
        principals = [
            entry("aging", ["editor", "reader"], self.token, utc_now(), 30),
            entry("another", ["reader"], new_token(), utc_now(), 30),
        ]
        self._write("authz.yaml", "principals:\n" + "".join(principals))

    def vitals(self) -> Vitals:
        """Return what the running process holds now."""
        process = Path(f"/proc/{self.pid}")
        tasks = self._tasks()
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Vitals(
            megabytes=int(status["VmRSS"].split()[0]) / 1024,
            descriptors=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            tasks=tasks,
        )

    def _tasks(self) -> int:
        file = self.folder / COUNTED
        file.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        ends = time.monotonic() + 10
        while not file.exists():
            assert time.monotonic() < ends, "the service does not count its tasks"
            time.sleep(0.01)
        return int(file.read_text())

    def _write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.new").write_text(text)
        (self.folder / f"{name}.new").replace(self.folder / name)

    def _variables(self) -> dict[str, str]:
        variables = super()._variables()
        del variables["CONFIG_KEYRING"]
        return variables | {
            "CONFIG_KEYRING_FILE": str(self.folder / "ring.txt"),
            "CONFIG_AUTHZ_FILE": str(self.folder / "authz.yaml"),
        }
