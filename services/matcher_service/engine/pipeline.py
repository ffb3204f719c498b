"""One batch: normalise, block, score, decide, cluster, canonical."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs, candidates
from matcher_service.engine.canonical import CanonicalEvent, canonical_event
from matcher_service.engine.cluster import Cluster, clusters
from matcher_service.engine.columns import table_of
from matcher_service.engine.decide import (
    ABOVE_HIGH,
    BETWEEN,
    TITLE_VETO,
    PairDecision,
    Verdicts,
    decide,
    reported,
)
from matcher_service.engine.records import Issue, Listing, Reading, read
from matcher_service.engine.scoring import score

ENGINE_VERSION = "1.1.0"
"""Grows with every change that can change a result."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Hears `(stage, done, total)` between chunks of work; what it raises ends the batch."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a batch gave: events by id, decisions by the two ids, issues by position, counts.

    `counts` has read, repaired, quarantined, collapsed, candidate_pairs, matches, ambiguous,
    events, merged_events, needs_review and largest_cluster.
    """

    events: tuple[CanonicalEvent, ...]
    decisions: tuple[PairDecision, ...]
    quarantined: tuple[Issue, ...]
    repairs: tuple[Issue, ...]
    counts: dict[str, int]


def deduplicate(
    raw: Sequence[Mapping[str, Any]], config: MatchingConfig, floor: float, progress: Progress
) -> Result:
    """Turn listings in the input's JSON form into canonical events.

    The same listings under the same config give the same result in any order of input, positions
    aside. Decisions with a combined score below `floor` (0 to 1) are left out. Never raises for
    what a listing holds; what `progress` raises passes through.
    """
    reading = read(_heard(raw, progress), config)
    size = len(reading.listings)
    table = table_of(reading.listings, config, lambda done: progress("normalise", done, size))
    pairs = candidates(table, config.blocking, lambda *work: progress("block", *work))
    signals = score(table, pairs, config, lambda *work: progress("score", *work))
    verdicts = decide(table, pairs, signals, config)
    groups = clusters(
        size, pairs, verdicts, config.thresholds, lambda *work: progress("cluster", *work)
    )
    events = _events(reading.listings, groups, config, progress)
    decisions = reported(table, pairs, signals, verdicts, floor)
    counts = _counts(len(raw), reading, pairs, verdicts, events)
    progress("canonical", len(events), len(events))
    return Result(events, decisions, reading.quarantined, reading.repairs, counts)


def _heard(raw: Sequence[Mapping[str, Any]], progress: Progress) -> Iterator[Mapping[str, Any]]:
    """Yield the listings; reading them is the silent first part of `normalise`, but can be ended."""
    for position, one in enumerate(raw):
        if position % 1000 == 0:
            progress("normalise", 0, len(raw))
        yield one


def _events(
    listings: Sequence[Listing],
    groups: Sequence[Cluster],
    config: MatchingConfig,
    progress: Progress,
) -> tuple[CanonicalEvent, ...]:
    events = []
    for done, group in enumerate(groups):
        if done % 1000 == 0:
            progress("canonical", done, len(groups))
        members = [listings[row] for row in group.rows]
        events.append(canonical_event(members, group, config))
    return tuple(sorted(events, key=lambda event: event.id))


def _counts(
    received: int,
    reading: Reading,
    pairs: Pairs,
    verdicts: Verdicts,
    events: Iterable[CanonicalEvent],
) -> dict[str, int]:
    sizes = [len(event.listing_ids) for event in events]
    return {
        "read": received,
        "repaired": len({issue.position for issue in reading.repairs}),
        "quarantined": len(reading.quarantined),
        "collapsed": reading.collapsed,
        "candidate_pairs": len(pairs),
        "matches": verdicts.counted(ABOVE_HIGH),
        "ambiguous": verdicts.counted(TITLE_VETO, BETWEEN),
        "events": len(sizes),
        "merged_events": sum(size > 1 for size in sizes),
        "needs_review": sum(event.needs_review for event in events),
        "largest_cluster": max(sizes, default=0),
    }
