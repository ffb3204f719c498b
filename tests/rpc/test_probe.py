"""The `health` command of both services, asked of servers that serve, that do not, that are not."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rpc.guarded import GRANTS, ByName

from dedup_rpc import probe
from dedup_rpc.channel import connect_aio
from dedup_rpc.guard import Guard
from dedup_rpc.server import HEALTH, Serving


def asked(command: str, prefix: str, address: str, *way: str) -> tuple[int, str]:
    code = f"import sys; sys.argv[1:] = ['health']; from {command}.entry import main; main()"
    done = subprocess.run(
        [sys.executable, *(way or ("-c", code))],
        env=os.environ | {f"{prefix}_HEALTH_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_an_address_of_all_interfaces_is_asked_on_this_machine() -> None:
    def at(address: str) -> str | None:
        return probe.health_address({"X_HEALTH_ADDRESS": address}, "X")

    assert at("0.0.0.0:1") == "127.0.0.1:1"
    assert at("[::]:1") == "[::1]:1"
    assert at("10.0.0.1:1") == "10.0.0.1:1"
    assert probe.health_address({}, "X") is None


@pytest.mark.parametrize(
    ("command", "prefix"), [("config_service", "CONFIG"), ("matcher_service", "MATCHER")]
)
def test_the_command_tells_a_server_that_is_not_there(command: str, prefix: str) -> None:
    status, said = asked(command, prefix, "127.0.0.1:1")
    assert status == 1
    assert "UNAVAILABLE at 127.0.0.1:1" in said
    assert asked(command, prefix, "127.0.0.1:1", "-m", command, "health") == (status, said)
    status, said = asked(command, prefix, "")
    assert status == 1
    assert "set it" in said


async def test_a_server_is_asked_whether_it_serves_and_its_process_whether_it_answers() -> None:
    server = Serving((), lambda *_: None, Guard(ByName(), GRANTS, public=HEALTH))
    address = await server.start("127.0.0.1:0", healthy=False)
    status, said = await asyncio.to_thread(asked, "config_service", "CONFIG", address)
    assert (status, "NOT_SERVING" in said) == (1, True)
    assert await alive(address) == health_pb2.HealthCheckResponse.SERVING
    await server.tell(healthy=True)
    assert await asyncio.to_thread(asked, "config_service", "CONFIG", address) == (0, "")
    assert await alive(address) == health_pb2.HealthCheckResponse.SERVING
    await server.stop(0)


async def alive(address: str) -> int:
    async with connect_aio(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="grpc.health.v1.Health")
        return int((await stub.Check(request, timeout=10)).status)
