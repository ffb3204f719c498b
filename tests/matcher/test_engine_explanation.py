"""Explanations: every figure of a verdict adds up, and an event falls apart where it is weakest."""

from typing import Any

import pytest
from matcher.test_people_decide import CONFIG, FAR, SAME, cannot, listing, must

from dedup_model.errors import LimitExceeded
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine import cluster_explanation
from matcher_service.engine.blocked import blocked, silent
from matcher_service.engine.cluster_explanation import ClusterExplanation, explained_cluster
from matcher_service.engine.constraints import Constraint
from matcher_service.engine.explanation import PairExplanation, explained_pair
from matcher_service.engine.pipeline import decided_pairs, finished

AI = MatchingConfig.model_validate({"ai": {"enabled": True, "min_combined_score": 0.5}})


def pair_of(
    raw: list[dict[str, Any]],
    constraints: list[Constraint] | None = None,
    config: MatchingConfig = CONFIG,
    names: tuple[str, str] = ("a", "b"),
) -> PairExplanation:
    batch = blocked(raw, config, silent, constraints or [])
    result = finished(decided_pairs(batch, 0.0, silent), {}, config, 0.0, silent)
    return explained_pair(batch, result.events, names)


def cluster_of(
    raw: list[dict[str, Any]], name: str, constraints: list[Constraint] | None = None
) -> ClusterExplanation:
    batch = blocked(raw, CONFIG, silent, constraints or [])
    low = CONFIG.thresholds.low
    result = finished(decided_pairs(batch, low, silent), {}, CONFIG, low, silent)
    return explained_cluster(batch, result.events, result.decisions, name)


def test_the_mean_and_its_odds_are_the_combined_score() -> None:
    other = listing("b", "Orgelabend in der Kirche", "Lahr") | {"source_code": "portal"}
    found = pair_of([listing("a", "Orgelabend"), other, listing("c", "Weinfest")])
    assert [one.signal for one in found.signals] == ["date", "geo", "title", "description"]
    assert sum(one.share for one in found.signals) == pytest.approx(1)
    assert found.mean == pytest.approx(sum(one.score * one.share for one in found.signals))
    assert found.odds == CONFIG.scoring.other_source_odds != 1
    odds = found.mean / (1 - found.mean) * found.odds
    assert found.decision.combined == pytest.approx(odds / (1 + odds))


def test_what_was_compared_is_shown_after_normalisation() -> None:
    date, place, title, text = pair_of(
        [
            listing("a", "ORGELABEND!") | {"description": "Große Musik"},
            listing("b", "Orgelabend"),
        ]
    ).signals
    assert (date.text_a, date.text_b) == ("2027-02-06 19:00", "2027-02-06 19:00")
    assert (place.text_a, place.text_b) == ("lahr", "lahr")
    assert (title.text_a, title.text_b) == ("orgelabend", "orgelabend")
    assert (text.text_a, text.text_b) == ("grosse musik", "")


def test_shared_keys_are_named_by_kind() -> None:
    assert pair_of(SAME).keys == ("city", "title")
    assert pair_of(FAR).keys == ()
    without = MatchingConfig.model_validate({"blocking": {"use_city": False}})
    assert pair_of(SAME, config=without).keys == ("title",)


def test_a_pair_says_whether_it_is_one_event_and_whether_the_model_is_asked() -> None:
    assert pair_of(SAME).together
    assert not pair_of(FAR).together
    unsure = [listing("a", "Orgelabend"), listing("b", "Weinprobe")]
    found = pair_of(unsure, config=AI)
    assert found.decision.decision == "ambiguous"
    assert found.is_asked
    assert not pair_of(unsure).is_asked
    assert not pair_of(SAME, config=AI).is_asked


def test_a_person_outranks_the_scores_which_are_told_beside() -> None:
    found = pair_of(FAR, [must("a", "b", "Redaktion", "moved twice")])
    assert found.together
    assert (found.decision.reason, found.decision.tier) == ("must_link", "person")
    assert found.decision.reviewer == "Redaktion"
    assert (found.scores_alone.decision, found.scores_alone.tier) == ("no_match", "deterministic")
    parted = pair_of(SAME, [cannot("a", "b")])
    assert not parted.together
    assert (parted.decision.decision, parted.scores_alone.decision) == ("no_match", "match")


def test_a_chain_of_must_links_joins_a_pair_that_nobody_decided() -> None:
    third = listing("c", "Kirmes", "Bonn", "2029-05-05")
    found = pair_of([*FAR, third], [must("a", "c"), must("c", "b")])
    assert found.together
    assert found.decision.decision == "no_match"


CHAIN = [
    listing("a", "Orgelabend in Sankt Peter"),
    listing("b", "Orgelabend in Sankt Peter"),
    listing("c", "Orgelabend"),
    listing("d", "Weinprobe"),
]


def test_an_event_falls_apart_at_its_weakest_link() -> None:
    found = cluster_of(CHAIN, "b")
    assert tuple(found.event.listing_ids) == ("a", "b", "c")
    assert found.split is not None
    assert (found.split.part_a, found.split.part_b) == (("a", "b"), ("c",))
    crossing = [pair_of(CHAIN, names=pair).decision.combined for pair in (("a", "c"), ("b", "c"))]
    assert found.split.mean == pytest.approx(sum(crossing) / 2)
    assert (found.split.compared, found.split.matches, found.split.must_links) == (2, 2, 0)
    assert found.split.strongest.combined == max(crossing)


def test_each_member_has_its_likest_partner_and_its_mean() -> None:
    members = {one.listing_id: one for one in cluster_of(CHAIN, "a").members}
    assert (members["a"].likest.listing_a, members["a"].likest.listing_b) == ("a", "b")
    between = [pair_of(CHAIN, names=pair).decision.combined for pair in (("a", "b"), ("a", "c"))]
    assert members["a"].mean == pytest.approx(sum(between) / 2)


def test_a_must_link_holds_its_pair_together_in_the_split() -> None:
    found = cluster_of(CHAIN, "a", [must("a", "c")])
    assert found.split is not None
    assert (found.split.part_a, found.split.part_b) == (("a", "c"), ("b",))
    pair = cluster_of(FAR, "a", [must("a", "b")]).split
    assert pair is not None
    assert (pair.mean, pair.must_links, pair.matches) == (1.0, 1, 1)


def test_a_single_listing_has_its_nearest_ones_alone() -> None:
    found = cluster_of([listing("a", "Orgelabend"), listing("b", "Weinprobe")], "a")
    assert found.members == ()
    assert found.split is None
    assert [(one.listing_a, one.listing_b) for one in found.nearest] == [("a", "b")]
    assert cluster_of(FAR, "a").nearest == ()


def test_a_very_large_event_is_refused() -> None:
    size = cluster_explanation.MAX_MEMBERS + 1
    with pytest.raises(LimitExceeded):
        cluster_of([listing(f"l{n:04}", "Orgelabend") for n in range(size)], "l0000")
