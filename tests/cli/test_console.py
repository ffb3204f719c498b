"""Commands as they are found, and errors of calls as sentences."""

import socket
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dedup_cli.__main__ import APP, COMMANDS
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
        ConfigServiceStub(channel).GetConfig(pb.GetConfigRequest(), timeout=30)
    assert words in capsys.readouterr().err


def test_settings_are_read_without_the_libraries_of_the_engine():
    asked = (
        "from dedup_cli.__main__ import APP, sys;"
        "APP(['config', 'get', '--help'], standalone_mode=False); print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "Show what holds" in done.stdout
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize("asked", [(), ("config",), ("demo",)])
def test_help_names_what_can_be_asked(asked: tuple[str, ...]):
    shown = CliRunner().invoke(APP, [*asked, "--help"]).stdout
    assert "--help" in shown
    assert ("--install-completion" in shown) == (not asked)
    assert all(name in shown for name in COMMANDS) == (not asked)


def test_a_mistyped_command_gets_a_proposal():
    done = CliRunner().invoke(APP, ["confg"])
    assert done.exit_code == 2
    assert "Did you mean 'config'?" in done.output
