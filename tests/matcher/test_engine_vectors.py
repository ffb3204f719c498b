"""The earlier system's cases: kept rules must agree, replaced ones must differ and say why.

The cases stay outside the project; they are named by function and position, never copied.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rapidfuzz import fuzz

from dedup_model.matching_config import MatchingConfig, Thresholds
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.cluster import clusters
from matcher_service.engine.columns import table_of
from matcher_service.engine.decide import DECISIONS, Verdicts, reasons
from matcher_service.engine.normalise import Cities, Titles, fold
from matcher_service.engine.records import read
from matcher_service.engine.scoring import Signals, score
from matcher_service.engine.text_signals import blend

VECTORS = Path(__file__).parents[2].parent / "shared/seed/vectors.jsonl"
CONFIG = MatchingConfig()
TITLES, CITIES = Titles(CONFIG.text), Cities(CONFIG.text.city_aliases)

LINKING_S = "the linking s of a compound goes with the synonym, so that all spellings meet"
NOT_EMPTY = "a title is never normalised to nothing; what is left is kept"
PUNCTUATION = "punctuation parts words instead of vanishing, and dashes and quotes fold"
SHORT_CITY = "short forms of a city are spelled out"
SMOOTH = "the stair of time factors became a piecewise linear decay through the same corners"
UNKNOWN_TIME = "an unknown or unreadable time is date.unknown_time_factor, not full agreement"
MIDNIGHT = "the distance of start times wraps at midnight"
SHOWS = "several shows of a day are a set, not the first one"
NO_DATE = "a listing without a date is unknown, not different"
UNREADABLE = "a time or date that cannot be read quarantines the listing"
RANGES = "date and end_date are the range; start_date is no key of the input"
CENTROIDS = "identical coordinates do not bypass the confidence gate"
UNSTATED = "coordinates without a confidence count half"
TEXTS = "normalised word evidence is stretched; chance likeness of letters counts nothing"
CELLS = "geo cells lie in space, with neighbours, without a bounding box; keys are codes, not text"
CHAINS = "average linkage: a chain whose ends were never compared is not one event"
DATE_FLAG = "the number of dates flags nothing any more"
TITLE_REQUIRED = "every listing has a title, so there is always a title score"
OTHER_ROOM = "the language-model tier is not part of the engine"

REPLACED: dict[str, dict[int, str]] = {
    "normalize_title": {
        1: LINKING_S, 2: LINKING_S, 15: NOT_EMPTY, 23: PUNCTUATION, 30: NOT_EMPTY,
    },
    "normalize_city": {4: SHORT_CITY, 11: SHORT_CITY},
    "date_score": {
        1: SMOOTH, 3: SMOOTH, 4: UNKNOWN_TIME, 5: UNKNOWN_TIME, 6: UNREADABLE, 8: MIDNIGHT,
        9: SMOOTH, 10: SHOWS, 11: NO_DATE, 12: RANGES, 13: RANGES, 14: RANGES, 15: RANGES,
    },
    "geo_score": {1: CENTROIDS, 3: UNSTATED},
    "description_score": {3: TEXTS, 4: TEXTS, 5: TEXTS},
    "description_score_short": {0: TEXTS},
    "decide": {6: TITLE_REQUIRED},
    "cluster": {1: CHAINS, 2: CHAINS, 6: DATE_FLAG},
}  # fmt: skip
WHOLLY_REPLACED = {
    "blocking_keys": CELLS,
    "estimate_cost": OTHER_ROOM,
    "pair_hash": OTHER_ROOM,
}


def _signals(one: dict[str, Any], two: dict[str, Any]) -> Signals | None:
    raw = [{"id": "a", "title": "x"} | one, {"id": "b", "title": "x"} | two]
    listings = read(raw, CONFIG).listings
    if len(listings) < 2:
        return None
    table = table_of(listings, CONFIG, lambda _: None)
    return score(table, Pairs(np.array([0]), np.array([1])), CONFIG, lambda *_: None)


def _date(value: Any) -> float | None:
    found = _signals({"event_dates": value[0]}, {"event_dates": value[1]})
    return None if found is None else float(found.date[0])


def _geo(value: Any) -> float | None:
    found = _signals(*map(_located, value))
    return None if found is None else float(found.geo[0])


def _located(flat: dict[str, Any]) -> dict[str, Any]:
    names = ("latitude", "longitude", "confidence")
    geo = {name: flat[f"geo_{name}"] for name in names}
    return {"location": {"name": flat["location_name"], "geo": geo}}


def _title(value: Any) -> float:
    one, two = (" ".join(sorted(flat["title"].casefold().split())) for flat in value)
    types = {flat["source_type"] for flat in value}
    mixed = types == {"artikel", "terminliste"}
    sort = np.array([fuzz.ratio(one, two) / 100])
    sets = np.array([fuzz.token_set_ratio(one, two) / 100])
    return float(blend(sort, sets, CONFIG.title.cross_source_type if mixed else CONFIG.title)[0])


def _text(value: Any) -> float | None:
    found = _signals({"description": value[0]}, {"description": value[1]})
    return None if found is None else float(found.description[0])


def _short_text(value: Any) -> float | None:
    found = _signals(*value)
    return None if found is None else float(found.description[0])


def _decision(value: Any) -> str:
    limits = Thresholds(low=0.35)  # of the earlier system
    found = reasons(np.array([value[0]]), np.array([value[1] or 0.0]), limits)
    return DECISIONS[found[0]]


def _clusters(value: Any) -> list[Any]:
    names, edges = value["events"], sorted(value["edges"])
    rows = [np.array([names.index(edge[side]) for edge in edges], np.int64) for side in (0, 1)]
    combined = np.array([edge[2] for edge in edges], np.float64)
    matched = np.zeros(len(edges), np.int64)
    limits, flags = Thresholds(high=0.36, low=0.35), CONFIG.cluster
    found = clusters(
        len(names), Pairs(*rows), Verdicts(combined, matched, matched, ("",)), limits, _silent
    )
    named = [
        [
            [names[row] for row in one.rows],
            len(one.rows) > flags.max_cluster_size
            or (one.internal_similarity or 1.0) < flags.min_internal_similarity,
        ]
        for one in found
    ]
    return sorted(named)


def _silent(_done: int, _total: int) -> None:
    return


COMPUTE: dict[str, Callable[[Any], Any]] = {
    "normalize_title": lambda text: TITLES.normal(text).text,
    "normalize_city": CITIES.normal,
    "date_score": _date,
    "geo_score": _geo,
    "title_score": _title,
    "description_score": _text,
    "description_score_short": _short_text,
    "decide": _decision,
    "cluster": _clusters,
}


def _cases() -> list[tuple[str, int, Any, Any]]:
    if not VECTORS.exists():
        return []
    seen: dict[str, int] = {}
    cases = []
    for line in VECTORS.read_text().splitlines():
        case = json.loads(line)
        position = seen.setdefault(case["fn"], 0)
        seen[case["fn"]] += 1
        cases.append((case["fn"], position, case["input"], case["output"]))
    return cases


CASES = _cases()


def _agrees(name: str, value: Any, expected: Any) -> bool:
    found = COMPUTE[name](value)
    if isinstance(expected, float | int):
        return found is not None and bool(abs(found - expected) < 1e-8)
    if isinstance(expected, str) and name.startswith("normalize"):
        return bool(found == fold(expected))
    return bool(found == (sorted(expected) if isinstance(expected, list) else expected))


@pytest.mark.skipif(not CASES, reason="the earlier system's cases are not on this machine")
@pytest.mark.parametrize(
    ("name", "position", "value", "expected"),
    [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in CASES],
)
def test_a_case_of_the_earlier_system(name: str, position: int, value: Any, expected: Any) -> None:
    if name in WHOLLY_REPLACED:
        pytest.skip(WHOLLY_REPLACED[name])
    reason = REPLACED.get(name, {}).get(position)
    if reason is None:
        assert _agrees(name, value, expected)
    else:
        assert not _agrees(name, value, expected), f"listed as replaced, but agrees: {reason}"
