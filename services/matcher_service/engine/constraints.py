"""People's decisions on pairs of listings: which of them a batch can obey."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from matcher_service.engine.blocking import Pairs, decoded
from matcher_service.engine.columns import Bools, Ints
from matcher_service.engine.decide import CANNOT_LINK, MUST_LINK, PairDecision, Verdicts
from matcher_service.engine.listing import Listing


class Kind(StrEnum):
    """What a person decided."""

    MUST_LINK = "must_link"
    CANNOT_LINK = "cannot_link"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A listing for good: its source and its identifier there, whatever batch it comes in."""

    source_code: str
    id: str


@dataclass(frozen=True, slots=True, order=True)
class Constraint:
    """Two different listings that must be one event, or cannot be; it outranks every score."""

    listing_a: Key
    listing_b: Key
    kind: Kind
    reviewer: str = ""
    reason: str = ""


_Rows: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Constraints:
    """The pairs that a batch obeys, and the constraints that it cannot.

    `contradictory` ones link listings that others keep apart: of these only the latter are obeyed,
    since a wrong merge is worse than a missed one. `absent` counts those that name a listing which
    is not in the batch. `obeyed` has the first constraint of each obeyed pair, by its rows.
    """

    must: Pairs
    cannot: Pairs
    contradictory: tuple[Constraint, ...] = ()
    absent: int = 0
    obeyed: Mapping[_Rows, Constraint] = field(default_factory=dict)

    def added_to(self, candidates: Pairs, size: int) -> Pairs:
        """Return the candidates of `size` listings and the obeyed pairs, sorted, each pair once."""
        if not self.obeyed:
            return candidates
        codes = [pairs.codes(size) for pairs in (candidates, self.must, self.cannot)]
        return decoded(np.unique(np.concatenate(codes)), size)

    def among(self, pairs: Pairs, size: int) -> Bools:
        """Tell which of these pairs a person decided."""
        if not self.obeyed:
            return np.zeros(len(pairs), bool)
        codes = [own.codes(size) for own in (self.must, self.cannot)]
        return np.isin(pairs.codes(size), np.concatenate(codes))

    def imposed(self, verdicts: Verdicts, pairs: Pairs, size: int) -> Verdicts:
        """Return the verdicts with every obeyed constraint in place."""
        if not self.obeyed:
            return verdicts
        reason, wanted = verdicts.reason, pairs.codes(size)
        for own, code in ((self.must, MUST_LINK), (self.cannot, CANNOT_LINK)):
            reason = np.where(np.isin(wanted, own.codes(size)), code, reason)
        return replace(verdicts, reason=reason)

    def signed(self, decision: PairDecision, rows: Mapping[str, int]) -> PairDecision:
        """Return the decision with its reviewer and the reason given, when a person made it."""
        pair = sorted((rows[decision.listing_a], rows[decision.listing_b]))
        one = self.obeyed.get((pair[0], pair[1]))
        if one is None:
            return decision
        return replace(decision, tier="person", reviewer=one.reviewer, reviewer_reason=one.reason)


def resolved(listings: Sequence[Listing], constraints: Iterable[Constraint]) -> Constraints:
    """Find the constraints' listings, which are rows of the batch; their order does not matter.

    Must-links hold over chains. Where a chain links two listings that cannot be one, no must-link
    of that chain is obeyed, and all its constraints are reported.
    """
    rows = {Key(one.source_code or "", one.id): row for row, one in enumerate(listings)}
    by_rows: dict[Kind, dict[_Rows, list[Constraint]]] = {kind: defaultdict(list) for kind in Kind}
    absent = 0
    for one in sorted(set(constraints)):
        pair = sorted((rows.get(one.listing_a, -1), rows.get(one.listing_b, -1)))
        if pair[0] < 0:
            absent += 1
        else:
            by_rows[one.kind][pair[0], pair[1]].append(one)
    must, cannot = by_rows[Kind.MUST_LINK], by_rows[Kind.CANNOT_LINK]
    chain = _chains(must, len(listings))
    torn = {int(chain[a]) for a, b in cannot if chain[a] == chain[b]}
    contradictory = [
        one
        for found in (must, cannot)
        for (a, b), ones in found.items()
        if chain[a] == chain[b] and int(chain[a]) in torn
        for one in ones
    ]
    kept = [pair for pair in must if int(chain[pair[0]]) not in torn]
    obeyed = {pair: must[pair][0] for pair in kept} | {pair: cannot[pair][0] for pair in cannot}
    contradicted = tuple(sorted(contradictory))
    return Constraints(_pairs(kept), _pairs(cannot), contradicted, absent, obeyed)


def _chains(must: Iterable[_Rows], size: int) -> Ints:
    """Return the number of each row's chain of must-links; a row without any is its own."""
    pairs = _pairs(must)
    edges = (np.ones(len(pairs)), (pairs.left, pairs.right))
    graph = sparse.coo_matrix(edges, shape=(size, size))
    chains: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return chains


def _pairs(rows: Iterable[_Rows]) -> Pairs:
    columns = np.array(sorted(rows), np.int64).reshape(-1, 2)
    return Pairs(columns[:, 0], columns[:, 1])


NOBODY: Final = Constraints(_pairs(()), _pairs(()))
"""No constraints."""
