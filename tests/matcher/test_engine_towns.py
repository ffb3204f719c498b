"""Towns and districts: which places are two although no city, or one city, is stated."""

from typing import Any

import pytest

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.pipeline import deduplicate
from matcher_service.engine.records import read
from matcher_service.engine.towns import Towns, apart

CONFIG = MatchingConfig()


def listing(identifier: str, title: str = "Jumble Sale", **place: Any) -> dict[str, Any]:
    day = {"date": "2026-05-09", "start_time": "11:00"}
    return {
        "id": identifier,
        "source_code": identifier,
        "title": title,
        "event_dates": [day],
        "location": place,
    }


def towns(*raw: dict[str, Any], config: MatchingConfig = CONFIG) -> list[str]:
    listings = read(raw, config).listings
    found = Towns(listings, config.text)
    return [found.of(one) for one in listings]


def merged(*raw: dict[str, Any], config: MatchingConfig = CONFIG) -> bool:
    return len(deduplicate(raw, config, 0.0, lambda *_: None).events) == 1


KNOWN = listing("z", "Choir", name="Village Hall, Hodnet"), listing("y", "Choir", city="Prees")


@pytest.mark.parametrize(
    ("place", "title", "found"),
    [
        ({"city": "Prees"}, "Fair", "prees"),
        ({"city": "Wem", "district": "Prees"}, "Fair", "prees|wem"),
        ({"name": "Village Hall, Hodnet"}, "Fair", "hodnet"),
        ({"name": "Hodnet Village Hall"}, "Fair", "hodnet"),
        ({"name": "Clun Parish Church"}, "Fair", "clun"),
        ({"name": "Village Hall"}, "Hodnet Fair", "hodnet"),
        ({"name": "St Mary's Church"}, "Prees's Fair", "prees"),
        ({"name": "Red Lion"}, "Hodnet Fair", ""),
        ({"name": "Red Lion, High Street"}, "Fair", ""),
        ({"name": "Library, Room 4"}, "Fair", ""),
        ({}, "Fair", ""),
    ],
)
def test_a_town_stands_in_city_or_venue_or_beside_a_venue_that_names_its_kind(
    place: dict[str, Any], title: str, found: str
) -> None:
    assert towns(listing("a", title, **place), *KNOWN)[0] == found


def test_a_town_behind_a_comma_stands_behind_two_venues_or_one_of_its_kind() -> None:
    once = listing("a", name="Red Lion, Wem")
    assert towns(once) == [""]
    assert towns(once, listing("b", name="Kings Head, Wem")) == ["wem", "wem"]
    assert towns(listing("c", name="Town Hall, Wem"), listing("d", name="Red Lion, Wem")) == [
        "wem",
        "wem",
    ]


def test_a_town_may_begin_with_a_word_of_venues() -> None:
    assert towns(listing("a", name="Town Hall, Church Stretton")) == ["church stretton"]
    assert towns(listing("a", name="Town Hall, Church Hall")) == [""]


def test_a_name_that_venues_of_two_towns_have_is_no_place() -> None:
    two = listing("x", name="The Crown, Wem"), listing("y", name="The Crown Inn, Prees")
    bare = listing("a", "Quiz in Wem", name="The Crown")
    assert towns(bare, *two) == ["wem", "wem", "prees"]
    assert towns(bare, two[0]) == ["", ""]
    assert towns(listing("a", "Quiz in Wem", name="The Swan"), *two)[0] == ""


def test_the_words_are_those_of_the_settings() -> None:
    text = {"venue_kinds": ["barn"], "town_venues": [], "street_words": []}
    config = MatchingConfig.model_validate({"text": text})
    assert towns(listing("a", name="Barn, Wem"), config=config) == ["wem"]
    assert towns(listing("a", name="Wem Village Hall"), config=config) == [""]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("wem", "hodnet", True),
        ("wem", "wem", False),
        ("haltern", "haltern am see", False),
        ("wem|prees", "prees", False),
    ],
)
def test_towns_are_apart_when_they_have_none_in_common(
    one: str, other: str, expected: bool
) -> None:
    assert apart(one, other) is apart(other, one) is expected


@pytest.mark.parametrize("title", ["Jumble Sale at Hodnet", "Jumble Sale, Hodnet Village Hall"])
def test_bare_halls_of_two_towns_are_two_places(title: str) -> None:
    two = (
        listing("a", title, name="Village Hall"),
        listing("b", "Jumble Sale at Prees", name="Village Hall"),
        *KNOWN,
    )
    ids = [
        set(event.listing_ids) for event in deduplicate(two, CONFIG, 0.0, lambda *_: None).events
    ]
    assert {"a"} in ids
    assert {"b"} in ids


def test_one_town_in_venue_and_title_is_one_place() -> None:
    assert merged(
        listing("a", "Jumble Sale", name="Village Hall, Hodnet"),
        listing("b", "Jumble Sale", name="Hodnet Village Hall"),
    )


def test_two_districts_are_two_places_unless_switched_off() -> None:
    two = [
        listing(one, "Volkstrauertag", city="Neustadt", district=district, name="Ehrenmal")
        for one, district in (("a", "Niederdorf"), ("b", "Oberdorf"))
    ]
    off = MatchingConfig.model_validate({"geo": {"use_districts": False}})
    assert not merged(*two)
    assert merged(*two, config=off)


def test_a_city_that_is_the_other_s_district_is_the_same_place() -> None:
    one = listing("a", "Dorffest", city="Neustadt", district="Niederdorf", name="Festplatz")
    assert merged(one, listing("b", "Dorffest", city="Niederdorf", name="Festplatz"))


def test_towns_can_be_switched_off() -> None:
    off = MatchingConfig.model_validate({"geo": {"use_towns": False}})
    two = [listing("a", name="Village Hall, Wem"), listing("b", name="Village Hall, Prees")]
    assert not merged(*two)
    on, without = (
        deduplicate(two, config, 0.0, lambda *_: None).decisions[0].geo for config in (CONFIG, off)
    )
    assert on < without


def test_under_a_common_title_one_source_s_bare_hall_is_not_its_hall_in_a_town() -> None:
    halls = ("Village Hall", "Village Hall, Clun", "Scout Hut, Wem")
    raw = [
        listing(str(n), "Bingo", name=name) | {"source_code": "gazette"}
        for n, name in enumerate(halls)
    ]
    other = listing("9", "Choir", name="Town Hall, Wem") | {"source_code": "echo"}
    assert len(deduplicate([*raw, other], CONFIG, 0.0, lambda *_: None).events) == 4
    elsewhere = [raw[0] | {"source_code": "echo"}, *raw[1:], other]
    assert len(deduplicate(elsewhere, CONFIG, 0.0, lambda *_: None).events) == 3
