"""Clusters: they follow the matches and never hold a pair that was told apart."""

import random
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedup_model.matching_config import Thresholds
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.cluster import Cluster, clusters
from matcher_service.engine.decide import BELOW_LOW, Verdicts, reasons

LIMITS = Thresholds()


def grouped(size: int, scores: dict[tuple[int, int], float], vetoed: float = 1.0) -> list[Cluster]:
    ordered = sorted(scores)
    left = np.array([a for a, _ in ordered], np.int64)
    right = np.array([b for _, b in ordered], np.int64)
    combined = np.array([scores[pair] for pair in ordered], np.float64)
    reason = reasons(combined, np.full(len(ordered), vetoed), LIMITS)
    verdicts = Verdicts(combined, reason, np.zeros(len(ordered), np.int64), ("",))
    return clusters(size, Pairs(left, right), verdicts, LIMITS, lambda *_: None)


def rows(found: list[Cluster]) -> list[tuple[int, ...]]:
    return [cluster.rows for cluster in found]


def test_listings_without_a_match_stay_alone() -> None:
    found = grouped(3, {(0, 1): 0.6})
    assert rows(found) == [(0,), (1,), (2,)]
    assert found[0].match_confidence is None


def test_a_match_joins_two() -> None:
    found = grouped(3, {(0, 2): 0.8, (0, 1): 0.2})
    assert rows(found) == [(0, 2), (1,)]
    assert found[0].match_confidence == 0.8


def test_a_pair_told_apart_keeps_a_chain_apart() -> None:
    assert rows(grouped(3, {(0, 1): 0.9, (1, 2): 0.8, (0, 2): 0.2})) == [(0, 1), (2,)]


def test_an_ambiguous_pair_joins_when_the_mean_holds() -> None:
    found = grouped(3, {(0, 1): 0.95, (1, 2): 0.9, (0, 2): 0.7})
    assert rows(found) == [(0, 1, 2)]
    assert found[0].match_confidence == 0.925
    assert found[0].internal_similarity == 0.85


def test_a_pair_that_was_not_compared_is_weak_evidence_against() -> None:
    assert rows(grouped(3, {(0, 1): 0.95, (1, 2): 0.89})) == [(0, 1), (2,)]


def test_ties_go_to_the_smaller_rows() -> None:
    assert rows(grouped(3, {(0, 1): 0.9, (1, 2): 0.9, (0, 2): 0.1})) == [(0, 1), (2,)]


def test_a_vetoed_pair_alone_joins_nothing() -> None:
    assert rows(grouped(2, {(0, 1): 0.95}, vetoed=0.1)) == [(0,), (1,)]


SCORES = st.integers(2, 9).flatmap(
    lambda size: st.dictionaries(
        st.sampled_from(list(combinations(range(size), 2))),
        st.sampled_from([0.1, 0.35, 0.5, 0.74, 0.75, 0.8, 0.9, 1.0]),
    ).map(lambda scores: (size, scores))
)


@given(SCORES)
def test_clusters_part_the_rows_and_never_join_a_no_match(
    case: tuple[int, dict[tuple[int, int], float]],
) -> None:
    size, scores = case
    found = rows(grouped(size, scores))
    assert sorted(row for group in found for row in group) == list(range(size))
    for group in found:
        for pair in combinations(group, 2):
            assert scores.get(pair, 1.0) > LIMITS.low
        assert len(group) == 1 or any(scores.get(p, 0) >= 0.75 for p in combinations(group, 2))


@given(SCORES, st.randoms(use_true_random=False))
def test_clusters_do_not_depend_on_the_order_of_pairs(
    case: tuple[int, dict[tuple[int, int], float]], order: random.Random
) -> None:
    size, scores = case
    shuffled = list(scores)
    order.shuffle(shuffled)
    left = np.array([a for a, _ in shuffled], np.int64)
    right = np.array([b for _, b in shuffled], np.int64)
    combined = np.array([scores[pair] for pair in shuffled], np.float64)
    reason = reasons(combined, np.ones(len(shuffled)), LIMITS)
    verdicts = Verdicts(combined, reason, np.zeros(len(shuffled), np.int64), ("",))
    found = clusters(size, Pairs(left, right), verdicts, LIMITS, lambda *_: None)
    assert found == grouped(size, scores)
    assert (reason == BELOW_LOW).sum() == sum(value <= LIMITS.low for value in scores.values())
