"""The four signals of every candidate pair."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import Floats, Table
from matcher_service.engine.date_signal import date_scores
from matcher_service.engine.place_signal import place_scores
from matcher_service.engine.text_signals import description_scores, title_scores

CHUNK_PAIRS = 200_000
"""Pairs that are scored at a time, to bound memory and to hear a cancellation."""


@dataclass(frozen=True, slots=True)
class Signals:
    """A score in [0, 1] a pair and signal, rounded to 1e-9, in the order of the pairs."""

    date: Floats
    geo: Floats
    title: Floats
    description: Floats


def score(
    table: Table, pairs: Pairs, config: MatchingConfig, progress: Callable[[int, int], None]
) -> Signals:
    """Score the pairs; symmetric in the two listings and independent of the other pairs.

    Identical listings score 1 on what they state: date with time, title, description, city with
    venue or street, or trusted coordinates. `progress` hears pairs done and in all.
    """
    chunks = [np.empty((4, 0))]
    for start in range(0, len(pairs), CHUNK_PAIRS):
        progress(start, len(pairs))
        chunks.append(_scored(table, pairs.taken(slice(start, start + CHUNK_PAIRS)), config))
    return Signals(*np.concatenate(chunks, axis=1))


def _scored(table: Table, pairs: Pairs, config: MatchingConfig) -> Floats:
    signals = (
        date_scores(table, pairs, config.date),
        place_scores(table, pairs, config.geo),
        title_scores(table, pairs, config.title),
        description_scores(table, pairs, config.description),
    )
    return np.stack(signals)
