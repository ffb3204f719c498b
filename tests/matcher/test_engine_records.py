"""Reading: what is repaired, what is quarantined, and that nothing else is lost."""

import json
import math
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.listing import EventDate, date_to_json, to_json
from matcher_service.engine.records import Reading, read

CONFIG = MatchingConfig()
DAY = {"date": "2027-05-08"}


def listing(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "title": "Sommerkonzert", "source_code": "blatt"} | changes


def reading(*raw: Any) -> Reading:
    return read(raw, CONFIG)


def only_date(**entry: Any) -> EventDate:
    found = reading(listing(event_dates=[DAY | entry]))
    assert not found.quarantined
    return found.listings[0].event_dates[0]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (listing(id=None), "id"),
        (listing(id="   "), "id"),
        (listing(id=["a"]), "id"),
        (listing(id="x" * 201), "id"),
        (listing(title=None), "title"),
        (listing(title=" \t"), "title"),
        (listing(title={"de": "Konzert"}), "title"),
        (listing(title="\x00\x01"), "title"),
        (listing(description="ä" * 40_000), "description"),
        (listing(event_dates="2027-05-08"), "event_dates"),
        (listing(event_dates=["2027-05-08"]), "event_dates[0]"),
        (listing(event_dates=[{}]), "event_dates[0].date"),
        (listing(event_dates=[{"date": "bald"}]), "event_dates[0].date"),
        (listing(event_dates=[{"date": 20270508}]), "event_dates[0].date"),
        (listing(event_dates=[{"date": "2027-02-30"}]), "event_dates[0].date"),
        (listing(event_dates=[{"date": "1899-12-31"}]), "event_dates[0].date"),
        (listing(event_dates=[{"date": "2201-01-01"}]), "event_dates[0].date"),
        (listing(event_dates=[DAY, DAY | {"start_time": "25:00"}]), "event_dates[1].start_time"),
        (listing(event_dates=[DAY | {"start_time": "24:01"}]), "event_dates[0].start_time"),
        (listing(event_dates=[DAY | {"start_time": "abends"}]), "event_dates[0].start_time"),
        (listing(event_dates=[DAY | {"start_time": 19.5}]), "event_dates[0].start_time"),
        (listing(event_dates=[DAY | {"end_time": "19:60"}]), "event_dates[0].end_time"),
        (listing(event_dates=[DAY | {"end_date": "2027-05-07"}]), "event_dates[0].end_date"),
        (listing(event_dates=[DAY | {"end_date": "2028-05-09"}]), "event_dates[0].end_date"),
        (listing(event_dates=[DAY] * 1001), "event_dates"),
        (None, ""),
        ("Konzert", ""),
        ([1, 2], ""),
    ],
)
def test_an_unreadable_listing_is_quarantined_alone_with_its_field(raw: Any, field: str) -> None:
    found = reading(listing(id="good-1"), raw, listing(id="good-2"))
    assert [one.id for one in found.listings] == ["good-1", "good-2"]
    assert [(one.position, one.field) for one in found.quarantined] == [(1, field)]


def test_a_quarantine_reason_never_holds_the_value() -> None:
    found = reading(listing(event_dates=[{"date": "geheim-4711"}]))
    assert "4711" not in found.quarantined[0].reason
    assert found.quarantined[0].listing_id == "a"
    assert found.quarantined[0].source_code == "blatt"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("19.30", 70_200),
        ("19:30 Uhr", 70_200),
        ("19 Uhr", 68_400),
        ("7.30pm", 70_200),
        ("7:30 P.M.", 70_200),
        ("10am", 36_000),
        ("9.05 a.m.", 32_700),
        ("12am", 0),
        ("12.15pm", 44_100),
        ("9:05", 32_700),
        (" 19:30 ", 70_200),
        ("19:30:15.250", 70_215),
    ],
)
def test_a_time_with_a_certain_meaning_is_repaired(written: str, seconds: int) -> None:
    found = reading(listing(event_dates=[DAY | {"start_time": written}]))
    assert found.listings[0].event_dates[0].start == seconds
    assert [issue.field for issue in found.repairs] == ["event_dates[0].start_time"]


@pytest.mark.parametrize("written", ["13pm", "0am", "7.60pm", "7pmm", "pm", "half past 7"])
def test_a_time_of_no_half_of_the_day_is_unreadable(written: str) -> None:
    found = reading(listing(event_dates=[DAY | {"start_time": written}]))
    assert [issue.field for issue in found.quarantined] == ["event_dates[0].start_time"]


def test_a_plain_time_needs_no_repair() -> None:
    found = reading(listing(event_dates=[DAY | {"start_time": "19:30", "end_time": "21:00:30"}]))
    assert found.repairs == ()
    assert to_json(found.listings[0])["event_dates"][0]["end_time"] == "21:00:30"


def test_24_00_as_an_end_is_midnight() -> None:
    assert only_date(start_time="20:00", end_time="24:00").end == 0


def test_24_00_as_a_start_is_midnight_of_the_next_day() -> None:
    entry = only_date(start_time="24:00")
    assert entry == EventDate(date(2027, 5, 8), 24 * 3600)
    printed = date_to_json(entry)
    assert (printed["date"], printed["start_time"]) == ("2027-05-09", "00:00")


def test_24_00_as_a_start_of_a_range_stands_for_whole_days() -> None:
    entry = only_date(start_time="24:00", end_date="2027-05-10")
    assert entry == EventDate(date(2027, 5, 8), 0, None, date(2027, 5, 10))


def test_keys_that_are_not_read_may_be_longer_than_a_text() -> None:
    found = reading(listing(extra_json=json.dumps({"html": "x" * 200_000})))
    assert found.quarantined == found.repairs == ()
    assert len(found.listings[0].extra_json or "") > 200_000


def test_a_german_date_is_repaired() -> None:
    assert only_date(date="07.03.2026").date == date(2026, 3, 7)


def test_an_end_after_midnight_is_no_error() -> None:
    assert only_date(start_time="22:00", end_time="02:00").end == 7_200


@pytest.mark.parametrize(
    ("geo", "field"),
    [
        ({"latitude": math.nan, "longitude": 7.0}, "location.geo.latitude"),
        ({"latitude": math.inf, "longitude": 7.0}, "location.geo.latitude"),
        ({"latitude": 91, "longitude": 7.0}, "location.geo.latitude"),
        ({"latitude": 48.0, "longitude": -180.5}, "location.geo.longitude"),
        ({"latitude": 10**400, "longitude": 7.0}, "location.geo.latitude"),
        ({"latitude": True, "longitude": 7.0}, "location.geo.latitude"),
        ({"latitude": 48.0}, "location.geo"),
        ("48.0,7.0", "location.geo"),
    ],
)
def test_unusable_coordinates_are_dropped_and_recorded(geo: Any, field: str) -> None:
    found = reading(listing(location={"city": "Lahr", "geo": geo}))
    assert found.listings[0].location.geo is None
    assert found.listings[0].location.city == "Lahr"
    assert field in [issue.field for issue in found.repairs]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"description": 3.5}, "description"),
        ({"categories": "Musik"}, "categories"),
        ({"highlights": ["gut", {"x": 1}]}, "highlights"),
        ({"admission_free": "ja"}, "admission_free"),
        ({"location": "Lahr"}, "location"),
        ({"title": "Sommer\x00konzert"}, "title"),
        ({"description": "a\ud800b"}, "description"),
    ],
)
def test_a_wrong_optional_value_is_dropped_and_the_listing_stays(
    changes: dict[str, Any], field: str
) -> None:
    found = reading(listing(**changes))
    assert [one.title for one in found.listings] == ["Sommerkonzert"]
    assert [issue.field for issue in found.repairs] == [field]


def test_a_number_becomes_text_where_text_is_meant() -> None:
    found = reading(listing(id=17, location={"zipcode": 79098}))
    assert (found.listings[0].id, found.listings[0].location.zipcode) == ("17", "79098")


def test_equal_listings_with_one_id_collapse() -> None:
    found = reading(listing(), listing(), listing())
    assert (len(found.listings), found.collapsed, found.quarantined) == (1, 2, ())


def test_of_different_listings_with_one_id_the_same_one_stays_in_any_order() -> None:
    early, late = listing(title="Abendkonzert"), listing(title="Zeltkonzert")
    one, two = reading(early, late, late), reading(late, late, early)
    assert one.listings == two.listings
    assert one.listings[0].title == "Zeltkonzert"
    assert (one.collapsed, two.collapsed) == (1, 1)
    assert [issue.position for issue in one.quarantined + two.quarantined] == [0, 2]


def test_reading_what_was_written_changes_nothing() -> None:
    raw = listing(
        event_dates=[DAY | {"start_time": "19:30", "end_date": "2027-05-10"}],
        location={"city": "Lahr", "geo": {"latitude": 48.3, "longitude": 7.8}},
        categories=["Musik"],
        admission_free=False,
    )
    first = reading(raw).listings
    assert reading(*map(to_json, first)).listings == first


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["date", "start_time", "geo", "latitude", "x"]), inner)
    ),
    max_leaves=8,
)
FIELDS = (*to_json(reading(listing()).listings[0]), "unknown")


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8) | JSON, max_size=5))
def test_no_json_value_makes_reading_fail(raw: list[Any]) -> None:
    found = reading(*raw)
    assert len(found.listings) + len(found.quarantined) + found.collapsed == len(raw)
    json.dumps([to_json(one) for one in found.listings], allow_nan=False).encode()
