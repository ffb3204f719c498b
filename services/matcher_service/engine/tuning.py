"""Which settings of the decision labels speak for, judged on labels that did not choose them.

Only settings that turn signals into decisions are moved: signals are computed once. A coordinate
search starts at the config that holds. It is repeated without each fold of the labels, and what the
searches choose is judged on the fold that they did not see (k-fold cross-validation), so that the
gain that is told is one that may be hoped for on other listings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final, TypeAlias

import numpy as np

from dedup_model import rules
from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import MatchingConfig
from dedup_model.tree import canonical_json, changes, dump, find, put
from matcher_service.engine.blocked import Blocked, silent
from matcher_service.engine.cluster import clusters
from matcher_service.engine.columns import Ints
from matcher_service.engine.decide import weighing_of
from matcher_service.engine.evaluation import Rates
from matcher_service.engine.pipeline import Decided, decided_pairs

FOLDS: Final = 5
ROUNDS: Final = 3
"""Times that a search looks at all settings; it ends earlier when none brings anything."""
LEAST_GAIN: Final = 0.005
"""F1 that a single move must bring, so that few labels do not bend many settings."""
DIGITS: Final = 4

STEPS: Final[Mapping[str, tuple[float, ...]]] = {
    "thresholds.high": (-0.1, -0.05, -0.02, -0.01, 0.01, 0.02, 0.05, 0.1),
    "thresholds.title_veto": (-0.1, -0.05, 0.05, 0.1),
    "thresholds.low": (-0.1, -0.05, 0.05, 0.1),
}
"""What is added to a setting, in scores."""
FACTORS: Final[Mapping[str, tuple[float, ...]]] = {
    "scoring.date": (0.7, 0.85, 1.15, 1.4),
    "scoring.geo": (0.7, 0.85, 1.15, 1.4),
    "scoring.title": (0.7, 0.85, 1.15, 1.4),
    "scoring.description": (0.7, 0.85, 1.15, 1.4),
    "scoring.same_source_odds": (0.5, 0.75, 1.35, 2.0),
    "scoring.other_source_odds": (0.5, 0.75, 1.35, 2.0),
    "scoring.other_city_odds": (0.5, 0.75, 1.35, 2.0),
}
"""What a setting is multiplied with."""

Heard: TypeAlias = Callable[[int], None]
"""Hears how many configs were tried."""
FOUND, RIGHT, TRUE = range(3)


@dataclass(frozen=True, slots=True)
class Tuning:
    """A proposal: the base itself when nothing speaks for a change.

    `held` are the rates of the base and `proposed` those of the proposal on all labels;
    `validated` those of the searches on the labels that each did not see. `carries_over` tells
    whether they are better than `held`, with no more loss of precision than was allowed.
    """

    config: MatchingConfig
    held: Rates
    proposed: Rates
    validated: Rates
    labelled: int
    tried: int
    carries_over: bool


def tuned(batch: Blocked, gold: Mapping[str, str], most_loss: float, heard: Heard) -> Tuning:
    """Search settings for a batch under the config that holds; `gold` is the true cluster by listing.

    A config whose precision is more than `most_loss` below that of the base is never chosen. What
    does not carry over is not proposed.
    """
    bench = _Bench(batch, gold, heard)
    base = batch.config
    everything = np.ones(FOLDS, bool)
    best = _searched(bench, base, everything, most_loss)
    seen = np.zeros((FOLDS, 3), np.int64)
    for fold in range(FOLDS):
        others = np.arange(FOLDS) != fold
        seen[fold] = bench.counts(_searched(bench, base, others, most_loss))[fold]
    held, validated = bench.rates(base, everything), _rates(seen.sum(axis=0))
    carries_over = validated.f1 > held.f1 and validated.precision >= held.precision - most_loss
    chosen = best if carries_over else base
    rates = bench.rates(chosen, everything)
    return Tuning(chosen, held, rates, validated, len(gold), len(bench.known), carries_over)


@dataclass
class _Bench:
    """Counts of pairs by fold for any config that leaves the signals as they are."""

    batch: Blocked
    gold: Mapping[str, str]
    heard: Heard
    known: dict[bytes, Ints] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pairs: Decided = decided_pairs(self.batch, 0.0, silent)
        self.labels = [self.gold.get(name) for name in self.batch.table.ids]
        self.folds = _folds(self.batch, self.labels)
        self.true = self._true()

    def rates(self, config: MatchingConfig, folds: Any) -> Rates:
        """Return the rates over some folds."""
        return _rates(self.counts(config)[folds].sum(axis=0))

    def counts(self, config: MatchingConfig) -> Ints:
        """Return found, right and true pairs, a row a fold."""
        key = canonical_json(dump(config))
        if key not in self.known:
            self.heard(len(self.known))
            self.known[key] = self._counted(config)
        return self.known[key]

    def _counted(self, config: MatchingConfig) -> Ints:
        found, people = self.pairs.found, self.batch.people
        table, size = self.batch.table, len(self.batch.table.ids)
        weighing = weighing_of(table, found.pairs, config)
        scored = weighing.verdicts(found.signals, config.thresholds)
        verdicts = people.imposed(scored, found.pairs, size)
        counts = self.true.copy()
        for group in clusters(size, found.pairs, verdicts, config.thresholds, silent):
            for one, other in self._labelled(group.rows):
                counts[self.folds[one], FOUND] += 1
                counts[self.folds[one], RIGHT] += self.labels[one] == self.labels[other]
        return counts

    def _labelled(self, rows: Sequence[int]) -> Iterator[tuple[int, int]]:
        return combinations([row for row in rows if self.labels[row] is not None], 2)

    def _true(self) -> Ints:
        """Return the counts without any found pair; a listing that cannot be read is never found."""
        counts = np.zeros((FOLDS, 3), np.int64)
        groups: dict[str, list[int]] = {}
        for row, label in enumerate(self.labels):
            if label is not None:
                groups.setdefault(label, []).append(row)
        for rows in groups.values():
            counts[self.folds[rows[0]], TRUE] += len(rows) * (len(rows) - 1) // 2
        return counts


def _folds(batch: Blocked, labels: Sequence[str | None]) -> list[int]:
    """Return the fold of each row: the week of the first day of its true event, in turn.

    Listings of one event are in one fold, and those of one week, which share words and sources.
    """
    weeks = [_week(batch, row) for row in range(len(labels))]
    first: dict[str, int] = {}
    for week, label in zip(weeks, labels, strict=True):
        if label is not None:
            first[label] = min(week, first.get(label, week))
    return [
        (week if label is None else first[label]) % FOLDS
        for week, label in zip(weeks, labels, strict=True)
    ]


def _week(batch: Blocked, row: int) -> int:
    days = [entry.date.toordinal() for entry in batch.reading.listings[row].event_dates]
    return min(days, default=0) // 7


def _rates(counts: Ints) -> Rates:
    found, right, true = counts.tolist()
    return Rates(right / found if found else 1.0, right / true if true else 1.0)


def _searched(bench: _Bench, base: MatchingConfig, folds: Any, most_loss: float) -> MatchingConfig:
    """Return the best config that a coordinate search finds on some folds."""
    least = bench.rates(base, folds).precision - most_loss
    best = base
    for _ in range(ROUNDS):
        before = best
        for path in (*STEPS, *FACTORS):
            best = _moved(bench, best, path, folds, least)
        if best == before:
            break
    return best


def _moved(
    bench: _Bench, best: MatchingConfig, path: str, folds: Any, least: float
) -> MatchingConfig:
    """Return the config with the best value at `path`; the first of equals, the present one first."""
    chosen, most = best, bench.rates(best, folds).f1 + LEAST_GAIN
    for one in _neighbours(best, path):
        rates = bench.rates(one, folds)
        if rates.f1 > most and rates.precision >= least:
            chosen, most = one, rates.f1
    return chosen


def _neighbours(config: MatchingConfig, path: str) -> Iterator[MatchingConfig]:
    """Yield the valid configs that differ at `path`."""
    document, place = dump(config), tuple(path.split("."))
    value = find(document, place)
    moved = [value + step for step in STEPS.get(path, ())]
    moved += [value * factor for factor in FACTORS.get(path, ())]
    for one in moved:
        try:
            yield rules.validated(put(document, place, round(one, DIGITS)))
        except InvalidRequest:
            continue


def proposal(base: MatchingConfig, found: Tuning) -> dict[str, float]:
    """Return the settings that the proposal changes, by path."""
    return {path: new for path, _, new in changes(dump(base), dump(found.config))}
