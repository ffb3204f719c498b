"""The settings that a batch's summary names to explain its results."""

import json
from pathlib import Path

import pytest

from dedup_cli.reading import Record, read_files
from dedup_model.matching_config import MatchingConfig
from matcher_service import convert
from matcher_service.engine.pipeline import deduplicate

EXAMPLES = Path(__file__).parents[2] / "examples" / "listings"
DEFAULT = MatchingConfig()


def odds(one_source, rules):
    """Return what the odds of a pair may be multiplied by, in one city and in two."""
    by_source = rules.same_source_odds if one_source else rules.other_source_odds
    return by_source, by_source * rules.other_city_odds


def test_weights_and_thresholds_explain_every_decision():
    records = read_files(sorted(EXAMPLES.iterdir()))
    raw = convert.raw_listings([one.listing for one in records if isinstance(one, Record)])
    result = deduplicate(raw, DEFAULT, 0.0, lambda *_: None)
    rules = convert.rules(DEFAULT)
    sources = {one["id"]: one["source_code"] for one in raw if "id" in one}
    weights = {one.category: one for one in rules.weights}
    assert {one.category for one in result.decisions} == set(weights)
    for pair in result.decisions:
        signals = (pair.date, pair.geo, pair.title, pair.description)
        own = weights[pair.category]
        shares = (own.date, own.geo, own.title, own.description)
        mean = sum(a * b for a, b in zip(signals, shares, strict=True)) / sum(shares)
        factors = odds(sources[pair.listing_a] == sources[pair.listing_b], rules)
        found = [mean * odd / (1 - mean + mean * odd) for odd in factors]
        assert pytest.approx(pair.combined, abs=1e-8) in found
        assert (pair.decision == "no_match") == (pair.combined <= rules.low)
        assert (pair.reason == "above_high") == (
            pair.combined >= rules.high and pair.title >= rules.title_veto
        )


def test_categories_stand_in_the_order_in_which_they_are_tried():
    document = DEFAULT.model_dump(mode="json")
    document["category_weights"] = {
        "priority": ["umzug", "fasnacht", "leer"],
        "overrides": {"fasnacht": {"title": 0.9}, "umzug": {}, "never": {"date": 1.0}},
    }
    rules = convert.rules(MatchingConfig.model_validate(document))
    assert [one.category for one in rules.weights] == ["", "umzug", "fasnacht"]
    assert [one.title for one in rules.weights] == [0.3, 0.3, 0.9]
    assert rules.weights[2].date == rules.weights[0].date == 0.3


def test_the_defaults_differ_in_nothing_and_a_changed_setting_is_named_with_both_values():
    assert not convert.rules(DEFAULT).changed
    changed = MatchingConfig.model_validate({"thresholds": {"high": 0.8}})
    told = convert.rules(changed).changed
    assert [(one.path, one.value, one.default_value) for one in told] == [
        ("thresholds.high", "0.8", "0.75")
    ]


def test_a_long_value_is_cut():
    priority = [f"kategorie_{at}" for at in range(90)]
    config = MatchingConfig.model_validate({"category_weights": {"priority": priority}})
    (told,) = convert.rules(config).changed
    assert len(told.value) == 201
    assert told.value.startswith('["kategorie_0",')
    assert json.loads(told.default_value) == DEFAULT.category_weights.priority
