"""The receipt of a batch, its `summary.json`: what it read, ran under and wrote."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup_cli.outputs import digest
from dedup_model.errors import invalid
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

_FIELDS: dict[str, Any] = {
    "run": dict,
    "inputs": dict,
    "outputs": dict,
    "settings": dict,
    "floor": (int, float),
}
_RUN = {"digest", "engine_version", "revision"}


@dataclass(frozen=True)
class Receipt:
    """What a batch left; paths are those that the command was given.

    `settings` are those that were not the default, by path, with long values cut.
    """

    run: Mapping[str, Any]
    inputs: Mapping[str, str]
    constraints: Mapping[str, str]
    outputs: Mapping[str, str]
    settings: Mapping[str, str]
    floor: float
    asked_model: bool

    def changed_files(self) -> Iterator[str]:
        """Yield a sentence for each file of the batch that is gone or has changed since."""
        for name, was in {**self.inputs, **self.constraints}.items():
            if not Path(name).is_file():
                yield f"{name} is not there; run this in the folder that the batch was run in"
            elif digest(Path(name)) != was:
                yield f"{name} has changed"

    def changed_settings(self, now: pb.Summary) -> Iterator[str]:
        """Yield a sentence for each setting that another batch ran under with another value."""
        present = settings_of(now)
        for path in sorted(self.settings.keys() | present.keys()):
            was, value = (side.get(path, "default") for side in (self.settings, present))
            if was != value:
                yield f"{path}: {was} then, {value} now"

    def changed_outputs(self, folder: Path) -> Iterator[str]:
        """Yield the names of the files whose bytes are others in `folder`."""
        for name, was in self.outputs.items():
            if not (folder / name).is_file() or digest(folder / name) != was:
                yield name


def read_receipt(path: Path) -> Receipt:
    """Return the receipt of a file; raises `InvalidRequest` for one that is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise invalid(str(path), "FILE_FORMAT", "is no JSON") from None
    if not isinstance(document, dict):
        raise invalid(str(path), "RECEIPT", "is no receipt of a batch")
    for name, kind in _FIELDS.items():
        if not isinstance(document.get(name), kind):
            raise invalid(str(path), "RECEIPT", f"is no receipt of a batch: {name} is missing")
    if not document["run"].keys() >= _RUN:
        raise invalid(str(path), "RECEIPT", "is no receipt of a batch: it names no run")
    return Receipt(
        document["run"],
        document["inputs"],
        document.get("constraints", {}),
        document["outputs"],
        document["settings"],
        document["floor"],
        bool(document.get("ai", {}).get("eligible")),
    )


def settings_of(summary: pb.Summary) -> dict[str, str]:
    """Return the settings of a batch that are not the default, by path, as JSON."""
    return {one.path: one.value for one in summary.rules.changed}
