"""The services run as a manifest or the compose file says, with its paths and ports moved to this machine."""

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from deploy.conftest import TOOLS
from ports import free_ports
from prometheus_client.parser import text_string_to_metric_families

from dedup_rpc import probe

PREFIXES = ("CONFIG_", "MATCHER_", "EVENT_DEDUP_", "LOG_", "OTEL_")
START_SECONDS = 120.0
NAMES = {"config-service": "CONFIG", "matcher-service": "MATCHER"}


@dataclass(frozen=True)
class Place:
    """Where things of a manifest are on this machine: folders by the path they are mounted at."""

    folders: Mapping[str, Path]
    config_port: int

    def here(self, value: str) -> str:
        """Return a variable's value with paths and the address of ConfigService of this machine."""
        mounted = "|".join(map(re.escape, self.folders))
        value = re.sub(
            rf"^(sqlite:///)?({mounted})(?=/|$)",
            lambda found: f"{found[1] or ''}{self.folders[found[2]]}",
            value,
        )
        return value.replace("config-service:50051", f"localhost:{self.config_port}")


@dataclass(frozen=True)
class Running:
    """A service that serves."""

    service: str
    variables: dict[str, str]
    process: "subprocess.Popen[Any]"

    @property
    def address(self) -> str:
        """Return where it takes calls, by the name in its certificate."""
        port = self.variables[f"{NAMES[self.service]}_ADDRESS"].rpartition(":")[2]
        return f"localhost:{port}"

    @property
    def health(self) -> str:
        return self.variables[f"{NAMES[self.service]}_HEALTH_ADDRESS"]

    def scraped(self) -> dict[str, set[frozenset[tuple[str, str]]]]:
        """Return the names of what a scrape sees, each with the labels of its samples."""
        address = self.variables[f"{NAMES[self.service]}_METRICS_ADDRESS"]
        with urlopen(f"http://{address}/metrics", timeout=10) as page:
            text = page.read().decode()
        found: dict[str, set[frozenset[tuple[str, str]]]] = {}
        for family in text_string_to_metric_families(text):
            found.setdefault(family.name, set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).add(frozenset(sample.labels.items()))
        return found


def command(
    service: str, variables: Mapping[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command of a service to its end."""
    return subprocess.run(
        [str(TOOLS / service), *arguments],
        env=cleaned() | dict(variables),
        capture_output=True,
        text=True,
        timeout=120,
    )


def cleaned() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(PREFIXES)}


@contextmanager
def serving(service: str, given: Mapping[str, str], place: Place, log: Path) -> Iterator[Running]:
    """Run a service with the variables of a manifest until the block ends, then end it gently."""
    ports = iter(free_ports(3))
    variables = {
        name: re.sub(r"^0\.0\.0\.0:\d+$", lambda _: f"127.0.0.1:{next(ports)}", place.here(value))
        for name, value in given.items()
    }
    if service == "config-service":
        variables["CONFIG_ADDRESS"] = f"127.0.0.1:{place.config_port}"
    with log.open("ab") as file:
        arguments = [str(TOOLS / service), "serve"]
        process = subprocess.Popen(arguments, env=cleaned() | variables, stderr=file)
    try:
        yield Running(service, variables, process)
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


async def until_healthy(running: Running) -> None:
    """Wait until the service serves, and its own `health` command says so."""
    async with asyncio.timeout(START_SECONDS):
        while await asyncio.to_thread(probe.health, running.health) != "SERVING":
            assert running.process.poll() is None, f"{running.service} ended"
            await asyncio.sleep(0.1)
    found = await asyncio.to_thread(command, running.service, running.variables, "health")
    assert (found.returncode, found.stderr) == (0, "")
