"""The threads of grpc's core outlive servers and channels: waiting for them can last for ever."""

import subprocess
import sys

import pytest

THREADS = """
import asyncio, os, time
from pathlib import Path

def shown():
    names = {Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")}
    return "lifeguard" in names

"""
CHANNEL = """
from dedup_rpc.channel import connect
connect("127.0.0.1:1").close()
"""
AIO_CHANNEL = """
from dedup_rpc.channel import connect_aio
async def main():
    await connect_aio("127.0.0.1:1").close()
asyncio.run(main())
"""
LISTENER = """
import grpc
from dedup_rpc.listener import Listener
async def main():
    listener = Listener(grpc.aio.server)
    await listener.start("127.0.0.1:0")
    await listener.stop(0)
asyncio.run(main())
"""
PROBE = """
from dedup_rpc.probe import health
health("127.0.0.1:1", 0.2)
"""


def kept_after(work: str) -> str:
    """Return whether a process still has the core's threads some time after its work."""
    program = f"{THREADS}{work}\ntime.sleep(0.5)\nprint(shown())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads names of threads from /proc")
@pytest.mark.parametrize("work", [CHANNEL, AIO_CHANNEL, LISTENER, PROBE])
def test_the_core_s_threads_stay(work: str):
    assert kept_after(work) == "True"
