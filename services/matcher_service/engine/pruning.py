"""The verdicts that can matter: cheap signals first, the others where they can still change one."""

from dataclasses import dataclass

import numpy as np

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import Bools, Floats, Ints, Table
from matcher_service.engine.date_signal import date_scores
from matcher_service.engine.decide import Verdicts, decide
from matcher_service.engine.place_signal import place_scores
from matcher_service.engine.scoring import Signals
from matcher_service.engine.text_signals import description_scores, title_scores

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
    kept, scores = np.arange(len(pairs)), np.ones((4, len(pairs)))
    scores[0] = date_scores(table, pairs, config.date)
    scores[1] = place_scores(table, pairs, config.geo)
    kept, scores = _cut(table, pairs, kept, scores, config, floor)
    part = Pairs(pairs.left[kept], pairs.right[kept])
    scores[2] = title_scores(table, part, config.title)
    kept, scores = _cut(table, pairs, kept, scores, config, floor)
    part = Pairs(pairs.left[kept], pairs.right[kept])
    scores[3] = description_scores(table, part, config.description)
    signals = Signals(*scores)
    return Judged(kept, part, signals, decide(table, part, signals, config))


def _cut(
    table: Table, pairs: Pairs, kept: Ints, scores: Floats, config: MatchingConfig, floor: float
) -> tuple[Ints, Floats]:
    """Return the positions that stay open, with their scores so far."""
    part = Pairs(pairs.left[kept], pairs.right[kept])
    bound = decide(table, part, Signals(*scores), config).combined
    open_ = _open(bound, config, floor)
    return kept[open_], scores[:, open_]


def _open(bound: Floats, config: MatchingConfig, floor: float) -> Bools:
    """Tell for which pairs a score up to `bound` is not told apart for sure, or is reported."""
    result: Bools = bound + SLACK >= min(config.thresholds.low, floor)
    return result


def joined(parts: list[Judged]) -> Judged:
    """Return the pairs of all parts, of which there is at least one, in their positions' order."""
    positions = np.concatenate([part.positions for part in parts])
    order = np.argsort(positions)
    signals = _columns([part.signals for part in parts], order)
    combined, reason, category = (
        np.concatenate([getattr(part.verdicts, name) for part in parts])[order]
        for name in ("combined", "reason", "category")
    )
    left = np.concatenate([part.pairs.left for part in parts])[order]
    right = np.concatenate([part.pairs.right for part in parts])[order]
    verdicts = Verdicts(combined, reason, category, parts[0].verdicts.categories)
    return Judged(positions[order], Pairs(left, right), signals, verdicts)


def _columns(parts: list[Signals], order: Ints) -> Signals:
    stacked = [np.stack([one.date, one.geo, one.title, one.description]) for one in parts]
    return Signals(*np.concatenate(stacked, axis=1)[:, order])
