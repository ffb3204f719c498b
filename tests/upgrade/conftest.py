"""The last released version beside the present one, each as real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.conftest import launcher, make_launcher
from upgrade.history import Release, releases, unpacked

ROOT = Path(__file__).parents[2]
SECONDS = 60

__all__ = ["launcher", "make_launcher"]
"""Fixtures."""


@dataclass(frozen=True)
class Version:
    """A tree of the project, which the interpreter of these tests runs with the present dependencies."""

    name: str
    tree: Path

    @property
    def variables(self) -> dict[str, str]:
        """Return what makes a process run this tree."""
        return {
            "PYTHONPATH": os.pathsep.join(str(self.tree / room) for room in ("libs", "services"))
        }

    def runs(self, package: str, *arguments: str, **variables: str) -> str:
        """Run a command of this version to its end; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", package, *arguments],
            env={**os.environ, **self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def release() -> Release:
    """The last release, from the history of this clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("no history here: the last release cannot be checked out")
    found = next(releases(ROOT), None)
    if found is None:
        pytest.skip("the history here does not reach back to a release: fetch all of it")
    return found


@pytest.fixture(scope="session")
def old(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Version:
    folder = tmp_path_factory.mktemp(f"release-{release.version}")
    return Version(release.version, unpacked(ROOT, release.commit, folder))


@pytest.fixture(scope="session")
def new() -> Version:
    return Version("present", ROOT)


@pytest.fixture
def listings(tmp_path: Path) -> Path:
    """A file of two listings of one event and one of another."""
    titles = {"a": "Orgelkonzert", "b": "Orgelkonzert zum Frühling", "c": "Weinprobe"}
    found = [
        {
            "id": name,
            "title": title,
            "event_dates": [{"date": "2026-03-07", "start_time": "19:30"}],
            "location": {"name": "Bürgerhaus", "city": "Endingen"},
        }
        for name, title in titles.items()
    ]
    path = tmp_path / "blatt_events.json"
    path.write_text(json.dumps({"events": found}), encoding="utf-8")
    return path


@pytest.fixture
def batch(listings: Path, tmp_path: Path) -> Callable[[Version, str], dict[str, object]]:
    """Run a batch with the command of one version at a matcher; returns its receipt."""

    def ran(version: Version, matcher: str) -> dict[str, object]:
        out = tmp_path / f"out-{version.name}"
        words = ("dedup", str(listings), "-o", str(out), "--matcher", matcher)
        version.runs("dedup_cli", *words)
        receipt: dict[str, object] = json.loads((out / "summary.json").read_text())
        return receipt

    return ran


@pytest.fixture
def database(tmp_path: Path) -> dict[str, str]:
    """The variables of a store that servers of both versions use, one after the other."""
    return {"CONFIG_DATABASE_URL": f"sqlite:///{tmp_path / 'config.db'}"}
