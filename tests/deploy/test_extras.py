"""Each service runs on its own extra alone, and a command whose extra is missing says which."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from deploy.conftest import ROOT
from deploy.only_locked import locked, normal
from deploy.running import Running, cleaned, until_healthy
from locks import DEPLOYED, IMAGE, requirements
from packaging.requirements import Requirement
from ports import free_ports

LOCKS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NUMERICS = {"numpy", "scipy", "rapidfuzz", "pyarrow"}
STORAGE = {"sqlalchemy", "alembic", "psycopg", "psycopg-binary"}
PEOPLE = {"typer", "rich"}
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z,-]+\])?==([^ ;]+)( ; [^\\]+)? \\$", re.M)


def pins(name: str) -> set[tuple[str, str]]:
    """Return names and versions of a lock."""
    return {(found[1], found[2]) for found in PIN.finditer((LOCKS / f"{name}.txt").read_text())}


def started(lock: str, command: str, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    script = Path(__file__).with_name("only_locked.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(LOCKS / f"{lock}.txt"), command, *arguments],
        env=cleaned() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_images_hold_no_library_of_the_other_service() -> None:
    config, matcher = locked(LOCKS / "config.txt"), locked(LOCKS / "matcher.txt")
    assert config >= STORAGE | {"cryptography"}
    assert not config & (NUMERICS | PEOPLE)
    assert matcher >= NUMERICS - {"pyarrow"}
    assert not matcher & (STORAGE | PEOPLE | {"pyarrow"})


@pytest.mark.parametrize(
    ("lock", "extras"), [("config", ["config"]), ("matcher", ["matcher", "ai"]), ("cli", ["cli"])]
)
def test_a_lock_holds_what_its_extras_ask_for(lock: str, extras: list[str]) -> None:
    asked = [one for extra in extras for one in PROJECT["project"]["optional-dependencies"][extra]]
    wanted = [*PROJECT["project"]["dependencies"], *asked]
    names = {normal(re.split(r"[\[><=]", one)[0]) for one in wanted} - {"event-dedup"}
    assert names <= locked(LOCKS / f"{lock}.txt")


def test_the_page_names_the_extras_that_images_hold() -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    assert "`event-dedup[config]`" in page
    assert "`event-dedup[matcher,ai]`" in page


@pytest.mark.parametrize("name", ["config", "matcher", "cli", "build"])
def test_what_is_deployed_is_what_is_tested(name: str) -> None:
    assert pins(name)
    assert pins(name) <= pins("dev")


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_requirement_is_pinned_with_its_hashes(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert all(re.match(r"[a-z0-9]|    --hash=sha256:[0-9a-f]{64}( \\)?$", line) for line in lines)
    named = [line for line in lines if not line.startswith(" ")]
    assert all(PIN.match(line) for line in named)
    assert "://" not in path.read_text()


@pytest.mark.parametrize("lock", ["dev", *DEPLOYED])
def test_a_lock_names_the_extras_that_its_packages_ask_for(lock: str) -> None:
    """Pip takes the newest release of an extra that the lock does not name, and finds no hash for it."""
    named = {normal(pin.name): pin.extras for pin in requirements(lock)}
    asked = [one for name in named for one in needs(name, named[name]) if one.extras]
    assert [str(one) for one in asked if not one.extras <= named[normal(one.name)]] == []


def needs(name: str, extras: set[str]) -> Iterator[Requirement]:
    """Yield what an installed package asks for, with these extras of it."""
    for text in distribution(name).requires or ():
        one = Requirement(text)
        markers = [{**IMAGE, "extra": extra} for extra in ("", *extras)]
        if not one.marker or any(one.marker.evaluate(marker) for marker in markers):
            yield one


async def test_config_service_serves_on_its_extra_alone(tmp_path: Path) -> None:
    ports = free_ports(2)
    variables = {
        "CONFIG_ADDRESS": f"127.0.0.1:{ports[0]}",
        "CONFIG_HEALTH_ADDRESS": f"127.0.0.1:{ports[1]}",
        "CONFIG_DATABASE_URL": f"sqlite:///{tmp_path / 'c.db'}",
    }
    await serves("config", "config-service", variables)


async def test_matcher_service_serves_on_its_extra_alone() -> None:
    ports = free_ports(2)
    variables = {
        "MATCHER_ADDRESS": f"127.0.0.1:{ports[0]}",
        "MATCHER_HEALTH_ADDRESS": f"127.0.0.1:{ports[1]}",
    }
    await serves("matcher", "matcher-service", variables)


async def serves(extra: str, service: str, variables: dict[str, str]) -> None:
    process = started(extra, service, "serve", **variables)
    try:
        await until_healthy(Running(service, variables, process))
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("lock", "command", "extra"),
    [
        ("matcher", "config-service", "config"),
        ("config", "matcher-service", "matcher"),
        ("config", "event-dedup", "cli"),
    ],
)
def test_a_command_whose_extra_is_missing_says_which(lock: str, command: str, extra: str) -> None:
    process = started(lock, command, "--help")
    out, said = process.communicate(timeout=60)
    assert process.returncode == 78
    assert out == ""
    wanted = rf"{command}: \w+ is not installed: pip install 'event-dedup\[{extra}\]'\n"
    assert re.fullmatch(wanted, said)
