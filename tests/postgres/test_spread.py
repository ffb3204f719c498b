"""One client and two replicas behind one address: calls spread, and a killed replica loses none."""

import asyncio
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ports import free_ports
from prometheus_client.parser import text_string_to_metric_families

from config_service import setup
from config_service.env import Env
from dedup_rpc import probe
from dedup_rpc.client import AsyncConfigClient

START_SECONDS = 120
CALLS = 60


@dataclass
class Replica:
    """A `config-service serve` that can be killed."""

    port: int
    metrics: int
    process: "subprocess.Popen[bytes]"

    def answered(self) -> float:
        """Return how many snapshots it gave."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as page:
            text = page.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "grpc_server_handled_total"
            and sample.labels["grpc_method"] == "GetSnapshot"
        )


def launched(env: Env, port: int, metrics: int) -> Replica:
    variables = {
        "CONFIG_ADDRESS": f"127.0.0.1:{port}",
        "CONFIG_METRICS_ADDRESS": f"127.0.0.1:{metrics}",
        "CONFIG_DATABASE_URL": env.database_url,
        "CONFIG_KEYRING": env.keyring or "",
    }
    command = [sys.executable, "-m", "config_service", "serve"]
    process = subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.DEVNULL)
    return Replica(port, metrics, process)


async def until_serving(replica: Replica) -> None:
    async with asyncio.timeout(START_SECONDS):
        while await asyncio.to_thread(probe.health, f"127.0.0.1:{replica.port}") != "SERVING":
            assert replica.process.poll() is None
            await asyncio.sleep(0.1)


@pytest.fixture
def replicas(env: Env) -> Iterator[list[Replica]]:
    setup.migrate(env).close()
    ports = free_ports(4)
    started = [launched(env, *ports[:2]), launched(env, *ports[2:])]
    yield started
    for one in started:
        one.process.kill()
        one.process.wait()


def behind(replicas: list[Replica]) -> str:
    return "ipv4:" + ",".join(f"127.0.0.1:{one.port}" for one in replicas)


async def test_calls_spread_over_replicas_and_none_is_lost_when_one_is_killed(
    replicas: list[Replica],
) -> None:
    await asyncio.gather(*map(until_serving, replicas))
    async with AsyncConfigClient(behind(replicas), deadline=20) as client:
        for _ in range(CALLS):
            await client.snapshot()
        counts = [one.answered() for one in replicas]
        assert sum(counts) == CALLS
        assert min(counts) >= CALLS / 3

        async def calls(section: str) -> int:
            for number in range(CALLS):
                await client.snapshot()
                change = await client.update({f"scoring.{section}": number / 1000})
                assert change.changed
            return CALLS

        running = [asyncio.create_task(calls(section)) for section in ("date", "geo", "title")]
        await asyncio.sleep(0.2)
        replicas[0].process.kill()
        assert await asyncio.gather(*running) == [CALLS] * 3
        assert (await client.snapshot()).revision == 1 + 3 * CALLS
        assert replicas[0].process.wait() != 0
        assert replicas[1].answered() >= counts[1] + 2 * CALLS
