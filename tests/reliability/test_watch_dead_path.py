"""A watcher whose path dies in silence notices within 16 s: packets are lost between two namespaces.

Server and client run in network namespaces of their own, joined by a pair of virtual links. The
path dies when both sides send to a hardware address that nobody has: no reset, no error.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from reliability.harness import FULL

from config_service.cipher import new_key

SERVER, CLIENT, NOBODY = "10.231.77.1", "10.231.77.2", "02:00:00:00:00:99"
NOTICED_SECONDS = 16
TESTS = Path(__file__).parents[1]

SERVE = """
import asyncio, os
from config_service.env import Env
from config_service.watch import Watch
from reliability.planted_watch import serve_with
asyncio.run(serve_with(Env.read(os.environ), Watch))
"""
FOLLOW = """
import asyncio, sys
import grpc
from dedup_rpc import channel
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

async def follow():
    async with channel.connect_aio(sys.argv[1]) as connection:
        try:
            request = pb.WatchConfigRequest()
            async for _ in ConfigServiceStub(connection).WatchConfig(request, wait_for_ready=True):
                print("watching", flush=True)
        except grpc.aio.AioRpcError as error:
            print(error.code().name, flush=True)

asyncio.run(follow())
"""


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


def cut(one: str, two: str) -> None:
    """Let every packet between the namespaces vanish."""
    for name, peer in ((one, CLIENT), (two, SERVER)):
        ip("-n", name, "neighbour", "replace", peer, "lladdr", NOBODY, "dev", "path")


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


@pytest.mark.skipif(not FULL, reason="takes 16 s: part of `make reliability`")
def test_a_path_that_dies_in_silence_is_noticed_in_time() -> None:
    with namespaces() as (one, two), tempfile.TemporaryDirectory() as folder:
        variables = {
            "CONFIG_ADDRESS": f"{SERVER}:50051",
            "CONFIG_DATABASE_URL": f"sqlite:///{folder}/config.db",
            "CONFIG_KEYRING": new_key(),
        }
        with running(one, SERVE, **variables), running(two, FOLLOW, f"{SERVER}:50051") as client:
            assert client.stdout
            assert client.stdout.readline() == "watching\n"
            cut(one, two)
            began = time.monotonic()
            assert client.stdout.readline() == "UNAVAILABLE\n"
            assert 1 < time.monotonic() - began < NOTICED_SECONDS
