"""Canonical events: each strategy decides each field, and every field says where it is from."""

from typing import Any

import pytest

from dedup_model.matching_config import (
    Canonical,
    FieldStrategies,
    FieldStrategy,
    MatchingConfig,
)
from matcher_service.engine.canonical import CanonicalEvent, canonical_event
from matcher_service.engine.cluster import Cluster
from matcher_service.engine.records import read

DAY = "2027-05-08"


def merged(*raw: dict[str, Any], similarity: float = 0.9, **strategies: str) -> CanonicalEvent:
    chosen = FieldStrategies(**strategies)
    config = MatchingConfig(canonical=Canonical(field_strategies=chosen))
    listings = read([{"title": "Konzert"} | one for one in raw], config).listings
    rows = tuple(range(len(listings)))
    return canonical_event(listings, Cluster(rows, 0.9, similarity), config)


def located(confidence: float | None, **more: Any) -> dict[str, Any]:
    return more | {"geo": {"latitude": 48.0, "longitude": 7.8, "confidence": confidence}}


TITLES = (
    {"id": "a", "title": "Abend", "location": located(0.5)},
    {"id": "b", "title": "Großer Abend der Chöre", "location": located(0.9)},
    {"id": "c", "title": "ABEND", "location": located(None)},
    {"id": "d", "title": "Chorsängerinnenabendveranstaltung", "location": located(0.7)},
)


@pytest.mark.parametrize(
    ("strategy", "title", "sources"),
    [
        ("longest", "Chorsängerinnenabendveranstaltung", ("d",)),
        ("longest_non_generic", "Chorsängerinnenabendveranstaltung", ("d",)),
        ("most_complete", "Großer Abend der Chöre", ("b",)),
        ("most_frequent", "Abend", ("a", "c")),
        ("highest_confidence", "Großer Abend der Chöre", ("b",)),
        (
            "union",
            "Abend / Großer Abend der Chöre / Chorsängerinnenabendveranstaltung",
            ("a", "b", "d"),
        ),
        ("any_true", "Chorsängerinnenabendveranstaltung", ("d",)),
    ],
)
def test_each_strategy_chooses_a_text(strategy: str, title: str, sources: tuple[str, ...]) -> None:
    found = merged(*TITLES, title=strategy)
    assert found.event["title"] == title
    assert found.provenance["title"] == sources


def test_a_generic_title_wins_when_all_are_generic() -> None:
    found = merged({"id": "a", "title": "Markt"}, {"id": "b", "title": "Märkte"})
    assert found.event["title"] == "Märkte"


def test_a_tie_goes_to_the_smaller_id() -> None:
    found = merged({"id": "b", "title": "Ritterspiele"}, {"id": "a", "title": "Turmspringen"})
    assert found.provenance["title"] == ("a",)


LISTS = (
    {"id": "a", "categories": ["Musik", "Chor"], "location": located(0.5)},
    {"id": "b", "categories": ["musik"], "location": located(0.9)},
    {"id": "c", "categories": ["Kirche", "Musik", "Fest"]},
)


@pytest.mark.parametrize(
    ("strategy", "categories", "sources"),
    [
        ("union", ["Musik", "Chor", "Kirche", "Fest"], ("a", "b", "c")),
        ("any_true", ["Musik", "Chor", "Kirche", "Fest"], ("a", "b", "c")),
        ("longest", ["Kirche", "Musik", "Fest"], ("c",)),
        ("longest_non_generic", ["Kirche", "Musik", "Fest"], ("c",)),
        ("most_complete", ["Kirche", "Musik", "Fest"], ("c",)),
        ("most_frequent", ["Musik"], ("a", "b", "c")),
        ("highest_confidence", ["musik"], ("b",)),
    ],
)
def test_each_strategy_chooses_a_list(
    strategy: str, categories: list[str], sources: tuple[str, ...]
) -> None:
    found = merged(*LISTS, categories=strategy)
    assert found.event["categories"] == categories
    assert found.provenance["categories"] == sources


def test_entries_of_signs_alone_are_entries() -> None:
    found = merged({"id": "a", "categories": ["🎭", "🎵"]}, {"id": "b", "categories": ["🎵", "…"]})
    assert found.event["categories"] == ["🎭", "🎵", "…"]


FLAGS = (
    {"id": "a", "admission_free": False, "location": located(0.5)},
    {"id": "b", "admission_free": True, "location": located(0.6)},
    {"id": "c", "admission_free": False, "location": located(0.9)},
    {"id": "d"},
)


@pytest.mark.parametrize("strategy", list(FieldStrategy))
def test_each_strategy_chooses_a_flag(strategy: FieldStrategy) -> None:
    any_yes = strategy in (FieldStrategy.ANY_TRUE, FieldStrategy.UNION)
    found = merged(*FLAGS, admission_free=strategy.value)
    assert found.event["admission_free"] is any_yes
    highest = strategy is FieldStrategy.HIGHEST_CONFIDENCE
    no = ("c",) if highest else ("a", "c")
    assert found.provenance["admission_free"] == (("b",) if any_yes else no)


@pytest.mark.parametrize("strategy", list(FieldStrategy))
def test_an_unknown_flag_stays_unknown(strategy: FieldStrategy) -> None:
    found = merged({"id": "a"}, {"id": "b"}, admission_free=strategy.value)
    assert found.event["admission_free"] is None
    assert "admission_free" not in found.provenance


def geo(latitude: float, confidence: float | None, country: str | None = None) -> dict[str, Any]:
    point = {"latitude": latitude, "longitude": 7.0, "confidence": confidence, "country": country}
    return {"location": {"geo": point}}


GEOS = (
    {"id": "a"} | geo(48.0, None),
    {"id": "b"} | geo(48.0, None),
    {"id": "c"} | geo(49.0, 0.6, "DE"),
    {"id": "d"} | geo(50.0, 0.9),
)


@pytest.mark.parametrize(
    ("strategy", "latitude", "sources"),
    [
        ("highest_confidence", 50.0, ("d",)),
        ("most_frequent", 48.0, ("a", "b")),
        ("most_complete", 49.0, ("c",)),
        ("longest", 49.0, ("c",)),
        ("longest_non_generic", 49.0, ("c",)),
        ("union", 49.0, ("c",)),
        ("any_true", 49.0, ("c",)),
    ],
)
def test_each_strategy_chooses_coordinates(
    strategy: str, latitude: float, sources: tuple[str, ...]
) -> None:
    found = merged(*GEOS, geo=strategy)
    assert found.event["location"]["geo"]["latitude"] == latitude
    assert found.provenance["location.geo"] == sources


def test_coordinates_of_one_listing_stay_together() -> None:
    found = merged(*GEOS)
    assert found.event["location"]["geo"] == GEOS[3]["location"]["geo"]  # type: ignore[index]


ADDRESSES = (
    {"id": "a", "location": {"street": "Lange Straße am Fluss", "zipcode": "11111"}},
    {"id": "b", "location": {"street": "Weg", "street_no": "1", "zipcode": "2", "district": "Ost"}},
    {"id": "c", "location": {"street": "lange strasse am fluss", "zipcode": "11111"}},
)


@pytest.mark.parametrize("strategy", list(FieldStrategy))
def test_address_parts_come_from_one_listing(strategy: FieldStrategy) -> None:
    location = merged(*ADDRESSES, location_street=strategy.value).event["location"]
    parts = {name: location[name] for name in ("street", "street_no", "zipcode", "district")}
    frequent = strategy is FieldStrategy.MOST_FREQUENT
    given = ADDRESSES[0 if frequent else 1]["location"]
    assert parts == dict.fromkeys(parts) | given  # type: ignore[operator]


def test_the_city_is_the_most_frequent_one() -> None:
    cities = ["Kehl", "Lahr", "LAHR"]
    found = merged(*({"id": str(i), "location": {"city": c}} for i, c in enumerate(cities)))
    assert found.event["location"]["city"] == "Lahr"
    assert found.provenance["location.city"] == ("1", "2")


def dated(name: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "event_dates": [{"date": DAY} | entry for entry in entries]}


def starts(found: CanonicalEvent) -> list[str | None]:
    return [entry["start_time"] for entry in found.event["event_dates"]]


def test_equal_dates_appear_once() -> None:
    found = merged(dated("a", {"start_time": "20:00"}), dated("b", {"start_time": "20:00:00"}))
    assert starts(found) == ["20:00"]
    assert found.provenance["event_dates"] == ("a", "b")


def test_an_unknown_start_adds_nothing_to_a_known_one() -> None:
    assert starts(merged(dated("a", {}), dated("b", {"start_time": "20:00"}))) == ["20:00"]
    assert starts(merged(dated("a", {}), dated("b", {}))) == [None]


def test_several_shows_of_a_day_all_stay() -> None:
    matinee = dated("a", {"start_time": "11:00"}, {"start_time": "20:00"})
    found = merged(matinee, dated("b", {"start_time": "20:00", "end_time": "22:00"}))
    assert starts(found) == ["11:00", "20:00"]
    assert found.event["event_dates"][1]["end_time"] == "22:00"
    assert not found.needs_review


def test_conflicting_start_times_are_resolved_and_reported() -> None:
    times = ["21:00", "20:00", "21:00"]
    found = merged(*(dated(str(i), {"start_time": t}) for i, t in enumerate(times)))
    assert starts(found) == ["21:00"]
    assert found.review_reasons == ("time_conflict",)
    assert found.needs_review


def test_of_equally_frequent_conflicting_starts_the_earliest_stays() -> None:
    found = merged(dated("a", {"start_time": "21:00"}), dated("b", {"start_time": "19:00"}))
    assert starts(found) == ["19:00"]


def test_conflicting_listings_of_several_shows_keep_all_shows_of_one_of_them() -> None:
    doors = dated("a", {"start_time": "13:30"}, {"start_time": "16:00"})
    shows = dated("b", {"start_time": "14:00"}, {"start_time": "16:30"})
    assert starts(merged(doors, shows)) == ["13:30", "16:00"]
    assert starts(merged(doors, shows, dated("c", {"start_time": "16:30"}))) == ["14:00", "16:30"]
    assert starts(merged(shows, dated("d", {"start_time": "11:00"}))) == ["14:00", "16:30"]


def test_starts_within_the_tolerance_need_no_review() -> None:
    found = merged(dated("a", {"start_time": "19:30"}), dated("b", {"start_time": "20:00"}))
    assert starts(found) == ["19:30"]
    assert not found.needs_review


def test_a_range_keeps_its_last_day() -> None:
    found = merged(dated("a", {"end_date": "2027-05-10"}), dated("b", {}))
    assert [entry["end_date"] for entry in found.event["event_dates"]] == [None, "2027-05-10"]


def test_a_large_or_incoherent_cluster_is_flagged() -> None:
    found = merged(*({"id": f"{i:02}"} for i in range(16)), similarity=0.3)
    assert found.review_reasons == ("cluster_size", "internal_similarity")


def test_the_id_depends_on_the_members_alone() -> None:
    one = merged({"id": "a"}, {"id": "b", "title": "Anders"})
    assert one.id == merged({"id": "b"}, {"id": "a"}).id
    assert one.id != merged({"id": "a"}, {"id": "c"}).id
    assert one.id != merged({"id": 'a","b'}).id


def test_a_source_that_all_share_is_kept() -> None:
    found = merged({"id": "a", "source_code": "x"}, {"id": "b", "source_code": "x"})
    assert found.event["source_code"] == "x"
    assert merged({"id": "a", "source_code": "x"}, {"id": "b"}).event["source_code"] is None
