"""Writers and a watcher over kills of the service's process: once each, in order, none missing."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ports import free_port

from dedup_rpc.client import AdminClient, ConfigClient, Retry, WatchMode

WRITERS, UPDATES, KILLS = 3, 12, 4
PATIENT = Retry(first_pause=0.05, longest_pause=0.3)


class Killed:
    """A ConfigService process that is killed again and again."""

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.folder = folder
        self.start()

    def start(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CONFIG_")}
        command = [sys.executable, "-m", "config_service", "serve", "--address", self.address]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=kept, stderr=log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def test_each_update_is_applied_once_and_seen_once_over_kills_of_the_service(
    tmp_path: Path,
) -> None:
    service = Killed(tmp_path)
    done = threading.Event()

    def write(writer: int) -> list[int]:
        with ConfigClient(service.address, deadline=60, retry=PATIENT) as client:
            paths = ("scoring.date", "scoring.geo", "scoring.title")
            numbers = []
            for number in range(1, UPDATES + 1):
                edit = client.update({paths[writer]: round(0.3 + number / 1000, 4)})
                numbers.append(edit.revision.number)
                time.sleep(0.1)
            return numbers

    def watch() -> list[int]:
        with ConfigClient(service.address, retry=PATIENT) as client:
            first = client.within(60).get()
            seen = []
            with client.watch(WatchMode.EVERY, (first.epoch, 1), heartbeat=1) as states:
                for state in states:
                    assert not state.resync
                    assert not state.skipped
                    seen.append(state.revision.number)
                    if len(seen) == WRITERS * UPDATES:
                        break
            return seen

    def kill() -> None:
        for _ in range(KILLS):
            if done.wait(random.uniform(1.2, 2.0)):
                return
            service.kill()
            service.start()

    try:
        with ThreadPoolExecutor(WRITERS + 2) as pool:
            watching, killing = pool.submit(watch), pool.submit(kill)
            writing = [pool.submit(write, writer) for writer in range(WRITERS)]
            revisions = sorted(number for one in writing for number in one.result(timeout=90))
            seen = watching.result(timeout=60)
            done.set()
            killing.result(timeout=30)
        with AdminClient(service.address, deadline=60, retry=PATIENT) as admin:
            applied = list(admin.audit_events(action="UpdateConfig"))
    finally:
        done.set()
        service.kill()
    expected = list(range(2, WRITERS * UPDATES + 2))
    assert revisions == expected
    assert seen == expected
    assert len(applied) == len(expected)
