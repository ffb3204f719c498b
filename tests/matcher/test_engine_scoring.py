"""The four signals: what counts as evidence, and what they promise for any input."""

from typing import Any

import numpy as np
import pytest

from dedup_model.matching_config import MatchingConfig
from dedup_model.signal_settings import Date
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import table_of
from matcher_service.engine.date_signal import time_factors
from matcher_service.engine.records import read
from matcher_service.engine.scoring import Signals, score

CONFIG = MatchingConfig()
DAY = "2027-05-08"
TEXT = "Zwei Stimmen und ein altes Harmonium erzählen vom Leben am Fluss und von der See."


def signals(one: dict[str, Any], two: dict[str, Any]) -> Signals:
    raw = [{"id": "a", "title": "x"} | one, {"id": "b", "title": "x"} | two]
    table = table_of(read(raw, CONFIG).listings, CONFIG, lambda _: None)
    return score(table, Pairs(np.array([0]), np.array([1])), CONFIG, lambda *_: None)


def on(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"event_dates": [{"date": DAY} | entry for entry in entries]}


def at(**location: Any) -> dict[str, Any]:
    return {"location": location}


def point(latitude: float, longitude: float, confidence: float | None) -> dict[str, Any]:
    return {"latitude": latitude, "longitude": longitude, "confidence": confidence}


def date_score(one: dict[str, Any], two: dict[str, Any]) -> float:
    return float(signals(one, two).date[0])


def geo_score(one: dict[str, Any], two: dict[str, Any]) -> float:
    return float(signals(at(**one), at(**two)).geo[0])


def title_score(one: str, two: str, **more: Any) -> float:
    return float(signals({"title": one} | more, {"title": two}).title[0])


def text_score(one: str | None, two: str | None) -> float:
    return float(signals({"description": one}, {"description": two}).description[0])


# ---- date ----


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("20:00", "20:00", 1.0),
        ("20:00", "20:30", 1.0),
        ("20:00", "21:00", 0.55),
        ("20:00", "21:30", 0.1),
        ("20:00", "21:45", 0.05),
        ("20:00", "22:00", 0.0),
        ("10:00", "20:00", 0.0),
        ("20:00", None, 0.9),
        (None, None, 0.9),
        ("00:00", "20:00", 0.9),
        ("23:50", "00:10", 1.0),
    ],
)
def test_start_times_agree_less_the_further_they_are_apart(
    first: str | None, second: str | None, expected: float
) -> None:
    assert date_score(on({"start_time": first}), on({"start_time": second})) == expected


def test_a_minute_more_never_makes_a_cliff() -> None:
    minutes = np.arange(0.0, 300.0)
    factors = time_factors(np.zeros(300) + 600, minutes + 600, Date())
    assert (np.diff(factors) <= 0).all()
    assert np.abs(np.diff(factors)).max() < 0.02


def test_midnight_between_two_calendar_days_does_not_part_a_show() -> None:
    late, early = on({"start_time": "23:50"}), on({"date": "2027-05-09", "start_time": "00:10"})
    assert date_score(late, early) == 1.0


@pytest.mark.parametrize(
    ("other", "least"),
    [
        ({"start_time": "23:45"}, 1.0),
        ({"start_time": "24:00"}, 1.0),
        ({}, 0.7),
        ({"date": "2027-05-09", "start_time": "00:10"}, 1.0),
        ({"date": "2027-05-09", "start_time": "00:00"}, 0.7),
    ],
)
def test_24_00_is_the_end_of_its_day(other: dict[str, Any], least: float) -> None:
    assert date_score(on({"start_time": "24:00"}), on(other)) >= least


def test_24_00_is_no_show_of_the_next_evening() -> None:
    evening = on({"date": "2027-05-09", "start_time": "20:00"})
    assert date_score(on({"start_time": "24:00"}), evening) < 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Einlass: 19 Uhr, Beginn 20 Uhr", True),
        ("Doors open at 7pm", True),
        ("doors 7:00 p.m.", True),
        ("Einlass ab 19.00", True),
        ("Einlass 19 Euro", False),
        ("Einlass 16 Uhr", False),
        ("Ein Abend mit 19 Liedern", False),
        ("", False),
    ],
)
def test_doors_that_the_text_names_are_a_start(text: str, expected: bool) -> None:
    one = on({"start_time": "20:00"}) | {"description": text}
    assert (date_score(one, on({"start_time": "19:00"})) == 1.0) is expected


def test_a_text_speaks_of_no_one_time_where_there_are_several_shows_or_none() -> None:
    text = {"description": "Einlass 19 Uhr"}
    several = on({"start_time": "20:00"}, {"start_time": "22:00"}) | text
    assert date_score(several, on({"start_time": "19:00"})) < 1.0
    assert date_score(on({}) | text, on({"start_time": "19:00"})) == 0.9


def test_other_days_score_nothing() -> None:
    assert date_score(on({}), on({"date": "2027-05-09"})) == 0.0


@pytest.mark.parametrize(
    ("sources", "start", "expected"),
    [
        (("a", "b"), "20:00", 0.55),
        (("a", "b"), "20:30", 0.25),
        (("a", "a"), "20:00", 0.0),
        (("a", None), "20:00", 0.0),
    ],
)
def test_two_sources_may_name_shifted_times_or_the_doors(
    sources: tuple[str, str | None], start: str, expected: float
) -> None:
    one = on({"start_time": "18:00"}) | {"source_code": sources[0]}
    assert date_score(one, on({"start_time": start}) | {"source_code": sources[1]}) == expected


def test_shows_of_a_day_are_a_set() -> None:
    both = on({"start_time": "15:00"}, {"start_time": "20:00"})
    assert date_score(both, on({"start_time": "20:00"})) == 1.0


def test_a_range_counts_all_its_days() -> None:
    long = on({"date": "2027-05-07", "end_date": "2027-05-10", "start_time": "10:00"})
    short = on({"date": "2027-05-08", "end_date": "2027-05-09", "start_time": "10:00"})
    assert date_score(long, short) == 0.5


def test_the_opening_day_alone_keeps_half_of_a_long_range() -> None:
    long = on({"end_date": "2027-08-08", "start_time": "10:00"})
    assert 0.5 < date_score(long, on({"start_time": "10:00"})) < 0.51


def test_one_day_in_the_middle_of_a_long_range_is_not_the_range() -> None:
    long = on({"date": "2027-04-01", "end_date": "2027-08-08"})
    assert date_score(long, on({})) < 0.01


def test_an_unknown_date_is_neutral() -> None:
    assert date_score({}, on({})) == 0.5
    assert date_score({}, {}) == 0.5


# ---- place ----

HALL = {"city": "Lahr", "name": "Stadthalle"}


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (HALL, HALL, 1.0),
        (HALL, {"city": "77933 Lahr", "name": "STADTHALLE"}, 1.0),
        ({"city": "Lahr"}, {"city": "Lahr"}, 0.75),
        (HALL, {"city": "Lahr", "name": "Zum Goldenen Ochsen"}, 0.45),
        ({"city": "Lahr"}, {"city": "Kehl"}, 0.1),
        (HALL, {"city": "Kehl", "name": "Zum Goldenen Ochsen"}, 0.0),
        (HALL, {"city": "Kehl", "name": "Stadthalle"}, 0.3),
        (HALL | {"street": "Ring 4"}, HALL | {"name": "Zum Ochsen", "street": "Am Bach"}, 0.3),
        ({"name": "Stadthalle"}, HALL, 0.9),
        ({"name": "Stadthalle"}, {"name": "Zum Goldenen Ochsen"}, 0.0),
        ({"name": "St. Martin"}, {"name": "Sankt Martin"}, 0.9),
        ({}, HALL, 0.5),
        ({"city": "Haltern"}, {"city": "Haltern am See"}, 0.75),
        ({"city": "Lahr", "name": "Lahr"}, HALL, 0.75),
        ({"city": "Lahr", "name": "Innenstadt"}, HALL, 0.75),
        ({"city": "Lahr", "name": "Altstadt Lahr"}, HALL, 0.75),
    ],
)
def test_the_address_is_evidence_where_coordinates_are_missing(
    one: dict[str, Any], two: dict[str, Any], expected: float
) -> None:
    assert geo_score(one, two) == pytest.approx(expected, abs=0.03)


def placed(ident: str, source: str, title: str, **more: Any) -> dict[str, Any]:
    place = {"city": "Lahr", "name": more.pop("name", None)}
    return {"id": ident, "source_code": source, "title": title, "location": place} | more


CHURCHES = [
    placed("a", "blatt", "Gottesdienst", name="St. Martin", description="Alle sind willkommen."),
    placed("b", "blatt", "Gottesdienst", name="Christuskirche"),
    placed("c", "amt", "Gottesdienst", name="Pfarrkirche Sankt Martin"),
    placed("d", "amt", "Gottesdienst", name="Lutherkirche", description="Alle sind willkommen."),
    placed("e", "amt", "Gottesdienst"),
    placed("f", "blatt", "Orgelabend", name="Stiftskirche", description="Alle sind willkommen."),
    placed("g", "amt", "Orgelabend", name="Rathaus"),
    placed("h", "amt", "Orgelabend", description="Alle sind willkommen."),
    placed("i", "amt", "Weinprobe", description="Alle sind willkommen."),
]


def among_churches(one: str, other: str) -> Signals:
    table = table_of(read(CHURCHES, CONFIG).listings, CONFIG, lambda _: None)
    pair = Pairs(np.array([ord(one) - 97]), np.array([ord(other) - 97]))
    return score(table, pair, CONFIG, lambda *_: None)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("a", "c", 1.0), ("a", "d", 0.0), ("a", "e", 0.1), ("f", "g", 0.45), ("f", "h", 0.75)],
)
def test_under_a_title_at_several_venues_of_a_city_the_venue_has_to_tell(
    one: str, other: str, expected: float
) -> None:
    assert among_churches(one, other).geo[0] == pytest.approx(expected, abs=0.1)


def test_a_standing_text_says_little_under_a_common_title() -> None:
    assert among_churches("a", "d").description[0] == pytest.approx(0.3 + 0.7 * 2 / 3)
    assert among_churches("f", "h").description[0] == 1.0


def test_two_names_that_two_sources_have_for_a_venue_make_no_title_common() -> None:
    two = [placed("a", "blatt", "Chorprobe", name="Rathaus"), placed("b", "amt", "Chorprobe", name="Bürgersaal")]  # fmt: skip
    table = table_of(read(two, CONFIG).listings, CONFIG, lambda _: None)
    assert not table.is_common_title.any()
    again = [*two, placed("c", "amt", "Chorprobe", name="Stadthalle")]
    table = table_of(read(again, CONFIG).listings, CONFIG, lambda _: None)
    assert table.is_common_title.all()


@pytest.mark.parametrize(
    ("venues", "least", "expected"),
    [
        (["Kita Regenbogen", "Gymnasium", "Feuerwehrhaus"], 3, True),
        (["Kita Regenbogen", "Gymnasium"], 3, False),
        (["Kita Regenbogen", "Kita", "Gymnasium"], 3, False),
        (["Kita Regenbogen", "Gymnasium", "Feuerwehrhaus"], 4, False),
        (["Kita Regenbogen", "Gymnasium", "Feuerwehrhaus"], 0, False),
    ],
)
def test_a_title_at_many_venues_of_a_city_is_common_whoever_names_them(
    venues: list[str], least: int, expected: bool
) -> None:
    config = MatchingConfig.model_validate({"geo": {"common_title_venues": least}})
    titles = ["Tag der offenen Tür", "Tag der offenen Tür", "Tag der offenen Tür im Ort"]
    raw = [placed(str(n), f"s{n}", titles[n], name=name) for n, name in enumerate(venues)]
    elsewhere = placed("9", "s9", titles[0], name="Hafen") | at(city="Kiel", name="Hafen")
    table = table_of(read([*raw, elsewhere], config).listings, config, lambda _: None)
    common = table.is_common_title.tolist()
    assert common[0] is common[1] is expected
    assert not common[-1]


def test_one_street_and_number_is_one_place_under_two_names() -> None:
    one = {"city": "Lahr", "name": "Rathaus", "street": "Marktstr.", "street_no": "4"}
    two = {"city": "Lahr", "name": "Bürgersaal", "street": "Marktstraße 4"}
    assert geo_score(one, two) == 1.0


def test_trusted_coordinates_decay_with_distance() -> None:
    here = {"geo": point(48.0, 7.8, 0.9)}
    scores = [geo_score(here, {"geo": point(48.0 + step / 100, 7.8, 0.9)}) for step in range(12)]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == 0.0


def test_one_point_with_different_venues_is_no_proof() -> None:
    one = {"name": "Stadthalle", "geo": point(48.0, 7.8, 0.95)}
    two = {"name": "Goldener Ochsen", "geo": point(48.0, 7.8, 0.95)}
    assert geo_score(one, two) == 0.5


def test_coordinates_without_stated_confidence_count_half() -> None:
    here = {"geo": point(48.0, 7.8, None)}
    assert geo_score(here, here) == 0.75


def test_coordinates_of_low_confidence_count_nothing() -> None:
    here = {"geo": point(48.0, 7.8, 0.2)}
    assert geo_score(here, here) == 0.5


# ---- title ----


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Repair-Café", "RepairCafe"),
        ("Fasnetsumzug der Zünfte", "FASNACHTSUMZUG DER ZUENFTE"),
        ("Orgelabend - ABGESAGT", "Orgelabend"),
        ("Weinfest 2027", "Weinfest"),
        ("Lahr liest", "liest Lahr"),
    ],
)
def test_spellings_of_one_title_score_high(one: str, two: str) -> None:
    assert title_score(one, two) > 0.7


def test_unlike_titles_stay_under_the_veto() -> None:
    unlike = title_score("Orgelabend", "Töpferkurs für Kinder")
    assert unlike < CONFIG.thresholds.title_veto - 0.05


def test_words_left_over_on_both_sides_are_evidence_against() -> None:
    extended = title_score("Kinderball", "Kinderball Zunfthaus")
    assert extended > title_score("Kinderball Rathaus", "Kinderball Zunfthaus")


def test_different_numbers_part_titles() -> None:
    assert title_score("Yoga Gruppe 1", "Yoga Gruppe 2") < title_score(
        "Yoga Gruppe 1", "Yoga Gruppe"
    )


def test_one_long_text_under_two_titles_is_a_changed_title() -> None:
    one = {"title": "Orgelabend", "description": TEXT}
    assert signals(one, {"title": "Töpfern", "description": TEXT}).title[0] == 0.7


def test_a_text_that_many_titles_carry_says_little() -> None:
    raw = [{"id": str(i), "title": f"Film{'abcdefgh'[i]}", "description": TEXT} for i in range(8)]
    raw += [raw[0] | {"id": "8"}]
    table = table_of(read(raw, CONFIG).listings, CONFIG, lambda _: None)
    found = score(table, Pairs(np.array([0, 0]), np.array([1, 8])), CONFIG, lambda *_: None)
    assert found.title[0] < 0.7
    assert found.description[0] == pytest.approx(0.3 + 0.7 * 2 / 8)
    assert found.description[1] == 1.0


def test_a_common_part_of_compounds_is_evidence() -> None:
    apart = title_score("Hemdglunker in Lahr", "Orgelabend")
    assert title_score("Hemdglunker in Lahr", "Großer Hemdglunkerumzug") > apart + 0.2


def test_a_title_found_in_the_other_text_is_evidence_for() -> None:
    plain = title_score("Wimmelrum", "Musiknacht im Hof")
    assert title_score("Musiknacht im Hof", "Wimmelrum", description="Es spielt Wimmelrum.") > plain


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    titles = ["Konzert Krakeelia", "Krakeelia", "Konzert", *["Konzert"] * 300]
    raw = [{"id": f"{i:03}", "title": title} for i, title in enumerate(titles)]
    table = table_of(read(raw, CONFIG).listings, CONFIG, lambda _: None)
    pairs = Pairs(np.array([0, 0]), np.array([1, 2]))
    rare, common = score(table, pairs, CONFIG, lambda *_: None).title
    assert rare > common


def test_very_long_texts_are_compared_by_their_beginning() -> None:
    assert text_score(TEXT * 600, TEXT * 601) == 1.0


def test_an_article_and_a_list_entry_use_their_own_blend() -> None:
    one = {"title": "Experten reden über gesunden Schlaf im Alter", "source_type": "artikel"}
    other = {"title": "Gesunder Schlaf"}
    mixed = signals(one, other | {"source_type": "terminliste"}).title[0]
    assert mixed > signals(one, other | {"source_type": "artikel"}).title[0]


# ---- description ----


def test_missing_descriptions_take_the_configured_scores() -> None:
    assert text_score(None, None) == 0.5
    assert text_score(TEXT, None) == 0.4
    assert text_score(TEXT, " ") == 0.4


def test_a_text_that_was_cut_off_is_the_same_text() -> None:
    assert text_score(TEXT, TEXT[:61] + "...") == 1.0


def test_unlike_descriptions_score_little() -> None:
    other = "Wir backen Brot im Holzofen, bitte Schürze und gute Laune mitbringen, Kosten 12 Euro."
    assert text_score(TEXT, other) < CONFIG.description.unlike_score + 0.05


def test_the_short_description_stands_in_for_a_missing_one() -> None:
    found = signals({"description": TEXT}, {"description": "", "short_description": TEXT})
    assert found.description[0] == 1.0
