"""The documented examples run, and the page shows them as they are."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dedup_rpc import client as package

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/client").glob("*.py"))
PAGE = (ROOT / "docs/client.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def start(service: Any) -> Start:
    """Start an example at the service; its lines come as they are printed."""

    async def example(name: str, *arguments: str) -> asyncio.subprocess.Process:
        path = str(ROOT / "examples/client" / name)
        command = [sys.executable, "-u", path, service.address, *arguments]
        return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)

    return example


async def output(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_examples_read_change_and_read_again(start: Start) -> None:
    assert "thresholds.high 0.75 default" in await output(await start("read.py"))
    changed = await output(await start("update.py"))
    assert re.fullmatch(r"\S+:2 thresholds.high 0.75 -> 0.76\n", changed)
    out = await output(await start("read.py"))
    assert "thresholds.high 0.76 override" in out
    assert "2 dev too many merges" in out
    assert "unchanged True" in out


async def test_the_watch_example_shows_a_change(start: Start) -> None:
    watching = await start("watch.py", "2")
    assert watching.stdout
    async with asyncio.timeout(30):
        assert await watching.stdout.readline() == b"1 0.75\n"
    await output(await start("update.py"))
    assert await output(watching) == "2 0.76 thresholds.high\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_page_shows_each_example_as_it_is(path: Path) -> None:
    assert f"`examples/client/{path.name}`:\n\n```python\n{path.read_text()}```" in PAGE


def test_every_python_block_of_page_and_readme_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE + README, re.DOTALL)
    assert len(blocks) == len(EXAMPLES) + 2
    for block in blocks:
        compile(block, "a documented block", "exec")


def test_the_page_names_only_what_there_is() -> None:
    for name in set(re.findall(r"`(?:client\.)?([A-Z]\w+(?:Client|Error|Mode|Config))`", PAGE)):
        assert hasattr(package, name) or name == "MatchingConfig", name
    for name in set(re.findall(r"`client\.(\w+)\(", PAGE)):
        assert hasattr(package.ConfigClient, name), name
