"""A path that dies in silence: two network namespaces joined by a pair of virtual links.

The path dies when both sides send to a hardware address that nobody has: no reset, no error.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

SERVER, CLIENT, NOBODY = "10.231.77.1", "10.231.77.2", "02:00:00:00:00:99"
NOTICED_SECONDS = 16
TESTS = Path(__file__).parents[1]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Make two joined namespaces; skips where that is not possible."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the `ip` command")
    one, two = f"dedup-s{os.getpid()}", f"dedup-c{os.getpid()}"
    with ExitStack() as stack:
        try:
            for name in (one, two):
                ip("netns", "add", name)
                stack.callback(ip, "netns", "delete", name)
            ip("-n", one, "link", "add", "path", "type", "veth", "peer", "path", "netns", two)
            for name, address in ((one, SERVER), (two, CLIENT)):
                ip("-n", name, "address", "add", f"{address}/24", "dev", "path")
                ip("-n", name, "link", "set", "path", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield one, two


def require_says(process: "subprocess.Popen[str]", line: str) -> None:
    """Wait for the next line of a process; it must be this one."""
    assert process.stdout
    assert process.stdout.readline() == f"{line}\n"


def cut(one: str, two: str) -> None:
    """Let every packet between the namespaces vanish."""
    for name, peer in ((one, CLIENT), (two, SERVER)):
        ip("-n", name, "neighbour", "replace", peer, "lladdr", NOBODY, "dev", "path")


def require_noticed(one: str, two: str, process: "subprocess.Popen[str]", line: str) -> None:
    """Cut the path; the process must say so in time, and not before it can know."""
    cut(one, two)
    began = time.monotonic()
    require_says(process, line)
    assert 1 < time.monotonic() - began < NOTICED_SECONDS


@contextmanager
def running(
    namespace: str, code: str, *arguments: str, **variables: str
) -> Iterator["subprocess.Popen[str]"]:
    """Run Python code in a namespace."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS), **variables},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
