"""Writes the licences of what is deployed, as installed packages state them: `python requirements/licences.py FILE`."""

import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from locks import DEPLOYED, pins

UNKNOWN = "unknown"
SHORT = 60
"""A longer `License` field is the text of a licence, not its name."""
HEAD = """\
# Licences of dependencies

Made by `make references`; do not edit.

event-dedup itself is under Apache-2.0. What the packages state that each command brings along (Linux,
Python 3.11):

| package | version | licence | with |
|---|---|---|---|
"""


def page() -> str:
    """Return the page: every package that an image or the command line installs, and who uses it."""
    rows = (
        f"| {name} | {version} | {licence(name)} | {', '.join(users)} |\n"
        for (name, version), users in sorted(used().items())
    )
    return HEAD + "".join(rows)


def used() -> dict[tuple[str, str], list[str]]:
    """Return who is deployed with each package and version."""
    found: dict[tuple[str, str], list[str]] = {}
    for lock, user in DEPLOYED.items():
        for pin in pins(lock):
            found.setdefault(pin, []).append(user)
    return found


def licence(name: str) -> str:
    """Return what a package states: an expression, a name, or its classifiers; else `unknown`."""
    about = distribution(name).metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    said = str(about.get("License") or "").strip()
    classified = " / ".join(classifiers(about.get_all("Classifier") or []))
    return classified or (said if said and len(said) < SHORT and "\n" not in said else UNKNOWN)


def classifiers(all_of: list[str]) -> Iterator[str]:
    """Yield the names of licences among the classifiers."""
    for one in all_of:
        if one.startswith("License :: ") and not one.endswith("OSI Approved"):
            yield one.rpartition(" :: ")[2]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
