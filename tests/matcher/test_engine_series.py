"""Series and festivals: their name says little about which part of them a listing is."""

from typing import Any

import pytest

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.pipeline import deduplicate
from matcher_service.engine.records import read
from matcher_service.engine.series import parts_of_series

CONFIG = MatchingConfig()


def listing(name: str, title: str, start: str = "19:00", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "title": title,
        "source_code": "stadt",
        "event_dates": [{"date": "2026-10-17", "start_time": start}],
        "location": {"name": "Altstadt", "city": "Neustadt"},
        **more,
    }


NIGHT = (
    listing("a", "Kulturnacht: Orgel und Licht", "19:00"),
    listing("b", "Kulturnacht: Taschenlampenführung", "20:00"),
)


def parts(*raw: dict[str, Any], least: int = 2) -> list[tuple[str, str]]:
    return parts_of_series(read(raw, CONFIG).listings, least)


def test_a_name_with_two_unlike_titles_of_a_day_is_a_series() -> None:
    assert parts(*NIGHT) == [
        ("kulturnacht", "Orgel und Licht"),
        ("kulturnacht", "Taschenlampenführung"),
    ]


def test_the_name_may_stand_behind_and_the_series_itself_has_no_part() -> None:
    found = parts(
        *NIGHT,
        listing("c", "Lesung am Kamin - Kulturnacht", source_code="blatt"),
        listing("d", "9. Kulturnacht Neustadt", source_code="blatt"),
        listing("e", "Flohmarkt"),
    )
    assert found[2:] == [("kulturnacht", "Lesung am Kamin"), ("kulturnacht", ""), ("", "")]


@pytest.mark.parametrize(
    "other",
    [
        listing("b", "Kulturnacht: Licht und Orgel", "20:00"),
        listing("b", "Kulturnacht: Lesung", "19:00"),
        listing("b", "Kulturnacht: Lesung", "20:00", source_code="blatt"),
        listing("b", "Kulturnacht: Lesung", "20:00", event_dates=[{"date": "2026-10-18"}]),
        listing("b", "Kulturnacht: Neustadt", "20:00"),
    ],
    ids=["same words", "same time and place", "other source", "other day", "own place"],
)
def test_what_may_be_one_event_or_another_day_makes_no_series(other: dict[str, Any]) -> None:
    assert parts(NIGHT[0], other) == [("", ""), ("", "")]


def test_none_is_found_when_switched_off() -> None:
    assert parts(*NIGHT, least=0) == [("", ""), ("", "")]


def merged(one: str, other: str, **title: Any) -> bool:
    config = MatchingConfig.model_validate({"title": title})
    pair = [listing("x", one, "21:00"), listing("y", other, "21:00", source_code="blatt")]
    found = deduplicate([*NIGHT, *pair], config, 0.0, lambda *_: None)
    return any({"x", "y"} <= set(event.listing_ids) for event in found.events)


def test_parts_are_judged_by_what_stands_beside_the_name() -> None:
    assert merged("Kulturnacht: Kammerchor am Dom", "Kulturnacht - Kammerchor am Dom")
    assert merged("Kulturnacht: Kammerchor am Dom", "Kammerchor am Dom")
    assert not merged("Kulturnacht: Kammerchor am Dom", "Kulturnacht: Improtheater")
    assert not merged("Kulturnacht: Kammerchor", "Kulturnacht")
    assert merged("Kulturnacht", "9. Kulturnacht")


def test_without_series_the_name_counts_as_any_word() -> None:
    assert merged("Kulturnacht: Kammerchor", "Kulturnacht", series_parts=0)
