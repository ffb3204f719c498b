"""Words of a batch: inflections and compounds meet, other words stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher_service.engine.words import Compounds, index_of, stem, words_in


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ringeler", "ringel"),
        ("konzerte", "konzert"),
        ("kindern", "kinder"),
        ("walks", "walk"),
        ("haydns", "haydn"),
        ("singers", "singer"),
        ("duerers", "duerer"),
    ],
)
def test_an_inflection_leaves_the_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["tee", "rose", "jazz", "2027", "bass"])
def test_a_short_word_is_its_own_stem(word: str) -> None:
    assert stem(word) == word


@pytest.mark.parametrize(
    ("known", "word", "parts"),
    [
        (["fruehling", "fest"], "fruehlingsfest", ["fest", "fruehling"]),
        (["umzug"], "schneckenumzug", ["schneck", "umzug"]),
        (["hemdglunker"], "hemdglunkerparade", ["hemdglunk", "parad"]),
        (["repair", "cafe"], "repaircafe", ["cafe", "repair"]),
        (["orgel"], "flohmarkt", ["flohmarkt"]),
        (["blut", "spende", "termin"], "blutspendetermin", ["blut", "spend", "termi"]),
        (["abend"], "abend", ["abend"]),
    ],
)
def test_a_compound_parts_at_words_that_stand_alone(
    known: list[str], word: str, parts: list[str]
) -> None:
    assert Compounds([*known, word]).parts([word]) == parts


@given(st.lists(st.text("abens", min_size=1, max_size=12), max_size=8))
def test_the_parts_do_not_depend_on_the_order_of_the_batch(words: list[str]) -> None:
    turned = words[::-1]
    assert Compounds(words).parts(words) == Compounds(turned).parts(turned)


def test_a_rare_word_weighs_more() -> None:
    rows = [["konzert", "krakeelia"], *[["konzert"]] * 50]
    found = words_in(rows, index_of(rows))
    common, rare = found.weights[0].data
    assert rare > common > 0
    assert found.mass[0] == pytest.approx(common + rare)
