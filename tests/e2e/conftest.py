"""Real processes for the end-to-end tests: both services, grpcurl, the command line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ports import free_port

from dedup_rpc.channel import connect

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
START_SECONDS = 30
STOP_SECONDS = 15
PREFIXES = ("MATCHER_", "CONFIG_", "EVENT_DEDUP_")


def clean_environment(extra: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    return {**kept, "LOG_LEVEL": "INFO", **extra}


@dataclass
class Service:
    """One service process."""

    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def wait_until_serving(self) -> None:
        ends = time.monotonic() + START_SECONDS
        with connect(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < ends and self.process.poll() is None:
                try:
                    stub.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
                except grpc.RpcError:
                    continue
                return
        raise AssertionError(f"{self.address} did not start: {self.log.read_text()}")

    def stop(self) -> int:
        """Send SIGTERM and return the exit status; SIGKILL after STOP_SECONDS."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(timeout=STOP_SECONDS)


@dataclass
class Launcher:
    """Starts services in a folder and ends all of them."""

    folder: Path
    running: list[Service]

    def config(self, address: str = "", *, wait: bool = True, **extra: str) -> Service:
        return self._start("config_service", "CONFIG_ADDRESS", address, wait, extra)

    def matcher(
        self, config: str, address: str = "", *, wait: bool = True, **extra: str
    ) -> Service:
        extra = {"MATCHER_CONFIG_ADDRESS": config, "MATCHER_CONFIG_TIMEOUT_SECONDS": "1", **extra}
        return self._start("matcher_service", "MATCHER_ADDRESS", address, wait, extra)

    def pair(self, **extra: str) -> tuple[Service, Service]:
        config = self.config(wait=False, **extra)
        matcher = self.matcher(config.address, wait=False, **extra)
        config.wait_until_serving()
        matcher.wait_until_serving()
        return config, matcher

    def _start(
        self, package: str, variable: str, address: str, wait: bool, extra: dict[str, str]
    ) -> Service:
        address = address or f"127.0.0.1:{free_port()}"
        log = self.folder / f"{package}-{len(self.running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", package, "serve"],
                cwd=self.folder,
                env=clean_environment({variable: address, **extra}),
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
            )
        service = Service(address, process, log)
        self.running.append(service)
        if wait:
            service.wait_until_serving()
        return service

    def stop_all(self) -> None:
        for service in reversed(self.running):
            if service.process.poll() is None:
                service.process.terminate()
        for service in reversed(self.running):
            service.stop()


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, [])
    yield made
    made.stop_all()


@pytest.fixture(scope="module")
def make_launcher(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Launcher]]:
    """Make launchers whose services end with the module."""
    made: list[Launcher] = []

    def make(name: str) -> Launcher:
        made.append(Launcher(tmp_path_factory.mktemp(name), []))
        return made[-1]

    yield make
    for launcher in made:
        launcher.stop_all()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """A pair that the tests of a module share."""
    made = Launcher(tmp_path_factory.mktemp("pair"), [])
    try:
        yield made.pair()
    finally:
        made.stop_all()


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


def _run(command: list[str], stdin: str, cwd: Path, extra: dict[str, str]) -> Answer:
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env=clean_environment(extra),
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def grpcurl() -> Run:
    """Run grpcurl with `-plaintext`."""

    def run(*arguments: str, stdin: str = "") -> Answer:
        return _run([str(BIN / "grpcurl"), "-plaintext", *arguments], stdin, ROOT, {})

    return run


@pytest.fixture(scope="session")
def event_dedup() -> Run:
    """Run the command line in the repository's folder."""

    def run(*arguments: str, stdin: str = "", cwd: Path = ROOT, **extra: str) -> Answer:
        return _run([str(BIN / "event-dedup"), *arguments], stdin, cwd, extra)

    return run
