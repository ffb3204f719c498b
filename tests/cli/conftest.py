"""The command line, run in this process, against real services."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ports import free_port
from typer.testing import CliRunner

from dedup_cli.__main__ import APP
from dedup_rpc.channel import connect

PREFIXES = ("MATCHER_", "CONFIG_", "EVENT_DEDUP_")
START_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


Run = Callable[..., Answer]


def wait_until_serving(process: "subprocess.Popen[bytes]", address: str) -> None:
    ends = time.monotonic() + START_SECONDS
    with connect(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < ends and process.poll() is None:
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
            except grpc.RpcError:
                continue
            return
    raise AssertionError(f"nothing serves at {address}")


@contextmanager
def serving(package: str, folder: Path, address: str = "", **extra: str) -> Iterator[str]:
    """Run a service process until the block ends; yields its address."""
    address = address or f"127.0.0.1:{free_port()}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    with (folder / f"{package}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", package, "serve", "--address", address],
            cwd=folder,
            env={**kept, **extra},
            stdout=log,
            stderr=log,
        )
        try:
            wait_until_serving(process, address)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=15)


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="module")
def config_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ConfigService that the tests of a module share."""
    with serving("config_service", tmp_path_factory.mktemp("config")) as address:
        yield address


@pytest.fixture(scope="session")
def matcher_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MatcherService that runs under the defaults."""
    folder = tmp_path_factory.mktemp("matcher")
    with serving("matcher_service", folder, MATCHER_CONFIG_RUNGS="bootstrap") as address:
        yield address


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line; an exception that is not an exit fails the test."""
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "400")

    def invoke(*arguments: str | Path, stdin: str | bytes = "") -> Answer:
        done = CliRunner().invoke(APP, [str(one) for one in arguments], input=stdin)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Answer(done.exit_code, done.stdout, done.stderr)

    return invoke


@dataclass(frozen=True)
class Results:
    """The output files of a batch."""

    folder: Path
    answer: Answer

    @property
    def summary(self) -> Any:
        return json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))

    @property
    def counts(self) -> Any:
        return self.summary["counts"]

    @property
    def canonical(self) -> Any:
        return json.loads((self.folder / "canonical.json").read_text(encoding="utf-8"))

    def lines(self, name: str) -> list[Any]:
        text = (self.folder / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]

    def clusters(self) -> dict[str, str]:
        with (self.folder / "clusters.csv").open(encoding="utf-8", newline="") as file:
            return {row["event_id"]: row["cluster_id"] for row in csv.DictReader(file)}

    def events(self) -> dict[str, Any]:
        """Return the canonical event by the id of its only or first listing."""
        return {line["listing_ids"][0]: line["event"] for line in self.lines("canonical.jsonl")}


@pytest.fixture
def dedup(run: Run, matcher_address: str, tmp_path: Path) -> Callable[..., Results]:
    """Run `dedup` at the shared matcher; fails when it does not exit with 0."""

    def batch(*files: Path, options: tuple[str, ...] = ()) -> Results:
        out = tmp_path / "out"
        answer = run("dedup", *files, "-o", out, "--matcher", matcher_address, *options)
        assert answer.status == 0, answer.err
        return Results(out, answer)

    return batch


@pytest.fixture
def listing() -> Callable[..., dict[str, Any]]:
    """Make a plain listing in the input's form."""

    def make(name: str = "a", title: str = "Orgelkonzert", **more: Any) -> dict[str, Any]:
        return {
            "id": name,
            "title": title,
            "event_dates": [{"date": "2026-03-07", "start_time": "19:30"}],
            "location": {"name": "Bürgerhaus", "city": "Endingen"},
            **more,
        }

    return make
