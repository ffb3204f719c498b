"""Reads the locks as an image installs them: Linux and Python 3.11, wherever this runs."""

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parent
DEPLOYED = {"config": "config-service", "matcher": "matcher-service", "cli": "event-dedup"}
"""The locks of what is deployed, each with its command."""
IMAGE = {
    "python_version": "3.11",
    "python_full_version": "3.11.14",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "os_name": "posix",
}
_LINE = re.compile(r"^([a-z0-9][^\\\n]*)", re.M)


def pins(lock: str) -> Iterator[tuple[str, str]]:
    """Yield canonical names and versions of the lock with this name."""
    for pinned in requirements(lock):
        yield canonicalize_name(pinned.name), str(pinned.specifier).removeprefix("==")


def requirements(lock: str) -> Iterator[Requirement]:
    """Yield what an image installs of the lock with this name."""
    for line in _LINE.findall((FOLDER / f"{lock}.txt").read_text()):
        pinned = Requirement(line)
        if not pinned.marker or pinned.marker.evaluate({**IMAGE}):
            yield pinned
