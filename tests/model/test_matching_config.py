"""The settings tree: defaults, documentation of each field, strictness, immutability."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dedup_model import rules, tree
from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import CategoryWeight, FieldStrategy, MatchingConfig
from dedup_model.setting import Section
from dedup_model.text_tables import CityAlias, PrefixSeparator, Synonyms, TitlePrefix

SEED = {
    "scoring.date": 0.3,
    "scoring.description": 0.15,
    "scoring.geo": 0.25,
    "scoring.title": 0.3,
    "thresholds.high": 0.75,
    "thresholds.low": 0.35,
    "thresholds.title_veto": 0.45,
    "geo.max_distance_km": 10.0,
    "geo.min_confidence": 0.85,
    "geo.neutral_score": 0.5,
    "geo.venue_match_distance_km": 1.0,
    "geo.venue_mismatch_factor": 0.5,
    "date.close_factor": 0.1,
    "date.far_factor": 0.0,
    "date.time_close_minutes": 90,
    "date.time_gap_penalty_factor": 0.0,
    "date.time_gap_penalty_hours": 2.0,
    "date.time_tolerance_minutes": 30,
    "title.blend_lower": 0.4,
    "title.blend_upper": 0.8,
    "title.cross_source_type.blend_lower": 0.25,
    "title.cross_source_type.blend_upper": 0.95,
    "title.cross_source_type.primary_weight": 0.4,
    "title.cross_source_type.secondary_weight": 0.6,
    "title.primary_weight": 0.7,
    "title.secondary_weight": 0.3,
    "cluster.max_cluster_size": 15,
    "cluster.min_internal_similarity": 0.4,
    "canonical.field_strategies.admission_free": "any_true",
    "canonical.field_strategies.categories": "union",
    "canonical.field_strategies.description": "longest",
    "canonical.field_strategies.geo": "highest_confidence",
    "canonical.field_strategies.highlights": "union",
    "canonical.field_strategies.is_child_focused": "any_true",
    "canonical.field_strategies.is_family_event": "any_true",
    "canonical.field_strategies.location_city": "most_frequent",
    "canonical.field_strategies.location_name": "most_complete",
    "canonical.field_strategies.location_street": "most_complete",
    "canonical.field_strategies.short_description": "longest",
    "canonical.field_strategies.title": "longest_non_generic",
    "ai.cache_enabled": True,
    "ai.confidence_threshold": 0.6,
    "ai.cost_per_1m_input_tokens": 0.3,
    "ai.cost_per_1m_output_tokens": 2.5,
    "ai.enabled": False,
    "ai.max_combined_score": 0.79,
    "ai.max_concurrent_requests": 5,
    "ai.max_output_tokens": 2048,
    "ai.min_combined_score": 0.65,
    "ai.model": "gemini-2.5-flash",
    "ai.temperature": 0.1,
    "category_weights.overrides": {
        "fasnacht": {"date": 0.3, "description": 0.15, "geo": 0.3, "title": 0.25},
        "versammlung": {"date": 0.25, "description": 0.15, "geo": 0.2, "title": 0.4},
    },
    "category_weights.priority": ["fasnacht", "versammlung"],
}
"""The values of the earlier system's settings."""

ONCE_CODE = {
    "date.unknown_time_factor",
    "date.unknown_date_score",
    "description.both_missing_score",
    "description.one_missing_score",
    "description.unlike_score",
    "blocking.use_city",
    "blocking.use_geo",
    "blocking.use_title",
    "blocking.use_venue",
    "blocking.geo_cell_km",
    "blocking.title_words",
    "blocking.max_word_block",
    "blocking.max_range_days",
    "text.synonyms",
    "text.prefixes",
    "text.city_aliases",
    "canonical.min_title_length",
}
"""What the earlier system had in its code."""

NEW = {
    "geo.common_title_venues",
    "geo.use_towns",
    "geo.use_districts",
    "date.named_time_minutes",
    "title.series_parts",
    "text.venue_kinds",
    "text.town_venues",
    "text.town_beginnings",
    "text.street_words",
    "text.meeting_words",
    "text.time_words",
    "geo.venue_word_sets_share",
    "geo.venue_floor",
    "geo.venue_ceiling",
    "geo.unlike_venue_score",
    "geo.street_floor",
    "geo.same_city_score",
    "geo.same_city_unlike_score",
    "geo.same_city_unlike_twice_score",
    "geo.unknown_city_unlike_score",
    "geo.unknown_city_alike_score",
    "geo.other_city_score",
    "geo.other_city_unlike_score",
    "geo.other_city_alike_score",
    "geo.common_title_factor",
    "geo.common_title_likeness",
    "date.night_minutes",
    "title.own_place_factor",
    "description.letters_floor",
    "description.letters_ceiling",
    "description.words_ceiling",
    "description.long_characters",
    "text.lettered_words",
    "text.status_markers",
    "text.function_words",
    "ai.max_cost_per_batch",
    "ai.max_calls_per_batch",
    "ai.max_seconds_per_batch",
    "ai.timeout_seconds",
    "ai.thinking_budget",
    "scoring.same_source_odds",
    "scoring.other_source_odds",
    "scoring.other_city_odds",
    "geo.venue_words_share",
    "date.other_source_factor",
    "date.shifted_factor",
    "title.coverage_share",
    "title.one_sided_share",
    "title.evidence_floor",
    "title.evidence_ceiling",
    "title.same_text_score",
    "title.left_over_penalty",
    "title.contrast_score",
    "date.other_source_hours",
    "text.contrasts",
    "text.vague_places",
}
"""What the earlier system did not have."""


def sections(schema: type[Section] = MatchingConfig) -> Iterator[type[Section]]:
    yield schema
    for annotation in tree.fields(schema).values():
        if child := tree.section_of(annotation):
            yield from sections(child)


SECTIONS = [*sections(), CategoryWeight, Synonyms, TitlePrefix, CityAlias]
FIELDS = [
    pytest.param(name, info, id=f"{schema.__name__}.{name}")
    for schema in SECTIONS
    for name, info in schema.model_fields.items()
    if not tree.section_of(info.annotation)
]
LEAVES = [(path, tree.find(tree.DEFAULTS, path)) for path in tree.leaf_paths()]
NUMBERS = [path for path, value in LEAVES if type(value) in (int, float)]
WHOLES = [path for path, value in LEAVES if type(value) is int]
FLAGS = [path for path, value in LEAVES if type(value) is bool]


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return value


def rule_of(path: tuple[str, ...], value: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        rules.validated(nested(path, value))
    found = {v.path: v.rule for v in refused.value.violations}
    return found[".".join(path)]


def bounds(info: FieldInfo) -> tuple[Any, Any]:
    low = [m.ge for m in info.metadata if getattr(m, "ge", None) is not None]
    high = [m.le for m in info.metadata if getattr(m, "le", None) is not None]
    return (low or [None])[0], (high or [None])[0]


def is_number(info: FieldInfo) -> bool:
    named = str(info.annotation)
    return info.annotation in (int, float) or "float" in named


def info_of(path: tuple[str, ...]) -> FieldInfo:
    schema: Any = MatchingConfig
    for name in path[:-1]:
        schema = tree.fields(schema)[name]
    return schema.model_fields[path[-1]]


@pytest.mark.parametrize(("path", "value"), SEED.items())
def test_a_default_is_the_earlier_systems_value(path: str, value: Any):
    found = tree.find(tree.DEFAULTS, tuple(path.split(".")))
    assert found == value
    assert type(found) is type(value)


def test_every_leaf_is_a_setting_of_the_earlier_system_or_was_once_code_or_is_new():
    assert {".".join(path) for path in tree.leaf_paths()} == set(SEED) | ONCE_CODE | NEW


def test_the_defaults_are_valid_and_give_no_warning():
    assert rules.warnings(rules.validated(tree.DEFAULTS)) == []


@pytest.mark.parametrize(("name", "info"), FIELDS)
def test_every_field_says_what_it_means_in_a_sentence(name: str, info: FieldInfo):
    assert info.description.endswith(".")
    assert len(info.description) > 10


@pytest.mark.parametrize("schema", SECTIONS, ids=lambda schema: schema.__name__)
def test_every_section_says_what_it_is_for(schema: type[Section]):
    assert "__doc__" in vars(schema)
    assert schema.__doc__.endswith(".")


@pytest.mark.parametrize(
    ("name", "info"), [field for field in FIELDS if is_number(field.values[1])]
)
def test_every_number_has_a_unit_and_a_range_that_holds_its_default(name: str, info: FieldInfo):
    low, high = bounds(info)
    assert info.json_schema_extra["unit"]
    assert low is not None
    assert high is not None
    assert low < high
    assert info.default is None or low <= info.default <= high


def test_every_number_of_the_tree_was_looked_at():
    assert len(NUMBERS) > 40
    assert all(is_number(info_of(path)) for path in NUMBERS)


@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_a_range_includes_its_bounds_and_nothing_beyond(path: tuple[str, ...]):
    low, high = bounds(info_of(path))
    step = 1 if path in WHOLES else 1e-9 * max(1, high)
    assert rule_of(path, low - step) == "RANGE"
    assert rule_of(path, high + step) == "RANGE"
    for bound in (low, high):
        try:
            config = rules.validated(tree.put({}, path, bound))
        except InvalidRequest as error:
            assert {v.rule for v in error.violations} == {"CROSS_FIELD"}  # noqa: PT017
        else:
            assert tree.find(tree.dump(config), path) == bound


@pytest.mark.parametrize("value", ["0.8", "", "1", True, False, [], {}, [0.5], {"0": 1}, None])
@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_a_number_is_never_made_of_something_else(path: tuple[str, ...], value: Any):
    assert rule_of(path, value) == "TYPE"


@pytest.mark.parametrize("value", ["true", "no", "", 0, 1, 1.0, [], {}])
@pytest.mark.parametrize("path", FLAGS, ids=".".join)
def test_a_flag_is_true_or_false_and_nothing_else(path: tuple[str, ...], value: Any):
    assert rule_of(path, value) == "TYPE"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_a_number_that_is_not_finite_is_refused_as_such(path: tuple[str, ...], value: float):
    assert rule_of(path, value) == "NOT_FINITE"


@pytest.mark.parametrize("value", [1e308, -1e308, 10**400, -(10**400)])
@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_an_enormous_number_is_refused(path: tuple[str, ...], value: float):
    assert rule_of(path, value) in {"RANGE", "TYPE"}


@pytest.mark.parametrize("path", WHOLES, ids=".".join)
def test_a_whole_number_may_be_written_with_a_point_but_not_with_a_fraction(path: tuple[str, ...]):
    default = tree.find(tree.DEFAULTS, path)
    stored = tree.find(tree.dump(rules.validated(tree.put({}, path, float(default)))), path)
    assert stored == default
    assert type(stored) is int
    assert rule_of(path, default + 0.5) == "TYPE"


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in NUMBERS
        if bounds(info_of(path))[0] == 0 and path != ("thresholds", "high")  # always above low
    ],
    ids=".".join,
)
def test_minus_zero_is_stored_as_zero(path: tuple[str, ...]):
    document = tree.put({}, path, -0.0)
    if path == ("date", "time_close_minutes"):
        document = tree.put(document, ("date", "time_tolerance_minutes"), 0)
    if path == ("date", "time_gap_penalty_hours"):
        document = tree.layer(
            document, {"date": {"time_close_minutes": 0, "time_tolerance_minutes": 0}}
        )
    if path[-1] in {"blend_upper", "max_combined_score"}:
        lower = {"blend_upper": "blend_lower", "max_combined_score": "min_combined_score"}
        document = tree.put(document, (*path[:-1], lower[path[-1]]), 0)
    stored = tree.find(tree.dump(rules.validated(document)), path)
    assert str(stored) in {"0", "0.0"}


def test_minus_zero_in_a_category_is_stored_as_zero():
    document = {"category_weights": {"overrides": {"fasnacht": {"date": -0.0}}}}
    stored = tree.dump(rules.validated(document))
    assert str(stored["category_weights"]["overrides"]["fasnacht"]["date"]) == "0.0"


@pytest.mark.parametrize("written", [1, 1.0])
def test_one_value_has_one_stored_form(written: float):
    config = rules.validated({"geo": {"max_distance_km": written}, "cluster": {}})
    assert b'"max_distance_km":1.0,' in tree.canonical_json(tree.dump(config))


@pytest.mark.parametrize("schema", SECTIONS, ids=lambda schema: schema.__name__)
def test_a_config_cannot_be_changed_in_place(schema: type[Section]):
    needed = {name: "x" for name, info in schema.model_fields.items() if info.is_required()}
    value = schema(**needed)
    for name in schema.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, name, getattr(value, name))
        with pytest.raises(ValidationError, match="frozen"):
            delattr(value, name)


def test_what_is_done_to_one_config_never_reaches_the_defaults_of_the_next():
    careless = MatchingConfig()
    careless.category_weights.priority.append("x")
    careless.category_weights.overrides["x"] = CategoryWeight()
    careless.text.synonyms.clear()
    assert tree.dump(MatchingConfig()) == tree.DEFAULTS


@pytest.mark.parametrize("schema", SECTIONS, ids=lambda schema: schema.__name__)
def test_a_model_itself_keeps_its_input_out_of_its_errors(schema: type[Section]):
    with pytest.raises(ValidationError) as refused:
        schema.model_validate({name: {"x": "CANARY-7f3a"} for name in schema.model_fields})
    assert "CANARY" not in str(refused.value)
    assert "CANARY" not in repr(refused.value)


@pytest.mark.parametrize("strategy", list(FieldStrategy))
@pytest.mark.parametrize("field", list(tree.DEFAULTS["canonical"]["field_strategies"]))
def test_a_strategy_is_written_by_its_name(field: str, strategy: FieldStrategy):
    path = ("canonical", "field_strategies", field)
    config = rules.validated(tree.put({}, path, strategy.value))
    assert getattr(config.canonical.field_strategies, field) is strategy


@pytest.mark.parametrize(
    "value", ["longets", "LONGEST", " longest", "", 1, True, None, ["longest"]]
)
def test_an_unknown_strategy_is_refused(value: Any):
    document = {"canonical": {"field_strategies": {"title": value}}}
    with pytest.raises(InvalidRequest) as refused:
        rules.validated(document)
    (violation,) = refused.value.violations
    assert (violation.path, violation.rule) == (
        "canonical.field_strategies.title",
        "UNKNOWN_VALUE",
    )


@pytest.mark.parametrize("separator", list(PrefixSeparator))
def test_a_prefix_separator_is_written_by_its_name(separator: PrefixSeparator):
    document = {"text": {"prefixes": [{"text": "Vortrag", "separator": separator.value}]}}
    assert rules.validated(document).text.prefixes[0].separator is separator


@pytest.mark.parametrize(
    "model",
    ["../../x", "file:///etc/passwd", "http://169.254.169.254", "a/b", ".hidden", "-x", "a b", "ä"],
)
def test_a_model_name_is_no_path_and_no_address(model: str):
    assert rule_of(("ai", "model"), model) == "PATTERN"


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (("ai", "model"), "", "RANGE"),
        (("ai", "model"), "m" * 201, "TOO_LARGE"),
        (("category_weights", "priority"), [f"k{i}" for i in range(101)], "TOO_LARGE"),
        (("category_weights", "overrides"), {f"k{i}": {} for i in range(101)}, "TOO_LARGE"),
        (("text", "synonyms"), [{"canonical": "x"}] * 1001, "TOO_LARGE"),
        (("text", "prefixes"), [{"text": "x"}] * 1001, "TOO_LARGE"),
        (("text", "city_aliases"), [{"city": "x"}] * 1001, "TOO_LARGE"),
        (("text", "synonyms"), {"0": {"canonical": "x"}}, "TYPE"),
        (("text", "synonyms"), "x", "TYPE"),
        (("category_weights", "priority"), {"0": "x"}, "TYPE"),
        (("category_weights", "overrides"), ["x"], "TYPE"),
    ],
)
def test_texts_lists_and_maps_are_bounded_and_typed(path: tuple[str, ...], value: Any, rule: str):
    assert rule_of(path, value) == rule


@pytest.mark.parametrize("entry", [{}, {"variants": ["x"]}])
def test_an_item_without_its_required_text_is_named(entry: dict[str, Any]):
    with pytest.raises(InvalidRequest) as refused:
        rules.validated({"text": {"synonyms": [{"canonical": "ok"}, entry]}})
    (violation,) = refused.value.violations
    assert (violation.path, violation.rule) == ("text.synonyms.1.canonical", "REQUIRED")


@given(st.floats(0, 1), st.integers(2, 10000))
def test_what_is_stored_reads_back_as_the_same_config(score: float, size: int):
    config = rules.validated(
        {"thresholds": {"title_veto": score}, "cluster": {"max_cluster_size": size}}
    )
    assert rules.validated(tree.dump(config)) == config
    assert tree.dump(rules.validated(tree.dump(config))) == tree.dump(config)
