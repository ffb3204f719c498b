"""`event-dedup demo`, the first thing a new user runs."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_ends_by_itself_shows_the_new_revision_and_leaves_nothing_running(event_dedup):
    answer = event_dedup("demo")
    assert answer.status == 0, answer.err
    assert "Traceback" not in answer.err
    assert "revision 2: thresholds.high 0.75 -> 0.65" in answer.out
    assert "ran under revision 2 (the first under 1)" in answer.out
    assert "nothing is left running" in answer.out
    ports = re.findall(r"Service on 127\.0\.0\.1:(\d+)", answer.out)
    assert len(ports) == 2
    for port in ports:
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0
        assert not has_process(f"127.0.0.1:{port}")


def has_process(address):
    return bool(processes_of(address))


def processes_of(address):
    """Return the pids of processes that name an address of a demo among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if address.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_demo_that_is_told_to_stop_leaves_nothing_running(tmp_path):
    told = tmp_path / "demo.out"
    command = [Path(sys.executable).parent / "event-dedup", "demo"]
    with told.open("wb") as file:
        demo = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    addresses = []
    try:
        assert waits_for(lambda: "MatcherService on" in told.read_text())
        addresses = re.findall(r"127\.0\.0\.1:\d+", told.read_text())
        assert waits_for(lambda: any(map(has_process, addresses)))
        demo.terminate()
        demo.wait(timeout=20)
        assert waits_for(lambda: not any(map(has_process, addresses)))
    finally:
        demo.kill()
        demo.wait()
        for pid in {pid for address in addresses for pid in processes_of(address)}:
            os.kill(pid, signal.SIGTERM)


def waits_for(condition):
    for _ in range(40):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_the_demo_says_what_is_missing_when_there_are_no_samples(event_dedup, tmp_path):
    (tmp_path / "listings").mkdir()
    answer = event_dedup("demo", str(tmp_path))
    assert answer.status == 1
    assert "there are no listings in" in answer.err
    assert "Traceback" not in answer.err
