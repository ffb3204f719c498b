"""strace on a running service: killing it at one system call, and recording what it writes."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from reliability.harness import serve

ATTACH_SECONDS, END_SECONDS = 10.0, 10.0
STRACE = shutil.which("strace")

needs_strace = pytest.mark.skipif(
    STRACE is None, reason="strace is not installed: install the system's package `strace`"
)


@contextmanager
def killed_at(pid: int, call: str, number: int) -> Iterator[None]:
    """Let SIGKILL meet a process as a thread of it enters its `number`-th call of that name.

    A process that has not met it at the end runs on, untraced.
    """
    inject = f"inject={call}:signal=KILL:when={number}"
    with _tracer(pid, ["-e", f"trace={call}", "-e", inject, "-o", "/dev/null"]):
        yield


@contextmanager
def recorded(pid: int, calls: Sequence[str], log: Path) -> Iterator[None]:
    """Write what a process does with files to a log; who records ends the process in the block."""
    trace = f"trace={','.join(calls)}"
    with _tracer(pid, ["-e", trace, "-ttt", "-y", "-xx", "-s", "100000", "-o", log]) as tracer:
        yield
        tracer.wait(END_SECONDS)


@contextmanager
def _tracer(pid: int, options: Sequence[str | Path]) -> Iterator["subprocess.Popen[bytes]"]:
    assert STRACE
    command = [STRACE, "-f", "-qq", *options, "-p", str(pid)]
    nothing = subprocess.DEVNULL
    tracer = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
    try:
        _wait_until_traced(pid, tracer)
        yield tracer
    finally:
        tracer.kill()
        tracer.wait(END_SECONDS)


def when_traced(serve: Callable[[], None] = serve) -> None:
    """Serve as soon as this process is traced, so that nothing that it does is missed."""
    while not _is_traced(os.getpid()):
        time.sleep(0.005)
    serve()


def _wait_until_traced(pid: int, tracer: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + ATTACH_SECONDS
    while not _is_traced(pid):
        assert tracer.poll() is None, "strace cannot trace here"
        assert time.monotonic() < ends, "strace does not attach"
        time.sleep(0.005)


def _is_traced(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    return all("TracerPid:\t0\n" not in thread.read_text() for thread in threads)
