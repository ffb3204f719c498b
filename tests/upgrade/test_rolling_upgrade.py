"""The last release and the present version, side by side in both directions."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.conftest import Launcher
from upgrade.conftest import ROOT, Version
from upgrade.history import Release

from dedup_rpc.client import ConfigClient

BUF = Path(sys.executable).parent / "buf"
Batch = Callable[[Version, str], dict[str, object]]
FOLLOW = """
import sys
from dedup_rpc.client import ConfigClient
with ConfigClient(sys.argv[1]) as client, client.watch() as states:
    for state in states:
        print(state.revision.number, state.settings.config.thresholds.high, flush=True)
"""
BOTH_WAYS = pytest.mark.parametrize(("servers", "callers"), [("old", "new"), ("new", "old")])


@pytest.fixture
def versions(old: Version, new: Version) -> dict[str, Version]:
    return {"old": old, "new": new}


def revision(receipt: dict[str, object]) -> int:
    run = receipt["run"]
    assert isinstance(run, dict)
    assert run["source"] == "live"
    return int(run["revision"])


@BOTH_WAYS
def test_a_matcher_runs_under_the_settings_of_the_other_version(
    launcher: Launcher, batch: Batch, versions: dict[str, Version], servers: str, callers: str
) -> None:
    config = launcher.config(**versions[servers].variables)
    with ConfigClient(config.address) as client:
        edit = client.update({"thresholds.high": 0.8, "text.function_words": ["der"]})
    matcher = launcher.matcher(config.address, **versions[callers].variables)
    for version in versions.values():
        receipt = batch(version, matcher.address)
        assert revision(receipt) == edit.revision.number
        counts = receipt["counts"]
        assert isinstance(counts, dict)
        assert (counts["events"], counts["matches"]) == (2, 1)


@BOTH_WAYS
def test_the_command_line_works_with_the_other_version(
    launcher: Launcher, versions: dict[str, Version], servers: str, callers: str
) -> None:
    config = launcher.config(**versions[servers].variables)
    where = ("--address", config.address)
    command = versions[callers]
    command.runs("dedup_cli", "config", "set", "thresholds.high=0.8", *where)
    assert "0.8" in command.runs("dedup_cli", "config", "get", "thresholds.high", *where)
    assert "thresholds.high" in command.runs("dedup_cli", "config", "history", *where)
    assert "intact" in command.runs("dedup_cli", "audit", "verify", *where)


@BOTH_WAYS
def test_a_store_serves_one_version_after_the_other(
    launcher: Launcher,
    database: dict[str, str],
    versions: dict[str, Version],
    servers: str,
    callers: str,
) -> None:
    """The first writes, the second migrates, reads all revisions and writes, the first again."""
    first, second = versions[servers], versions[callers]
    written = []
    for turn, version in enumerate((first, second, first)):
        version.runs("config_service", "migrate", **database)
        server = launcher.config(**database, **version.variables)
        with ConfigClient(server.address) as client:
            for number, high in written:
                assert client.get(number).settings.config.thresholds.high == high
            high = round(0.8 + turn / 100, 2)
            edit = client.update({"thresholds.high": high})
            written.append((edit.revision.number, high))
            client.rollback(edit.revision.number)
        assert server.stop() == 0
    assert "everything opens" in versions["new"].runs(
        "config_service", "keys", "verify", **database
    )


@BOTH_WAYS
def test_a_watch_of_one_version_follows_the_other(
    launcher: Launcher, versions: dict[str, Version], servers: str, callers: str
) -> None:
    config = launcher.config(**versions[servers].variables)
    command = [sys.executable, "-c", FOLLOW, config.address]
    variables = {**os.environ, **versions[callers].variables}
    seen = []
    with (
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as watcher,
        ConfigClient(config.address) as client,
    ):
        guard = threading.Timer(30, watcher.kill)
        guard.start()
        assert watcher.stdout
        seen.append(watcher.stdout.readline())
        for high in (0.8, 0.81):
            client.update({"thresholds.high": high})
            seen.append(watcher.stdout.readline())
        watcher.kill()
        guard.cancel()
    assert seen == ["1 0.75\n", "2 0.8\n", "3 0.81\n"]


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The present version with one more setting, as the next release may have it."""
    tree = tmp_path_factory.mktemp("newer")
    for room in ("libs", "services", "protos"):
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    _insert(
        tree / "protos/eventdedup/config/v1/matching_config.proto",
        r"^message Thresholds \{\n",
        "  // Added. Unit: score; 0 to 1; default 0.5.\n  optional double fresh = 99;\n",
    )
    _insert(
        tree / "libs/dedup_model/matching_config.py",
        r"^class Thresholds\(Section\):\n.*\n\n",
        '    fresh: Number = score(0.5, "Added.")\n',
    )
    made = Version("newer", tree)
    command = [sys.executable, str(tree / "protos/generate.py"), str(tree / "libs")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


def _insert(path: Path, after: str, text: str) -> None:
    found, count = re.subn(
        f"({after})", lambda match: match[1] + text, path.read_text(), flags=re.M
    )
    assert count == 1
    path.write_text(found)


def test_a_setting_of_a_newer_release_is_ignored_and_named(
    launcher: Launcher, batch: Batch, new: Version, newer: Version
) -> None:
    config = launcher.config(**newer.variables)
    newer.runs("dedup_cli", "config", "set", "thresholds.fresh=0.6", "--address", config.address)
    matcher = launcher.matcher(config.address)
    receipt = batch(new, matcher.address)
    assert revision(receipt) == 2
    run = receipt["run"]
    assert isinstance(run, dict)
    assert any(path.startswith("thresholds.") for path in run["ignored_paths"])


def test_a_setting_of_an_older_release_gets_its_default(
    launcher: Launcher, database: dict[str, str], new: Version, newer: Version
) -> None:
    server = launcher.config(**database, **new.variables)
    with ConfigClient(server.address) as client:
        client.update({"thresholds.high": 0.8})
    assert server.stop() == 0
    newer.runs("config_service", "migrate", **database)
    server = launcher.config(**database, **newer.variables)
    where = ("--address", server.address)
    assert "0.5" in newer.runs("dedup_cli", "config", "get", "thresholds.fresh", *where)
    assert "0.8" in newer.runs("dedup_cli", "config", "get", "thresholds.high", *where)
    newer.runs("dedup_cli", "config", "set", "thresholds.fresh=0.6", *where)
    assert server.stop() == 0
    with ConfigClient(launcher.config(**database, **new.variables).address) as client:
        assert client.get().settings.config.thresholds.high == 0.8


def test_the_released_contract_is_kept_and_a_breach_would_be_seen(
    old: Version, tmp_path: Path
) -> None:
    image = tmp_path / "released.binpb"
    subprocess.run([BUF, "build", old.tree / "protos", "-o", image], check=True, timeout=60)
    assert broken(ROOT / "protos", image) == ""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    path = tmp_path / "protos/eventdedup/matcher/v1/matcher_service.proto"
    path.write_text(path.read_text().replace("  string engine_version = 5;\n", "", 1))
    assert "engine_version" in broken(tmp_path / "protos", image)


def broken(protos: Path, image: Path) -> str:
    command = [BUF, "breaking", protos, "--against", image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_the_descriptor_beside_the_protos_is_that_of_the_release(old: Version) -> None:
    here, there = (tree / "protos/released.binpb" for tree in (ROOT, old.tree))
    assert here.read_bytes() == there.read_bytes()


def test_a_release_has_its_version_and_its_heading_everywhere(
    release: Release, old: Version
) -> None:
    assert f"## {release.version} - " in (old.tree / "CHANGELOG.md").read_text()
    for name in ("deploy/compose.yaml", "deploy/Dockerfile", "docs/deployment.md"):
        assert release.version in (old.tree / name).read_text()
