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
    for signal in range(4):
        part = Pairs(pairs.left[kept], pairs.right[kept])
        scores[signal] = _signal(signal, table, part, config)
        found = decide(table, part, Signals(*scores), config)
        open_ = _open(found.combined, config, floor) if signal < 3 else np.ones(len(kept), bool)
        kept, scores = kept[open_], scores[:, open_]
    return Judged(kept, part, Signals(*scores), found)


def _signal(number: int, table: Table, pairs: Pairs, config: MatchingConfig) -> Floats:
    """Return a signal's scores; the signals are numbered by what they cost."""
    if number == 0:
        return date_scores(table, pairs, config.date)
    if number == 1:
        return place_scores(table, pairs, config.geo)
    if number == 2:
        return title_scores(table, pairs, config.title)
    return description_scores(table, pairs, config.description)


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
