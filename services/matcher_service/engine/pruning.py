"""The verdicts that can matter: cheap signals first, the others where they can still change one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import Floats, Ints, Table
from matcher_service.engine.date_signal import date_scores
from matcher_service.engine.decide import Verdicts, Weighing, weighing_of
from matcher_service.engine.place_signal import place_scores
from matcher_service.engine.scoring import Signals
from matcher_service.engine.text_signals import (
    at_most,
    description_scores,
    title_words,
    with_letters,
)

DATE, GEO, TITLE, DESCRIPTION, TITLE_WORDS = range(5)
SLACK = 2e-9
"""How far rounding may lift a score above its bound."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs with their scores and verdicts, and their positions among the candidates."""

    positions: Ints
    pairs: Pairs
    signals: Signals
    verdicts: Verdicts


def judged(table: Table, pairs: Pairs, config: MatchingConfig, floor: float) -> Judged:
    """Return the exact verdicts of all pairs but those that are sure to be told apart unseen.

    Left out are pairs whose upper bound, the combined score with every signal not yet computed at
    1, is neither above `thresholds.low` nor at least `floor`: they are `below_low` and unreported.
    The combined score is monotone in each signal, so the bound holds whatever the formulas are.
    `floor` 0 leaves no pair out.
    """
    least = min(config.thresholds.low, floor) - SLACK
    opened = _Open(
        np.arange(len(pairs)), pairs, weighing_of(table, pairs, config), np.ones((5, len(pairs)))
    )
    opened.scores[DATE] = date_scores(table, pairs, config.date)
    opened.scores[GEO] = place_scores(table, pairs, config.geo)
    opened = opened.cut(least)
    words = title_words(table, opened.pairs, config.title)
    opened.scores[TITLE] = at_most(table, opened.pairs, config.title, words)
    opened.scores[TITLE_WORDS] = words
    opened = opened.cut(least)
    words = opened.scores[TITLE_WORDS]
    opened.scores[TITLE] = with_letters(table, opened.pairs, config.title, words)
    opened = opened.cut(least)
    opened.scores[DESCRIPTION] = description_scores(table, opened.pairs, config.description)
    verdicts = opened.weighing.verdicts(opened.signals, config.thresholds)
    return Judged(opened.positions, opened.pairs, opened.signals, verdicts)


@dataclass(frozen=True, slots=True)
class _Open:
    """Pairs whose verdict is open, with their scores so far and 1 for those to come."""

    positions: Ints
    pairs: Pairs
    weighing: Weighing
    scores: Floats

    @property
    def signals(self) -> Signals:
        return Signals(*self.scores[:TITLE_WORDS])

    def cut(self, least: float) -> "_Open":
        """Return the pairs whose combined score may still reach `least`."""
        open_ = self.weighing.combined(self.signals) >= least
        pairs = self.pairs.taken(open_)
        return _Open(
            self.positions[open_], pairs, self.weighing.taken(open_), self.scores[:, open_]
        )


def joined(parts: Sequence[Judged]) -> Judged:
    """Return the pairs of all parts, of which there is at least one, in their positions' order."""
    order = np.argsort(np.concatenate([part.positions for part in parts]))

    def column(read: Callable[[Judged], NDArray[Any]]) -> Any:
        return np.concatenate([read(part) for part in parts])[order]

    pairs = Pairs(column(lambda part: part.pairs.left), column(lambda part: part.pairs.right))
    signals = Signals(
        date=column(lambda part: part.signals.date),
        geo=column(lambda part: part.signals.geo),
        title=column(lambda part: part.signals.title),
        description=column(lambda part: part.signals.description),
    )
    verdicts = Verdicts(
        combined=column(lambda part: part.verdicts.combined),
        reason=column(lambda part: part.verdicts.reason),
        category=column(lambda part: part.verdicts.category),
        categories=parts[0].verdicts.categories,
    )
    return Judged(column(lambda part: part.positions), pairs, signals, verdicts)
