"""The settings tree: its defaults, what each field says of itself, and what it refuses."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dedup_model import rules, tree
from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import MatchingConfig
from dedup_model.setting import Section

SEED = {
    "scoring": {"date": 0.3, "description": 0.15, "geo": 0.25, "title": 0.3},
    "thresholds": {"high": 0.75, "low": 0.35, "title_veto": 0.45},
    "geo": {
        "max_distance_km": 10.0, "min_confidence": 0.85, "neutral_score": 0.5,
        "venue_match_distance_km": 1.0, "venue_mismatch_factor": 0.5,
    },
    "date": {
        "close_factor": 0.1, "far_factor": 0.0, "time_close_minutes": 90,
        "time_gap_penalty_factor": 0.0, "time_gap_penalty_hours": 2.0,
        "time_tolerance_minutes": 30,
    },
    "title": {
        "blend_lower": 0.4, "blend_upper": 0.8, "primary_weight": 0.7, "secondary_weight": 0.3,
        "cross_source_type": {
            "blend_lower": 0.25, "blend_upper": 0.95, "primary_weight": 0.4,
            "secondary_weight": 0.6,
        },
    },
    "cluster": {"max_cluster_size": 15, "min_internal_similarity": 0.4},
    "canonical": {
        "field_strategies": {
            "admission_free": "any_true", "categories": "union", "description": "longest",
            "geo": "highest_confidence", "highlights": "union", "is_child_focused": "any_true",
            "is_family_event": "any_true", "location_city": "most_frequent",
            "location_name": "most_complete", "location_street": "most_complete",
            "short_description": "longest", "title": "longest_non_generic",
        },
    },
    "ai": {
        "cache_enabled": True, "confidence_threshold": 0.6, "cost_per_1m_input_tokens": 0.3,
        "cost_per_1m_output_tokens": 2.5, "enabled": False, "max_combined_score": 0.79,
        "max_concurrent_requests": 5, "max_output_tokens": 2048, "min_combined_score": 0.65,
        "model": "gemini-2.5-flash", "temperature": 0.1,
    },
    "category_weights": {
        "overrides": {
            "fasnacht": {"date": 0.3, "description": 0.15, "geo": 0.3, "title": 0.25},
            "versammlung": {"date": 0.25, "description": 0.15, "geo": 0.2, "title": 0.4},
        },
        "priority": ["fasnacht", "versammlung"],
    },
}  # fmt: skip


def test_the_defaults_are_those_of_the_earlier_system() -> None:
    assert tree.differing(SEED, tree.DEFAULTS) == {}
    assert len(list(tree.present_paths(SEED))) == 51


def all_fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, info in section.model_fields.items():
        yield f"{prefix}{name}", info
        annotation = info.annotation
        item = get_args(annotation)[0] if tree.is_list(annotation) else annotation
        nested = tree.section_of(item) or tree.entry_of(annotation)
        if nested:
            yield from all_fields(nested, f"{prefix}{name}.")


@pytest.mark.parametrize(("path", "info"), list(all_fields(MatchingConfig)))
def test_every_field_says_what_it_is(path: str, info: FieldInfo) -> None:
    annotation: Any = info.annotation
    section = tree.section_of(annotation)
    assert info.description or (section and section.__doc__)
    if annotation in (int, float, float | None):
        bounds = {type(m): m for m in info.metadata}
        assert isinstance(info.json_schema_extra, dict)
        assert info.json_schema_extra["unit"]
        low, high = bounds[Ge].ge, bounds[Le].le
        assert info.default is None or low <= info.default <= high, path


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        MatchingConfig().thresholds.high = 0.5


CASES = [
    ({"thresholds": {"high": "0.8"}}, "thresholds.high", "TYPE"),
    ({"thresholds": {"high": True}}, "thresholds.high", "TYPE"),
    ({"thresholds": {"high": None}}, "thresholds.high", "TYPE"),
    ({"thresholds": {"high": float("nan")}}, "thresholds.high", "NOT_FINITE"),
    ({"thresholds": {"high": float("inf")}}, "thresholds.high", "NOT_FINITE"),
    ({"thresholds": {"high": 1.0000001}}, "thresholds.high", "RANGE"),
    ({"thresholds": {"low": -0.1}}, "thresholds.low", "RANGE"),
    ({"scoring": {"date": -1.0}}, "scoring.date", "RANGE"),
    ({"scoring": {"date": 1e308}}, "scoring.date", "RANGE"),
    ({"ai": {"max_output_tokens": 5.5}}, "ai.max_output_tokens", "TYPE"),
    ({"ai": {"max_output_tokens": 10**12}}, "ai.max_output_tokens", "RANGE"),
    ({"ai": {"enabled": 1}}, "ai.enabled", "TYPE"),
    ({"ai": {"enabled": "true"}}, "ai.enabled", "TYPE"),
    ({"ai": {"model": ""}}, "ai.model", "RANGE"),
    ({"ai": {"model": "../../x"}}, "ai.model", "PATTERN"),
    ({"ai": {"model": "a\nb"}}, "ai.model", "CONTROL_CHARACTER"),
    ({"ai": {"model": "m" * 201}}, "ai.model", "TOO_LARGE"),
    ({"ai": {"gemini_api_key": "x"}}, "ai.gemini_api_key", "UNKNOWN_KEY"),
    ({"treshold": {}}, "treshold", "UNKNOWN_KEY"),
    ({"thresholds": 5}, "thresholds", "TYPE"),
    ({"text": {"synonyms": {"a": "b"}}}, "text.synonyms", "TYPE"),
    ({"text": {"synonyms": [{"canonical": "a\u202eb"}]}}, "text.synonyms.0.canonical",
     "CONTROL_CHARACTER"),
    ({"text": {"prefixes": [{"text": "x"}] * 1001}}, "text.prefixes", "TOO_LARGE"),
    ({"text": {"prefixes": [{"text": "x", "separator": "star"}]}}, "text.prefixes.0.separator",
     "UNKNOWN_VALUE"),
    ({"canonical": {"field_strategies": {"title": "best"}}}, "canonical.field_strategies.title",
     "UNKNOWN_VALUE"),
    ({"category_weights": {"overrides": {"__class__": {}}}}, "category_weights.overrides.__class__",
     "KEY_CHARSET"),
    ({"category_weights": {"overrides": {"": {}}}}, "category_weights.overrides.?", "KEY_CHARSET"),
    ({"category_weights": {"priority": ["A b"]}}, "category_weights.priority.0", "KEY_CHARSET"),
    ({"thresholds": {"high": 0.3}}, "thresholds.low", "CROSS_FIELD"),
    ({"thresholds": {"high": 0.35}}, "thresholds.low", "CROSS_FIELD"),
    ({"date": {"time_close_minutes": 121}}, "date.time_close_minutes", "CROSS_FIELD"),
    ({"title": {"blend_lower": 0.9}}, "title.blend_lower", "CROSS_FIELD"),
    ({"ai": {"min_combined_score": 0.8}}, "ai.min_combined_score", "CROSS_FIELD"),
    ({"scoring": dict.fromkeys(("date", "geo", "title", "description"), 0.0)}, "scoring.date",
     "CROSS_FIELD"),
    ({"title": {"primary_weight": 0.0, "secondary_weight": 0.0}}, "title.primary_weight",
     "CROSS_FIELD"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "path", "rule"), CASES)
def test_a_bad_value_is_refused_by_its_path_and_rule(document: Any, path: str, rule: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rules.validated(document)
    assert [(v.path, v.rule) for v in caught.value.violations] == [(path, rule)]


def test_all_violations_are_told_at_once() -> None:
    document = {
        "thresholds": {"high": 2.0},
        "scoring": {"dat": 0.3},
        "date": {"time_tolerance_minutes": 100},
    }
    with pytest.raises(InvalidRequest) as caught:
        rules.validated(document)
    assert [(v.path, v.rule) for v in caught.value.violations] == [
        ("scoring.dat", "UNKNOWN_KEY"),
        ("thresholds.high", "RANGE"),
        ("date.time_tolerance_minutes", "CROSS_FIELD"),
    ]
    assert "did you mean scoring.date?" in str(caught.value)


CANARY = "canary-4711"


@pytest.mark.parametrize(
    "document",
    [
        {"thresholds": {"high": CANARY}},
        {"ai": {"model": f"AIza{CANARY}{'x' * 30}"}},
        {"ai": {"model": f"-----BEGIN {CANARY}"}},
        {"ai": {"enabled": CANARY, "temperature": [CANARY]}},
        {"text": {"synonyms": [CANARY]}},
        {"canonical": {"field_strategies": {"title": CANARY}}},
        {f"AIza{CANARY}{'x' * 30}": 1},
        {"category_weights": {"overrides": {f"aiza{CANARY}{'x' * 30}": {}}}},
    ],
)
def test_a_refusal_never_shows_a_value(document: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rules.validated(document)
    assert CANARY not in f"{caught.value} {caught.value.violations!r}"


@pytest.mark.parametrize(
    "secret",
    [
        "AIza" + "S" * 35, "sk-" + "a" * 20, "-----BEGIN PRIVATE KEY-----", "gAAAA" + "b" * 40,
        "cse2.abc.def", "plain:abc", "ghp_" + "c" * 30,
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_no_plain_setting(secret: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rules.validated({"text": {"synonyms": [{"canonical": secret}]}})
    assert caught.value.reason == "SECRET_IN_CONFIG"


def test_a_whole_float_is_an_integer_and_minus_zero_is_zero() -> None:
    config = rules.validated({"ai": {"max_output_tokens": 5.0}, "date": {"far_factor": -0.0}})
    assert tree.canonical_json(tree.dump(config)["ai"]["max_output_tokens"]) == b"5"
    assert str(config.date.far_factor) == "0.0"


WARNINGS = [
    ({"scoring": {"date": 0.5}}, "scoring: weights sum to 1.2"),
    ({"category_weights": {"overrides": {"konzert": {"date": 0.3}}}}, "konzert: not in priority"),
    ({"category_weights": {"priority": ["konzert"]}}, "konzert has no weights"),
    ({"ai": {"min_combined_score": 0.1, "max_combined_score": 0.3}}, "below thresholds.low"),
    ({"ai": {"min_combined_score": 0.2}}, "begins below thresholds.low"),
    ({"ai": {"min_combined_score": 0.76}, "thresholds": {"title_veto": 0.0}}, "it is empty"),
]


@pytest.mark.parametrize(("document", "words"), WARNINGS)
def test_what_is_probably_not_meant_is_a_warning(document: Any, words: str) -> None:
    config = rules.validated(tree.layer(tree.DEFAULTS, document))
    assert any(words in warning for warning in rules.warnings(config))


def test_the_defaults_and_rounded_weights_give_no_warning() -> None:
    assert rules.warnings(MatchingConfig()) == []
    assert rules.warnings(rules.validated({"scoring": {"date": 0.305}})) == []


def test_a_document_of_another_release_is_read_without_its_unknown_keys() -> None:
    document = {
        "thresholds": {"high": 0.8, "newer": 1},
        "newer": {"x": 1},
        "text": {"synonyms": [{"canonical": "a", "newer": 1}]},
        "category_weights": {"overrides": {"konzert": {"date": 0.5, "newer": 1}}},
    }
    config, ignored = rules.read(document)
    assert config.thresholds.high == 0.8
    assert sorted(ignored) == [
        "category_weights.overrides.konzert.newer",
        "newer",
        "text.synonyms.0.newer",
        "thresholds.newer",
    ]


def test_an_unset_category_weight_inherits_the_configured_one() -> None:
    document = {
        "scoring": {"geo": 0.5},
        "category_weights": {"overrides": {"konzert": {"title": 0.9}}},
    }
    config = rules.validated(tree.layer(tree.DEFAULTS, document))
    assert rules.weights_of(config, "konzert") == (0.3, 0.5, 0.9, 0.15)
    assert rules.weights_of(config, "unknown") == (0.3, 0.5, 0.3, 0.15)


def test_a_document_over_256_kib_is_refused() -> None:
    synonyms = [{"canonical": "a", "variants": ["b" * 190] * 100} for _ in range(20)]
    with pytest.raises(InvalidRequest) as caught:
        rules.validated({"text": {"synonyms": synonyms}})
    assert caught.value.reason == "TOO_LARGE"
