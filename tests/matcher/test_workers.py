"""Worker processes under batches: the same results, and what happens when one dies or all must end."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from matcher.half_result import half_a_result

from dedup_model.matching_config import MatchingConfig
from dedup_model.snapshot import Snapshot
from matcher_service.batch import Outcome, Runner
from matcher_service.config_client import BatchConfig
from matcher_service.env import Env, Rung
from matcher_service.workers import Workers

PINNED = BatchConfig(Snapshot("e", 1, "d", MatchingConfig(), 1), Rung.LIVE)
CHILD = """
import os, sys, time
from matcher_service.workers import Workers

if __name__ == "__main__":
    with Workers(1, small_batch=0).executor(1) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def listings(count: int) -> list[dict[str, Any]]:
    """Return listings of which all of one day meet."""
    return [
        {
            "id": f"l{number}",
            "title": f"Orgelabend Nummer {number % 40}",
            "event_dates": [{"date": f"2027-05-{1 + number % 20:02}"}],
            "location": {"city": "Lahr"},
        }
        for number in range(count)
    ]


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(2, small_batch=10)
    yield made
    made.close()


async def run(
    workers: Workers,
    count: int,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Outcome:
    return await Runner(workers).run(PINNED, listings(count), 0.65, progress)


async def test_workers_change_no_result(workers: Workers) -> None:
    shared = await run(workers, 200)
    alone = await run(Workers(1, small_batch=10_000), 200)
    assert shared.result == alone.result
    assert alone.result.counts["matches"] > 0


def test_a_small_batch_needs_no_process() -> None:
    with Workers(2).executor(2000) as executor:
        assert executor is None


async def test_a_batch_whose_worker_dies_fails_and_the_next_one_has_new_workers(
    workers: Workers,
) -> None:
    with pytest.raises(BrokenProcessPool):
        _kill_one(workers)
    assert (await run(workers, 50)).result.counts["read"] == 50


@pytest.mark.parametrize("turn", range(5))
def test_workers_that_were_killed_while_they_wait_do_not_keep_the_service(turn: int) -> None:
    workers = Workers(2, small_batch=0)
    with workers.executor(1) as executor:
        assert executor is not None
        process = executor.submit(os.getpid).result()
    os.kill(process, signal.SIGKILL)
    workers.close()
    assert not _runs(process)


def test_workers_that_end_in_the_midst_of_a_result_do_not_keep_the_service() -> None:
    workers = Workers(1, small_batch=0)
    with workers.executor(1) as executor:
        assert executor is not None
        executor.submit(os.getpid).result()
        executor.submit(half_a_result)
    time.sleep(1)  # half of the result has come
    closing = threading.Thread(target=workers.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()


def _kill_one(workers: Workers) -> None:
    with workers.executor(11) as executor:
        assert executor is not None
        executor.submit(os._exit, 1).result()


async def test_a_cancelled_batch_frees_its_workers_for_the_next_one(workers: Workers) -> None:
    await run(workers, 50)  # the processes are there
    begun = asyncio.Event()

    def heard(stage: str, _done: int, _total: int) -> None:
        if stage == "score":
            begun.set()

    # 600 listings a day are 3.6 million pairs, many seconds of work
    task = asyncio.create_task(run(workers, 12_000, heard))
    await asyncio.wait_for(begun.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cancelled = time.monotonic()
    assert (await run(workers, 50)).result.counts["read"] == 50
    assert time.monotonic() - cancelled < 8


def test_workers_end_when_the_service_is_killed(tmp_path: Any) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        worker = int(service.stdout.readline())
        service.send_signal(signal.SIGKILL)
    limit = time.monotonic() + 10
    while _runs(worker) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_the_number_of_workers_is_read_and_checked() -> None:
    assert Env.read({"MATCHER_WORKERS": "3"}).workers == 3
    assert Env.read({}).workers == len(os.sched_getaffinity(0))
    for wrong in ("0", "many"):
        with pytest.raises(ValueError, match="MATCHER_WORKERS"):
            Env.read({"MATCHER_WORKERS": wrong})


def test_by_default_there_is_a_worker_a_processor_that_the_process_may_use() -> None:
    one = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, {{{one}}});"
    program += "from matcher_service.env import Env; print(Env.read({}).workers)"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout == "1\n"
