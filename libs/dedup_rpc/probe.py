"""Asking a running server's health from its own machine, as a container's health check does."""

import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dedup_rpc import core_threads
from dedup_rpc.address import require_port

SECONDS = 3.0
_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


def main(command: str, prefix: str) -> NoReturn:
    """Exit with 0 when the server that the variables describe serves, with 1 and a line if not."""
    address = health_address(os.environ, prefix)
    if not address:
        sys.stderr.write(f"{command}: health is asked at {prefix}_HEALTH_ADDRESS: set it\n")
        sys.exit(1)
    found = health(address)
    if found != "SERVING":
        sys.stderr.write(f"{command}: {found} at {address}\n")
    sys.exit(found != "SERVING")


def health_address(variables: Mapping[str, str], prefix: str) -> str | None:
    """Return where the server of `PREFIX_HEALTH_ADDRESS` is asked on this machine, None if unset."""
    host, colon, port = variables.get(f"{prefix}_HEALTH_ADDRESS", "").rpartition(":")
    return f"{_ANY.get(host, host)}{colon}{port}" or None


def health(address: str, seconds: float = SECONDS) -> str:
    """Return `SERVING`, `NOT_SERVING`, or the status of the call when nobody answers.

    Raises `BadAddress` for a port that is none.
    """
    require_port(address)
    core_threads.keep()
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError as error:
            return str(error.code().name)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
