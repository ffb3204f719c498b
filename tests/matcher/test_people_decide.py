"""People's decisions in whole batches: they outrank scores and the language model."""

from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.constraints import Constraint, Key, Kind
from matcher_service.engine.judgement import Judgement
from matcher_service.engine.pipeline import Result, decided, deduplicate, finished

CONFIG = MatchingConfig()
ASKING = MatchingConfig.model_validate({"ai": {"enabled": True}})


def listing(name: str, title: str, city: str = "Lahr", day: str = "2027-02-06") -> dict[str, Any]:
    return {
        "id": name,
        "title": title,
        "source_code": "blatt",
        "location": {"city": city},
        "event_dates": [{"date": day, "start_time": "19:00"}],
    }


def must(a: str, b: str, reviewer: str = "", reason: str = "") -> Constraint:
    return Constraint(Key("blatt", a), Key("blatt", b), Kind.MUST_LINK, reviewer, reason)


def cannot(a: str, b: str) -> Constraint:
    return Constraint(Key("blatt", a), Key("blatt", b), Kind.CANNOT_LINK)


def run(raw: list[dict[str, Any]], constraints: list[Constraint], floor: float = 0.65) -> Result:
    return deduplicate(raw, CONFIG, floor, lambda *_: None, constraints=constraints)


def groups(result: Result) -> set[tuple[str, ...]]:
    return {tuple(event.listing_ids) for event in result.events}


SAME = [listing("a", "Orgelabend"), listing("b", "Orgelabend")]
FAR = [listing("a", "Orgelabend"), listing("b", "Weinprobe", "Kiel", "2028-01-09")]


def test_listings_that_share_nothing_are_one_event_when_a_person_says_so() -> None:
    assert groups(run(FAR, [])) == {("a",), ("b",)}
    found = run(FAR, [must("b", "a", "Redaktion", "moved twice")])
    assert groups(found) == {("a", "b")}
    (decision,) = found.decisions
    assert (decision.decision, decision.reason, decision.tier) == ("match", "must_link", "person")
    assert (decision.reviewer, decision.reviewer_reason) == ("Redaktion", "moved twice")
    assert decision.combined < 0.65
    assert found.counts["constraints_obeyed"] == found.counts["matches"] == 1


def test_equal_listings_are_two_events_when_a_person_says_so() -> None:
    assert groups(run(SAME, [])) == {("a", "b")}
    found = run(SAME, [cannot("a", "b")])
    assert groups(found) == {("a",), ("b",)}
    (decision,) = found.decisions
    assert (decision.decision, decision.reason) == ("no_match", "cannot_link")
    assert decision.combined >= 0.65


def test_a_cannot_link_holds_over_a_third_listing_that_matches_both() -> None:
    found = run([*SAME, listing("c", "Orgelabend")], [cannot("a", "b")])
    assert all(not {"a", "b"} <= set(group) for group in groups(found))
    assert {len(group) for group in groups(found)} == {1, 2}


def test_a_group_made_by_a_person_stays_apart_from_what_one_of_its_members_is_not() -> None:
    raw = [*SAME, listing("c", "Weinprobe", "Kiel", "2028-01-09")]
    found = run(raw, [must("b", "c"), cannot("a", "c")])
    assert groups(found) == {("a",), ("b", "c")}


def test_a_group_made_by_a_person_is_joined_by_what_is_like_all_of_it() -> None:
    raw = [*SAME, listing("c", "Orgelabend", day="2027-02-06"), listing("d", "Orgelabend")]
    assert groups(run(raw, [must("a", "d")])) == {("a", "b", "c", "d")}


def test_the_language_model_is_neither_asked_nor_heard_about_what_a_person_decided() -> None:
    batch = decided(SAME, ASKING, 0.0, lambda *_: None, constraints=[cannot("a", "b")])
    assert batch.ambiguous(0.0, 1.0) == []
    judgements = {("a", "b"): Judgement("same", 1.0)}
    found = finished(batch, judgements, ASKING, 0.0, lambda *_: None)
    assert groups(found) == {("a",), ("b",)}
    assert found.decisions[0].tier == "person"


def test_what_cannot_be_obeyed_is_counted() -> None:
    raw = [*SAME, listing("c", "Weinprobe")]
    chain = [must("a", "c"), must("c", "b"), cannot("a", "b"), must("a", "gone")]
    found = run(raw, chain)
    assert groups(found) == {("a",), ("b",), ("c",)}
    assert set(found.contradictory) == set(chain[:3])
    assert found.counts["constraints_contradictory"] == 3
    assert found.counts["constraints_absent"] == 1


NAMES = "abcdefg"
TITLES = st.sampled_from(["Orgelabend", "Orgelabend Lahr", "Weinprobe", "Abend am See"])
CITIES = st.sampled_from(["Lahr", "Kiel"])
BATCHES = st.tuples(*(st.tuples(TITLES, CITIES) for _ in NAMES))
PAIRS = st.sampled_from(list(combinations(NAMES, 2)))
DECISIONS = st.lists(
    st.builds(lambda pair, make: make(*pair), PAIRS, st.sampled_from([must, cannot]))
)


@settings(max_examples=60)
@given(BATCHES, DECISIONS, st.randoms(use_true_random=False))
def test_every_obeyed_constraint_holds_in_any_order(rows: Any, made: Any, order: Any) -> None:
    raw = [listing(name, *row) for name, row in zip(NAMES, rows, strict=True)]
    found = run(raw, made)
    together = {pair for group in groups(found) for pair in combinations(group, 2)}
    for one in made:
        pair = (one.listing_a.id, one.listing_b.id)
        if one.kind is Kind.CANNOT_LINK:
            assert pair not in together
        elif one not in found.contradictory:
            assert pair in together
    shuffled = list(made)
    order.shuffle(shuffled)
    assert run(raw, shuffled) == found


@settings(max_examples=30)
@given(BATCHES)
def test_constraints_on_absent_listings_change_no_result(rows: Any) -> None:
    raw = [listing(name, *row) for name, row in zip(NAMES, rows, strict=True)]
    plain, other = run(raw, []), run(raw, [must("x", "y"), cannot("a", "z")])
    assert (plain.events, plain.decisions) == (other.events, other.decisions)
    assert plain.counts | {"constraints_absent": 2} == other.counts
