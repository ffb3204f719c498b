"""Documents: layering, picking, comparing, and their one JSON text."""

import pytest

from dedup_model import tree

OVERRIDES = {"thresholds": {"high": 0.8}, "category_weights": {"priority": []}}


def test_a_layer_replaces_leaves_and_keeps_the_rest() -> None:
    found = tree.layer(tree.DEFAULTS, OVERRIDES)
    assert found["thresholds"] == {"high": 0.8, "low": 0.35, "title_veto": 0.45}
    assert found["category_weights"]["priority"] == []
    assert found["scoring"] == tree.DEFAULTS["scoring"]


def test_a_map_is_layered_whole() -> None:
    partial = {"category_weights": {"overrides": {"konzert": {}}}}
    found = tree.layer(tree.DEFAULTS, partial)
    assert found["category_weights"]["overrides"] == {"konzert": {}}


@pytest.mark.parametrize(
    "partial", [{"treshold": {"high": 1}}, {"thresholds": 5}, {"thresholds": {"hgh": 1}}]
)
def test_a_layer_keeps_what_does_not_fit_for_validation_to_name(partial: tree.Document) -> None:
    found = tree.layer(tree.DEFAULTS, partial)
    assert tree.layer(found, partial) == found
    assert found != tree.DEFAULTS


def test_picking_gives_the_overrides_in_validated_form() -> None:
    effective = tree.layer(tree.DEFAULTS, OVERRIDES)
    assert tree.picked(effective, OVERRIDES) == OVERRIDES


def test_only_differing_leaves_remain() -> None:
    document = {"thresholds": {"high": 0.75, "low": 0.3}, "geo": {"neutral_score": 0.5}}
    assert tree.differing(document, tree.DEFAULTS) == {"thresholds": {"low": 0.3}}


def test_putting_and_removing_leave_no_empty_sections() -> None:
    once = tree.put({}, ("title", "cross_source_type", "blend_lower"), 0.1)
    assert once == {"title": {"cross_source_type": {"blend_lower": 0.1}}}
    assert tree.put(once, ("title", "cross_source_type", "blend_lower"), None) == {}
    assert tree.put({}, ("geo", "neutral_score"), None) == {}
    assert tree.put({}, ("category_weights", "overrides"), {}) == {
        "category_weights": {"overrides": {}}
    }


def test_changes_name_map_entries_one_by_one() -> None:
    new = tree.layer(
        tree.DEFAULTS,
        {
            "thresholds": {"high": 0.8},
            "category_weights": {"overrides": {"konzert": {"date": 1.0}}, "priority": ["konzert"]},
        },
    )
    assert [path for path, _, _ in tree.changes(tree.DEFAULTS, new)] == [
        "thresholds.high",
        "category_weights.priority",
        "category_weights.overrides.fasnacht",
        "category_weights.overrides.konzert",
        "category_weights.overrides.versammlung",
    ]
    assert tree.changes(new, new) == []


def test_the_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    one = {"b": [1.0, "ä"], "a": {"d": None, "c": True}}
    two = {"a": {"c": True, "d": None}, "b": [1.0, "ä"]}
    assert tree.canonical_json(one) == tree.canonical_json(two)
    assert tree.canonical_json(one) == '{"a":{"c":true,"d":null},"b":[1.0,"ä"]}'.encode()
    assert tree.digest(one) == tree.digest(two)
    assert len(tree.digest(one)) == 64


def test_a_number_that_is_none_has_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        tree.canonical_json({"a": float("nan")})
