"""The partial update: its truth table row by row, and the laws that every update keeps."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup_model import rules, tree
from dedup_model.change import Change, path_problem
from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import CategoryWeight, MatchingConfig
from dedup_model.tree import Document

FASNACHT = {"date": 0.3, "geo": 0.3, "title": 0.25, "description": 0.15}
VERSAMMLUNG = {"date": 0.25, "geo": 0.2, "title": 0.4, "description": 0.15}
INHERITED = tree.layer(tree.DEFAULTS, {"thresholds": {"high": 0.7}, "geo": {"neutral_score": 0.4}})
"""The defaults under a bootstrap file."""

MAP = "category_weights.overrides"
ENTRY = f"{MAP}.fasnacht"


def overrides_map(entries: Document) -> Document:
    return {"category_weights": {"overrides": entries}}


def without(entry: Document, name: str) -> Document:
    return {key: value for key, value in entry.items() if key != name}


STORED = {
    "thresholds": {"high": 0.8, "low": 0.2},
    "title": {"blend_lower": 0.3, "cross_source_type": {"blend_lower": 0.2}},
    "text": {"synonyms": [{"canonical": "a", "variants": ["b"]}]},
    "category_weights": {"priority": ["kunst"], "overrides": {"kunst": {"date": 0.9, "geo": 0.1}}},
}


def without_leaf(path: str) -> Document:
    return tree.put(STORED, tuple(path.split(".")), None)


def changed(path: str, value: Any) -> Document:
    return tree.put(STORED, tuple(path.split(".")), value)


def kunst(entry: Document | None, **others: Document) -> Document:
    return changed(MAP, ({} if entry is None else {"kunst": entry}) | others)


ROWS = {
    # no mask: merged down to leaves and into map entries, never a deletion
    "nothing at all": (STORED, Change(), STORED),
    "an empty mask counts as none": (
        STORED, Change({"thresholds": {"high": 0.9}}, ()), changed("thresholds.high", 0.9)),
    "no mask, a scalar": (
        STORED, Change({"thresholds": {"high": 0.9}}), changed("thresholds.high", 0.9)),
    "no mask, zero counts": (
        STORED, Change({"thresholds": {"title_veto": 0.0}}), changed("thresholds.title_veto", 0.0)),
    "no mask, false counts": (
        STORED, Change({"ai": {"cache_enabled": False}}), changed("ai.cache_enabled", False)),
    "no mask, a section in a section": (
        STORED, Change({"title": {"cross_source_type": {"blend_upper": 0.9}}}),
        changed("title.cross_source_type.blend_upper", 0.9)),
    "no mask, an empty section": (STORED, Change({"thresholds": {}}), STORED),
    "no mask, a list": (
        STORED, Change({"text": {"synonyms": [{"canonical": "c"}]}}),
        changed("text.synonyms", [{"canonical": "c"}])),
    "no mask, an empty list": (STORED, Change({"text": {"synonyms": []}}), STORED),
    "no mask, an empty map": (STORED, Change(overrides_map({})), STORED),
    "no mask, a new entry": (
        STORED, Change(overrides_map({"neu": {"geo": 1.0}})),
        kunst({"date": 0.9, "geo": 0.1}, neu={"geo": 1.0})),
    "no mask, a value of an entry": (
        STORED, Change(overrides_map({"kunst": {"title": 0.5}})),
        kunst({"date": 0.9, "geo": 0.1, "title": 0.5})),
    "no mask, an entry without values": (STORED, Change(overrides_map({"kunst": {}})), STORED),
    "no mask, the first edit of a map": (
        {}, Change(overrides_map({"fasnacht": {"date": 0.5}})),
        overrides_map({"fasnacht": FASNACHT | {"date": 0.5}, "versammlung": VERSAMMLUNG})),
    "no mask, the first entry of a map": (
        {}, Change(overrides_map({"neu": {"date": 0.5}})),
        overrides_map(
            {"fasnacht": FASNACHT, "versammlung": VERSAMMLUNG, "neu": {"date": 0.5}})),
    # a scalar
    "a scalar, present": (
        STORED, Change({"thresholds": {"high": 0.9}}, ("thresholds.high",)),
        changed("thresholds.high", 0.9)),
    "a scalar, present as zero": (
        STORED, Change({"thresholds": {"low": 0.0}}, ("thresholds.low",)),
        changed("thresholds.low", 0.0)),
    "a scalar, present as false": (
        {}, Change({"ai": {"enabled": False}}, ("ai.enabled",)), {"ai": {"enabled": False}}),
    "a scalar, set to what is inherited": (
        {}, Change({"thresholds": {"high": 0.7}}, ("thresholds.high",)),
        {"thresholds": {"high": 0.7}}),
    "a scalar, absent": (
        STORED, Change({}, ("thresholds.high",)), without_leaf("thresholds.high")),
    "a scalar, absent while its section is there": (
        STORED, Change({"thresholds": {"low": 0.1}}, ("thresholds.high",)),
        without_leaf("thresholds.high")),
    "a scalar, absent and not overridden": (STORED, Change({}, ("ai.model",)), STORED),
    "the last scalar of a section, absent": (
        {"geo": {"neutral_score": 0.1}}, Change({}, ("geo.neutral_score",)), {}),
    # a section
    "a section, present": (
        STORED, Change({"thresholds": {"low": 0.1}}, ("thresholds",)),
        changed("thresholds", {"low": 0.1})),
    "a section, absent": (STORED, Change({}, ("thresholds",)), without_leaf("thresholds")),
    "a section, empty": (
        STORED, Change({"thresholds": {}}, ("thresholds",)), without_leaf("thresholds")),
    "a section that holds a section": (
        STORED, Change({"title": {"blend_lower": 0.1}}, ("title",)),
        changed("title", {"blend_lower": 0.1})),
    "a section in a section, present": (
        STORED,
        Change(
            {"title": {"cross_source_type": {"blend_upper": 0.9}}}, ("title.cross_source_type",)),
        changed("title.cross_source_type", {"blend_upper": 0.9})),
    "a section in a section, absent": (
        STORED, Change({}, ("title.cross_source_type",)), without_leaf("title.cross_source_type")),
    "a section with a list and a map, present": (
        STORED, Change({"category_weights": {"priority": ["a"]}}, ("category_weights",)),
        changed("category_weights", {"priority": ["a"]})),
    "a section with a list and a map, absent": (
        STORED, Change({}, ("category_weights",)), without_leaf("category_weights")),
    # a list
    "a list, present": (
        STORED, Change({"text": {"synonyms": [{"canonical": "c"}]}}, ("text.synonyms",)),
        changed("text.synonyms", [{"canonical": "c"}])),
    "a list, absent": (STORED, Change({}, ("text.synonyms",)), changed("text.synonyms", [])),
    "a list, absent and not overridden": (
        {}, Change({}, ("category_weights.priority",)), {"category_weights": {"priority": []}}),
    # a map
    "a map, present": (
        STORED, Change(overrides_map({"neu": {"geo": 1.0}}), (MAP,)),
        kunst(None, neu={"geo": 1.0})),
    "a map, present, first edit": (
        {}, Change(overrides_map({"neu": {"geo": 1.0}}), (MAP,)),
        overrides_map({"neu": {"geo": 1.0}})),
    "a map, absent": (STORED, Change({}, (MAP,)), without_leaf(MAP)),
    "a map, empty": (STORED, Change(overrides_map({}), (MAP,)), without_leaf(MAP)),
    # a map entry
    "an entry, present": (
        STORED, Change(overrides_map({"kunst": {"title": 1.0}}), (f"{MAP}.kunst",)),
        kunst({"title": 1.0})),
    "an entry, new": (
        STORED, Change(overrides_map({"neu": {"title": 1.0}}), (f"{MAP}.neu",)),
        kunst({"date": 0.9, "geo": 0.1}, neu={"title": 1.0})),
    "an entry, new and without values": (
        STORED, Change(overrides_map({"neu": {}}), (f"{MAP}.neu",)),
        kunst({"date": 0.9, "geo": 0.1}, neu={})),
    "an entry, first edit of the map": (
        {}, Change(overrides_map({"fasnacht": {"title": 1.0}}), (ENTRY,)),
        overrides_map({"fasnacht": {"title": 1.0}, "versammlung": VERSAMMLUNG})),
    "an entry, absent": (
        changed(MAP, {"a": {"date": 1.0}, "b": {}}), Change({}, (f"{MAP}.a",)),
        changed(MAP, {"b": {}})),
    "an inherited entry, absent": (
        {}, Change({}, (ENTRY,)), overrides_map({"versammlung": VERSAMMLUNG})),
    "all inherited entries, absent": (
        {}, Change({}, (ENTRY, f"{MAP}.versammlung")), overrides_map({})),
    "the last entry, absent": (STORED, Change({}, (f"{MAP}.kunst",)), kunst(None)),
    "an unknown entry, absent": (STORED, Change({}, (f"{MAP}.neu",)), STORED),
    "an unknown entry, absent, map not overridden": ({}, Change({}, (f"{MAP}.neu",)), {}),
    # a value in a map entry
    "a value of an entry, present": (
        STORED, Change(overrides_map({"kunst": {"date": 0.4}}), (f"{MAP}.kunst.date",)),
        kunst({"date": 0.4, "geo": 0.1})),
    "a value of an entry, present as zero": (
        STORED, Change(overrides_map({"kunst": {"date": 0.0}}), (f"{MAP}.kunst.date",)),
        kunst({"date": 0.0, "geo": 0.1})),
    "a value of an entry, first edit of the map": (
        {}, Change(overrides_map({"fasnacht": {"date": 0.4}}), (f"{ENTRY}.date",)),
        overrides_map({"fasnacht": FASNACHT | {"date": 0.4}, "versammlung": VERSAMMLUNG})),
    "a value of a new entry": (
        STORED, Change(overrides_map({"neu": {"date": 0.4}}), (f"{MAP}.neu.date",)),
        kunst({"date": 0.9, "geo": 0.1}, neu={"date": 0.4})),
    "a value of an entry, absent": (
        STORED, Change({}, (f"{MAP}.kunst.date",)), kunst({"geo": 0.1})),
    "a value of an inherited entry, absent": (
        {}, Change({}, (f"{ENTRY}.date",)),
        overrides_map({"fasnacht": without(FASNACHT, "date"), "versammlung": VERSAMMLUNG})),
    "the last value of an entry, absent": (
        kunst({"date": 0.5}), Change({}, (f"{MAP}.kunst.date",)), kunst({})),
    "an unset value of an entry, absent": (STORED, Change({}, (f"{MAP}.kunst.title",)), STORED),
    "a value of an unknown entry, absent": (STORED, Change({}, (f"{MAP}.neu.date",)), STORED),
    "two values of one entry": (
        {},
        Change(overrides_map({"fasnacht": {"geo": 0.9}}), (f"{ENTRY}.date", f"{ENTRY}.geo")),
        overrides_map({
            "fasnacht": {"geo": 0.9, "title": 0.25, "description": 0.15},
            "versammlung": VERSAMMLUNG})),
    # everything
    "everything, present": (
        STORED, Change({"geo": {"neutral_score": 0.1}}, ("*",)), {"geo": {"neutral_score": 0.1}}),
    "everything, absent": (STORED, Change({}, ("*",)), {}),
    "everything with a path beside it": (
        STORED, Change({"geo": {"neutral_score": 0.1}}, ("thresholds.high", "*")),
        {"geo": {"neutral_score": 0.1}}),
    # overlapping paths: the parent wins
    "a section and its field, body has the field": (
        STORED, Change({"thresholds": {"low": 0.1}}, ("thresholds", "thresholds.low")),
        changed("thresholds", {"low": 0.1})),
    "a field and its section, body has another field": (
        STORED, Change({"thresholds": {"low": 0.1}}, ("thresholds.high", "thresholds")),
        changed("thresholds", {"low": 0.1})),
    "a list and its section": (
        STORED, Change({}, ("text", "text.synonyms")), without_leaf("text")),
    "a map and its entry, absent": (STORED, Change({}, (MAP, f"{MAP}.kunst")), without_leaf(MAP)),
    "an entry and its map, present": (
        STORED, Change(overrides_map({"neu": {"geo": 1.0}}), (f"{MAP}.kunst", MAP)),
        kunst(None, neu={"geo": 1.0})),
    "an entry and its value": (
        STORED, Change(overrides_map({"kunst": {"geo": 1.0}}), (f"{MAP}.kunst.date", f"{MAP}.kunst")),
        kunst({"geo": 1.0})),
    "the same path twice": (
        STORED, Change({"thresholds": {"high": 0.9}}, ("thresholds.high", "thresholds.high")),
        changed("thresholds.high", 0.9)),
    "names with a common beginning do not overlap": (
        {"geo": {"venue_match_distance_km": 2.0, "venue_mismatch_factor": 0.1}},
        Change({}, ("geo.venue_mismatch_factor",)),
        {"geo": {"venue_match_distance_km": 2.0}}),
    "entries with a common beginning do not overlap": (
        changed(MAP, {"a": {}, "ab": {}}), Change({}, (f"{MAP}.a",)), changed(MAP, {"ab": {}})),
    # clear_mask
    "clear a scalar": (
        STORED, Change(clear=("thresholds.high",)), without_leaf("thresholds.high")),
    "clear a section": (STORED, Change(clear=("title",)), without_leaf("title")),
    "clear a list": (STORED, Change(clear=("text.synonyms",)), without_leaf("text.synonyms")),
    "clear a map": (STORED, Change(clear=(MAP,)), without_leaf(MAP)),
    "clear a new entry": (
        kunst({"date": 0.9}, neu={"geo": 1.0}), Change(clear=(f"{MAP}.neu",)),
        kunst({"date": 0.9})),
    "clear an edited entry": (
        changed(MAP, {"fasnacht": {"date": 1.0}, "neu": {}}), Change(clear=(ENTRY,)),
        changed(MAP, {"fasnacht": FASNACHT, "neu": {}})),
    "clear a deleted entry": (
        changed(MAP, {"neu": {}}), Change(clear=(ENTRY,)),
        changed(MAP, {"fasnacht": FASNACHT, "neu": {}})),
    "clear the last edited entry": (
        overrides_map({"fasnacht": {"date": 1.0}, "versammlung": VERSAMMLUNG}),
        Change(clear=(ENTRY,)), {}),
    "clear an edited value of an entry": (
        changed(MAP, {"fasnacht": FASNACHT | {"date": 1.0}, "neu": {}}),
        Change(clear=(f"{ENTRY}.date",)), changed(MAP, {"fasnacht": FASNACHT, "neu": {}})),
    "clear a new value of an entry": (
        kunst({"date": 0.9, "geo": 0.1}), Change(clear=(f"{MAP}.kunst.date",)),
        kunst({"geo": 0.1})),
    "clear the last edited value of the map": (
        overrides_map({"fasnacht": FASNACHT | {"date": 1.0}, "versammlung": VERSAMMLUNG}),
        Change(clear=(f"{ENTRY}.date",)), {}),
    "clear a value of a deleted entry": (
        changed(MAP, {"neu": {}}), Change(clear=(f"{ENTRY}.date",)), changed(MAP, {"neu": {}})),
    "clear what is not overridden": (
        STORED, Change(clear=("ai.model", "cluster", "text.prefixes", f"{MAP}.neu")), STORED),
    "clear an entry of a map that is not overridden": (
        {}, Change(clear=(ENTRY, f"{MAP}.neu", f"{MAP}.neu.date")), {}),
    "clear comes after no mask": (
        STORED, Change({"thresholds": {"high": 0.9, "low": 0.1}}, None, ("thresholds.high",)),
        tree.put(without_leaf("thresholds.high"), ("thresholds", "low"), 0.1)),
    "clear comes after a mask": (
        STORED, Change({"thresholds": {"high": 0.9}}, ("thresholds.high",), ("thresholds",)),
        without_leaf("thresholds")),
    "clear comes after everything": (
        STORED, Change({"thresholds": {"high": 0.9, "low": 0.1}}, ("*",), ("thresholds.high",)),
        {"thresholds": {"low": 0.1}}),
    "clear a list that the mask made empty": (
        STORED, Change({}, ("text.synonyms",), ("text.synonyms",)), without_leaf("text.synonyms")),
    "clear a section and its field": (
        STORED, Change(clear=("thresholds", "thresholds.high")), without_leaf("thresholds")),
    # what the mask does not cover stays out
    "a body outside the mask is ignored": (
        STORED, Change({"thresholds": {"high": 0.9, "low": 0.1}, "ai": {"enabled": True}},
                       ("thresholds.high",)),
        changed("thresholds.high", 0.9)),
    "a value outside the mask of an entry is ignored": (
        STORED, Change(overrides_map({"kunst": {"date": 0.4, "geo": 0.4}, "neu": {}}),
                       (f"{MAP}.kunst.date",)),
        kunst({"date": 0.4, "geo": 0.1})),
    # category names fold
    "a category name in the body folds": (
        STORED, Change(overrides_map({"Straßen & Feste": {"geo": 1.0}}), (f"{MAP}.strassen_feste",)),
        kunst({"date": 0.9, "geo": 0.1}, strassen_feste={"geo": 1.0})),
    "a category name without a mask folds": (
        STORED, Change(overrides_map({" KUNST ": {"title": 0.5}})),
        kunst({"date": 0.9, "geo": 0.1, "title": 0.5})),
    "the priority folds": (
        STORED, Change({"category_weights": {"priority": ["Kunst", "Führung"]}}),
        changed("category_weights.priority", ["kunst", "fuehrung"])),
    "everything folds": (
        STORED, Change({"category_weights": {"priority": ["Ä"], "overrides": {"Ä": {}}}}, ("*",)),
        {"category_weights": {"priority": ["ae"], "overrides": {"ae": {}}}}),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "change", "expected"), ROWS.values(), ids=ROWS)
def test_a_change_makes_of_the_overrides_what_its_row_says(overrides, change, expected):
    before = copy.deepcopy((overrides, change, INHERITED))
    assert change.applied_to(overrides, INHERITED) == expected
    assert (overrides, change, INHERITED) == before


@pytest.mark.parametrize(("overrides", "change", "expected"), ROWS.values(), ids=ROWS)
def test_a_change_made_twice_is_made_once(overrides, change, expected):
    assert change.applied_to(expected, INHERITED) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "thresholds.",
        ".thresholds",
        "thresholds..high",
        "thresholds.hihg",
        "thresholds.high.x",
        "treshold",
        "Thresholds",
        " thresholds",
        "thresholds high",
        "thresholds,geo",
        "thresholds.*",
        "**",
        "*.high",
        "text.synonyms.0",
        "text.synonyms[0]",
        "text.synonyms.0.canonical",
        "text.synonyms.canonical",
        "category_weights.priority.0",
        f"{MAP}.",
        f"{MAP}.*",
        f"{MAP}.Fasnacht",
        f"{MAP}.führung",
        f"{MAP}.fas nacht",
        f"{MAP}.__proto__",
        f"{MAP}.{'k' * 65}",
        f"{MAP}.fasnacht.",
        f"{MAP}.fasnacht.datte",
        f"{MAP}.fasnacht.date.x",
        "ai.api_key",
        "categoryWeights",
        "ai\x00",
        "🎭",
        "x" * 10_000,
        "a." * 10_000,
    ],
)
@pytest.mark.parametrize("mask", ["update_mask", "clear_mask"])
def test_a_path_that_names_nothing_is_named_by_its_place(mask: str, path: str):
    paths = ("thresholds.high", path, "geo")
    change = Change({}, paths) if mask == "update_mask" else Change({}, None, paths)
    with pytest.raises(InvalidRequest) as caught:
        change.applied_to({}, INHERITED)
    (violation,) = caught.value.violations
    assert (violation.path, violation.rule) == (f"{mask}.paths[1]", "UNKNOWN_PATH")
    assert not path.strip(".* ") or path not in violation.description.split()


@pytest.mark.parametrize(
    "path", ["sk-abcdefghijklmnopqrstuv", "thresholds.CANARY7f", f"{MAP}.CANARY7f", "CANARY7f.x"]
)
def test_an_unknown_path_is_not_repeated(path: str):
    with pytest.raises(InvalidRequest) as caught:
        Change({}, (path,)).applied_to({}, INHERITED)
    assert "CANARY" not in repr(caught.value.violations)
    assert "sk-" not in repr(caught.value.violations)


@pytest.mark.parametrize("name", ["k{}", "K{}", "k{}.date", "k{}.datte"])
@pytest.mark.parametrize("mask", ["update_mask", "clear_mask"])
def test_a_flood_of_paths_is_refused_before_it_is_read(mask: str, name: str):
    entries = {f"k{number}": {"date": 0.5} for number in range(10_000)}
    paths = tuple(f"{MAP}.{name.format(number)}" for number in range(10_000))
    change = Change(overrides_map(entries), *((paths,) if mask == "update_mask" else (None, paths)))
    with pytest.raises(InvalidRequest) as caught:
        change.applied_to({}, INHERITED)
    assert [(v.path, v.rule) for v in caught.value.violations] == [(mask, "TOO_LARGE")]


def test_all_unknown_paths_of_a_mask_are_named():
    with pytest.raises(InvalidRequest) as caught:
        Change({}, ("a", "geo", "b", "*", "c")).applied_to({}, INHERITED)
    places = [violation.path for violation in caught.value.violations]
    assert places == [f"update_mask.paths[{i}]" for i in (0, 2, 4)]


def test_unknown_paths_of_both_masks_are_named_at_once():
    with pytest.raises(InvalidRequest) as caught:
        Change({}, ("a",), ("geo", "b")).applied_to({}, INHERITED)
    places = [violation.path for violation in caught.value.violations]
    assert places == ["update_mask.paths[0]", "clear_mask.paths[1]"]


def test_the_clear_mask_knows_no_star():
    with pytest.raises(InvalidRequest) as caught:
        Change(clear=("*",)).applied_to({}, INHERITED)
    assert [v.path for v in caught.value.violations] == ["clear_mask.paths[0]"]


def test_a_parent_does_not_excuse_an_unknown_child():
    with pytest.raises(InvalidRequest):
        Change({}, ("thresholds", "thresholds.hihg")).applied_to({}, INHERITED)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("tresholds", "thresholds"),
        ("thresholds.hihg", "thresholds.high"),
        ("title.cross_source_type.blend_uper", "title.cross_source_type.blend_upper"),
        (f"{MAP}.fasnacht.titel", f"{MAP}.fasnacht.title"),
    ],
)
def test_an_unknown_path_comes_with_the_one_that_was_meant(path: str, meant: str):
    assert path_problem(path).endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    "path",
    [
        "*",
        *MatchingConfig.model_fields,
        *(".".join(path) for path in tree.leaf_paths()),
        "title.cross_source_type",
        f"{MAP}.new_one",
        *(f"{ENTRY}.{name}" for name in CategoryWeight.model_fields),
    ],
)
def test_every_setting_section_and_entry_can_be_named(path: str):
    assert path_problem(path) is None


@pytest.mark.parametrize("mask", [None, ("*",), (MAP,), ("thresholds",)])
def test_two_names_of_one_category_are_refused(mask):
    body = overrides_map({"Führung": {"date": 0.1}, "fuehrung": {"date": 0.9}})
    with pytest.raises(InvalidRequest) as caught:
        Change(body, mask).applied_to({}, INHERITED)
    (violation,) = caught.value.violations
    assert (violation.path, violation.rule) == (MAP, "DUPLICATE_KEY")


BODY = {
    "thresholds": {"high": 0.9, "low": 0.0},
    "title": {"cross_source_type": {"blend_lower": 0.1}},
    "text": {"synonyms": [{"canonical": "a"}]},
    **overrides_map({"Kunst": {"date": 0.1, "geo": 0.2}, "leer": {}}),
}
SPELLED = [
    "thresholds.high",
    "thresholds.low",
    "title.cross_source_type.blend_lower",
    "text.synonyms",
    f"{MAP}.kunst.date",
    f"{MAP}.kunst.geo",
    f"{MAP}.leer",
]


@pytest.mark.parametrize(
    ("mask", "covered"),
    [
        (None, SPELLED),
        ((), SPELLED),
        (("*",), SPELLED),
        (("*", "ai.model"), SPELLED),
        (("ai.model",), []),
        (("thresholds.high",), ["thresholds.high"]),
        (("thresholds",), ["thresholds.high", "thresholds.low"]),
        (("title",), ["title.cross_source_type.blend_lower"]),
        (("text",), ["text.synonyms"]),
        (("text.synonyms", "thresholds.low"), ["text.synonyms", "thresholds.low"]),
        ((MAP,), SPELLED[-3:]),
        (("category_weights",), SPELLED[-3:]),
        ((f"{MAP}.kunst",), [f"{MAP}.kunst.date", f"{MAP}.kunst.geo"]),
        ((f"{MAP}.kunst.geo",), [f"{MAP}.kunst.geo"]),
        ((f"{MAP}.leer",), [f"{MAP}.leer"]),
        ((f"{MAP}.kun",), []),
    ],
)
def test_what_the_mask_leaves_out_of_the_body_is_named(mask, covered: list[str]):
    left = [path for path in SPELLED if path not in covered]
    assert sorted(Change(BODY, mask).unused()) == sorted(left)


MANY = {f"k{number}": {"date": 0.1} for number in range(101)}


@pytest.mark.parametrize(
    ("body", "mask", "place"),
    [
        (overrides_map(MANY), ("geo",), MAP),
        (overrides_map(MANY), (f"{MAP}.k1",), MAP),
        ({"text": {"synonyms": [{"canonical": "a"}] * 1001}}, ("geo",), "text.synonyms"),
        (
            {"text": {"synonyms": [{"canonical": "a", "variants": ["b"] * 101}]}},
            ("geo.neutral_score",),
            "text.synonyms.0.variants",
        ),
    ],
)
def test_a_list_or_map_beyond_the_mask_is_no_larger_than_one_in_it(body, mask, place: str):
    with pytest.raises(InvalidRequest) as caught:
        Change(body, mask).require_small()
    assert [(v.path, v.rule) for v in caught.value.violations] == [(place, "TOO_LARGE")]


@pytest.mark.parametrize("mask", [None, (), ("*",), (MAP,), ("category_weights", "geo")])
def test_what_the_mask_takes_is_judged_with_all_the_rest(mask):
    Change(overrides_map(MANY), mask).require_small()
    Change(overrides_map(dict(list(MANY.items())[:100])), ("geo",)).require_small()


@pytest.mark.parametrize("key", ["sk-abcdefghijklmnopqrstuv", "SK-abcdefghijklmnopqrstuv"])
def test_a_secret_is_no_category_name_even_after_folding(key: str):
    body = overrides_map({key: {"date": 1.0}})
    (path,) = Change(body, ("geo",)).unused()
    assert path == f"{MAP}.?.date"
    with pytest.raises(InvalidRequest) as caught:
        rules.validated(tree.layer(INHERITED, Change(body).applied_to({}, INHERITED)))
    assert [v.rule for v in caught.value.violations] == ["SECRET_IN_CONFIG"]
    assert "abcdefghij" not in repr(caught.value.violations)


@pytest.mark.parametrize("key", ["\x1b[31m", "a(b)", "k" * 65, "it's"])
def test_an_unused_path_shows_only_plain_names(key: str):
    assert Change(overrides_map({key: {"date": 1.0}}), ("geo",)).unused() == [f"{MAP}.?.date"]


def test_a_change_cannot_be_changed():
    with pytest.raises(AttributeError):
        Change().mask = ("*",)


# --- laws -------------------------------------------------------------------------------------

score = st.floats(0, 1)
keys = st.sampled_from(["fasnacht", "versammlung", "kunst"])
entries = st.dictionaries(st.sampled_from(list(CategoryWeight.model_fields)), score, max_size=4)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "thresholds.high": score,
    "thresholds.low": score,
    "title.blend_lower": score,
    "title.cross_source_type.blend_lower": score,
    "ai.enabled": st.booleans(),
    "cluster.max_cluster_size": st.integers(2, 20),
    "text.synonyms": st.lists(
        st.just({"canonical": "a", "variants": ["b"]}), min_size=1, max_size=2
    ),
    "category_weights.priority": st.lists(keys, min_size=1, max_size=3),
    MAP: st.dictionaries(keys, entries, min_size=1, max_size=3),
}
NAMED = [
    *LEAVES,
    "thresholds",
    "title",
    "title.cross_source_type",
    "text",
    "category_weights",
    *(f"{MAP}.{key}" for key in ("fasnacht", "versammlung", "kunst")),
    *(f"{MAP}.{key}.{name}" for key in ("fasnacht", "kunst") for name in ("date", "geo")),
]


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """What a protobuf message can hold: absent fields, never an empty list or map."""
    document: Document = {}
    for path in draw(st.sets(st.sampled_from(list(LEAVES)))):
        document = tree.put(document, tuple(path.split(".")), draw(LEAVES[path]))
    return document


@st.composite
def stored(draw: st.DrawFn) -> Document:
    """Overrides; here lists and maps may be empty."""
    document = draw(documents())
    if draw(st.booleans()):
        document = tree.put(document, ("text", "synonyms"), [])
    if draw(st.booleans()):
        document = tree.put(document, ("category_weights", "overrides"), {})
    return document


masks = st.none() | st.lists(st.sampled_from([*NAMED, "*"]), max_size=4).map(tuple)
clears = st.lists(st.sampled_from(NAMED), max_size=3).map(tuple)
all_changes = st.builds(Change, documents(), masks, clears)


@given(stored(), stored(), all_changes)
@settings(max_examples=300)
def test_applying_a_change_twice_is_applying_it_once(overrides, bootstrap, change):
    inherited = tree.layer(tree.DEFAULTS, bootstrap)
    once = change.applied_to(overrides, inherited)
    assert change.applied_to(once, inherited) == once


@given(stored(), stored(), all_changes)
@settings(max_examples=300)
def test_what_a_change_makes_is_a_layer_of_valid_settings(overrides, bootstrap, change):
    inherited = tree.layer(tree.DEFAULTS, bootstrap)
    result = change.applied_to(overrides, inherited)
    effective = tree.dump(MatchingConfig.model_validate(tree.layer(inherited, result)))
    assert list(tree.present_paths(effective)) == list(tree.leaf_paths())
    assert tree.picked(effective, result) == result


@given(stored(), all_changes)
def test_a_change_alters_neither_its_body_nor_what_it_is_applied_to(overrides, change):
    before = copy.deepcopy((overrides, change, tree.DEFAULTS))
    change.applied_to(overrides, tree.DEFAULTS)
    assert (overrides, change, tree.DEFAULTS) == before


@given(stored(), documents())
def test_a_change_without_a_mask_never_deletes(overrides, body):
    result = Change(body).applied_to(overrides, INHERITED)
    before, after = set(tree.present_paths(overrides)), set(tree.present_paths(result))
    assert before | set(tree.present_paths(body)) == after
    path = ("category_weights", "overrides")
    effective = tree.layer(INHERITED, overrides)
    old, new = tree.find(effective, path), tree.find(tree.layer(INHERITED, result), path)
    assert old.keys() <= new.keys()
    assert all(old[key].keys() <= new[key].keys() for key in old)


@given(stored(), documents(), st.lists(st.sampled_from(NAMED), min_size=1, max_size=3).map(tuple))
def test_a_masked_change_leaves_alone_what_its_mask_does_not_name(overrides, body, mask):
    result = Change(body, mask).applied_to(overrides, INHERITED)
    for path in tree.leaf_paths():
        dotted = ".".join(path)
        if not any(
            f"{dotted}.".startswith(f"{n}.") or f"{n}.".startswith(f"{dotted}.") for n in mask
        ):
            assert tree.find(result, path) == tree.find(overrides, path)


@given(stored(), documents())
def test_everything_replaced_by_what_is_stored_changes_nothing_else(overrides, body):
    assert Change(body, ("*",)).applied_to(overrides, INHERITED) == body


@given(stored(), st.sampled_from([path for path in NAMED if not path.startswith(f"{MAP}.")]))
def test_a_cleared_path_shows_the_inherited_value(overrides, path):
    result = Change(clear=(path,)).applied_to(overrides, INHERITED)
    place = tuple(path.split("."))
    assert tree.find(result, place) is None
    assert tree.find(tree.layer(INHERITED, result), place) == tree.find(INHERITED, place)


@given(stored(), keys)
def test_a_cleared_entry_shows_the_inherited_entry(overrides, key):
    result = Change(clear=(f"{MAP}.{key}",)).applied_to(overrides, INHERITED)
    place = ("category_weights", "overrides", key)
    assert tree.find(tree.layer(INHERITED, result), place) == tree.find(INHERITED, place)


def apart(one: str, other: str) -> bool:
    return not (f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}."))


@st.composite
def disjoint(draw: st.DrawFn) -> tuple[Change, Change]:
    """Two changes of which none names a path at, above or below one of the other."""
    left = draw(st.lists(st.sampled_from(NAMED), min_size=1, max_size=3))
    free = [path for path in NAMED if all(apart(path, other) for other in left)]
    right = draw(st.lists(st.sampled_from(free), min_size=1, max_size=3))
    return Change(draw(documents()), tuple(left)), Change(draw(documents()), tuple(right))


@given(stored(), disjoint())
@settings(max_examples=300)
def test_changes_of_different_paths_may_come_in_either_order(overrides, pair):
    first, second = pair
    one = second.applied_to(first.applied_to(overrides, INHERITED), INHERITED)
    other = first.applied_to(second.applied_to(overrides, INHERITED), INHERITED)
    assert one == other


@given(
    stored(),
    documents(),
    st.lists(st.sampled_from(list(LEAVES)[:-1]), min_size=1, max_size=3, unique=True),
)
def test_a_change_of_many_paths_is_many_changes_of_one(overrides, body, mask):
    whole = Change(body, tuple(mask)).applied_to(overrides, INHERITED)
    for path in reversed(mask):
        overrides = Change(body, (path,)).applied_to(overrides, INHERITED)
    assert whole == overrides


@given(stored(), documents(), st.lists(st.sampled_from(NAMED), min_size=1, max_size=3).map(tuple))
def test_the_unused_paths_of_a_body_have_no_part_in_the_result(overrides, body, mask):
    change = Change(body, mask)
    used = body
    for path in change.unused():
        used = tree.put(used, tuple(path.split(".")), None)
    assert Change(used, mask).unused() == []
    same = Change(used, mask).applied_to(overrides, INHERITED)
    assert same == change.applied_to(overrides, INHERITED)
