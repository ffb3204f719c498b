"""One batch: normalise, block, score, decide, cluster, canonical."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from dedup_model.errors import LimitExceeded
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocked import Blocked, Progress, RawListings, blocked
from matcher_service.engine.blocking import NO_LIMIT
from matcher_service.engine.canonical import CanonicalEvent, canonical_event
from matcher_service.engine.cluster import Cluster, clusters
from matcher_service.engine.constraints import Constraint, Constraints
from matcher_service.engine.decide import (
    BETWEEN,
    TITLE_VETO,
    PairDecision,
    Verdicts,
    reported,
)
from matcher_service.engine.judgement import Judgements, overridden
from matcher_service.engine.listing import Listing
from matcher_service.engine.partitions import PART_PAIRS, verdicts_of
from matcher_service.engine.pruning import Judged
from matcher_service.engine.records import Issue, Reading

ENGINE_VERSION = "1.5.0"
"""Grows with every change that can change a result."""
PAIRS_A_DECISION = 10
"""Pairs that may be compared for each one that may be returned: it takes ten times the memory."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a batch gave: events by id, decisions by the two ids, issues by position, counts.

    `counts` has read, repaired, quarantined, collapsed, candidate_pairs, matches, ambiguous,
    events, merged_events, needs_review, largest_cluster, constraints_obeyed (pairs),
    constraints_contradictory and constraints_absent.
    """

    events: tuple[CanonicalEvent, ...]
    decisions: tuple[PairDecision, ...]
    quarantined: tuple[Issue, ...]
    repairs: tuple[Issue, ...]
    counts: dict[str, int]
    contradictory: tuple[Constraint, ...] = ()


@dataclass(frozen=True, slots=True)
class AmbiguousPair:
    """Two listings that the scores leave open, `one.id` < `other.id`."""

    one: Listing
    other: Listing
    combined: float


@dataclass(frozen=True, slots=True)
class Decided:
    """A batch whose pairs are decided by their scores and whose groups are not made yet."""

    received: int
    reading: Reading
    ids: tuple[str, ...]
    candidates: int
    found: Judged
    people: Constraints

    def ambiguous(self, lowest: float, highest: float) -> list[AmbiguousPair]:
        """Return the ambiguous pairs with a combined score inside the closed window."""
        pairs, verdicts = self.found.pairs, self.found.verdicts
        rows = np.flatnonzero(verdicts.ambiguous(lowest, highest))
        columns = (column[rows].tolist() for column in (pairs.left, pairs.right, verdicts.combined))
        return [self._pair(*row) for row in zip(*columns, strict=True)]

    def _pair(self, left: int, right: int, combined: float) -> AmbiguousPair:
        listings = self.reading.listings
        one, other = sorted((listings[left], listings[right]), key=lambda listing: listing.id)
        return AmbiguousPair(one, other, combined)


def deduplicate(
    raw: RawListings,
    config: MatchingConfig,
    floor: float,
    progress: Progress,
    executor: Executor | None = None,
    part_pairs: int = PART_PAIRS,
    constraints: Iterable[Constraint] = (),
) -> Result:
    """Turn listings in the input's JSON form into canonical events: `decided`, then `finished`."""
    pairs = decided(raw, config, floor, progress, executor, part_pairs, constraints)
    return finished(pairs, {}, config, floor, progress)


def decided(
    raw: RawListings,
    config: MatchingConfig,
    floor: float,
    progress: Progress,
    executor: Executor | None = None,
    part_pairs: int = PART_PAIRS,
    constraints: Iterable[Constraint] = (),
    most_pairs: int = NO_LIMIT,
) -> Decided:
    """Read listings in the input's JSON form and decide their pairs.

    The same listings under the same config give the same pairs in any order of input, positions
    aside, whatever the `executor` (None: all work is done here) and the pairs a part. Pairs below
    both `thresholds.low` and `floor` (0 to 1) may be left out, but none of `constraints`, whose
    order does not matter: they are candidates, and decided as people said. Never raises for what a listing
    holds; what `progress` raises passes through. Raises `LimitExceeded` for more candidates than
    `most_pairs`, or more than a tenth as many at or above the `floor`.
    """
    batch = blocked(raw, config, progress, constraints, most_pairs)
    return decided_pairs(batch, floor, progress, executor, part_pairs)


def decided_pairs(
    batch: Blocked,
    floor: float,
    progress: Progress,
    executor: Executor | None = None,
    part_pairs: int = PART_PAIRS,
) -> Decided:
    """Decide the pairs of a batch, as `decided` does."""
    people, pairs, size = batch.people, batch.pairs, len(batch.table.ids)
    scored = verdicts_of(
        batch.table,
        pairs,
        batch.config,
        floor,
        lambda *work: progress("score", *work),
        executor,
        part_pairs,
        people=people,
    )
    _require_few(int((scored.verdicts.combined >= floor).sum()), batch.most_pairs, floor)
    found = replace(scored, verdicts=people.imposed(scored.verdicts, scored.pairs, size))
    return Decided(batch.received, batch.reading, batch.table.ids, len(pairs), found, people)


def _require_few(reported: int, most_pairs: int, floor: float) -> None:
    most = most_pairs // PAIRS_A_DECISION
    if reported > most:
        raise LimitExceeded(
            f"{reported} pairs have a combined score of {floor:g} or more, and at most {most} may be"
            " returned: ask for a higher floor, or send the batch in parts",
            limit=str(most),
        )


def finished(
    batch: Decided,
    judgements: Judgements,
    config: MatchingConfig,
    floor: float,
    progress: Progress,
) -> Result:
    """Group decided pairs and make canonical events; `judgements` stand between people and scores.

    Takes the config and the floor that the pairs were decided under. Decisions with a combined
    score below `floor` are left out, unless a person made them. A judgement about a pair that is no candidate is not heard.
    """
    found, listings = batch.found, batch.reading.listings
    rows = {name: row for row, name in enumerate(batch.ids)}
    verdicts = overridden(found.verdicts, found.pairs, rows, judgements)
    groups = clusters(
        len(listings),
        found.pairs,
        verdicts,
        config.thresholds,
        lambda *work: progress("cluster", *work),
    )
    events = _events(listings, groups, config, progress)
    decisions = reported(batch.ids, found.pairs, found.signals, verdicts, floor)
    counts = _counts(batch, verdicts, events)
    progress("canonical", len(events), len(events))
    return Result(
        events,
        tuple(batch.people.signed(_with_judgement(one, judgements), rows) for one in decisions),
        batch.reading.quarantined,
        batch.reading.repairs,
        counts,
        batch.people.contradictory,
    )


def _with_judgement(decision: PairDecision, judgements: Judgements) -> PairDecision:
    judgement = judgements.get((decision.listing_a, decision.listing_b))
    if judgement is None:
        return decision
    tier = decision.tier if judgement.outcome == "budget" else "ai"
    return replace(
        decision, tier=tier, ai_confidence=judgement.confidence, ai_outcome=judgement.outcome
    )


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


def _counts(batch: Decided, verdicts: Verdicts, events: Iterable[CanonicalEvent]) -> dict[str, int]:
    reading, people = batch.reading, batch.people
    sizes = [len(event.listing_ids) for event in events]
    return {
        "read": batch.received,
        "repaired": len({issue.position for issue in reading.repairs}),
        "quarantined": len(reading.quarantined),
        "collapsed": reading.collapsed,
        "candidate_pairs": batch.candidates,
        "matches": int(verdicts.matched.sum()),
        "ambiguous": verdicts.counted(TITLE_VETO, BETWEEN),
        "events": len(sizes),
        "merged_events": sum(size > 1 for size in sizes),
        "needs_review": sum(event.needs_review for event in events),
        "largest_cluster": max(sizes, default=0),
        "constraints_obeyed": len(people.obeyed),
        "constraints_contradictory": len(people.contradictory),
        "constraints_absent": people.absent,
    }
