"""Asks for known vulnerabilities of what is deployed: `python requirements/audit.py [OPTIONS OF pip-audit]`.

Exits with 1 when there is one, and with 2 when the tool cannot read the locks. Where no service
answers, or none knows the packages, it says `NOT AUDITED` and why, and exits with 0: the want of a
network is no fault of the locks.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from locks import DEPLOYED, FOLDER

SECONDS = "10"
"""For each answer of the service."""
LOCKS = (*DEPLOYED, "build")
NO_ANSWER = re.compile(r"requests\.exceptions\.|ServiceError|Could not connect|not redirecting")
"""In what pip-audit says when it reaches no service, or one that does not answer its question."""


def main(options: Sequence[str]) -> int:
    """Audit the locks together; returns the exit status."""
    done = asked(options)
    if not done.stdout.startswith("{"):
        return unanswered(done.stderr)
    found = json.loads(done.stdout)["dependencies"]
    known = [one for one in found if "vulns" in one]
    if not known:
        return not_audited("the service knows none of the packages")
    return judged(known, len(found))


def asked(options: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run pip-audit on the locks at once, without installing anything."""
    tool = Path(sys.executable).parent / "pip-audit"
    fixed = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    locks = [word for lock in LOCKS for word in ("--requirement", str(FOLDER / f"{lock}.txt"))]
    command = [str(tool), *fixed, "--timeout", SECONDS, *locks, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603


def unanswered(said: str) -> int:
    """Tell the want of an answer from a fault of locks or tool; returns the exit status."""
    last = (said.strip() or "pip-audit said nothing").splitlines()[-1]
    if NO_ANSWER.search(said):
        return not_audited(last)
    sys.stderr.write(f"{last}\n")
    return 2


def not_audited(why: str) -> int:
    sys.stdout.write(f"NOT AUDITED: {why}\n")
    return 0


def judged(known: list[dict[str, Any]], count: int) -> int:
    """Print what is vulnerable and by which version it is mended; returns the exit status."""
    bad = [(one, vulnerability) for one in known for vulnerability in one["vulns"]]
    for one, vulnerability in bad:
        mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        sys.stdout.write(
            f"{one['name']} {one['version']}: {vulnerability['id']}, mended by {mended}\n"
        )
    sys.stdout.write(
        f"{len(known)} of {count} locked packages audited, {len(bad)} vulnerabilities\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
