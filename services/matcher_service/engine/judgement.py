"""Judgements of pairs from outside the scores, and how they change verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from matcher_service.engine.blocking import Pairs
from matcher_service.engine.decide import AI_DIFFERENT, AI_SAME, CANNOT_LINK, MUST_LINK, Verdicts


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of asking about a pair.

    `outcome` `same` and `different` decide the pair; any other leaves its verdict and says why.
    `confidence` is 0 to 1, None without an answer.
    """

    outcome: str
    confidence: float | None = None


Judgements: TypeAlias = Mapping[tuple[str, str], Judgement]
"""By the two ids, the smaller first."""

_DECIDING = {"same": AI_SAME, "different": AI_DIFFERENT}


def overridden(
    verdicts: Verdicts, pairs: Pairs, rows: Mapping[str, int], judgements: Judgements
) -> Verdicts:
    """Return the verdicts with every deciding judgement in place; `rows` gives the row of an id.

    Verdicts of people stay.
    """
    codes = {
        (rows[one], rows[other]): _DECIDING[judgement.outcome]
        for (one, other), judgement in judgements.items()
        if judgement.outcome in _DECIDING
    }
    if not codes:
        return verdicts
    size = len(rows)
    keys = np.array([min(pair) * size + max(pair) for pair in codes])
    values = np.array(list(codes.values()))
    wanted = pairs.codes(size)
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    hit = (keys[order][place] == wanted) & ~np.isin(verdicts.reason, (MUST_LINK, CANNOT_LINK))
    return replace(verdicts, reason=np.where(hit, values[order][place], verdicts.reason))
