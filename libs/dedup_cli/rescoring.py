"""The pairs of a finished batch, looked at again: which were compared, and how any two score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs, candidates
from matcher_service.engine.columns import Table, table_of
from matcher_service.engine.decide import PairDecision, decide, reported
from matcher_service.engine.listing import Listing
from matcher_service.engine.records import read
from matcher_service.engine.scoring import score

Pair: TypeAlias = tuple[str, str]
"""Two listing ids, the smaller first."""


@dataclass(frozen=True)
class Rescored:
    """The listings of a batch, prepared, with its candidate pairs as sorted codes."""

    listings: dict[str, Listing]
    table: Table
    config: MatchingConfig
    codes: NDArray[np.int64]

    @property
    def reduction(self) -> float:
        """Return the share of all pairs that was never compared."""
        size = len(self.listings)
        return 1 - len(self.codes) / (size * (size - 1) / 2) if size > 1 else 1.0

    def compared(self, pairs: Sequence[Pair]) -> NDArray[np.bool_]:
        """Tell which pairs the batch compared; false where a listing was quarantined."""
        rows = {name: row for row, name in enumerate(self.table.ids)}
        size = len(rows)
        wanted = [rows[a] * size + rows[b] if a in rows and b in rows else -1 for a, b in pairs]
        return np.isin(np.array(wanted, np.int64), self.codes)

    def judged(self, pairs: Iterable[Pair]) -> dict[Pair, PairDecision]:
        """Return the verdict on each pair of readable listings, compared in the batch or not."""
        rows = {name: row for row, name in enumerate(self.table.ids)}
        places = sorted({(rows[a], rows[b]) for a, b in pairs if a in rows and b in rows})
        columns = np.array(places, np.int64).reshape(-1, 2)
        chosen = Pairs(columns[:, 0], columns[:, 1])
        if not places:
            return {}
        signals = score(self.table, chosen, self.config, _unheard)
        verdicts = decide(self.table, chosen, signals, self.config)
        found = reported(self.table.ids, chosen, signals, verdicts, 0.0)
        return {(one.listing_a, one.listing_b): one for one in found}


def rescored(raw: Sequence[Mapping[str, Any]], config: MatchingConfig) -> Rescored:
    """Read, prepare and pair listings in the engine's raw form, as the batch did."""
    listings = read(raw, config).listings
    table = table_of(listings, config, lambda done: None)
    pairs = candidates(table, config.blocking, _unheard)
    codes = pairs.codes(len(table.ids))
    return Rescored({one.id: one for one in listings}, table, config, codes)


def _unheard(done: int, total: int) -> None:
    """Take progress in silence."""
