"""Normal forms: spellings of one thing meet, different things stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model.matching_config import MatchingConfig
from dedup_model.text_tables import CityAlias, Synonyms, TextTables, TitlePrefix
from matcher_service.engine.normalise import Cities, Titles, city_head, fold, words_of

TITLES = Titles(TextTables())
CITIES = Cities(MatchingConfig().text.city_aliases)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Frühlingsfest im Gärtle", "FRUEHLINGSFEST IM GAERTLE"),
        ("Straßenfest", "STRASSENFEST"),
        ("Café Olé", "cafe ole"),
        ("„Die Welle“ — Lesung", '"Die Welle" - Lesung'),
        ("Rock\u00a0&\u00a0Pop", "rock pop"),
        ("Ｊａｚｚ", "jazz"),  # noqa: RUF001
        ("Mu\u0308ller", "Müller"),
        ("Jan's Bar", "Jan’s Bar"),  # noqa: RUF001
        ("Frühstück", "FrÃ¼hstÃ¼ck"),
    ],
)
def test_spellings_of_one_text_fold_to_one_form(one: str, other: str) -> None:
    assert fold(one) == fold(other) != ""


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    "word",
    ["Fasnetsumzug", "Fasnachtsumzug", "Faschingsumzug", "Karnevalsumzug", "Fastnachtsumzug"],
)
def test_a_synonym_at_the_front_of_a_compound_meets_in_one_form(word: str) -> None:
    assert TITLES.normal(word).text == "fastnachtumzug"


@pytest.mark.parametrize("word", ["Fasnetsonntag", "Fasnetssonntag", "Fasnachtssonntag"])
def test_a_linking_s_does_not_part_compounds(word: str) -> None:
    assert TITLES.normal(word).text == TITLES.normal("Faschingssonntag").text


@pytest.mark.parametrize("word", ["Kinderfasnet", "Kinderfasching", "Kinderkarneval"])
def test_a_synonym_at_the_end_of_a_compound_meets_in_one_form(word: str) -> None:
    assert TITLES.normal(word).text == "kinderfastnacht"


def test_a_short_synonym_matches_whole_words_only() -> None:
    titles = Titles(TextTables(synonyms=[Synonyms(canonical="weltmeisterschaft", variants=["wm"])]))
    assert titles.normal("WM Finale").text == "weltmeisterschaft finale"
    assert titles.normal("Wmkino").text == "wmkino"


def test_one_prefix_is_cut_from_the_original_title() -> None:
    assert TITLES.normal("Vortrag: Bildervortrag: Alpen").text == "bildervortrag alpen"
    assert TITLES.normal("VORTRAG: Alpen").text == "alpen"
    assert TITLES.normal("Vortrag über die Alpen").text == "vortrag ueber die alpen"


def test_a_prefix_with_characters_that_casefold_lengthens_is_cut_whole() -> None:
    titles = Titles(TextTables(prefixes=[TitlePrefix(text="Große Straße")]))
    assert titles.normal("GROßE STRASSE - Musik").text == "musik"


@pytest.mark.parametrize(
    ("title", "text", "marker"),
    [
        ("ABGESAGT: Orgelabend", "orgelabend", "abgesagt"),
        ("Orgelabend - entfällt!", "orgelabend", "entfaellt"),
        ("Orgelabend (sold out)", "orgelabend", "sold out"),
        ("Verschoben! Orgelabend", "orgelabend", "verschoben"),
    ],
)
def test_a_marker_is_kept_apart_from_the_title(title: str, text: str, marker: str) -> None:
    normal = TITLES.normal(title)
    assert (normal.text, normal.markers) == (text, (marker,))


def test_a_trailing_year_is_kept_apart_from_the_title() -> None:
    assert TITLES.normal("Weinfest 2027").text == "weinfest"
    assert TITLES.normal("Weinfest 2027").year == "2027"
    assert TITLES.normal("2001 Odyssee im Weltraum").text == "2001 odyssee im weltraum"


@pytest.mark.parametrize("title", ["Abgesagt", "1984", "!!!", "🎉", "Vortrag: "])
def test_a_title_never_becomes_empty(title: str) -> None:
    assert TITLES.normal(title).text


@pytest.mark.parametrize(
    "city",
    [
        "Freiburg",
        "FREIBURG i. Br.",
        "Freiburg i.Br.",
        "79098 Freiburg",
        "D-79098 Freiburg",
        "Opfingen",
    ],
)
def test_names_of_one_city_meet(city: str) -> None:
    assert CITIES.normal(city) == "freiburg im breisgau"


def test_an_alias_is_followed_one_step() -> None:
    cities = Cities(
        [CityAlias(city="b-stadt", aliases=["a-stadt"]), CityAlias(city="c", aliases=["b-stadt"])]
    )
    assert cities.normal("A-Stadt") == "b stadt"


def test_a_short_form_of_a_city_shares_its_head() -> None:
    assert city_head(CITIES.normal("Haltern am See")) == CITIES.normal("Haltern")
    assert city_head(CITIES.normal("St. Peter-Ording")) == CITIES.normal("Sankt Peter")
    assert city_head("bad krozingen") != city_head("bad bellingen")


def test_function_words_count_only_when_alone() -> None:
    assert words_of("der fischer und die frau", {"der", "die", "und"}) == ["fischer", "frau"]
    assert words_of("the the", {"the"}) == ["the"]
