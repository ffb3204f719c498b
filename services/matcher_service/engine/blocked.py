"""A batch that is read, prepared and paired: what is scored next, and looked at again later."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import NO_LIMIT, Pairs, candidates
from matcher_service.engine.columns import Bools, Table, table_of
from matcher_service.engine.constraints import Constraint, Constraints, resolved
from matcher_service.engine.decide import PairDecision, decide, reported
from matcher_service.engine.listing import Listing
from matcher_service.engine.records import Reading, read
from matcher_service.engine.scoring import score

Progress: TypeAlias = Callable[[str, int, int], None]
"""Hears `(stage, done, total)` between chunks of work; what it raises ends the batch."""
Pair: TypeAlias = tuple[str, str]
"""Two listing ids, the smaller first."""


class RawListings(Protocol):
    """Listings in the input's JSON form; a batch counts them at any time and reads them once."""

    def __len__(self) -> int:
        """Return how many there are, before and after they were read."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield them."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A batch under one config, its listings in columns and the pairs that are to be compared.

    `pairs` are the candidates and what people decided, `people` those decisions; `most_pairs` is
    the limit that the candidates kept.
    """

    received: int
    reading: Reading
    table: Table
    pairs: Pairs
    people: Constraints
    config: MatchingConfig
    most_pairs: int = NO_LIMIT

    @property
    def listings(self) -> dict[str, Listing]:
        """Return the readable listings by id."""
        return {one.id: one for one in self.reading.listings}

    @property
    def rows(self) -> dict[str, int]:
        """Return the row of each readable listing."""
        return {name: row for row, name in enumerate(self.table.ids)}

    @property
    def reduction(self) -> float:
        """Return the share of all pairs that is never compared."""
        size = len(self.table.ids)
        return 1 - len(self.pairs) / (size * (size - 1) / 2) if size > 1 else 1.0

    def compared(self, pairs: Sequence[Pair]) -> Bools:
        """Tell which pairs are compared; false where a listing was quarantined."""
        rows, size = self.rows, len(self.table.ids)
        wanted = [rows[a] * size + rows[b] if a in rows and b in rows else -1 for a, b in pairs]
        return np.isin(np.array(wanted, np.int64), self.pairs.codes(size))

    def judged(self, pairs: Iterable[Pair]) -> dict[Pair, PairDecision]:
        """Return what the scores make of each pair of readable listings, compared or not.

        What people decided does not count here.
        """
        rows = self.rows
        places = sorted({(rows[a], rows[b]) for a, b in pairs if a in rows and b in rows})
        columns = np.array(places, np.int64).reshape(-1, 2)
        chosen = Pairs(columns[:, 0], columns[:, 1])
        if not places:
            return {}
        signals = score(self.table, chosen, self.config, silent)
        verdicts = decide(self.table, chosen, signals, self.config)
        found = reported(self.table.ids, chosen, signals, verdicts, 0.0)
        return {(one.listing_a, one.listing_b): one for one in found}


def blocked(
    raw: RawListings,
    config: MatchingConfig,
    progress: Progress,
    constraints: Iterable[Constraint] = (),
    most_pairs: int = NO_LIMIT,
) -> Blocked:
    """Read listings in the input's JSON form, prepare them and find the pairs to compare.

    Never raises for what a listing holds; what `progress` raises passes through. Raises
    `LimitExceeded` for more than `most_pairs` candidates.
    """
    reading = read(_heard(raw, progress), config)
    size = len(reading.listings)
    table = table_of(reading.listings, config, lambda done: progress("normalise", done, size))
    people = resolved(reading.listings, constraints)
    found = candidates(
        table, config.blocking, lambda *work: progress("block", *work), most=most_pairs
    )
    pairs = people.added_to(found, size)
    return Blocked(len(raw), reading, table, pairs, people, config, most_pairs)


def _heard(raw: RawListings, progress: Progress) -> Iterator[Mapping[str, Any]]:
    """Yield the listings; reading them is the silent first part of `normalise`, but can be ended."""
    for position, one in enumerate(raw):
        if position % 1000 == 0:
            progress("normalise", 0, len(raw))
        yield one


def silent(*_: object) -> None:
    """Take progress in silence."""
