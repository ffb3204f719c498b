"""What the signals promise for any input: symmetry, range, and 1 for identical listings."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedup_model.matching_config import MatchingConfig
from dedup_model.signal_settings import Title
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import table_of
from matcher_service.engine.records import read
from matcher_service.engine.scoring import Signals, score
from matcher_service.engine.text_signals import blend

CONFIG = MatchingConfig()
DAY = "2027-05-08"
TEXT = "Drei Trompeten und ein Klavier spielen Lieder von Fernweh und Heimkehr."


def point(latitude: float, longitude: float, confidence: float | None) -> dict[str, Any]:
    return {"latitude": latitude, "longitude": longitude, "confidence": confidence}


def signals(one: dict[str, Any], two: dict[str, Any], *, swap: bool = False) -> Signals:
    raw = [{"id": "a", "title": "x"} | one, {"id": "b", "title": "x"} | two]
    table = table_of(read(raw, CONFIG).listings, CONFIG, lambda _: None)
    rows = np.array([int(swap)]), np.array([1 - int(swap)])
    return score(table, Pairs(*rows), CONFIG, lambda *_: None)


UNIT = st.floats(0, 1)


@given(UNIT, UNIT, UNIT, UNIT)
def test_the_blend_is_monotone_in_both_similarities(a: float, b: float, c: float, d: float) -> None:
    low, high = np.array([[min(a, b)], [min(c, d)]]), np.array([[max(a, b)], [max(c, d)]])
    for chosen in (Title(), Title().cross_source_type):
        assert blend(*low, chosen)[0] <= blend(*high, chosen)[0] + 1e-12


WORDS = st.text(alphabet="aeknrsöß 7-", min_size=1, max_size=12).filter(str.strip)
TIMES = st.sampled_from(["09:00", "19:30", "20:00", "23:45", "00:15"])
DATES = st.fixed_dictionaries(
    {"date": st.sampled_from([DAY, "2027-05-09", "2027-05-11"]), "start_time": st.none() | TIMES},
    optional={"end_date": st.just("2027-05-12")},
)
GEO = st.builds(
    point, st.floats(-90, 90), st.floats(-180, 180), st.none() | st.sampled_from([0.3, 0.85, 1.0])
)
LISTINGS = st.fixed_dictionaries(
    {
        "title": WORDS,
        "description": st.none() | WORDS,
        "source_type": st.sampled_from(["artikel", "terminliste"]),
        "event_dates": st.lists(DATES, max_size=3),
        "location": st.fixed_dictionaries(
            {},
            optional={"city": WORDS, "name": WORDS, "street": WORDS, "geo": st.none() | GEO},
        ),
    }
)
NAMES = ("date", "geo", "title", "description")


@given(LISTINGS, LISTINGS)
def test_scores_are_symmetric_and_between_0_and_1(one: dict[str, Any], two: dict[str, Any]) -> None:
    there, back, renamed = signals(one, two), signals(one, two, swap=True), signals(two, one)
    for name in NAMES:
        value = getattr(there, name)[0]
        assert 0.0 <= value <= 1.0
        assert value == getattr(back, name)[0] == getattr(renamed, name)[0]
        assert value == round(value, 9)


@given(LISTINGS, TIMES)
def test_identical_listings_score_1_on_what_they_state(one: dict[str, Any], time: str) -> None:
    one |= {"event_dates": [{"date": DAY, "start_time": time}], "description": TEXT}
    one["location"] |= {"city": "Lahr", "street": "Marktstraße 4", "geo": None}
    found = signals(one, one)
    assert [getattr(found, name)[0] for name in NAMES] == [1.0] * 4


@given(st.lists(LISTINGS, min_size=3, max_size=5))
def test_a_pair_scores_the_same_alone_and_among_other_pairs(raw: list[dict[str, Any]]) -> None:
    listings = read([one | {"id": str(i)} for i, one in enumerate(raw)], CONFIG).listings
    table = table_of(listings, CONFIG, lambda _: None)
    left, right = np.triu_indices(len(raw), 1)
    together = score(table, Pairs(left, right), CONFIG, lambda *_: None)
    for k in range(len(left)):
        alone = score(table, Pairs(left[k : k + 1], right[k : k + 1]), CONFIG, lambda *_: None)
        assert [getattr(alone, n)[0] for n in NAMES] == [getattr(together, n)[k] for n in NAMES]


MINUTES = st.integers(1, 1439)
SOURCES = st.sampled_from(["a", "b"])


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


@given(MINUTES, MINUTES, SOURCES)
def test_a_start_that_agrees_never_scores_below_another(one: int, two: int, source: str) -> None:
    first = {"event_dates": [{"date": DAY, "start_time": clock(one)}], "source_code": "a"}
    other = {"event_dates": [{"date": DAY, "start_time": clock(two)}], "source_code": source}
    assert signals(first, other).date[0] <= signals(first, first).date[0] == 1.0


@given(DATES, DATES, TIMES)
def test_a_shared_show_never_lowers_the_date_score_of_single_days(
    one: dict[str, Any], two: dict[str, Any], time: str
) -> None:
    single = [{"date": DAY, "start_time": entry["start_time"]} for entry in (one, two)]
    shared = {"date": DAY, "start_time": time}
    before = signals({"event_dates": single[:1]}, {"event_dates": single[1:]})
    after = signals({"event_dates": [single[0], shared]}, {"event_dates": [single[1], shared]})
    assert before.date[0] <= after.date[0] == 1.0


NAMED = st.sampled_from(["Krakeelia", "Wimmelrum spielt", "Orgel Abend", "Tee mit Rosen"])


@given(NAMED, NAMED)
def test_a_text_that_names_the_other_title_never_lowers_the_title_score(one: str, two: str) -> None:
    silent = signals({"title": one, "description": TEXT}, {"title": two})
    naming = signals({"title": one, "description": f"{TEXT} {two}"}, {"title": two})
    assert silent.title[0] <= naming.title[0]
