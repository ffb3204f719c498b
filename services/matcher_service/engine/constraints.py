"""People's decisions on pairs of listings: which of them a batch can obey."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import Ints
from matcher_service.engine.records import Listing


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
    """Two listings that must be one event, or that cannot be; it outranks every score."""

    listing_a: Key
    listing_b: Key
    kind: Kind
    reviewer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Constraints:
    """The pairs that a batch obeys, and the constraints that it cannot.

    `contradictory` ones link listings that others keep apart: of these only the latter are obeyed,
    since a wrong merge is worse than a missed one. `absent` counts those that name a listing which
    is not in the batch.
    """

    must: Pairs
    cannot: Pairs
    contradictory: tuple[Constraint, ...] = ()
    absent: int = 0


_Rows: TypeAlias = tuple[int, int]


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
    return Constraints(_pairs(kept), _pairs(cannot), tuple(sorted(contradictory)), absent)


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
