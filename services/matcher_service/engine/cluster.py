"""Groups of listings that are one event, and never hold a pair that was told apart."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from dedup_model.matching_config import Thresholds
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import Bools, Floats, Ints
from matcher_service.engine.decide import AI_DIFFERENT, AI_SAME, BELOW_LOW, TITLE_VETO, Verdicts

APART = (BELOW_LOW, AI_DIFFERENT)
"""Reasons that tell a pair apart: no group holds both."""


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
            if other in self.links.get(one, {}) and -mean == self._mean(one, other):
                self._merge(one, other)
        return [sorted(group) for group in self.members.values()]

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
    of these pairs was decided `no_match`. Pairs that were vetoed for their titles, and pairs that
    were not compared because they share no day or no key, count as `thresholds.low`, the least
    that is not told apart; pairs that the language model called the same count as at least
    `thresholds.high`. Ties go to the smaller rows: no order matters.
    """
    matched = verdicts.matched
    labels = labels_of(size, Pairs(pairs.left[matched], pairs.right[matched]))
    alone, components = _components(labels, pairs)
    groups = [[row] for row in alone.tolist()]
    for done, (rows, inside) in enumerate(components):
        if done % 1000 == 0:
            progress(done, len(components))
        if _complete(rows, matched[inside]):
            groups.append(rows.tolist())
        else:
            groups += _refined(rows, inside, pairs, verdicts, thresholds)
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


def _refined(
    rows: Ints, inside: Ints, pairs: Pairs, verdicts: Verdicts, thresholds: Thresholds
) -> list[list[int]]:
    links: dict[int, dict[int, _Link]] = {row: {} for row in rows.tolist()}
    columns = (pairs.left, pairs.right, verdicts.combined, verdicts.reason)
    for one, other, combined, reason in zip(*(c[inside].tolist() for c in columns), strict=True):
        link = _Link(_known(reason, combined, thresholds), 1, reason in APART)
        links[one][other] = links[other][one] = link
    return _Linkage(thresholds, {row: [row] for row in links}, links).grouped()


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
