"""One run of the engine over a labelled set, and what it was worth."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from quality_sets import LabelledSet

from dedup_cli.canonical_truth import Accuracy, accuracy
from dedup_cli.worst_errors import pairs_of
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine import evaluation
from matcher_service.engine.blocked import Pair, blocked, silent
from matcher_service.engine.evaluation import Evaluation, Rates
from matcher_service.engine.pipeline import Result, deduplicate

RESAMPLES = 200
SEED = 1


@dataclass(frozen=True)
class Run:
    """Clusters of a set under a config; `cluster_of` maps listings to events."""

    labelled: LabelledSet
    result: Result

    @property
    def cluster_of(self) -> dict[str, str]:
        """Return the event of each listing."""
        return {name: event.id for event in self.result.events for name in event.listing_ids}

    @property
    def found(self) -> set[Pair]:
        """Return the merged pairs whose truth is known."""
        known = self.labelled.pairs
        if known:
            cluster_of = self.cluster_of
            return {p for p in known if cluster_of.get(p[0], p[0]) == cluster_of.get(p[1], p[1])}
        gold = self.labelled.gold
        return set(pairs_of({n: c for n, c in self.cluster_of.items() if n in gold}))

    @property
    def true(self) -> set[Pair]:
        """Return the true pairs."""
        known = {pair for pair, same in self.labelled.pairs.items() if same}
        return known or set(pairs_of(self.labelled.gold))

    @property
    def pairwise(self) -> Rates:
        """Return the pairwise rates."""
        return rates(self.found, self.true)


def rates(found: set[Pair], true: set[Pair]) -> Rates:
    """Return precision and recall of a set of pairs."""
    right = len(found & true)
    return Rates(right / len(found) if found else 1.0, right / len(true) if true else 1.0)


def run(labelled: LabelledSet, config: MatchingConfig) -> Run:
    """Run the engine over a set."""
    return Run(labelled, deduplicate(labelled.raw, config, 1.0, lambda *_: None))


@dataclass(frozen=True)
class Figures:
    """All figures of a run under the defaults.

    None where they do not apply: `evaluation` needs whole clusters, `cross` true pairs of two
    sources, `truth` true events.
    """

    run: Run
    evaluation: Evaluation | None
    cross: Rates | None
    f1_interval: tuple[float, float]
    cross_interval: tuple[float, float]
    completeness: float
    reduction: float
    truth: Accuracy | None


def figures(labelled: LabelledSet) -> Figures:
    """Measure a set under the defaults."""
    done = run(labelled, MatchingConfig())
    batch = blocked(labelled.raw, MatchingConfig(), silent)
    found, true, sources = done.found, done.true, _sources(labelled.raw)
    cross_found, cross_true = _crossing(found, sources), _crossing(true, sources)
    gold, compared = labelled.gold, batch.compared(sorted(true))
    return Figures(
        done,
        evaluation.evaluate(done.cluster_of, gold) if gold else None,
        rates(cross_found, cross_true) if cross_true else None,
        interval(found, true, labelled.raw),
        interval(cross_found, cross_true, labelled.raw),
        float(compared.mean()),
        batch.reduction,
        accuracy(_events(done), labelled.truths, gold) if labelled.truths else None,
    )


def _events(done: Run) -> list[dict[str, Any]]:
    return [{"listing_ids": one.listing_ids, "event": one.event} for one in done.result.events]


def _sources(raw: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {one["id"]: one.get("source_code") or one["id"] for one in raw if one.get("id")}


def _crossing(pairs: set[Pair], sources: Mapping[str, str]) -> set[Pair]:
    return {pair for pair in pairs if sources[pair[0]] != sources[pair[1]]}


def interval(
    found: set[Pair], true: set[Pair], raw: Iterable[Mapping[str, Any]]
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of F1, days drawn anew RESAMPLES times.

    A pair counts on the first day of its smaller listing; listings without a date are each a day
    of their own.
    """
    days = _days(raw)
    counts: dict[str, list[int]] = {day: [0, 0, 0] for day in sorted(set(days.values()))}
    for column, pairs in enumerate((found & true, found, true)):
        for pair in pairs:
            counts[days.get(pair[0], "")][column] += 1
    scores = _resampled(np.array(list(counts.values())))
    low, high = np.percentile(scores, (2.5, 97.5))
    return float(low), float(high)


def _days(raw: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    named = [(one["id"], one.get("event_dates")) for one in raw if one.get("id")]
    first = {name: str(entries[0].get("date")) if entries else name for name, entries in named}
    return {**first, "": ""}


def _resampled(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return F1 of each resample; a row of `counts` is right, found and true pairs of a day."""
    size = len(counts)
    draws = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), RESAMPLES)
    right, found, true = (draws @ counts).T
    scores: NDArray[np.float64] = 2 * right / np.maximum(found + true, 1)
    return scores


def recall_by_fault(done: Run) -> dict[str, tuple[int, float]]:
    """Return how many true pairs had a listing with each fault, and the share that was found."""
    hits: dict[str, list[bool]] = defaultdict(list)
    found = done.found
    for pair in sorted(done.true):
        for fault in {f for name in pair for f in done.labelled.marks[name]}:
            hits[fault].append(pair in found)
    return {name: (len(hits[name]), sum(hits[name]) / len(hits[name])) for name in sorted(hits)}


def wrong_by_group(done: Run) -> dict[str, tuple[int, int]]:
    """Return the pairs of two events of one kind of hard negative: wrongly merged, and in all.

    Counted over pairs of listings of that kind that begin on one day.
    """
    gold, groups, days = done.labelled.gold, done.labelled.groups, _days(done.labelled.raw)
    apart: Counter[str] = Counter()
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in gold:
        members[groups[name], days[name]].append(name)
    for (group, _), names in members.items():
        apart[group] += sum(gold[a] != gold[b] for a, b in combinations(names, 2))
    wrong = Counter(
        groups[a] if groups[a] == groups[b] else "mixed" for a, b in done.found - done.true
    )
    return {name: (wrong[name], apart[name]) for name in sorted({*wrong, *apart})}
