"""Writes a CycloneDX document of each deployed lock: `python requirements/sbom.py FOLDER`.

`cyclonedx-py` describes the installed environment, licences and who needs whom included; each lock's
part of it is what its image holds, since no lock has another version than the environment.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from licences import licence
from locks import DEPLOYED, FOLDER, pins
from packaging.utils import canonicalize_name

SPECIFICATION = "1.6"
ROOT_REF = "root-component"
Document = dict[str, Any]


def write(folder: Path) -> None:
    """Write `COMMAND.cdx.json` for each deployed lock; raises LookupError for a package that is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = described()
    for lock, command in DEPLOYED.items():
        text = json.dumps(part(whole, dict(pins(lock)), command), indent=2, sort_keys=True)
        (folder / f"{command}.cdx.json").write_text(text + "\n", encoding="utf-8")


def described() -> Document:
    """Return the document of this environment."""
    tool = [str(Path(sys.executable).parent / "cyclonedx-py"), "environment", sys.executable]
    options = ["--pyproject", str(FOLDER.parent / "pyproject.toml"), "--sv", SPECIFICATION]
    command = [*tool, *options, "--output-reproducible", "--no-validate"]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603
    found: Document = json.loads(done.stdout)
    return found


def part(whole: Document, wanted: dict[str, str], command: str) -> Document:
    """Return the document of the packages in `wanted` alone, with the command as its subject."""
    components = [licensed(one) for one in whole["components"] if is_wanted(one, wanted)]
    missing = wanted.keys() - {canonicalize_name(one["name"]) for one in components}
    if missing:
        raise LookupError(f"not installed as locked: {', '.join(sorted(missing))}")
    kept = {one["bom-ref"] for one in components} | {ROOT_REF}
    subject = {**whole["metadata"]["component"], "name": command}
    return {
        **whole,
        "metadata": {**whole["metadata"], "component": subject},
        "components": components,
        "dependencies": [
            narrowed(one, kept) for one in whole["dependencies"] if one["ref"] in kept
        ],
    }


def is_wanted(component: Document, wanted: dict[str, str]) -> bool:
    """Tell whether a component is in the lock, in that very version."""
    return wanted.get(canonicalize_name(component["name"])) == component["version"]


def licensed(component: Document) -> Document:
    """Return a component with its licence; the tool leaves one out that has no name of SPDX."""
    stated = [{"license": {"acknowledgement": "declared", "name": licence(component["name"])}}]
    return {"licenses": stated, **component}


def narrowed(edge: Document, kept: set[str]) -> Document:
    """Return what something needs without what is not there."""
    needs = [ref for ref in edge.get("dependsOn", ()) if ref in kept]
    return {"ref": edge["ref"], **({"dependsOn": needs} if needs else {})}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
