"""Quality of clusters against labels: pairwise, B-cubed and edit figures.

Pairwise: of the pairs that share a cluster. B-cubed (Bagga and Baldwin, 1998): the mean over
listings of the share of its cluster that belongs with it. Merge distance (Menestrina, Whang and
Garcia-Molina, 2010) with unit costs: the fewest splits of one cluster in two and merges of two in
one that turn the found clusters into the true ones; all splits come first.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Cluster: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rates:
    """Precision, recall and their harmonic mean, each 0 to 1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Return the harmonic mean; 0 when both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one comparison over the labelled listings."""

    pairwise: Rates
    b_cubed: Rates
    labelled: int
    missing: int
    unlabelled: int
    true_pairs: int
    found_pairs: int
    right_pairs: int
    splits: int
    merges: int
    largest: int

    @property
    def pairs_a_listing(self) -> float:
        """Return how many found pairs there are for each labelled listing."""
        return self.found_pairs / self.labelled if self.labelled else 0.0


def evaluate(found: Mapping[str, str], gold: Mapping[str, str]) -> Evaluation:
    """Compare clusters over the listings of `gold`; one that was not clustered stands alone."""
    predicted = {listing: _cluster_of(listing, found) for listing in gold}
    together = Counter((predicted[listing], gold[listing]) for listing in gold)
    by_found, by_gold = Counter(predicted.values()), Counter(gold.values())
    right, guessed, true = _pairs(together), _pairs(by_found), _pairs(by_gold)
    return Evaluation(
        pairwise=Rates(_share(right, guessed), _share(right, true)),
        b_cubed=_b_cubed(together, by_found, by_gold),
        labelled=len(gold),
        missing=sum(listing not in found for listing in gold),
        unlabelled=sum(listing not in gold for listing in found),
        true_pairs=true,
        found_pairs=guessed,
        right_pairs=right,
        splits=len(together) - len(by_found),
        merges=len(together) - len(by_gold),
        largest=max(by_found.values(), default=0),
    )


def cross_source(
    found: Mapping[str, str], gold: Mapping[str, str], sources: Mapping[str, str]
) -> Rates:
    """Return the pairwise rates over pairs of listings from different sources.

    A listing without a source counts as a source of its own.
    """
    rows = [(_cluster_of(x, found), gold[x], sources.get(x) or f"the source of {x}") for x in gold]

    def crossing(*columns: int) -> int:
        groups = Counter(tuple(row[i] for i in columns) for row in rows)
        same = Counter(tuple(row[i] for i in (*columns, 2)) for row in rows)
        return _pairs(groups) - _pairs(same)

    right = crossing(0, 1)
    return Rates(_share(right, crossing(0)), _share(right, crossing(1)))


def _cluster_of(listing: str, found: Mapping[str, str]) -> Cluster:
    return ("found", found[listing]) if listing in found else ("missing", listing)


def _pairs(counts: Counter[Any]) -> int:
    return sum(n * (n - 1) // 2 for n in counts.values())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _b_cubed(
    together: Counter[tuple[Cluster, str]], by_found: Counter[Cluster], by_gold: Counter[str]
) -> Rates:
    total = sum(by_gold.values()) or 1
    precision = sum(n * n / by_found[mine] for (mine, _), n in together.items()) / total
    recall = sum(n * n / by_gold[true] for (_, true), n in together.items()) / total
    return Rates(precision, recall)
