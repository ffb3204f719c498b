"""Plain texts: control characters, things that look like secrets, category names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model import rules
from dedup_model.errors import InvalidRequest
from dedup_model.text_rules import fold_category, is_category_key, shown_name, text_problem

SECRETS = {
    "google": "AIza0123456789-abcdefghijklmnopqrst_UVW",
    "google in a sentence": "use AIza0123456789-abcdefghijklmnopqrst_UVW here",
    "openai": "sk-proj-abcdefghijklmnopqrstuv",
    "pem": "-----BEGIN PRIVATE KEY-----",
    "fernet": "gAAAAABmZ0123456789abcdefghij",
    "sealed cell": "cse2.AbCd",
    "plain cell": "plain:hello",
    "github": "ghp_0123456789abcdefghijABCDEFGHIJ",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "jwt": "eyJhbGciOiJIUzI1NiIs.eyJzdWIiOiIxMjM0NTY3",
}
CONTROLS = {
    "NUL": "\x00",
    "newline": "\n",
    "escape": "\x1b",
    "delete": "\x7f",
    "next line": "\x85",
    "arabic letter mark": "\u061c",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "right-to-left mark": "\u200f",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "word joiner": "\u2060",
    "right-to-left isolate": "\u2067",
    "byte order mark": "\ufeff",
}
PLACES = {
    "synonyms.0.canonical": lambda text: {"synonyms": [{"canonical": text}]},
    "synonyms.0.variants.1": lambda text: {
        "synonyms": [{"canonical": "ok", "variants": ["ok", text]}]
    },
    "prefixes.0.text": lambda text: {"prefixes": [{"text": text}]},
    "city_aliases.0.city": lambda text: {"city_aliases": [{"city": text}]},
    "city_aliases.0.aliases.0": lambda text: {"city_aliases": [{"city": "ok", "aliases": [text]}]},
}


def refused(document: dict) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        rules.validated(document)
    return [(violation.path, violation.rule) for violation in caught.value.violations]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_plain_text_holds_no_secret(place: str, secret: str):
    assert refused({"text": PLACES[place](secret)}) == [(f"text.{place}", "SECRET_IN_CONFIG")]


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_model_name_is_no_secret(secret: str):
    assert refused({"ai": {"model": secret}}) == [("ai.model", "SECRET_IN_CONFIG")]


@pytest.mark.parametrize("key", ["ghp_0123456789abcdefghij", "akiaiosfodnn7example"])
@pytest.mark.parametrize(
    "place", [lambda key: {"priority": [key]}, lambda key: {"overrides": {key: {"date": 0.5}}}]
)
def test_a_category_key_is_no_secret_either(place, key: str):
    assert [rule for _, rule in refused({"category_weights": place(key)})] == ["SECRET_IN_CONFIG"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("character", CONTROLS.values(), ids=CONTROLS)
def test_a_plain_text_holds_no_control_character(place: str, character: str):
    document = {"text": PLACES[place](f"a{character}b")}
    assert refused(document) == [(f"text.{place}", "CONTROL_CHARACTER")]


@pytest.mark.parametrize("place", PLACES)
def test_half_a_character_is_no_text(place: str):
    assert refused({"text": PLACES[place]("a\ud800b")}) == [(f"text.{place}", "TYPE")]


@pytest.mark.parametrize(
    "text",
    [
        "Bündnis 90/Die Grünen",
        "freiburg i. br.",
        "Ski-Kurs",
        "risk-taking-for-beginners-and-friends",
        "Monkey.Monkey",
        "It's plain: a talk",
        "Café \u2013 Bühne 🎭",
        "c" * 200,
    ],
)
def test_an_ordinary_text_is_fine(text: str):
    assert text_problem(text) is None
    assert rules.validated({"text": {"prefixes": [{"text": text}]}}).text.prefixes[0].text == text


@pytest.mark.parametrize(
    ("text", "rule"), [("a\x00b", "CONTROL_CHARACTER"), ("cse2.abc", "SECRET_IN_CONFIG")]
)
def test_a_text_problem_has_a_rule_and_hides_the_text(text: str, rule: str):
    found, description = text_problem(text)
    assert found == rule
    assert text not in description


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("fasnacht", "fasnacht"),
        ("Fasnacht", "fasnacht"),
        ("  FASNACHT ", "fasnacht"),
        ("Straßenfest", "strassenfest"),
        ("STRAẞE", "strasse"),
        ("Führung", "fuehrung"),
        ("ÄÖÜ", "aeoeue"),
        ("Kunst & Kultur", "kunst_kultur"),
        ("Ausstellung/Kunst", "ausstellung_kunst"),
        ("Kinder, Jugend", "kinder_jugend"),
        ("open-air", "open_air"),
        ("Kunst _ Kultur", "kunst_kultur"),
        ("kunst__kultur", "kunst_kultur"),
        ("_intern_", "intern"),
        ("90er", "90er"),
    ],
)
def test_a_category_name_folds_to_its_key(name: str, key: str):
    assert fold_category(name) == key
    assert is_category_key(key)


@given(st.text())
def test_folding_twice_is_folding_once(name: str):
    assert fold_category(fold_category(name)) == fold_category(name)


@given(st.from_regex(r"[A-Za-zÄÖÜäöüß0-9 _/&+,.-]{1,20}", fullmatch=True))
def test_a_name_of_letters_digits_and_separators_folds_to_a_key_or_to_nothing(name: str):
    key = fold_category(name)
    assert key == "" or is_category_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "Fasnacht",
        "fas nacht",
        "fas-nacht",
        "führung",
        "f\u0430snacht",
        "fas\u200bnacht",
        "\u202efasnacht",
        "u\u0308ber",
        "__proto__",
        "__class__",
        "a.b",
        "fasnacht\n",
        "k" * 65,
        "k" * 129,
    ],
)
@pytest.mark.parametrize(
    "place", [lambda key: {"priority": [key]}, lambda key: {"overrides": {key: {"date": 0.5}}}]
)
def test_a_category_key_has_the_folded_form(place, key: str):
    ((path, rule),) = refused({"category_weights": place(key)})
    assert rule == "KEY_CHARSET"
    assert path.startswith("category_weights.")


def test_a_category_key_of_64_characters_is_fine():
    assert rules.validated({"category_weights": {"overrides": {"k" * 64: {"date": 0.5}}}})


@pytest.mark.parametrize("name", ["tresholds", "api_key", "Fasnacht", "k" * 64, "führung"])
def test_a_plain_name_may_stand_in_a_message(name: str):
    assert shown_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *SECRETS.values(),
        "ghp_0123456789abcdefghij",
        "akiaiosfodnn7example",
        "my pass word",
        "a\nb",
        "k" * 65,
        "",
        "\x1b[31m",
    ],
)
def test_any_other_name_is_not_shown(name: str):
    assert shown_name(name) == "?"
