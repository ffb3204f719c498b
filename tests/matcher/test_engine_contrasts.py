"""Titles that name different ones of things that exclude each other are not one event."""

from typing import Any

import pytest

from dedup_model.matching_config import MatchingConfig
from dedup_model.text_tables import Contrast, TextTables
from matcher_service.engine.contrasts import Contrasts, contrary
from matcher_service.engine.normalise import Titles
from matcher_service.engine.pipeline import deduplicate

CONFIG = MatchingConfig()
TITLES, CONTRASTS = Titles(CONFIG.text), Contrasts(CONFIG.text)
TEXT = "The club offers courses for everybody, please bring a mat and warm clothes with you."


def differ(one: str, other: str, contrasts: Contrasts = CONTRASTS) -> bool:
    marks = [contrasts.marks(TITLES.normal(title).text) for title in (one, other)]
    assert contrary(*marks) == contrary(*reversed(marks))
    return contrary(*marks)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Reading, part 1", "Reading, part 2"),
        ("Rocky II", "Rocky 3"),
        ("Yoga, Gruppe A", "Yoga Gruppe B"),
        ("Pilates class A at the hall", "Pilates class B"),
        ("Judo for children", "Judo for adults"),
        ("Judo for kids", "Adults' judo"),
        ("Schwimmen für Anfänger", "Schwimmen (Fortgeschrittene)"),
        ("Turnen Mädchen", "Turnen Jungen"),
        ("Schach ab 6 Jahren, Anfänger", "Schach ab 6 Jahren, Fortgeschrittene"),
        ("Women's run", "Men's run"),
        ("Faust, Teil I", "Faust, Teil II"),
        ("Sinfoniekonzert IV", "Sinfoniekonzert V"),
        ("Konzert XI", "Konzert XII"),
        ("Rocky V", "Rocky X"),
        ("Turnier U12", "Turnier U14"),
        ("Spanisch A1", "Spanisch A2"),
        ("Ü30-Party", "Ü40-Party"),
        ("Stadtlauf 5km", "Stadtlauf 10 km"),
        ("Lauf über 5.000 m", "Lauf über 10.000 m"),
        ("80er-Party", "90er-Party"),
        ("Saga: Part One", "Saga: Part Two"),
        ("Erster Kammermusikabend", "Zweiter Kammermusikabend"),
    ],
)
def test_two_members_of_one_group_tell_titles_apart(one: str, other: str) -> None:
    assert differ(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Reading, part 1", "Reading"),
        ("Rocky II", "Rocky 2"),
        ("5. Konzert der Reihe", "Konzert der Reihe 2025/26"),
        ("Sommerfest 2025", "Sommerfest 50 Jahre"),
        ("Judo for kids", "Judo for children"),
        ("Judo for children and adults", "Judo for adults"),
        ("Konzert für Kinder", "Konzert für Anfänger"),
        ("Abend mit B. Meier", "Abend mit C. Meier"),
        ("TSV e. V. lädt ein", "TSV e. G. lädt ein"),
        ("Fest des TSV e. V.", "3. Fest des TSV"),
        ("The King and I", "The King and I, 3rd week"),
        ("Rocky V", "Rocky 5"),
        ("Lauf über 5 km", "Lauf über 5km"),
        ("Lauf über 5.000 m", "Lauf über 5000 m"),
        ("2nd night", "2. night"),
        ("", "Part 2"),
    ],
)
def test_years_one_sided_words_and_other_groups_do_not(one: str, other: str) -> None:
    assert not differ(one, other)


def test_the_groups_are_those_of_the_settings() -> None:
    groups = [Contrast(words=["red scarlet", "blue"]), Contrast()]
    contrasts = Contrasts(TextTables(contrasts=groups, lettered_words=["Gleis"]))
    assert differ("The red hall", "The blue hall", contrasts)
    assert not differ("The red hall", "The scarlet hall", contrasts)
    assert not differ("Judo for children", "Judo for adults", contrasts)
    assert differ("Gleis A", "Gleis B", contrasts)
    assert not differ("Gruppe A", "Gruppe B", contrasts)


def event(name: str, title: str, **more: Any) -> dict[str, Any]:
    date = {"date": "2026-03-07", "start_time": "19:00"}
    place = {"name": "Festhalle", "city": "Bergstadt"}
    text = {"description": TEXT, "source_code": name}
    return {"id": name, "title": title, "event_dates": [date], "location": place, **text, **more}


def merged(one: str, other: str, config: MatchingConfig) -> bool:
    result = deduplicate([event("a", one), event("b", other)], config, 0.0, lambda *_: None)
    return len(result.events) == 1


@pytest.mark.parametrize(
    "titles", [("Yoga Gruppe A", "Yoga Gruppe B"), ("Judo boys", "Judo girls")]
)
def test_siblings_with_one_text_and_time_stay_two_events_unless_switched_off(
    titles: tuple[str, str],
) -> None:
    assert not merged(*titles, CONFIG)
    assert merged(*titles, MatchingConfig.model_validate({"title": {"contrast_score": 1.0}}))
    assert merged(titles[0], titles[0], CONFIG)
