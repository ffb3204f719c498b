"""The quality benchmark: its figures on cases small enough to count by hand."""

import pytest
from quality import BEGIN, END, replaced, report
from quality_ablations import ABLATIONS, config_with, is_known
from quality_figures import figures, interval, rates, recall_by_fault, run, wrong_by_group
from quality_sets import LabelledSet, synthetic
from synthetic import Spec

from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import MatchingConfig


def listing(name, day="2026-03-07", title="Harfenklänge im Advent", **more):
    return {
        "id": name,
        "title": title,
        "event_dates": [{"date": day, "start_time": "19:30"}] if day else [],
        "location": {"name": "Bürgerhaus", "city": "Endingen"},
        **more,
    }


@pytest.fixture(scope="module")
def harsh():
    return synthetic("harsh", Spec(harsh=True, listings=400))


def test_an_ablation_changes_the_settings_that_it_names_and_no_other():
    config = config_with(("blocking.use_city=false", "scoring.date=0"))
    changed = {**MatchingConfig().model_dump(), "blocking": config.blocking.model_dump()}
    changed["scoring"] = {**changed["scoring"], "date": 0}
    assert config.blocking.use_city is False
    assert config.blocking.use_geo is True
    assert config.model_dump() == changed


def test_a_setting_of_another_release_is_left_out_and_a_wrong_value_is_not():
    assert is_known(("blocking.use_city=false",))
    assert not is_known(("blocking.use_stars=false",))
    with pytest.raises(InvalidRequest):
        is_known(("scoring.date=-1",))


def test_every_kind_of_blocking_key_and_every_signal_is_switched_off_once():
    paths = {one.partition("=")[0] for settings in ABLATIONS.values() for one in settings}
    assert {f"blocking.use_{key}" for key in ("city", "geo", "title", "venue")} <= paths
    assert {f"scoring.{name}" for name in ("date", "geo", "title", "description")} <= paths


def test_rates_of_pairs_by_hand():
    found = rates({("a", "b"), ("c", "d")}, {("a", "b"), ("a", "c"), ("b", "c")})
    assert (found.precision, found.recall) == (1 / 2, 1 / 3)


def test_the_interval_of_a_perfect_result_is_one_and_of_mixed_days_is_wide():
    raw = [listing(f"{day}{half}", f"2026-03-{day:02}") for day in range(10, 30) for half in "ab"]
    pairs = {(f"{day}a", f"{day}b") for day in range(10, 30)}
    assert interval(pairs, pairs, raw) == (1.0, 1.0)
    low, high = interval({pair for pair in pairs if pair[0] < "20"}, pairs, raw)
    assert low < 2 / 3 < high
    assert high - low > 0.1


def test_a_listing_without_a_date_is_a_day_of_its_own():
    raw = [listing("a", None), listing("b", None)]
    low, high = interval(set(), {("a", "b")}, raw)
    assert (low, high) == (0.0, 0.0)


def test_labelled_pairs_are_judged_and_unlabelled_ones_are_not():
    """All three listings merge; only ab (true) and ac (false) are labelled: P 1/2, R 1."""
    labelled = LabelledSet(
        "pairs", [listing("a"), listing("b"), listing("c")], {},
        pairs={("a", "b"): True, ("a", "c"): False},
    )  # fmt: skip
    found = run(labelled, MatchingConfig()).pairwise
    assert (found.precision, found.recall) == (0.5, 1.0)


def test_recall_by_fault_and_merges_by_hard_negative_by_hand():
    """Found ab, true ab and cd; `typo` is in both true pairs, `terse` in cd; a and e merge wrongly."""
    labelled = LabelledSet(
        "marks",
        [listing("a"), listing("b"), listing("c", title="Orgel"), listing("d", title="Ufo"), listing("e")],
        {"a": "1", "b": "1", "c": "2", "d": "2", "e": "3"},
        marks={"a": ("typo",), "b": (), "c": ("typo", "terse"), "d": (), "e": ()},
        groups=dict.fromkeys("abe", "cinema") | dict.fromkeys("cd", ""),
    )  # fmt: skip
    done = run(labelled, MatchingConfig())
    assert recall_by_fault(done) == {"terse": (1, 0.0), "typo": (2, 0.5)}
    assert wrong_by_group(done) == {"": (0, 0), "cinema": (2, 2)}


def test_all_figures_of_a_synthetic_set_are_within_their_bounds(harsh):
    one = figures(harsh)
    assert one.evaluation is not None
    assert one.cross is not None
    assert one.truth is not None
    assert one.evaluation.pairwise == one.run.pairwise
    assert one.f1_interval[0] <= one.run.pairwise.f1 <= one.f1_interval[1]
    assert 0.9 < one.completeness <= 1
    assert 0.5 < one.truth.days <= 1
    assert one.truth.dates <= one.truth.days


def test_the_report_has_a_row_for_each_set_and_each_part(harsh):
    lines = list(report([harsh]))
    assert sum(line.startswith("| harsh |") for line in lines) == 3
    known = [name for name, settings in ABLATIONS.items() if is_known(settings)]
    assert all(any(line.startswith(f"| {name} (") for line in lines) for name in known)


def test_a_page_keeps_what_stands_around_the_figures():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(page, "new\n") == f"before\n{BEGIN}\n\nnew\n{END}\nafter\n"
    assert replaced(replaced(page, "x\n"), "new\n") == replaced(page, "new\n")
