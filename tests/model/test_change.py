"""The truth table of partial updates, row by row."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model import tree
from dedup_model.change import Change
from dedup_model.errors import InvalidRequest

INHERITED = tree.DEFAULTS
MAPS = ("category_weights", "overrides")
FASNACHT = tree.find(INHERITED, (*MAPS, "fasnacht"))
VERSAMMLUNG = tree.find(INHERITED, (*MAPS, "versammlung"))
BOTH = {"fasnacht": FASNACHT, "versammlung": VERSAMMLUNG}


def weights(**entries: Any) -> dict[str, Any]:
    return {"category_weights": {"overrides": entries}}


def applied(
    overrides: dict[str, Any],
    body: dict[str, Any],
    mask: tuple[str, ...] | None = None,
    clear: tuple[str, ...] = (),
) -> dict[str, Any]:
    return Change(body, mask, clear).applied_to(overrides, INHERITED)


OLD = {"thresholds": {"high": 0.9, "low": 0.1}, "geo": {"neutral_score": 0.4}}
ENTRY = f"{'.'.join(MAPS)}.fasnacht"

ROWS: list[tuple[str, Any, Any, Any, Any, Any]] = [
    ("no mask merges a scalar", OLD, {"thresholds": {"high": 0.8}}, None, (),
     {"thresholds": {"high": 0.8, "low": 0.1}, "geo": {"neutral_score": 0.4}}),
    ("no mask and an empty body keep all", OLD, {}, None, (), OLD),
    ("an empty mask is no mask", OLD, {"geo": {"neutral_score": 0.2}}, (), (),
     {**OLD, "geo": {"neutral_score": 0.2}}),
    ("no mask merges into a map entry, copying the map first", {}, weights(fasnacht={"date": 1.0}),
     None, (), weights(**{**BOTH, "fasnacht": {**FASNACHT, "date": 1.0}})),
    ("no mask adds a map entry", {}, weights(konzert={"date": 1.0}), None, (),
     weights(**BOTH, konzert={"date": 1.0})),
    ("no mask never empties a list", {"category_weights": {"priority": ["a"]}},
     {"category_weights": {"priority": []}}, None, (), {"category_weights": {"priority": ["a"]}}),
    ("a scalar present is set", OLD, {"thresholds": {"high": 0.8}}, ("thresholds.high",), (),
     {**OLD, "thresholds": {"high": 0.8, "low": 0.1}}),
    ("a scalar zero is present", {}, {"thresholds": {"title_veto": 0.0}},
     ("thresholds.title_veto",), (), {"thresholds": {"title_veto": 0.0}}),
    ("a false is present", {}, {"ai": {"enabled": False}}, ("ai.enabled",), (),
     {"ai": {"enabled": False}}),
    ("a scalar absent is cleared", OLD, {}, ("thresholds.high",), (),
     {"thresholds": {"low": 0.1}, "geo": {"neutral_score": 0.4}}),
    ("a section present replaces its overrides", OLD, {"thresholds": {"title_veto": 0.2}},
     ("thresholds",), (), {**OLD, "thresholds": {"title_veto": 0.2}}),
    ("a section absent clears its overrides", OLD, {}, ("thresholds",), (),
     {"geo": {"neutral_score": 0.4}}),
    ("a nested section is replaced too",
     {"title": {"blend_lower": 0.3, "cross_source_type": {"blend_lower": 0.1}}},
     {"title": {"cross_source_type": {"blend_upper": 0.9}}}, ("title.cross_source_type",), (),
     {"title": {"blend_lower": 0.3, "cross_source_type": {"blend_upper": 0.9}}}),
    ("a map entry present is replaced whole", {}, weights(fasnacht={"date": 1.0}), (ENTRY,), (),
     weights(**{**BOTH, "fasnacht": {"date": 1.0}})),
    ("a map entry absent is deleted", {}, {}, (ENTRY,), (), weights(versammlung=VERSAMMLUNG)),
    ("deleting what is not there changes nothing", {}, {}, (ENTRY + "x", ENTRY + "x.date"), (), {}),
    ("a value in a map entry is set", {}, weights(fasnacht={"geo": 1.0, "date": 1.0}),
     (ENTRY + ".geo",), (), weights(**{**BOTH, "fasnacht": {**FASNACHT, "geo": 1.0}})),
    ("a value in a map entry is cleared", {}, {}, (ENTRY + ".geo",), (),
     weights(**{**BOTH, "fasnacht": {k: v for k, v in FASNACHT.items() if k != "geo"}})),
    ("a map present is replaced", {}, weights(konzert={"date": 1.0}), (".".join(MAPS),), (),
     weights(konzert={"date": 1.0})),
    ("a map absent shows the inherited one", weights(konzert={}), {}, (".".join(MAPS),), (), {}),
    ("a map empty shows the inherited one", weights(konzert={}), weights(), (".".join(MAPS),), (),
     {}),
    ("the last entry deleted leaves an empty map", weights(fasnacht={}), {}, (ENTRY,), (),
     weights()),
    ("a list present is replaced", {}, {"category_weights": {"priority": ["x"]}},
     ("category_weights.priority",), (), {"category_weights": {"priority": ["x"]}}),
    ("a list absent becomes empty", {}, {}, ("category_weights.priority",), (),
     {"category_weights": {"priority": []}}),
    ("everything is replaced", OLD, {"ai": {"enabled": True}}, ("*",), (),
     {"ai": {"enabled": True}}),
    ("the parent wins over its child", OLD, {"thresholds": {"low": 0.2}},
     ("thresholds.high", "thresholds", "thresholds.low"), (),
     {**OLD, "thresholds": {"low": 0.2}}),
    ("what is not in the mask is ignored", OLD,
     {"thresholds": {"high": 0.8, "low": 0.3}, "ai": {"enabled": True}}, ("thresholds.high",), (),
     {**OLD, "thresholds": {"high": 0.8, "low": 0.1}}),
    ("clear drops a scalar", OLD, {}, None, ("thresholds.high",),
     {"thresholds": {"low": 0.1}, "geo": {"neutral_score": 0.4}}),
    ("clear drops a section", OLD, {}, None, ("geo",), {"thresholds": OLD["thresholds"]}),
    ("clear drops a list", {"category_weights": {"priority": []}}, {}, None,
     ("category_weights.priority",), {}),
    ("clear drops a map", weights(konzert={}), {}, None, (".".join(MAPS),), {}),
    ("clear shows an inherited entry again", weights(fasnacht={"date": 1.0}, konzert={}), {}, None,
     (ENTRY,), weights(fasnacht=FASNACHT, konzert={})),
    ("clear drops an entry that nothing is below", weights(**BOTH, konzert={}), {}, None,
     (".".join((*MAPS, "konzert")),), {}),
    ("clear comes after the mask", {}, {"thresholds": {"high": 0.8}}, ("thresholds.high",),
     ("thresholds",), {}),
    ("category names are folded", {}, weights(**{"Märkte & Messen": {"date": 1.0}}), None, (),
     weights(**BOTH, maerkte_messen={"date": 1.0})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "body", "mask", "clear", "wanted"),
    [r[1:] for r in ROWS],
    ids=[r[0] for r in ROWS],
)
def test_a_row_of_the_table(
    overrides: Any, body: Any, mask: Any, clear: Any, wanted: dict[str, Any]
) -> None:
    assert applied(overrides, body, mask, clear) == wanted


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_change_leaves_its_input_as_it_was(row: Any) -> None:
    overrides, body = row[1], row[2]
    before = tree.canonical_json([overrides, body])
    applied(overrides, body, row[3], row[4])
    assert tree.canonical_json([overrides, body]) == before


UNKNOWN = [
    "", "x", "treshold", "thresholds.hgh", "thresholds.high.x", "thresholds.", ".thresholds",
    "text.synonyms.0", "text.synonyms[0]", "category_weights.priority.0",
    "category_weights.overrides.fasnacht.x", "category_weights.overrides.fasnacht.date.x",
    "category_weights.overrides.__class__", "category_weights.overrides.Fas nacht",
    "category_weights.overrides.", "Thresholds.high", "secrets.ai.api_key", "ai.api_key",
]  # fmt: skip


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_path_is_named_by_its_place_in_the_mask(path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        applied({}, {}, ("geo", path))
    assert [(v.path, v.rule) for v in caught.value.violations] == [
        ("update_mask.paths[1]", "UNKNOWN_PATH")
    ]


def test_all_unknown_paths_are_named_and_the_nearest_name_is_offered() -> None:
    with pytest.raises(InvalidRequest) as caught:
        applied({}, {}, ("thresholds.hgh", "geo", "tresholds"))
    found = {v.path: v.description for v in caught.value.violations}
    assert found == {
        "update_mask.paths[0]": "names no setting; did you mean thresholds.high?",
        "update_mask.paths[2]": "names no setting; did you mean thresholds?",
    }


def test_everything_cannot_be_cleared_by_the_clear_mask() -> None:
    with pytest.raises(InvalidRequest) as caught:
        applied({}, {}, None, ("*",))
    assert caught.value.violations[0].path == "clear_mask.paths[0]"


def test_two_keys_that_fold_to_one_are_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        applied({}, weights(Konzert={"date": 1.0}, konzert={"date": 0.5}))
    assert caught.value.reason == "DUPLICATE_KEY"


def test_fields_outside_the_mask_are_named() -> None:
    body = {"thresholds": {"high": 0.8, "low": 0.3}, **weights(fasnacht={"date": 1.0, "geo": 1.0})}
    change = Change(body, ("thresholds.high", ENTRY + ".geo"))
    assert change.unused() == ["thresholds.low", ENTRY + ".date"]
    assert Change(body, ("thresholds", "category_weights")).unused() == []
    assert Change(body, None).unused() == Change(body, ("*",)).unused() == []


SCALARS = [
    ".".join(path)
    for path in tree.leaf_paths()
    if isinstance(tree.find(INHERITED, path), float) and path[0] not in ("text",)
]
VALUES = st.dictionaries(st.sampled_from(SCALARS), st.floats(0, 1), max_size=6)


def body_of(values: dict[str, float]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for path, value in values.items():
        body = tree.put(body, tuple(path.split(".")), value)
    return body


@given(VALUES, VALUES)
def test_applying_a_change_twice_is_applying_it_once(
    old: dict[str, float], new: dict[str, float]
) -> None:
    once = applied(body_of(old), body_of(new), tuple(new))
    assert applied(once, body_of(new), tuple(new)) == once


@given(VALUES, VALUES, VALUES)
def test_disjoint_changes_commute(
    old: dict[str, float], one: dict[str, float], two: dict[str, float]
) -> None:
    two = {path: value for path, value in two.items() if path not in one}
    first = applied(applied(body_of(old), body_of(one), tuple(one)), body_of(two), tuple(two))
    second = applied(applied(body_of(old), body_of(two), tuple(two)), body_of(one), tuple(one))
    assert first == second


@given(VALUES, VALUES)
def test_a_merge_without_a_mask_never_deletes(old: dict[str, float], new: dict[str, float]) -> None:
    after = applied(body_of(old), body_of(new))
    assert set(tree.present_paths(after)) == {tuple(p.split(".")) for p in (*old, *new)}
