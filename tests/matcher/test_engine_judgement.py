"""Judgements from outside the scores: what they do to decisions and groups."""

import itertools
from typing import Any

import pytest

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.judgement import Judgement, Judgements
from matcher_service.engine.pipeline import Result, decided, finished

CONFIG = MatchingConfig.model_validate(
    {"thresholds": {"high": 0.99, "low": 0.0, "title_veto": 0.0}, "ai": {"enabled": True}}
)
SAME, DIFFERENT = Judgement("same", 0.9), Judgement("different", 0.9)


def listing(name: str, title: str) -> dict[str, Any]:
    dates = [{"date": "2026-07-04", "start_time": "19:00"}]
    location = {"city": "Emmendingen", "name": "Park"}
    return {"id": name, "title": title, "event_dates": dates, "location": location}


THREE = [listing("a", "Sommerfest"), listing("b", "Seefest mit Musik"), listing("c", "Konzert")]


def judged(judgements: Judgements, listings: Any = THREE) -> Result:
    batch = decided(listings, CONFIG, 0.0, lambda *_: None)
    return finished(batch, judgements, CONFIG, 0.0, lambda *_: None)


def groups(result: Result) -> set[tuple[str, ...]]:
    return {tuple(event.listing_ids) for event in result.events}


def test_three_pairs_judged_the_same_are_one_event():
    result = judged({("a", "b"): SAME, ("a", "c"): SAME, ("b", "c"): SAME})
    assert groups(result) == {("a", "b", "c")}
    assert result.counts["matches"] == 3


@pytest.mark.parametrize("listings", list(itertools.permutations(THREE)))
def test_no_event_holds_a_pair_that_was_judged_different(listings: Any):
    result = judged({("a", "b"): SAME, ("b", "c"): SAME, ("a", "c"): DIFFERENT}, listings)
    assert not [group for group in groups(result) if {"a", "c"} <= set(group)]
    assert result == judged({("b", "c"): SAME, ("a", "c"): DIFFERENT, ("a", "b"): SAME})


def test_another_outcome_changes_no_verdict_and_is_told():
    result = judged({("a", "b"): Judgement("timeout")})
    told = {(one.listing_a, one.listing_b): one for one in result.decisions}
    assert told["a", "b"].decision == "ambiguous"
    assert (told["a", "b"].tier, told["a", "b"].ai_outcome) == ("ai", "timeout")
    assert told["b", "c"].tier == "deterministic"


def test_a_judgement_of_a_pair_that_is_no_candidate_is_not_heard():
    far = listing("z", "Sommerfest")
    far["event_dates"] = [{"date": "2027-01-09"}]
    far["location"] = {"city": "Hamburg"}
    result = judged({("a", "z"): SAME}, [*THREE, far])
    assert ("z",) in groups(result)


def test_of_equal_listings_two_that_were_judged_different_stay_apart():
    same = [listing(name, "Sommerfest") for name in "abc"]
    config = CONFIG.model_copy(update={"thresholds": MatchingConfig().thresholds})
    batch = decided(same, config, 0.0, lambda *_: None)
    found = finished(batch, {("b", "c"): DIFFERENT}, config, 0.0, lambda *_: None)
    assert groups(found) == {("a", "b"), ("c",)}
