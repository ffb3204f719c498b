"""A port that is none is refused wherever an address is given; grpc would take another one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dedup_rpc.address import BadAddress, require_port
from dedup_rpc.channel import connect, connect_aio
from dedup_rpc.client import AsyncConfigClient, ConfigClient


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:65536",
        "[::1]:70000",
        "name:99999999999999999999",
        "dns:///name:65536",
        "ipv4:10.0.0.1:50051,10.0.0.2:65537",
        ":115587",
    ],
)
def test_a_port_above_the_highest_is_refused_with_its_address(address: str) -> None:
    with pytest.raises(BadAddress, match="a port is at most 65535") as caught:
        require_port(address)
    assert str(caught.value).startswith(f"{address}: ")


@pytest.mark.parametrize(
    "address",
    ["", "name", "127.0.0.1:0", "127.0.0.1:65535", "[::1]:00080", "dns:///name:1", "name:port",
     "unix:/run/s:70000", "unix-abstract:x:70000", "ipv4:10.0.0.1:1,10.0.0.2:2", "2001:db8::1"],
)  # fmt: skip
def test_every_other_address_is_left_to_grpc(address: str) -> None:
    require_port(address)


async def test_no_client_calls_another_port() -> None:
    for make in (connect, connect_aio, ConfigClient, AsyncConfigClient):
        with pytest.raises(BadAddress):
            make("127.0.0.1:115587")


WRONG = "127.0.0.1:115587"
CASES = [
    ("config_service", "serve", {"CONFIG_ADDRESS": WRONG}),
    ("config_service", "serve", {"CONFIG_HEALTH_ADDRESS": WRONG}),
    ("config_service", "serve", {"CONFIG_METRICS_ADDRESS": WRONG}),
    ("config_service", "serve", {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://u:p@{WRONG}"}),
    ("config_service", "health", {"CONFIG_HEALTH_ADDRESS": WRONG}),
    ("matcher_service", "serve", {"MATCHER_ADDRESS": WRONG}),
    ("matcher_service", "serve", {"MATCHER_HEALTH_ADDRESS": WRONG}),
    ("matcher_service", "serve", {"MATCHER_CONFIG_ADDRESS": WRONG}),
    ("matcher_service", "health", {"MATCHER_HEALTH_ADDRESS": WRONG}),
]


@pytest.mark.parametrize(("service", "command", "variables"), CASES)
def test_a_service_does_not_start_at_another_port(
    service: str, command: str, variables: dict[str, str], tmp_path: Path
) -> None:
    prefixes = ("CONFIG_", "MATCHER_", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    given = {
        "CONFIG_ADDRESS": "127.0.0.1:0",
        "MATCHER_ADDRESS": "127.0.0.1:0",
        "MATCHER_WORKERS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", service, command],
        env={**kept, **given, **variables}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 78
    said = done.stderr.splitlines()[-1]
    assert WRONG in said
    assert "u:p" not in done.stderr
    assert said.startswith(service.replace("_", "-"))
