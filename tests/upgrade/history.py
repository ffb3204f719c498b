"""Released versions, as the history has them; no tag is needed."""

import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

VERSION = re.compile(r'^version = "([^"]+)"', re.M)


@dataclass(frozen=True)
class Release:
    """A commit whose tree is a released version."""

    version: str
    commit: str


def git(repository: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def releases(repository: Path) -> Iterator[Release]:
    """Yield the releases, newest first: what stood before a commit that opened development.

    That is where the version in `pyproject.toml` turns from `X` into one of a `.dev`.
    """
    found = git(repository, "log", "--format=%H", "-G^version = ", "--", "pyproject.toml")
    for commit in found.decode().split():
        before = version_at(repository, f"{commit}^")
        if "dev" in version_at(repository, commit) and before and "dev" not in before:
            parent = git(repository, "rev-parse", f"{commit}^").decode().strip()
            yield Release(before, parent)


def version_at(repository: Path, commit: str) -> str:
    """Return the version of a commit's tree; empty when it has none, or is not there."""
    try:
        text = git(repository, "show", f"{commit}:pyproject.toml").decode()
    except subprocess.CalledProcessError:
        return ""
    found = VERSION.search(text)
    return found[1] if found else ""


def unpacked(repository: Path, commit: str, folder: Path) -> Path:
    """Write a commit's tree into a folder, which is returned."""
    archive = git(repository, "archive", "--format=tar", commit)
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder
