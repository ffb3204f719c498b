"""The production pair by hand: the page typed block by block, and a restart of all four under load."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from docs.pages import blocks
from docs.shell import run
from ports import free_ports
from reliability.harness import FULL

from dedup_rpc.channel import Credentials, connect
from dedup_rpc.client import ConfigClient
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

ROOT = Path(__file__).parents[2]
PAGE = [block for block in blocks("by_hand.md") if block.language == "sh"]
PORTS = ("50051", "50052", "50053", "50054", "50061", "50062", "50063", "50064")
ROUNDS = 5 if FULL else 1
LOADS = 2
PAUSE = 0.05
REPORTED = re.compile(r"^ \S+\.\d+ +matcher +2 +0 +live ", re.M)
"""A matcher in the table of clients."""
RETRIED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@dataclass
class Hands:
    """Types blocks of the page in a folder, with its ports moved to free ones."""

    folder: Path
    database: str
    ports: dict[str, str] = field(
        default_factory=lambda: dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    )

    def types(self, heading: str) -> str:
        (text,) = [block.text for block in PAGE if block.heading == heading]
        done = run(self.moved(text), self.folder, {"CONFIG_DATABASE_URL": self.database})
        logs = "".join(log.read_text()[-2000:] for log in self.folder.glob("*.log"))
        assert done.returncode == 0, done.stdout + done.stderr + logs
        return done.stdout + done.stderr

    def moved(self, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(port, free)
        return text

    def credentials(self, token: str) -> Credentials:
        files = ("ca.crt", "client.crt", "client.key", f"{token}.token")
        paths = (self.folder / "secrets" / name for name in files)
        return Credentials(*paths, server_name="localhost")

    @property
    def configs(self) -> str:
        return self.moved("ipv4:127.0.0.1:50051,127.0.0.1:50053")

    @property
    def matchers(self) -> str:
        return self.moved("ipv4:127.0.0.1:50052,127.0.0.1:50054")

    def end(self) -> None:
        """Kill whatever of the page's processes still runs."""
        for file in self.folder.glob("*.pid"):
            try:
                os.kill(int(file.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def hands(database: str, tmp_path: Path) -> Iterator[Hands]:
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificates, is not installed")
    for name in ("deploy", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    made = Hands(tmp_path, database.replace("postgresql+psycopg://", "postgresql://"))
    yield made
    made.end()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone: nothing can be committed")
def test_what_the_page_leaves_in_a_clone_is_never_committed() -> None:
    made = ["secrets/ca.key", "pair.env", "config-service-50051.log", "matcher-service-50052.pid"]
    command = ["git", "check-ignore", "--no-index", *made]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == made, done.stderr


def written(hands: Hands, ended: threading.Event) -> list[float]:
    """Write and read settings until told to end; returns what was acknowledged."""
    done: list[float] = []
    with ConfigClient(hands.configs, hands.credentials("operator")) as client:
        while not ended.is_set():
            value = round(0.5 + len(done) / 10_000, 4)
            edit = client.update({"scoring.date": value})
            done.append(value)
            held = client.snapshot(epoch=edit.epoch, min_revision=edit.revision.number)
            assert held.config.scoring.date == value
    return done


def matched(hands: Hands, ended: threading.Event) -> list[int]:
    """Run small batches until told to end, each again when its matcher went; returns revisions."""
    done: list[int] = []
    listing = pb.Listing(id="a", title="Fasnet", event_dates=[pb.EventDate(date="2026-02-15")])
    request = pb.DeduplicateBatchRequest(listings=[listing])
    with connect(hands.matchers, hands.credentials("caller")) as channel:
        stub = MatcherServiceStub(channel)
        while not ended.is_set():
            answer = _retried(lambda: stub.DeduplicateBatch(request, timeout=20))
            run_, told = answer.summary.run, list(answer.summary.warnings)
            assert run_.source == pb.CONFIG_SOURCE_LIVE, told
            done.append(answer.summary.run.revision)
    return done


def _retried(call: Callable[[], pb.DeduplicateBatchResponse]) -> pb.DeduplicateBatchResponse:
    ends = time.monotonic() + 20
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in RETRIED or time.monotonic() > ends:
                raise
            time.sleep(PAUSE)


def refused(hands: Hands) -> list[str]:
    """Return how a call without a certificate, and one without a token, is answered."""
    found = []
    own = [hands.folder / "secrets" / name for name in ("ca.crt", "client.crt", "client.key")]
    token = hands.folder / "secrets/caller.token"
    for credentials in (
        Credentials(own[0], token_file=token, server_name="localhost"),
        Credentials(*own, server_name="localhost"),
    ):
        with connect(hands.matchers, credentials) as channel, pytest.raises(grpc.RpcError) as no:
            MatcherServiceStub(channel).DeduplicateBatch(pb.DeduplicateBatchRequest(), timeout=10)
        found.append(no.value.code().name)
    return found


def test_the_page_brings_four_processes_up_and_a_restart_of_all_fails_no_call(hands: Hands) -> None:
    hands.types("Secrets")
    hands.types("What all processes know")
    hands.types("Start")
    told = hands.types("Use it")
    assert "config: revision 2 (live)" in told
    assert "intact" in told
    assert len(REPORTED.findall(told)) == 1
    assert refused(hands) == ["UNAVAILABLE", "UNAUTHENTICATED"]
    ended = threading.Event()
    with ThreadPoolExecutor(2 * LOADS) as pool:
        loads = [pool.submit(written, hands, ended)]
        loads += [pool.submit(matched, hands, ended) for _ in range(LOADS)]
        try:
            for _ in range(ROUNDS):
                hands.types("Restart all of it")
        finally:
            ended.set()
        writes, *batches = (load.result(60) for load in loads)
    assert len(writes) > 10
    assert all(len(one) > 10 for one in batches)
    with ConfigClient(hands.configs, hands.credentials("operator")) as client:
        assert client.get().revision.number == 2 + len(writes)
    print(f"{len(writes)} writes, {sum(map(len, batches))} batches, 0 failed")
    hands.types("Stop")
    for file in hands.folder.glob("*.pid"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


def test_every_block_of_the_page_is_typed() -> None:
    typed = {"Secrets", "What all processes know", "Start", "Use it", "Restart all of it", "Stop"}
    assert {block.heading for block in PAGE} == typed
