"""Whole batches: one sentence from listings to events, whatever the order and the hash seed."""

import json
import random
from dataclasses import asdict
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup_model.errors import LimitExceeded
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.pipeline import ENGINE_VERSION, Result, decided, deduplicate

CONFIG = MatchingConfig()


def listing(name: str, title: str, **more: Any) -> dict[str, Any]:
    place = {"name": "Stadthalle", "city": "Lahr"}
    dates = [{"date": "2027-02-06", "start_time": "14:00"}]
    return {"id": name, "title": title, "event_dates": dates, "location": place} | more


BATCH = [
    listing("p1", "Fasnetsumzug der Zünfte", source_code="blatt"),
    listing("p2", "Großer Fasnachtsumzug der Zünfte", source_code="portal"),
    listing("p3", "Töpfern für Kinder"),
    listing("p4", "Orgelabend", location={"name": "Stiftskirche", "city": "Lahr"}),
    listing("p5", "ABGESAGT: Orgelabend", location={"name": "Stiftskirche", "city": "77933 Lahr"}),
    listing("p6", ""),
    listing("p7", "Weinprobe", event_dates=[{"date": "2027-02-06", "start_time": "18.30"}]),
    listing("p7", "Weinprobe", event_dates=[{"date": "2027-02-06", "start_time": "18.30"}]),
]


def run(raw: list[dict[str, Any]], floor: float = 0.0) -> Result:
    return deduplicate(raw, CONFIG, floor, lambda *_: None)


def without_positions(result: Result) -> dict[str, Any]:
    plain = asdict(result)
    for name in ("quarantined", "repairs"):
        issues = ({k: v for k, v in one.items() if k != "position"} for one in plain[name])
        plain[name] = sorted(issues, key=lambda one: sorted(one.items()))
    return plain


def test_a_batch_becomes_events() -> None:
    found = run(BATCH, 0.65)
    merged = sorted(event.listing_ids for event in found.events if len(event.listing_ids) > 1)
    assert merged == [("p1", "p2"), ("p4", "p5")]
    assert found.counts == {
        "read": 8, "repaired": 2, "quarantined": 1, "collapsed": 1, "candidate_pairs": 15,
        "matches": 2, "ambiguous": found.counts["ambiguous"], "events": 4, "merged_events": 2,
        "needs_review": 0, "largest_cluster": 2,
        "constraints_obeyed": 0, "constraints_contradictory": 0, "constraints_absent": 0,
    }  # fmt: skip
    assert [issue.field for issue in found.quarantined] == ["title"]


def test_results_are_sorted() -> None:
    found = run(BATCH)
    assert [event.id for event in found.events] == sorted(event.id for event in found.events)
    pairs = [(one.listing_a, one.listing_b) for one in found.decisions]
    assert pairs == sorted(pairs)
    assert all(a < b for a, b in pairs)


def test_the_floor_leaves_decisions_out_and_changes_nothing_else() -> None:
    low, high = run(BATCH), run(BATCH, 0.8)
    assert high.events == low.events
    assert high.counts == low.counts
    assert high.decisions == tuple(one for one in low.decisions if one.combined >= 0.8)
    assert low.counts["candidate_pairs"] == len(low.decisions)


@given(st.randoms(use_true_random=False))
def test_the_order_of_input_changes_nothing(order: random.Random) -> None:
    raw = list(BATCH)
    order.shuffle(raw)
    assert without_positions(run(raw)) == without_positions(run(BATCH))


def test_an_empty_batch_gives_nothing() -> None:
    found = run([])
    assert (found.events, found.decisions) == ((), ())
    assert set(found.counts.values()) == {0}


def test_a_batch_of_unreadable_listings_is_only_quarantine() -> None:
    found = run([{}, {"id": "a"}])
    assert (len(found.quarantined), found.events) == (2, ())


def test_every_stage_reports_and_may_end_the_batch() -> None:
    stages: list[str] = []
    deduplicate(BATCH, CONFIG, 0, lambda stage, done, total: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["normalise", "block", "score", "cluster", "canonical"]
    for stage in dict.fromkeys(stages):
        with pytest.raises(KeyboardInterrupt):
            deduplicate(BATCH, CONFIG, 0, lambda now, *_, stop=stage: _stop(now == stop))


def _stop(now: bool) -> None:
    if now:
        raise KeyboardInterrupt


def test_progress_never_passes_its_total() -> None:
    heard: list[tuple[int, int]] = []
    deduplicate(BATCH, CONFIG, 0, lambda _, done, total: heard.append((done, total)))
    assert all(0 <= done <= total for done, total in heard)


def test_extra_fields_are_never_evidence() -> None:
    one = listing("a", "Orgelabend", extra_json='{"url": "u"}', extra={"url": "u"})
    two = listing("b", "Töpfern", extra_json='{"url": "u"}', extra={"url": "u"})
    bare = [{k: v for k, v in raw.items() if not k.startswith("extra")} for raw in (one, two)]
    assert run([one, two]).decisions == run(bare).decisions


def test_an_english_listing_without_a_city_is_matched() -> None:
    day = {"event_dates": [{"date": "2027-06-01", "start_time": "19:30"}]}
    one = {"id": "a", "title": "The Lanterns - Live", "location": {"name": "Corn Exchange"}} | day
    two = {"id": "b", "title": "The Lanterns", "location": {"name": "The Corn Exchange"}} | day
    assert run([one, two]).counts["matches"] == 1


def test_one_title_in_two_towns_is_two_events() -> None:
    other = listing("b", "Wochenmarkt", location={"city": "Kehl", "name": "Marktplatz"})
    one = listing("a", "Wochenmarkt", location={"city": "Lahr", "name": "Rathausplatz"})
    assert run([one, other]).counts["merged_events"] == 0


def test_the_version_is_stated() -> None:
    assert ENGINE_VERSION


TEXTS = st.text(max_size=12)
ANY = st.fixed_dictionaries(
    {"title": TEXTS},
    optional={
        "description": TEXTS,
        "source_type": st.sampled_from(["artikel", "terminliste"]),
        "categories": st.lists(st.sampled_from(["Fasnacht", "Karneval", "Musik", ""]), max_size=2),
        "admission_free": st.booleans(),
        "event_dates": st.lists(
            st.fixed_dictionaries(
                {"date": st.sampled_from(["2027-02-06", "2027-02-07"])},
                optional={
                    "start_time": st.sampled_from(["24:00", "00:00", "02:59", "23.45", "19 Uhr"]),
                    "end_time": st.sampled_from(["24:00", "01:00"]),
                    "end_date": st.sampled_from(["2027-02-07", "2027-02-09"]),
                },
            ),
            max_size=3,
        ),
        "location": st.fixed_dictionaries(
            {},
            optional={
                "name": TEXTS,
                "city": TEXTS,
                "street": TEXTS,
                "geo": st.fixed_dictionaries(
                    {"latitude": st.floats(), "longitude": st.floats(-180, 180)},
                    optional={"confidence": st.floats(0, 1)},
                ),
            },
        ),
    },
)


@settings(max_examples=60)
@given(st.lists(ANY, max_size=6), st.randoms(use_true_random=False))
def test_any_batch_gives_one_result_in_every_order(rows: list[Any], order: random.Random) -> None:
    raw = [one | {"id": str(i)} for i, one in enumerate(rows)]
    shuffled = list(raw)
    order.shuffle(shuffled)
    found = run(raw)
    assert without_positions(found) == without_positions(run(shuffled))
    again = [event.event for event in found.events]
    assert not run(again).quarantined
    json.dumps(again, allow_nan=False)


TITLES = st.sampled_from(["Orgelabend", "Orgelabend Lahr", "Weinprobe", "Probe", "Abend am See"])
VENUES = st.sampled_from([None, "Stadthalle", "Kirche"])
TIMES = st.sampled_from([None, "19:00", "20:00"])


@settings(max_examples=40)
@given(st.lists(st.tuples(TITLES, VENUES, TIMES), max_size=9))
def test_no_event_holds_a_pair_that_was_told_apart(rows: list[tuple[Any, Any, Any]]) -> None:
    raw = [
        {
            "id": str(i),
            "title": title,
            "location": {"city": "Lahr", "name": venue},
            "event_dates": [{"date": "2027-02-06", "start_time": time}],
        }
        for i, (title, venue, time) in enumerate(rows)
    ]
    found = run(raw)
    apart = {(d.listing_a, d.listing_b) for d in found.decisions if d.decision == "no_match"}
    together = {pair for event in found.events for pair in combinations(event.listing_ids, 2)}
    assert not apart & together
    assert sorted(name for event in found.events for name in event.listing_ids) == sorted(
        one["id"] for one in raw
    )


def test_a_tenth_of_the_pairs_allowed_may_be_returned() -> None:
    def counted(floor: float, most: int) -> int:
        found = decided(BATCH, CONFIG, floor, lambda *_: None, most_pairs=most)
        return len(found.found.pairs)

    assert counted(0.0, 150) == 15
    with pytest.raises(
        LimitExceeded, match=r"15 pairs have a combined score of 0 or more.* 14 may"
    ):
        counted(0.0, 149)
    assert counted(0.75, 20) >= 2
    with pytest.raises(LimitExceeded, match="more than 14 pairs"):
        counted(0.75, 14)
