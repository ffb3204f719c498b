"""The output files of a batch: all but `summary.json` are a function of listings and settings."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dedup_cli.batch_client import Answer
from dedup_cli.reading import Problem, Record
from dedup_model.tree import canonical_json
from dedup_report import Results, page
from dedup_rpc.wire import to_document
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

FILES = (
    "canonical.json",
    "canonical.jsonl",
    "clusters.csv",
    "decisions.jsonl",
    "quarantine.jsonl",
    "report.html",
)
RECEIPT = "summary.json"


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield an empty folder whose files become those of `folder` when the block ends well.

    `folder` is made first. Its old receipt goes before the files are replaced and the new one comes
    after them, so a folder with a receipt is whole. Raises OSError.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".event-dedup-", dir=folder) as fresh:
            yield Path(fresh)
            _take(Path(fresh), folder)
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _take(fresh: Path, folder: Path) -> None:
    (folder / RECEIPT).unlink(missing_ok=True)
    for name in (*FILES, RECEIPT):
        (fresh / name).replace(folder / name)


def write(
    folder: Path,
    answer: Answer,
    records: Sequence[Record],
    problems: Sequence[Problem],
    facts: dict[str, Any],
) -> None:
    """Write all files of a batch into `folder`, which is made; `facts` go to the receipt."""
    folder.mkdir(parents=True, exist_ok=True)
    _json(folder / "canonical.json", _canonical(answer))
    _lines(folder / "canonical.jsonl", (_whole(event) for event in answer.events))
    _clusters(folder / "clusters.csv", answer)
    _lines(folder / "decisions.jsonl", (_whole(pair) for pair in answer.decisions))
    _lines(folder / "quarantine.jsonl", sorted(_quarantine(answer, problems), key=str))
    _report(folder / "report.html", answer, records, problems)
    _json(folder / RECEIPT, _summary(folder, answer, records, problems) | facts)


def _whole(message: Any) -> dict[str, Any]:
    """Return a message as a document with zeros, empty texts, empty lists and false spelled out."""
    zeros = {
        field.name: [] if field.is_repeated else field.default_value
        for field in message.DESCRIPTOR.fields
        if not field.has_presence
    }
    return zeros | to_document(message)


def _canonical(answer: Answer) -> dict[str, Any]:
    """Return the events in the input's form, so that they can be read again."""
    run = answer.summary.run
    metadata = {"sourceKey": "event-dedup", "digest": run.digest, "engine": run.engine_version}
    return {"events": [_event(event) for event in answer.events], "metadata": metadata}


def _event(event: Any) -> dict[str, Any]:
    return {**to_document(event.event), "id": event.id}


def _quarantine(answer: Answer, problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return what was left out; without positions, which depend on the order of the input."""
    unread = [
        {
            "listing_id": problem.listing_id,
            "source_code": problem.source_code,
            "field": problem.field,
            "reason": problem.reason,
        }
        for problem in problems
    ]
    return unread + [
        {
            "listing_id": issue.listing_id,
            "source_code": issue.source_code,
            "field": issue.field,
            "reason": issue.reason,
        }
        for issue in answer.quarantined
    ]


def _report(
    path: Path, answer: Answer, records: Sequence[Record], problems: Sequence[Problem]
) -> None:
    results = Results(
        [record.listing for record in records],
        answer.floor,
        answer.summary,
        answer.events,
        answer.decisions,
        answer.quarantined,
        answer.repairs,
        [(problem.field, problem.reason) for problem in problems],
    )
    path.write_text(page(results), encoding="utf-8", newline="\n")


def _summary(
    folder: Path, answer: Answer, records: Sequence[Record], problems: Sequence[Problem]
) -> dict[str, Any]:
    counts = to_document(answer.summary)
    run = {"revision": 0, **counts.pop("run", {})}
    said = {"verdicts": verdicts(answer.decisions)}
    ai = {"ai": counts.pop("ai") | said} if "ai" in counts else {}
    fields = answer.summary.DESCRIPTOR.fields
    names = [field.name for field in fields if field.type == field.TYPE_INT64]
    return {
        "run": run,
        "counts": {name: counts.get(name, 0) for name in names}
        | {"unreadable_records": len(problems)},
        "warnings": counts.get("warnings", []),
        "floor": answer.floor,
        "settings": {one.path: one.value for one in answer.summary.rules.changed},
        **ai,
        "quarantined_at": _places(answer.quarantined, records)
        + [_unread(problem) for problem in problems],
        "repaired_at": _places(answer.repairs, records),
        "outputs": {name: digest(folder / name) for name in FILES},
    }


def _unread(problem: Problem) -> dict[str, Any]:
    names = ("listing_id", "file", "position", "field", "reason")
    return {name: getattr(problem, name) for name in names}


def _places(issues: Iterable[Any], records: Sequence[Record]) -> list[dict[str, Any]]:
    return [
        {
            "listing_id": issue.listing_id,
            "file": records[issue.position].file,
            "position": records[issue.position].position,
            "field": issue.field,
            "reason": issue.reason,
        }
        for issue in issues
    ]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verdicts(pairs: Iterable[pb.PairDecision]) -> str:
    """Return the SHA-256 of what the language model said of pairs, in any order, in hex."""
    said = [
        [one.listing_a, one.listing_b, one.ai_outcome, one.ai_confidence]
        for one in pairs
        if one.tier == "ai"
    ]
    return hashlib.sha256(canonical_json(sorted(said))).hexdigest()


def _json(path: Path, document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _lines(path: Path, documents: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps(document, ensure_ascii=False) + "\n")


def _clusters(path: Path, answer: Answer) -> None:
    rows = [(listing, event.id) for event in answer.events for listing in event.listing_ids]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("event_id", "cluster_id"))
        writer.writerows(sorted(rows))
