"""Decisions: weights, category overrides, bounds and the veto."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model.matching_config import (
    CategoryWeight,
    CategoryWeights,
    MatchingConfig,
    Scoring,
    Thresholds,
)
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import table_of
from matcher_service.engine.decide import (
    REASONS,
    PairDecision,
    decide,
    reasons,
    reported,
    shifted,
)
from matcher_service.engine.records import read
from matcher_service.engine.scoring import Signals


def decided(
    scores: tuple[float, float, float, float],
    config: MatchingConfig | None = None,
    categories: tuple[list[str], list[str]] = ([], []),
    floor: float = 0.0,
) -> tuple[PairDecision, ...]:
    config = config or MatchingConfig()
    raw: list[dict[str, Any]] = [
        {"id": name, "title": "x", "categories": found}
        for name, found in zip("ab", categories, strict=True)
    ]
    table = table_of(read(raw, config).listings, config, lambda _: None)
    pairs = Pairs(np.array([0]), np.array([1]))
    signals = Signals(*(np.array([value]) for value in scores))
    return reported(table.ids, pairs, signals, decide(table, pairs, signals, config), floor)


@pytest.mark.parametrize(
    ("combined", "title", "reason"),
    [
        (0.75, 0.45, "above_high"),
        (0.75, 0.4499, "title_veto"),
        (0.7499, 1.0, "between"),
        (0.3501, 0.0, "between"),
        (0.35, 1.0, "below_low"),
        (0.0, 0.0, "below_low"),
    ],
)
def test_the_bounds_belong_to_the_verdict_beyond_them(
    combined: float, title: float, reason: str
) -> None:
    found = reasons(np.array([combined]), np.array([title]), Thresholds())
    assert REASONS[found[0]] == reason


def test_a_veto_of_0_is_off() -> None:
    found = reasons(np.array([0.9]), np.array([0.0]), Thresholds(title_veto=0.0))
    assert REASONS[found[0]] == "above_high"


@pytest.mark.parametrize("scores", [(0.0, 0.5, 0.5, 0.5), (0.1, 0.5, 0.4, 0.5)])
def test_a_tie_does_not_depend_on_float_noise(scores: tuple[float, float, float, float]) -> None:
    assert decided(scores)[0].combined == 0.35
    assert decided(scores)[0].reason == "below_low"


ODDS = Scoring(same_source_odds=0.5, other_source_odds=2.0, other_city_odds=0.1)


@pytest.mark.parametrize(
    ("sources", "cities", "expected"),
    [
        (("a", "a"), ("Lahr", "Lahr"), 0.6),
        (("a", "b"), ("Lahr", "Lahr"), 6 / 7),
        (("a", "b"), ("Lahr", "Kehl"), 3 / 8),
        (("a", "b"), ("Lahr", None), 6 / 7),
        (("a", None), ("Lahr", "Lahr"), 0.75),
    ],
)
def test_the_odds_of_a_pair_depend_on_its_sources_and_cities(
    sources: tuple[str, str | None], cities: tuple[str, str | None], expected: float
) -> None:
    config = MatchingConfig(scoring=ODDS)
    raw: list[dict[str, Any]] = [
        {"id": name, "title": "x", "source_code": source, "location": {"city": city}}
        for name, source, city in zip("12", sources, cities, strict=True)
    ]
    raw += [
        {"id": "3", "title": "x", "source_code": "a"},
        {"id": "4", "title": "x", "source_code": "c"},
    ]
    table = table_of(read(raw, config).listings, config, lambda _: None)
    pairs = Pairs(np.array([0]), np.array([1]))
    signals = Signals(*[np.array([0.75])] * 4)
    assert decide(table, pairs, signals, config).combined[0] == pytest.approx(expected)


def test_a_batch_of_one_source_has_no_odds_of_sources() -> None:
    config = MatchingConfig(scoring=ODDS)
    raw = [{"id": name, "title": "x", "source_code": "a"} for name in "12"]
    table = table_of(read(raw, config).listings, config, lambda _: None)
    signals = Signals(*[np.array([0.75])] * 4)
    pairs = Pairs(np.array([0]), np.array([1]))
    assert decide(table, pairs, signals, config).combined[0] == 0.75


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 10))
def test_odds_keep_the_order_and_the_ends_of_scores(one: float, two: float, odds: float) -> None:
    low, high = shifted(np.array([min(one, two), max(one, two)]), np.full(2, odds))
    assert 0.0 <= low <= high <= 1.0
    assert list(shifted(np.array([0.0, 1.0]), np.full(2, odds))) == [0.0, 1.0]


def test_weights_are_divided_by_their_sum() -> None:
    doubled = MatchingConfig(scoring=Scoring(date=0.6, geo=0.5, title=0.6, description=0.3))
    scores = (0.9, 0.2, 0.7, 0.4)
    assert decided(scores)[0].combined == decided(scores, doubled)[0].combined


def test_the_first_category_of_the_priority_that_both_carry_decides() -> None:
    both = ["Versammlung", "Fasnacht"]
    assert decided((1, 0, 0, 0), categories=(both, both))[0].category == "fasnacht"
    assert decided((1, 0, 0, 0), categories=(both, both[:1]))[0].category == "versammlung"
    assert decided((1, 0, 0, 0), categories=(both[1:], both[:1]))[0].category == ""


def test_a_category_is_known_by_its_synonyms() -> None:
    found = decided((0, 0, 1, 0), categories=(["Karneval"], ["FASCHING"]))[0]
    assert (found.category, found.combined) == ("fasnacht", 0.25)


def test_a_priority_without_an_override_is_passed_over() -> None:
    weights = CategoryWeights(
        priority=["markt", "musik"], overrides={"musik": CategoryWeight(title=1.0)}
    )
    config = MatchingConfig(category_weights=weights)
    both = ["Markt", "Musik"]
    found = decided((0, 0, 1, 0), config, (both, both))[0]
    assert found.category == "musik"
    assert found.combined == pytest.approx(1 / 1.7)


def test_decisions_below_the_floor_are_left_out() -> None:
    assert decided((1, 1, 1, 1), floor=1.0)
    assert not decided((1, 1, 1, 0.9), floor=1.0)
