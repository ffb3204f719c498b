"""From four scores to a verdict: weights, category overrides, thresholds and the title veto."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dedup_model.matching_config import MatchingConfig, Scoring, Thresholds
from dedup_model.rules import weights_of
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import (
    Bools,
    Floats,
    Table,
    rounded,
    weighed_categories,
)
from matcher_service.engine.place_signal import in_two_cities
from matcher_service.engine.scoring import Signals

Codes: TypeAlias = NDArray[np.integer[Any]]
"""Small numbers that stand for names, a pair each."""
Decision: TypeAlias = Literal["match", "ambiguous", "no_match"]
Reason: TypeAlias = Literal[
    "above_high",
    "title_veto",
    "between",
    "below_low",
    "ai_same",
    "ai_different",
    "must_link",
    "cannot_link",
]

REASONS: Final[tuple[Reason, ...]] = (
    "above_high",
    "title_veto",
    "between",
    "below_low",
    "ai_same",
    "ai_different",
    "must_link",
    "cannot_link",
)
DECISIONS: Final[tuple[Decision, ...]] = (
    "match",
    "ambiguous",
    "ambiguous",
    "no_match",
    "match",
    "no_match",
    "match",
    "no_match",
)
"""The decision that each of `REASONS` stands for."""
ABOVE_HIGH, TITLE_VETO, BETWEEN, BELOW_LOW, AI_SAME, AI_DIFFERENT, MUST_LINK, CANNOT_LINK = range(8)


@dataclass(frozen=True, slots=True)
class PairDecision:
    """The verdict on two listings, `listing_a` < `listing_b`; scores in [0, 1].

    `reviewer` and `reviewer_reason` are those of the person who decided it, tier `person`.
    """

    listing_a: str
    listing_b: str
    date: float
    geo: float
    title: float
    description: float
    combined: float
    decision: Decision
    reason: Reason
    category: str
    tier: str = "deterministic"
    ai_confidence: float | None = None
    ai_outcome: str = ""
    reviewer: str = ""
    reviewer_reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Combined score, index into `REASONS` and index into `categories` a pair."""

    combined: Floats
    reason: Codes
    category: Codes
    categories: tuple[str, ...]

    @property
    def matched(self) -> Bools:
        """Tell which pairs are decided `match`."""
        return np.isin(self.reason, (ABOVE_HIGH, AI_SAME, MUST_LINK))

    def ambiguous(self, lowest: float, highest: float) -> Bools:
        """Tell which pairs are `ambiguous` with a combined score inside the closed window."""
        low, high = round(lowest, 9), round(highest, 9)
        inside = (self.combined >= low) & (self.combined <= high)
        return inside & np.isin(self.reason, (TITLE_VETO, BETWEEN))

    def counted(self, *reasons: int) -> int:
        """Return how many pairs were decided for one of these reasons."""
        return int(np.isin(self.reason, reasons).sum())


@dataclass(frozen=True, slots=True)
class Weighing:
    """How the signals of each pair count: the weights of its category, and the factor on its odds.

    `weights` has a row a category of `categories`, `category` and `odds` an entry a pair.
    """

    weights: Floats
    category: Codes
    odds: Floats
    categories: tuple[str, ...]

    def taken(self, chosen: Bools) -> "Weighing":
        """Return the weighing of some pairs."""
        return replace(self, category=self.category[chosen], odds=self.odds[chosen])

    def combined(self, signals: Signals) -> Floats:
        """Return the weighted mean of the signals with its odds shifted, monotone in each signal."""
        columns = (signals.date, signals.geo, signals.title, signals.description)
        total = sum(self.weights[:, i][self.category] * one for i, one in enumerate(columns))
        return shifted(total / self.weights.sum(axis=1)[self.category], self.odds)

    def verdicts(self, signals: Signals, thresholds: Thresholds) -> Verdicts:
        """Decide every pair: its combined score against the thresholds, and the title veto."""
        combined = self.combined(signals)
        reason = reasons(combined, signals.title, thresholds)
        return Verdicts(combined, reason, self.category, self.categories)


def weighing_of(table: Table, pairs: Pairs, config: MatchingConfig) -> Weighing:
    """Return how the signals of the pairs count.

    The weights are those of the first category in `category_weights.priority` that both listings
    carry and that has an override, else `scoring`.
    """
    names = weighed_categories(config)
    weights = np.array([weights_of(config, name) for name in (None, *names)])
    category = _shared_category(table, pairs, len(names))
    return Weighing(weights, category, _odds(table, pairs, config.scoring), ("", *names))


def decide(table: Table, pairs: Pairs, signals: Signals, config: MatchingConfig) -> Verdicts:
    """Decide every pair: the weighted mean of the signals against the thresholds.

    Semantics section 14, on values rounded to 1e-9.
    """
    return weighing_of(table, pairs, config).verdicts(signals, config.thresholds)


def shifted(scores: Floats, odds: Floats) -> Floats:
    """Return scores in [0, 1] with their odds `s / (1 - s)` multiplied; 0 and 1 stay what they are."""
    return rounded(scores * odds / (1.0 - scores + scores * odds))


def _odds(table: Table, pairs: Pairs, settings: Scoring) -> Floats:
    """Return the factor on the odds of each pair; 1 for what is unknown."""
    left, right = table.source.codes[pairs.left], table.source.codes[pairs.right]
    unknown = (left == 0) | (right == 0)
    sources = np.where(left == right, settings.same_source_odds, settings.other_source_odds)
    cities = np.where(in_two_cities(table, pairs), settings.other_city_odds, 1.0)
    return np.where(unknown, 1.0, sources) * cities


def _shared_category(table: Table, pairs: Pairs, count: int) -> Codes:
    """Return 1 + the index of the first category that both listings carry, 0 when there is none."""
    category = np.zeros(len(pairs), np.int16)
    for index in reversed(range(count)):
        carries = table.categories[:, index]
        category[carries[pairs.left] & carries[pairs.right]] = index + 1
    return category


def reasons(combined: Floats, title: Floats, thresholds: Thresholds) -> Codes:
    """Return the reason of each verdict as an index into `REASONS`; `high` is tested first."""
    vetoed = title < round(thresholds.title_veto, 9)
    high = np.where(vetoed, TITLE_VETO, ABOVE_HIGH)
    low = np.where(combined <= round(thresholds.low, 9), BELOW_LOW, BETWEEN)
    return np.where(combined >= round(thresholds.high, 9), high, low).astype(np.int8)


def reported(
    ids: Sequence[str], pairs: Pairs, signals: Signals, verdicts: Verdicts, floor: float
) -> tuple[PairDecision, ...]:
    """Return the pairs with a combined score of at least `floor` or a person's decision, by ids."""
    told = np.isin(verdicts.reason, (MUST_LINK, CANNOT_LINK))
    rows = np.flatnonzero(told | (verdicts.combined >= round(floor, 9)))
    scores = (signals.date, signals.geo, signals.title, signals.description, verdicts.combined)
    codes = (pairs.left, pairs.right, verdicts.reason, verdicts.category)
    columns: list[list[Any]] = [column[rows].tolist() for column in (*codes, *scores)]
    return tuple(
        PairDecision(
            listing_a=ids[a],
            listing_b=ids[b],
            date=date,
            geo=geo,
            title=title,
            description=description,
            combined=combined,
            decision=DECISIONS[reason],
            reason=REASONS[reason],
            category=verdicts.categories[category],
        )
        for a, b, reason, category, date, geo, title, description, combined in zip(
            *columns, strict=True
        )
    )
