"""Runs an installed command with nothing to import but what a lock file lists: LOCK COMMAND ARGUMENTS.

It stands for an environment made from the lock, without making one: a module of any other
distribution is not found.
"""

import re
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


def locked(path: Path) -> set[str]:
    """Return the names of the distributions in a lock."""
    return {
        normal(name)
        for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.+\])?==", path.read_text(), re.M)
    }


def normal(name: str) -> str:
    """Return a distribution's name as all of its spellings are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


class NotLocked:
    """Finds nothing, and ends the search for modules of distributions that are not locked."""

    def __init__(self, names: set[str]) -> None:
        self._foreign = {
            module
            for module, owners in metadata.packages_distributions().items()
            if not names & {normal(owner) for owner in owners}
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for a module of a foreign distribution."""
        if name.partition(".")[0] in self._foreign:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def main() -> None:
    lock, command, *arguments = sys.argv[1:]
    (script,) = metadata.entry_points(group="console_scripts", name=command)
    sys.meta_path.insert(0, NotLocked(locked(Path(lock)) | {"event-dedup"}))
    sys.argv[:] = [command, *arguments]
    script.load()()


if __name__ == "__main__":
    main()
