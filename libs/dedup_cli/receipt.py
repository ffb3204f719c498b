"""The receipt of a batch, its `summary.json`: what it read, ran under and wrote."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dedup_cli.outputs import FILES, digest, verdicts
from dedup_model.errors import InvalidRequest, Violation, invalid
from dedup_model.release import release
from dedup_rpc.wire import to_message
from eventdedup.matcher.v1 import matcher_service_pb2 as pb


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _names(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(one, str) for one in values)


def _score(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


_COUNTS = ("read", "quarantined", "unreadable_records", "ambiguous", "needs_review")


def _counted(value: Any) -> bool:
    return isinstance(value, dict) and all(type(value.get(name)) is int for name in _COUNTS)


_FIELDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "run": (lambda it: _run(it) is not None, "a revision, a digest and an engine's version"),
    "inputs": (lambda it: _texts(it) and bool(it), "the digest of each file that was read"),
    "files": (
        lambda it: isinstance(it, list) and _names(it),
        "the files that were read, in a list",
    ),
    "constraints": (
        lambda it: _texts(it) and len(it) <= 1,
        "the digest of the file of people's decisions",
    ),
    "outputs": (
        lambda it: _texts(it) and bool(it) and it.keys() <= set(FILES),
        f"the digest of each file that was written: {', '.join(FILES)}",
    ),
    "settings": (_texts, "the settings that were not the default, as texts"),
    "floor": (_score, "0 to 1"),
    "counts": (_counted, f"whole numbers: {', '.join(_COUNTS)}"),
    "ai": (lambda it: isinstance(it, dict), "the figures of the language model"),
}


@dataclass(frozen=True)
class Began:
    """When a batch began."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ticks: float = field(default_factory=time.monotonic)


def facts(began: Began, files: Iterable[Path], constraints: Path | None) -> dict[str, Any]:
    """Return what the receipt of a batch that ends now says beside its answer.

    `files` as they were read, one that was read twice twice.
    """
    ordered = sorted(files)
    people = {"constraints": {str(constraints): digest(constraints)}} if constraints else {}
    return {
        "release": release(),
        "started_at": began.at.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began.ticks, 3),
        "files": list(map(str, ordered)),
        "inputs": {str(path): digest(path) for path in ordered},
        **people,
    }


@dataclass(frozen=True)
class Receipt:
    """What a batch left; paths are those that the command was given.

    `settings` are those that were not the default, by path, with long values cut. `release` and
    `verdicts` are empty where the receipt does not name them.
    """

    run: pb.Run
    files: Sequence[Path]
    inputs: Mapping[str, str]
    constraints: Mapping[str, str]
    outputs: Mapping[str, str]
    settings: Mapping[str, str]
    floor: float
    counts: Mapping[str, int]
    release: str
    verdicts: str

    @property
    def people(self) -> Path | None:
        """Return the file of people's decisions, if the batch had one."""
        return next(map(Path, self.constraints), None)

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
    """Return the receipt of a file; raises `InvalidRequest`, which names all that is wrong."""
    document = _document(path)
    given = {"constraints": {}, "ai": {}, **document}
    given.setdefault("files", list(given["inputs"]) if _texts(given.get("inputs")) else None)
    wrong = [
        Violation(f"{path}, {name}", "RECEIPT", f"a batch's receipt holds {words} there")
        for name, (fits, words) in _FIELDS.items()
        if not fits(given.get(name))
    ]
    if wrong:
        raise InvalidRequest(wrong)
    return _receipt(path, given)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise invalid(str(path), "FILE_FORMAT", "is no JSON") from None
    if not isinstance(document, dict):
        raise invalid(str(path), "RECEIPT", "is no receipt of a batch")
    return document


def _run(document: Any) -> pb.Run | None:
    try:
        run = to_message(document, pb.Run())
    except (TypeError, ValueError, AttributeError):
        return None
    return run if run.digest and run.engine_version and run.revision >= 0 else None


def _receipt(path: Path, given: Mapping[str, Any]) -> Receipt:
    if set(given["files"]) != given["inputs"].keys():
        raise invalid(f"{path}, files", "RECEIPT", "are not those of inputs")
    asked, said = given["ai"], given["ai"].get("verdicts")
    return Receipt(
        _run(given["run"]) or pb.Run(),
        [Path(name) for name in given["files"]],
        given["inputs"],
        given["constraints"],
        given["outputs"],
        given["settings"],
        given["floor"],
        given["counts"],
        str(given.get("release", "")),
        str(said or "") if asked else verdicts(()),
    )


def settings_of(summary: pb.Summary) -> dict[str, str]:
    """Return the settings of a batch that are not the default, by path, as JSON."""
    return {one.path: one.value for one in summary.rules.changed}
