"""How true canonical events are, where the true events are known."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup_model.errors import invalid
from matcher_service.engine.normalise import fold


@dataclass(frozen=True)
class Accuracy:
    """Shares of true events, 0 to 1, over `events` of them.

    `title` and `venue`: every word of the true one stands in the canonical one, in any spelling
    that normalises to the same. `dates`: the days, ranges and start times are exactly the true
    ones; `days`: the days and ranges are, whatever the times.
    """

    events: int
    title: float
    days: float
    dates: float
    venue: float


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file; raises `InvalidRequest` for another file."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (UnicodeDecodeError, ValueError):
        raise invalid(str(path), "FILE_FORMAT", "is no JSON Lines in UTF-8") from None
    if not all(isinstance(line, dict) for line in lines):
        raise invalid(str(path), "FILE_FORMAT", "must hold an object a line")
    return lines


def accuracy(
    canonical: Iterable[Mapping[str, Any]],
    truths: Iterable[Mapping[str, Any]],
    gold: Mapping[str, str],
) -> Accuracy:
    """Compare each true event with the canonical event that holds most of its listings.

    `canonical` has `listing_ids` and `event`, `truths` have `cluster_id`, `title`, `event_dates`
    and `location`, `gold` gives the cluster of a listing. Ties go to the smaller listing id; true
    events whose listings were all left out do not count.
    """
    events = {name: one["event"] for one in canonical for name in one["listing_ids"]}
    held = _held(events, gold)
    pairs = [(one, held[one["cluster_id"]]) for one in truths if one["cluster_id"] in held]
    return Accuracy(
        len(pairs),
        _mean(_holds(found["title"], true["title"]) for true, found in pairs),
        _mean(_days(found) == _days(true) for true, found in pairs),
        _mean(_shows(found) == _shows(true) for true, found in pairs),
        _mean(_holds(_venue(found), _venue(true)) for true, found in pairs),
    )


def _held(
    events: Mapping[str, Mapping[str, Any]], gold: Mapping[str, str]
) -> dict[str, Mapping[str, Any]]:
    """Return the canonical event that holds most listings of each true cluster."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in sorted(gold.keys() & events.keys()):
        members[gold[name]].append(name)
    most = {key: Counter(id(events[name]) for name in names) for key, names in members.items()}
    return {
        key: next(events[n] for n in names if id(events[n]) == most[key].most_common(1)[0][0])
        for key, names in members.items()
    }


def _mean(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _holds(found: str | None, true: str | None) -> bool:
    return set(fold(true).split()) <= set(fold(found).split())


def _venue(event: Mapping[str, Any]) -> str | None:
    name: str | None = (event.get("location") or {}).get("name")
    return name


def _days(event: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(day, last) for day, _, last in _shows(event)}


def _shows(event: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (entry["date"], entry.get("start_time") or "", entry.get("end_date") or "")
        for entry in event["event_dates"]
    }
