"""Groups of listings that are one event, and never hold a pair that was told apart."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from dedup_model.matching_config import Thresholds
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import Bools, Floats, Ints
from matcher_service.engine.decide import (
    AI_DIFFERENT,
    AI_SAME,
    BELOW_LOW,
    CANNOT_LINK,
    MUST_LINK,
    TITLE_VETO,
    Verdicts,
)

APART = (BELOW_LOW, AI_DIFFERENT, CANNOT_LINK)
"""Reasons that tell a pair apart: no group holds both, unless must-links unite them."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rows of one event, ascending.

    `match_confidence` is the mean combined score of its matches, `internal_similarity` that of all
    its compared pairs; both None for a single listing.
    """

    rows: tuple[int, ...]
    match_confidence: float | None = None
    internal_similarity: float | None = None


@dataclass(slots=True)
class _Link:
    """What is known between two groups: summed scores, compared pairs, and a pair told apart."""

    total: float
    compared: int
    apart: bool

    def __add__(self, other: "_Link") -> "_Link":
        return _Link(
            self.total + other.total, self.compared + other.compared, self.apart or other.apart
        )


@dataclass(slots=True)
class _Linkage:
    """Average linkage inside one component; groups are named by their smallest row."""

    thresholds: Thresholds
    members: dict[int, list[int]]
    links: dict[int, dict[int, _Link]]
    queue: list[tuple[float, int, int]] = field(default_factory=list)

    def grouped(self) -> list[list[int]]:
        """Merge the likest groups first, while their mean reaches `thresholds.high`."""
        for one in sorted(self.links):
            for other in self.links[one]:
                self._offer(*sorted((one, other)))
        while self.queue:
            mean, one, other = heapq.heappop(self.queue)
            if self._holds(mean, one, other):
                self._merge(one, other)
        return [sorted(group) for group in self.members.values()]

    def _holds(self, offered: float, one: int, other: int) -> bool:
        """Tell whether an offer is still true: merges since may have changed or barred it."""
        link = self.links.get(one, {}).get(other)
        return link is not None and not link.apart and -offered == self._mean(one, other)

    def _mean(self, one: int, other: int) -> float:
        link = self.links[one][other]
        size = len(self.members[one]) * len(self.members[other])
        return round((link.total + self.thresholds.low * (size - link.compared)) / size, 9)

    def _offer(self, one: int, other: int) -> None:
        mean = self._mean(one, other)
        if not self.links[one][other].apart and mean >= round(self.thresholds.high, 9):
            heapq.heappush(self.queue, (-mean, one, other))

    def _merge(self, one: int, other: int) -> None:
        self.members[one] += self.members.pop(other)
        moved = self.links.pop(other)
        for third in sorted(moved.keys() - {one}):
            known = self.links[one].get(third)
            link = known + moved[third] if known else moved[third]
            self.links[one][third] = self.links[third][one] = link
            del self.links[third][other]
        del self.links[one][other]
        for third in sorted(self.links[one]):
            self._offer(*sorted((one, third)))


def clusters(
    size: int,
    pairs: Pairs,
    verdicts: Verdicts,
    thresholds: Thresholds,
    progress: Callable[[int, int], None],
) -> list[Cluster]:
    """Group the rows 0..size-1, ordered by their first row; every row is in one cluster.

    Connected components of the matches, refined by average linkage inside each: two groups merge
    while the mean combined score of the pairs between them is at least `thresholds.high` and none
    of these pairs was decided `no_match`. Must-linked rows, chains included, are one group from the
    start, whatever was decided between them. Pairs that were vetoed for their titles, and pairs
    that were not compared because they share no day or no key, count as `thresholds.low`, the least
    that is not told apart; pairs that the language model called the same count as at least
    `thresholds.high`. Ties go to the smaller rows: no order matters.
    """
    matched = verdicts.matched
    labels = labels_of(size, Pairs(pairs.left[matched], pairs.right[matched]))
    alone, components = _components(labels, pairs)
    groups = [[row] for row in alone.tolist()]
    heads = _heads(size, pairs, verdicts)
    for done, (rows, inside) in enumerate(components):
        if done % 1000 == 0:
            progress(done, len(components))
        if _complete(rows, matched[inside]):
            groups.append(rows.tolist())
        else:
            groups += _refined(rows, inside, pairs, verdicts, thresholds, heads)
    return _measured(sorted(groups), size, pairs, verdicts)


def labels_of(size: int, matches: Pairs) -> Ints:
    """Return the number of each row's connected component."""
    edges = (np.ones(len(matches)), (matches.left, matches.right))
    graph = sparse.coo_matrix(edges, shape=(size, size))
    labels: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def _components(labels: Ints, pairs: Pairs) -> tuple[Ints, list[tuple[Ints, Ints]]]:
    """Return the rows that are alone, and each component's rows and positions of pairs inside."""
    sizes = np.bincount(labels, minlength=1)
    order = np.argsort(labels, kind="stable")
    order = order[sizes[labels[order]] > 1]
    label = labels[pairs.left]
    inside = np.flatnonzero(label == labels[pairs.right])
    inside = inside[np.argsort(label[inside], kind="stable")]
    large = np.flatnonzero(sizes > 1)
    members = np.split(order, np.searchsorted(labels[order], large[1:]))
    compared = np.split(inside, np.searchsorted(label[inside], large[1:]))
    together = list(zip(members, compared, strict=True)) if len(large) else []
    return np.flatnonzero(sizes[labels] == 1), together


def _complete(rows: Ints, matched: Bools) -> bool:
    """Tell whether all pairs of a component match: linkage would join them all."""
    return len(matched) == len(rows) * (len(rows) - 1) // 2 and bool(matched.all())


def _heads(size: int, pairs: Pairs, verdicts: Verdicts) -> Ints:
    """Return the smallest row of each row's chain of must-links."""
    linked = verdicts.reason == MUST_LINK
    if not linked.any():
        return np.arange(size)
    labels = labels_of(size, Pairs(pairs.left[linked], pairs.right[linked]))
    first: Ints = np.unique(labels, return_index=True)[1]
    return first[labels]


def _refined(
    rows: Ints,
    inside: Ints,
    pairs: Pairs,
    verdicts: Verdicts,
    thresholds: Thresholds,
    heads: Ints,
) -> list[list[int]]:
    members: dict[int, list[int]] = {head: [] for head in heads[rows].tolist()}
    for row, head in zip(rows.tolist(), heads[rows].tolist(), strict=True):
        members[head].append(row)
    between = inside[heads[pairs.left[inside]] != heads[pairs.right[inside]]]
    return _Linkage(
        thresholds, members, _links(members, between, pairs, verdicts, thresholds, heads)
    ).grouped()


def _links(
    members: Iterable[int],
    between: Ints,
    pairs: Pairs,
    verdicts: Verdicts,
    thresholds: Thresholds,
    heads: Ints,
) -> dict[int, dict[int, _Link]]:
    """Return what is known between each two groups, named by their heads."""
    links: dict[int, dict[int, _Link]] = {head: {} for head in members}
    ends = (heads[pairs.left[between]], heads[pairs.right[between]])
    columns = (*ends, verdicts.combined[between], verdicts.reason[between])
    for one, other, combined, reason in zip(*(c.tolist() for c in columns), strict=True):
        link = _Link(_known(reason, combined, thresholds), 1, reason in APART)
        known = links[one].get(other)
        links[one][other] = links[other][one] = known + link if known else link
    return links


def _known(reason: int, combined: float, thresholds: Thresholds) -> float:
    """Return the score that a compared pair counts as in linkage."""
    if reason == TITLE_VETO:
        return thresholds.low
    return max(combined, thresholds.high) if reason == AI_SAME else combined


def _measured(
    groups: list[list[int]], size: int, pairs: Pairs, verdicts: Verdicts
) -> list[Cluster]:
    label = np.empty(size, np.int64)
    sizes = [len(rows) for rows in groups]
    label[np.fromiter(chain.from_iterable(groups), np.int64, size)] = np.repeat(
        np.arange(len(groups)), sizes
    )
    inside = np.flatnonzero(label[pairs.left] == label[pairs.right])
    matched = inside[verdicts.matched[inside]]
    counts = len(groups)
    confidence = _means(label[pairs.left[matched]], verdicts.combined[matched], counts)
    similarity = _means(label[pairs.left[inside]], verdicts.combined[inside], counts)
    return [
        Cluster(tuple(rows), confidence[index], similarity[index])
        for index, rows in enumerate(groups)
    ]


def _means(label: Ints, values: Floats, size: int) -> list[float | None]:
    counts = np.bincount(label, minlength=size)
    sums = np.bincount(label, weights=values, minlength=size)
    means = np.round(sums / np.maximum(counts, 1), 9).tolist()
    return [mean if count else None for mean, count in zip(means, counts.tolist(), strict=True)]
