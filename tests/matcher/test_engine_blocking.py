"""Candidate pairs: every way to meet works on its own, and no pair comes twice."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model.errors import LimitExceeded
from dedup_model.matching_config import Blocking, MatchingConfig
from matcher_service.engine import blocking
from matcher_service.engine.blocking import candidates
from matcher_service.engine.columns import table_of
from matcher_service.engine.records import read

CONFIG = MatchingConfig()
ONLY = {"use_city": False, "use_geo": False, "use_title": False, "use_venue": False}


def listing(ident: str, *dates: Any, title: str = "", **location: Any) -> dict[str, Any]:
    entries = [one if isinstance(one, dict) else {"date": one} for one in dates]
    return {"id": ident, "title": title or ident * 4, "event_dates": entries, "location": location}


def found(raw: list[dict[str, Any]], **settings: Any) -> set[tuple[str, str]]:
    table = table_of(read(raw, CONFIG).listings, CONFIG, lambda _: None)
    pairs = candidates(table, Blocking(**(ONLY | settings)), lambda *_: None)
    by_day = candidates(table, Blocking(**(ONLY | settings)), lambda *_: None, span_days=1)
    assert (pairs.codes(len(raw)) == by_day.codes(len(raw))).all()
    assert (pairs.left < pairs.right).all()
    listed = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert listed == sorted(set(listed))
    return {(table.ids[a], table.ids[b]) for a, b in listed}


def test_listings_of_one_city_and_day_pair() -> None:
    raw = [
        listing("a", "2027-05-08", city="Lahr"),
        listing("b", "2027-05-08", city="77933 LAHR"),
        listing("c", "2027-05-09", city="Lahr"),
        listing("d", "2027-05-08", city="Kehl"),
        listing("e", "2027-05-08"),
    ]
    assert found(raw, use_city=True) == {("a", "b")}


def test_a_range_pairs_on_every_day() -> None:
    long = listing("a", {"date": "2027-05-01", "end_date": "2027-05-05"}, city="Lahr")
    days = [listing(f"d{day}", f"2027-05-0{day}", city="Lahr") for day in range(1, 7)]
    assert found([long, *days], use_city=True) == {("a", f"d{day}") for day in range(1, 6)}


def test_every_day_of_a_list_pairs() -> None:
    raw = [
        listing("a", "2027-05-01", "2027-06-01", city="Lahr"),
        listing("b", "2027-06-01", "2027-07-01", city="Lahr"),
        listing("c", "2027-07-01", city="Lahr"),
    ]
    assert found(raw, use_city=True) == {("a", "b"), ("b", "c")}


def test_a_show_after_midnight_pairs_with_the_evening_before() -> None:
    raw = [
        listing("a", {"date": "2027-05-08", "start_time": "23:50"}, city="Lahr"),
        listing("b", {"date": "2027-05-09", "start_time": "00:10"}, city="Lahr"),
    ]
    assert found(raw, use_city=True) == {("a", "b")}


def test_a_rare_title_word_pairs_without_any_place() -> None:
    raw = [
        listing("a", "2027-05-08", title="Konzert mit Krakeelia"),
        listing("b", "2027-05-08", title="Krakeelia live"),
        listing("c", "2027-05-08", title="Töpfern"),
    ]
    assert found(raw, use_title=True) == {("a", "b")}


def test_only_the_rarest_title_words_become_keys() -> None:
    raw = [
        listing("a", "2027-05-08", title="Konzert Krakeelia Burg"),
        listing("b", "2027-05-08", title="Konzert Wimmelrum Turm"),
        listing("c", "2027-05-08", title="Konzert"),
        listing("d", "2027-05-08", title="Konzert"),
    ]
    assert found(raw, use_title=True, title_words=1) == {("c", "d")}


def test_a_title_word_that_stands_in_the_text_of_the_other_pairs() -> None:
    raw = [
        listing("a", "2027-05-08", title="Krakeelia"),
        listing("b", "2027-05-08", title="Musiknacht") | {"description": "Es spielt Krakeelia."},
        listing("c", "2027-05-08", title="Flohmarkt") | {"description": "Vom Keller bis zum Dach."},
    ]
    assert found(raw, use_title=True) == {("a", "b")}


def test_a_rare_word_of_the_venue_pairs_long_and_short_names() -> None:
    raw = [
        listing("a", "2027-05-08", name="Kongresszentrum Mühlengarten"),
        listing("b", "2027-05-08", name="Mühlengarten"),
        listing("c", "2027-05-08", name="Ochsen"),
    ]
    assert found(raw, use_venue=True) == {("a", "b")}


def test_a_venue_pairs_across_cities_in_any_word_order() -> None:
    raw = [
        listing("a", "2027-05-08", name="Alte Mühle", city="Lahr"),
        listing("b", "2027-05-08", name="Mühle, alte"),
    ]
    assert found(raw, use_venue=True) == {("a", "b")}


def test_listings_without_a_date_pair_on_title_words_only_with_each_other() -> None:
    raw = [
        listing("a", title="Krakeelia", city="Lahr"),
        listing("b", title="Krakeelia live", city="Lahr"),
        listing("c", "2027-05-08", title="Krakeelia", city="Lahr"),
        listing("d", title="Wimmelrum", city="Lahr"),
    ]
    assert found(raw, use_title=True, use_city=True) == {("a", "b")}


POINTS = st.tuples(
    st.floats(-89.9, 89.9), st.floats(-180, 180), st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)
)


@given(POINTS)
def test_coordinates_nearer_than_a_cell_always_pair(
    point: tuple[float, float, float, float],
) -> None:
    latitude, longitude, north, east = point
    wrapped = (longitude + east + 180) % 360 - 180
    raw = [
        listing("a", "2027-05-08", geo={"latitude": latitude, "longitude": longitude}),
        listing("b", "2027-05-08", geo={"latitude": latitude + north, "longitude": wrapped}),
    ]
    assert found(raw, use_geo=True) == {("a", "b")}


def test_coordinates_far_apart_do_not_pair() -> None:
    raw = [
        listing("a", "2027-05-08", geo={"latitude": 48.0, "longitude": 7.8}),
        listing("b", "2027-05-08", geo={"latitude": 48.5, "longitude": 7.8}),
    ]
    assert found(raw, use_geo=True) == set()


def test_a_big_block_is_expanded_and_loses_nothing() -> None:
    parts = blocking._index_pairs(np.full(300, 300))
    whole = [pair for part in parts for pair in zip(*(side.tolist() for side in part), strict=True)]
    assert whole == list(combinations(range(300), 2))


def test_a_block_larger_than_a_chunk_is_expanded_piece_by_piece() -> None:
    size = 3_000
    parts = [len(left) for left, _ in blocking._index_pairs(np.full(size, size))]
    assert sum(parts) == size * (size - 1) // 2
    assert len(parts) > 1


def under(words: list[str], largest: int) -> set[tuple[int, int]]:
    """Return the pairs of listings, each given by its words as letters, on one day."""
    rows = [(row, ord(word)) for row, own in enumerate(words) for word in own]
    member, value = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    entries = blocking._Entries(member, value, np.ones_like(member))
    parts = blocking._split(entries, largest)
    codes = [codes.tolist() for part in parts for codes in blocking._pairs_inside(part, 100)]
    return {divmod(code, 100) for some in codes for code in some}


def test_listings_that_share_a_word_of_few_meet() -> None:
    assert under(["kx", "ky", "kx"], 3) == {(0, 1), (0, 2), (1, 2)}


def test_a_word_of_many_is_a_key_together_with_another_one_only() -> None:
    assert under(["kx", "ky", "kx", "kz"], 2) == {(0, 2)}
    assert under(["kax", "kay", "kbz", "kbw"], 1) == {(0, 1), (2, 3)}


def test_a_block_of_two_words_is_whole_however_many_there_are() -> None:
    groups, size, words = 1_250, 12, 24
    member = np.repeat(np.arange(groups * size), words)
    value = member // size * words + np.tile(np.arange(words), groups * size)
    entries = blocking._Entries(member, value, np.ones_like(member))
    codes = [
        codes
        for part in blocking._split(entries, 10)
        for codes in map(np.unique, blocking._pairs_inside(part, groups * size))
    ]
    assert len(np.unique(np.concatenate(codes))) == groups * size * (size - 1) // 2


@given(st.lists(st.text("abcd", min_size=1, max_size=4), min_size=2, max_size=12))
def test_no_pair_comes_by_splitting_that_shares_no_word(words: list[str]) -> None:
    words = ["".join(sorted(set(own))) for own in words]
    whole = under(words, 100)
    assert whole == {
        (a, b) for a, b in combinations(range(len(words)), 2) if {*words[a]} & {*words[b]}
    }
    for largest in (1, 3):
        assert under(words, largest) <= whole


def test_no_listings_give_no_pairs() -> None:
    assert found([], use_city=True, use_geo=True, use_title=True, use_venue=True) == set()


def test_more_pairs_than_allowed_are_refused_however_often_each_is_found() -> None:
    month = {"date": "2027-05-01", "end_date": "2027-05-31"}
    raw = [listing(f"l{n}", month, city="Lahr", name="Stadthalle") for n in range(12)]
    table = table_of(read(raw, CONFIG).listings, CONFIG, lambda _: None)
    pairs = 12 * 11 // 2
    for span in (1, blocking.SPAN_DAYS):
        allowed = candidates(table, CONFIG.blocking, lambda *_: None, span, most=pairs)
        assert len(allowed) == pairs
        with pytest.raises(LimitExceeded, match=f"more than {pairs - 1} pairs"):
            candidates(table, CONFIG.blocking, lambda *_: None, span, most=pairs - 1)
