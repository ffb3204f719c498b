"""Runs what a page tells its reader to type."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TOOLS = Path(sys.executable).parent
PREFIXES = ("CONFIG", "MATCHER", "EVENT_DEDUP_")
SECONDS = 60


def surroundings(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a shell: the tools of this installation and the given variables."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(PREFIXES)}
    return (
        kept
        | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
        | dict(variables)
    )


def run(
    script: str, folder: Path, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a script in a folder; it ends at the first command that fails."""
    return subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=surroundings(folder, variables or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
