"""Errors of calls as sentences."""

import socket

import pytest
import typer

from dedup_cli.console import explained
from dedup_rpc.channel import connect
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub


def test_a_service_that_does_not_answer_in_time_is_named(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with connect(address) as channel, pytest.raises(typer.Exit), explained(address):
            ConfigServiceStub(channel).GetConfig(pb.GetConfigRequest(), timeout=0.3)
    assert capsys.readouterr().err == f"{address} did not answer in time\n"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "'' is no address of a service"),
        ("no.where.invalid:5", "no address is known for no.where.invalid:5"),
        ("::::", "no address is known for ::::"),
    ],
)
def test_what_is_no_address_is_named(
    capsys: pytest.CaptureFixture[str], address: str, words: str
) -> None:
    with connect(address) as channel, pytest.raises(typer.Exit), explained(address):
        ConfigServiceStub(channel).GetConfig(pb.GetConfigRequest(), timeout=5)
    assert words in capsys.readouterr().err
