"""Documents: walking, layering, comparing, and the one JSON text of each."""

import copy
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model import rules, tree
from dedup_model.matching_config import MatchingConfig
from dedup_model.tree import Document, Path

SCORES = [
    ("thresholds", "high"),
    ("thresholds", "low"),
    ("title", "blend_lower"),
    ("title", "cross_source_type", "blend_lower"),
    ("scoring", "date"),
]
score = st.floats(0, 1)
entries = st.dictionaries(
    st.sampled_from(["fasnacht", "versammlung", "kunst"]),
    st.dictionaries(st.sampled_from(["date", "geo", "title", "description"]), score, max_size=4),
    max_size=3,
)


@st.composite
def partials(draw: st.DrawFn) -> Document:
    """A partial document without empty sections, valid but for the rules between fields."""
    document: Document = {}
    for path in draw(st.sets(st.sampled_from(SCORES))):
        document = tree.put(document, path, draw(score))
    if draw(st.booleans()):
        document = tree.put(document, ("category_weights", "overrides"), draw(entries))
    if draw(st.booleans()):
        keys = draw(st.lists(st.sampled_from(["fasnacht", "kunst"]), max_size=3))
        document = tree.put(document, ("category_weights", "priority"), keys)
    if draw(st.booleans()):
        table = draw(st.lists(st.just({"canonical": "a", "variants": ["b"]}), max_size=2))
        document = tree.put(document, ("text", "synonyms"), table)
    return document


def test_the_leaves_are_scalars_lists_and_maps_in_the_order_of_the_tree():
    paths = list(tree.leaf_paths())
    assert paths[:2] == [("scoring", "date"), ("scoring", "geo")]
    assert paths[-2:] == [("category_weights", "priority"), ("category_weights", "overrides")]
    assert ("title", "cross_source_type", "blend_lower") in paths
    assert len(paths) == len(set(paths))
    assert not [path for path in paths for other in paths if path != other[: len(path)] == path]


def test_the_defaults_hold_every_leaf():
    assert list(tree.present_paths(tree.DEFAULTS)) == list(tree.leaf_paths())


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({}, []),
        ({"thresholds": {}}, []),
        ({"thresholds": {"high": None}}, []),
        ({"thresholds": {"title_veto": 0.0}}, [("thresholds", "title_veto")]),
        ({"ai": {"enabled": False}}, [("ai", "enabled")]),
        ({"text": {"synonyms": []}}, [("text", "synonyms")]),
        ({"category_weights": {"overrides": {}}}, [("category_weights", "overrides")]),
        ({"new": 1, "geo": {"new": 1}}, []),
    ],
)
def test_zero_false_and_empty_are_present_and_null_is_not(document: Document, paths: list[Path]):
    assert list(tree.present_paths(document)) == paths


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("a",), {"b": {"c": 0}, "d": None}),
        (("a", "b"), {"c": 0}),
        (("a", "b", "c"), 0),
        (("a", "d"), None),
        (("a", "x"), None),
        (("x", "y", "z"), None),
        (("a", "b", "c", "e"), None),
        (("l", "0"), None),
    ],
)
def test_a_value_is_found_by_its_path_or_is_none(path: Path, value: Any):
    assert tree.find({"a": {"b": {"c": 0}, "d": None}, "l": [1]}, path) == value


def test_nulls_are_found_by_their_paths_in_the_order_of_the_tree():
    document = {"thresholds": {"high": 0.8, "low": None}, "geo": None, "scoring": 1, "new": None}
    entry = {"category_weights": {"overrides": {"kunst": {"date": None}}, "priority": None}}
    assert list(tree.nulls(document)) == ["thresholds.low", "geo"]
    assert list(tree.nulls(entry)) == ["category_weights.priority"]
    assert list(tree.nulls(tree.DEFAULTS)) == list(tree.nulls({})) == []


@pytest.mark.parametrize(
    ("document", "path", "value", "expected"),
    [
        ({}, ("a",), 1, {"a": 1}),
        ({}, ("a", "b", "c"), 1, {"a": {"b": {"c": 1}}}),
        ({"a": {"b": 1}}, ("a", "c"), 2, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": 1}}, ("a", "b"), 0, {"a": {"b": 0}}),
        ({"a": {"b": 1}}, ("a",), {}, {"a": {}}),
        ({"a": {"b": 1}}, ("a", "b"), {}, {"a": {"b": {}}}),
        ({"a": {"b": 1}}, ("a", "b"), [], {"a": {"b": []}}),
        ({"a": {"b": 1}}, ("a", "b"), False, {"a": {"b": False}}),
        ({"a": {"b": 1}}, ("a", "b"), None, {}),
        ({"a": {"b": {"c": 1}}, "d": 2}, ("a", "b", "c"), None, {"d": 2}),
        ({"a": {"b": 1, "c": 2}}, ("a", "b"), None, {"a": {"c": 2}}),
        ({"a": 1}, ("b",), None, {"a": 1}),
        ({"a": 1}, ("b", "c"), None, {"a": 1}),
    ],
)
def test_a_value_is_put_in_a_copy_and_none_removes_it(document, path, value, expected):
    before = copy.deepcopy(document)
    assert tree.put(document, path, value) == expected
    assert document == before


@given(partials(), st.sampled_from(SCORES), score)
def test_what_was_put_is_found(document: Document, path: Path, value: float):
    assert tree.find(tree.put(document, path, value), path) == value
    assert tree.find(tree.put(document, path, None), path) is None


@pytest.mark.parametrize(
    ("base", "partial", "expected"),
    [
        ({}, {}, {}),
        ({"geo": {"neutral_score": 0.5}}, {}, {"geo": {"neutral_score": 0.5}}),
        ({}, {"geo": {"neutral_score": 0.5}}, {"geo": {"neutral_score": 0.5}}),
        (
            {"geo": {"neutral_score": 0.5, "min_confidence": 0.9}},
            {"geo": {"neutral_score": 0.0}},
            {"geo": {"neutral_score": 0.0, "min_confidence": 0.9}},
        ),
        (
            {"title": {"blend_lower": 0.4, "cross_source_type": {"blend_lower": 0.2}}},
            {"title": {"cross_source_type": {"blend_upper": 0.9}}},
            {"title": {"blend_lower": 0.4,
                       "cross_source_type": {"blend_lower": 0.2, "blend_upper": 0.9}}},
        ),
        ({"ai": {"enabled": True}}, {"ai": {"enabled": False}}, {"ai": {"enabled": False}}),
        (
            {"text": {"synonyms": [{"canonical": "a"}, {"canonical": "b"}]}},
            {"text": {"synonyms": [{"canonical": "c"}]}},
            {"text": {"synonyms": [{"canonical": "c"}]}},
        ),
        (
            {"category_weights": {"priority": ["a"]}},
            {"category_weights": {"priority": []}},
            {"category_weights": {"priority": []}},
        ),
        (
            {"category_weights": {"overrides": {"a": {"date": 1.0, "geo": 1.0}, "b": {}}}},
            {"category_weights": {"overrides": {"a": {"date": 0.5}}}},
            {"category_weights": {"overrides": {"a": {"date": 0.5}}}},
        ),
        (
            {"category_weights": {"overrides": {"a": {}}}},
            {"category_weights": {"overrides": {}}},
            {"category_weights": {"overrides": {}}},
        ),
        ({"geo": {"neutral_score": 0.5}}, {"geo": None}, {"geo": {"neutral_score": 0.5}}),
        ({"geo": {"neutral_score": 0.5}}, {"geo": {"neutral_score": None}},
         {"geo": {"neutral_score": 0.5}}),
        ({}, {"new": {"a": 1}, "geo": {"new": 1}}, {"new": {"a": 1}, "geo": {"new": 1}}),
        ({"geo": {"neutral_score": 0.5}}, {"geo": "x"}, {"geo": "x"}),
        ({"geo": "x"}, {"geo": {"neutral_score": 0.5}}, {"geo": {"neutral_score": 0.5}}),
    ],
)  # fmt: skip
def test_a_layer_replaces_leaves_and_keeps_the_rest(base, partial, expected):
    before = copy.deepcopy((base, partial))
    assert tree.layer(base, partial) == expected
    assert (base, partial) == before


@given(partials())
def test_an_empty_layer_changes_nothing(document: Document):
    assert tree.layer(document, {}) == document
    assert tree.layer({}, document) == document
    assert tree.layer(document, document) == document


@given(partials(), partials(), partials())
def test_layers_may_be_joined_from_either_end(first: Document, second: Document, third: Document):
    left = tree.layer(tree.layer(first, second), third)
    assert left == tree.layer(first, tree.layer(second, third))


@given(partials())
def test_the_picked_leaves_are_those_of_the_partial_document(partial: Document):
    effective = tree.layer(tree.DEFAULTS, partial)
    assert tree.picked(effective, partial) == partial
    assert tree.layer(tree.DEFAULTS, tree.picked(effective, partial)) == effective


def test_the_picked_leaves_have_their_validated_form():
    partial = {"cluster": {"max_cluster_size": 5.0}, "geo": {"max_distance_km": 5}}
    effective = tree.dump(rules.validated(partial))
    assert tree.canonical_json(tree.picked(effective, partial)) == (
        b'{"cluster":{"max_cluster_size":5},"geo":{"max_distance_km":5.0}}'
    )


@given(partials())
def test_the_differing_leaves_make_the_document_again(partial: Document):
    whole = tree.layer(tree.DEFAULTS, partial)
    difference = tree.differing(whole, tree.DEFAULTS)
    assert tree.layer(tree.DEFAULTS, difference) == whole
    assert tree.differing(whole, whole) == {}
    assert set(tree.present_paths(difference)) <= set(tree.present_paths(partial))


def test_a_leaf_that_equals_the_base_does_not_differ():
    document = {"thresholds": {"high": 0.75, "low": 0.3}}
    assert tree.differing(document, tree.DEFAULTS) == {"thresholds": {"low": 0.3}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        (
            {"thresholds": {"high": 0.7}},
            {"thresholds": {"high": 0.8}},
            [("thresholds.high", 0.7, 0.8)],
        ),
        ({"thresholds": {"high": 0.7}}, {}, [("thresholds.high", 0.7, None)]),
        ({}, {"ai": {"enabled": False}}, [("ai.enabled", None, False)]),
        (
            {"title": {"cross_source_type": {"blend_lower": 0.2}}},
            {"title": {"cross_source_type": {"blend_lower": 0.3}}},
            [("title.cross_source_type.blend_lower", 0.2, 0.3)],
        ),
        (
            {"category_weights": {"priority": ["a", "b"]}},
            {"category_weights": {"priority": ["b", "a"]}},
            [("category_weights.priority", ["a", "b"], ["b", "a"])],
        ),
        (
            {"category_weights": {"overrides": {"a": {"date": 1}, "b": {}, "c": {}}}},
            {"category_weights": {"overrides": {"a": {"date": 2}, "b": {}, "d": {"geo": 1}}}},
            [
                ("category_weights.overrides.a", {"date": 1}, {"date": 2}),
                ("category_weights.overrides.c", {}, None),
                ("category_weights.overrides.d", None, {"geo": 1}),
            ],
        ),
        (
            {"category_weights": {"overrides": {"a": {}}}},
            {"category_weights": {"overrides": {}}},
            [("category_weights.overrides.a", {}, None)],
        ),
    ],
)
def test_changes_name_every_leaf_and_every_map_entry_that_differs(old, new, expected):
    assert tree.changes(old, new) == expected


@given(partials(), partials())
def test_changes_reverse_with_their_documents(first: Document, second: Document):
    old, new = tree.layer(tree.DEFAULTS, first), tree.layer(tree.DEFAULTS, second)
    assert [(p, b, a) for p, a, b in tree.changes(old, new)] == tree.changes(new, old)
    assert (tree.changes(old, new) == []) == (old == new)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, b"{}"),
        ({"b": 1, "a": 2}, b'{"a":2,"b":1}'),
        ({"a": {"d": [], "c": {}}}, b'{"a":{"c":{},"d":[]}}'),
        ({"a": [3, 1, 2]}, b'{"a":[3,1,2]}'),
        ({"a": 0.1}, b'{"a":0.1}'),
        ({"a": 1.0}, b'{"a":1.0}'),
        ({"a": 1e-07}, b'{"a":1e-07}'),
        ({"a": True, "b": None}, b'{"a":true,"b":null}'),
        ({"ä": "ß\n\"\\"}, '{"ä":"ß\\n\\"\\\\"}'.encode()),
    ],
)  # fmt: skip
def test_a_document_has_one_json_text(document: Document, text: bytes):
    assert tree.canonical_json(document) == text
    assert tree.digest(document) == hashlib.sha256(text).hexdigest()


def test_the_digest_of_the_defaults_is_that_of_their_text():
    text = json.dumps(
        tree.DEFAULTS, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    assert tree.canonical_json(tree.DEFAULTS) == text
    assert len(tree.digest(tree.DEFAULTS)) == 64


def reordered(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        pairs = [(key, reordered(child, random)) for key, child in value.items()]
        random.shuffle(pairs)
        return dict(pairs)
    return [reordered(item, random) for item in value] if isinstance(value, list) else value


@given(partials(), st.randoms(use_true_random=False))
def test_the_order_of_keys_has_no_part_in_the_json_text(partial: Document, random: Any):
    whole = tree.layer(tree.DEFAULTS, partial)
    assert tree.canonical_json(reordered(whole, random)) == tree.canonical_json(whole)


@given(partials())
def test_the_json_text_reads_back_to_itself(partial: Document):
    text = tree.canonical_json(tree.layer(tree.DEFAULTS, partial))
    assert tree.canonical_json(json.loads(text)) == text


@given(partials())
def test_validation_does_not_move_a_stored_byte(partial: Document):
    text = tree.canonical_json(tree.dump(MatchingConfig.model_validate(partial)))
    again = tree.dump(MatchingConfig.model_validate(json.loads(text)))
    assert tree.canonical_json(again) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "\ud800"])
def test_what_json_cannot_hold_has_no_text(value: Any):
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        tree.canonical_json({"a": value})


def test_an_unset_weight_is_left_out_of_a_dump():
    config = rules.validated({"category_weights": {"overrides": {"a": {"date": None}, "b": {}}}})
    assert tree.dump(config)["category_weights"]["overrides"] == {"a": {}, "b": {}}
