"""Finding releases in a history that the test makes."""

import subprocess
from pathlib import Path

import pytest
from upgrade.history import git, releases, unpacked, version_at


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def commit(repository: Path, version: str, note: str = "") -> str:
    (repository / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n# {note}\n')
    git(repository, "add", "-A")
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    git(repository, *who, "commit", "--quiet", "-m", version)
    return git(repository, "rev-parse", "HEAD").decode().strip()


def test_a_release_is_what_stood_before_development_went_on(repository: Path) -> None:
    commit(repository, "0.1.0", "begun")
    first = commit(repository, "0.1.0", "released")
    commit(repository, "0.2.0.dev0")
    commit(repository, "0.2.0.dev0", "work")
    second = commit(repository, "0.2.0")
    commit(repository, "0.3.0.dev0")
    found = [(one.version, one.commit) for one in releases(repository)]
    assert found == [("0.2.0", second), ("0.1.0", first)]


def test_what_is_not_followed_by_development_is_no_release_yet(repository: Path) -> None:
    commit(repository, "0.1.0")
    assert list(releases(repository)) == []
    commit(repository, "0.2.0.dev0")
    commit(repository, "0.2.0")
    assert [one.version for one in releases(repository)] == ["0.1.0"]


def test_a_history_that_was_cut_off_has_no_release(repository: Path, tmp_path: Path) -> None:
    commit(repository, "0.1.0")
    commit(repository, "0.2.0.dev0")
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", f"file://{repository}", str(clone)], check=True
    )
    assert list(releases(clone)) == []


def test_a_tree_is_unpacked_as_it_was(repository: Path, tmp_path: Path) -> None:
    first = commit(repository, "0.1.0")
    commit(repository, "0.2.0.dev0")
    folder = unpacked(repository, first, tmp_path / "tree")
    assert '"0.1.0"' in (folder / "pyproject.toml").read_text()
    assert version_at(repository, first) == "0.1.0"
    assert version_at(repository, "no-such-commit") == ""
