"""Previews: what differs between two configs is what two separate runs give."""

from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from matcher.test_people_decide import SAME, cannot, listing, must

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocked import silent
from matcher_service.engine.constraints import Constraint
from matcher_service.engine.evaluation import cross_source, evaluate
from matcher_service.engine.pipeline import Result, deduplicate
from matcher_service.engine.preview import Comparison, comparison, run_of

ORGAN = [
    listing("a", "Orgelabend in Sankt Peter"),
    listing("b", "Orgelabend in Sankt Peter") | {"source_code": "portal"},
    listing("c", "Orgelabend") | {"source_code": "portal"},
    listing("d", "Weinprobe"),
    listing("e", "Weinprobe mit Orgel") | {"source_code": "portal"},
]
GOLD = {"a": "1", "b": "1", "c": "1", "d": "2", "e": "2"}


def config(high: float = 0.75, **more: Any) -> MatchingConfig:
    return MatchingConfig.model_validate({"thresholds": {"high": high}, **more})


def compared(
    before: MatchingConfig,
    after: MatchingConfig,
    raw: list[dict[str, Any]] = ORGAN,
    gold: dict[str, str] | None = None,
    people: list[Constraint] | None = None,
    examples: int = 100,
) -> Comparison:
    runs = [run_of(raw, one, silent, constraints=people or []) for one in (before, after)]
    return comparison(*runs, gold or {}, examples)


def alone(one: MatchingConfig, raw: list[dict[str, Any]] = ORGAN) -> Result:
    return deduplicate(raw, one, 0.0, silent)


def decisions(result: Result) -> dict[tuple[str, str], str]:
    return {(one.listing_a, one.listing_b): one.decision for one in result.decisions}


def together(result: Result) -> set[tuple[str, str]]:
    return {pair for event in result.events for pair in combinations(sorted(event.listing_ids), 2)}


def test_the_same_config_changes_nothing() -> None:
    found = compared(config(), config(), gold=GOLD)
    assert found.decisions == {}
    assert (found.flips, found.regroupings, found.joined, found.parted) == ((), (), 0, 0)
    assert found.against_before == found.against_after


@settings(max_examples=25)
@given(st.floats(0.4, 0.95), st.floats(0.4, 0.95), st.floats(0.0, 0.6))
def test_flips_and_groups_are_those_of_two_separate_runs(
    one: float, two: float, veto: float
) -> None:
    before, after = config(one), config(two, scoring={"title": 0.1 + veto})
    found = compared(before, after)
    old, new = decisions(alone(before)), decisions(alone(after))
    pairs = {
        pair: (old.get(pair, "no_match"), new.get(pair, "no_match")) for pair in old.keys() | new
    }
    wanted = {pair: kinds for pair, kinds in pairs.items() if kinds[0] != kinds[1]}
    assert {one.pair for one in found.flips} == set(wanted)
    assert sum(found.decisions.values()) == len(wanted)
    for flip in found.flips:
        assert flip.before
        assert flip.after
        assert (flip.before.decision, flip.after.decision) == wanted[flip.pair]
    was, now = together(alone(before)), together(alone(after))
    assert (found.joined, found.parted) == (len(now - was), len(was - now))
    for flip in found.flips:
        assert (flip.together_before, flip.together_after) == (flip.pair in was, flip.pair in now)


def test_regrouped_listings_are_whole_events_on_both_sides() -> None:
    found = compared(config(), config(0.999))
    assert found.regroupings[0].before == (("a", "b", "c"),)
    assert found.regroupings[0].after in {(("a", "b"), ("c",)), (("a",), ("b",), ("c",))}
    assert found.regrouped == len(found.regroupings)


def test_figures_are_those_of_two_separate_runs() -> None:
    before, after = config(), config(0.999)
    found = compared(before, after, gold=GOLD)
    for side, one in ((found.against_before, before), (found.against_after, after)):
        events = {name: event.id for event in alone(one).events for name in event.listing_ids}
        sources = {row["id"]: row["source_code"] for row in ORGAN}
        assert side is not None
        assert side.whole == evaluate(events, GOLD)
        assert side.cross == cross_source(events, GOLD, sources)
    labelled = {flip.pair: flip.same for flip in found.flips}
    assert labelled
    assert all(same == (GOLD[a] == GOLD[b]) for (a, b), same in labelled.items())


def test_without_labels_there_are_no_figures() -> None:
    found = compared(config(), config(0.999))
    assert found.against_before is found.against_after is None
    assert {flip.same for flip in found.flips} == {None}


def test_examples_are_cut_and_counts_are_not() -> None:
    whole = compared(config(), config(0.999))
    cut = compared(config(), config(0.999), examples=1)
    assert len(whole.flips) > 1
    assert cut.flips == whole.flips[:1]
    assert (cut.decisions, cut.regrouped) == (whole.decisions, whole.regrouped)


def test_changed_matches_come_before_other_flips() -> None:
    found = compared(config(), config(0.95, blocking={"use_city": False}))
    ranks = [
        "match" in {f.before and f.before.decision, f.after and f.after.decision}
        for f in found.flips
    ]
    assert True in ranks
    assert ranks == sorted(ranks, reverse=True)


def test_a_pair_that_is_compared_on_one_side_alone_has_one_verdict() -> None:
    raw = [listing("a", "Orgelabend"), listing("b", "Weinprobe")]
    found = compared(config(), config(blocking={"use_city": False}), raw)
    (flip,) = found.flips
    assert flip.before
    assert flip.after is None


def test_people_s_decisions_hold_and_new_contradictions_are_told() -> None:
    people = [cannot("a", "b")]
    found = compared(config(0.99), config(0.5), SAME, people=people)
    assert found.joined == 0
    raw = [listing("a", "Orgelabend in Sankt Peter"), listing("b", "Orgelabend")]
    found = compared(config(0.99), config(0.5), raw, people=people)
    (one,) = found.disagreements
    assert (one.before, one.after, one.is_new) == ("ambiguous", "match", True)
    found = compared(config(0.5), config(0.5), raw, people=people)
    (one,) = found.disagreements
    assert not one.is_new
    assert compared(config(0.99), config(0.5), raw, people=[must("a", "b")]).disagreements == ()


def test_listings_that_cannot_be_read_stand_in_no_flip() -> None:
    raw = [*SAME, {"id": "x"}]
    found = compared(config(), config(0.9999999), raw)
    assert all("x" not in flip.pair for flip in found.flips)


def test_no_listings_are_no_change() -> None:
    found = compared(config(), config(0.9), [])
    assert (found.decisions, found.flips, found.regroupings) == ({}, (), ())
