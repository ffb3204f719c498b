"""Judging documents: all violations at once, nothing of the input in them, warnings, old readers."""

import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model import rules, tree
from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import MatchingConfig

CANARY = "CANARY-7f3a91c2"
SIGNALS = ("date", "geo", "title", "description")


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return value


def refusal(document: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        rules.validated(document)
    return caught.value


def found(document: Any) -> set[tuple[str, str]]:
    return {(violation.path, violation.rule) for violation in refusal(document).violations}


def everything_said(error: InvalidRequest) -> Iterator[str]:
    yield str(error)
    yield repr(error)
    yield error.message
    yield repr(error.args)
    yield repr(error.facts)
    yield "".join(traceback.format_exception(error))
    for violation in error.violations:
        yield repr(violation)
    linked = error.__cause__ or error.__context__
    if linked is not None:
        yield repr(linked)


def entry(**weights: float) -> dict[str, Any]:
    return {"category_weights": {"overrides": {"a": weights}, "priority": ["a"]}}


def weights(**values: float) -> dict[str, float]:
    return dict.fromkeys(SIGNALS, 0.0) | values


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"thresholds": {"low": 0.75}}, "thresholds.low"),
        ({"thresholds": {"low": 0.9}}, "thresholds.low"),
        ({"thresholds": {"high": 0.35}}, "thresholds.low"),
        ({"date": {"time_tolerance_minutes": 91}}, "date.time_tolerance_minutes"),
        ({"date": {"time_close_minutes": 121}}, "date.time_close_minutes"),
        ({"date": {"time_gap_penalty_hours": 1.49}}, "date.time_close_minutes"),
        ({"title": {"blend_lower": 0.81}}, "title.blend_lower"),
        (
            {"title": {"cross_source_type": {"blend_upper": 0.2}}},
            "title.cross_source_type.blend_lower",
        ),
        ({"ai": {"min_combined_score": 0.8}}, "ai.min_combined_score"),
        ({"scoring": weights()}, "scoring.date"),
        ({"title": {"primary_weight": 0, "secondary_weight": 0}}, "title.primary_weight"),
        (
            {"title": {"cross_source_type": {"primary_weight": 0, "secondary_weight": 0.0}}},
            "title.cross_source_type.primary_weight",
        ),
        (entry(**weights()), "category_weights.overrides.a"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(document: dict, path: str):
    assert found(document) == {(path, "CROSS_FIELD")}


@pytest.mark.parametrize(
    "document",
    [
        {"thresholds": {"low": 0.7499}},
        {"date": {"time_tolerance_minutes": 90}},
        {"date": {"time_close_minutes": 120}},
        {"date": {"time_gap_penalty_hours": 1.5}},
        {"title": {"blend_lower": 0.8}},
        {"title": {"cross_source_type": {"blend_upper": 0.25}}},
        {"ai": {"min_combined_score": 0.79}},
        {"scoring": weights(geo=0.01)},
        {"title": {"primary_weight": 0}},
        entry(**weights(title=1)),
        entry(date=0, geo=0, title=0),
        entry(),
        {"scoring": weights(title=1), "category_weights": {"overrides": {"a": {"title": 1}}}},
        {"category_weights": {"overrides": {}, "priority": []}},
        {},
    ],
)
def test_fields_that_just_agree_are_fine(document: dict):
    assert isinstance(rules.validated(document), MatchingConfig)


def test_a_category_that_inherits_only_zeros_is_refused():
    document = {"scoring": weights(title=1.0), **entry(title=0.0)}
    assert found(document) == {("category_weights.overrides.a", "CROSS_FIELD")}


def test_all_violations_come_at_once():
    document = {
        "tresholds": {},
        "thresholds": {"low": 0.9, "hihg": 1},
        "geo": {"max_distance_km": "far", "neutral_score": 2},
        "ai": {"model": "a\x00b", "enabled": 1},
        "cluster": {"max_cluster_size": 5.5},
        "title": {"blend_lower": 0.9},
        "scoring": weights(),
        "category_weights": {"overrides": {"Ä": {}, "a": {"date": -1}}},
        "text": {"synonyms": [{"canonical": ""}, {}]},
    }
    assert found(document) == {
        ("tresholds", "UNKNOWN_KEY"),
        ("thresholds.hihg", "UNKNOWN_KEY"),
        ("thresholds.low", "CROSS_FIELD"),
        ("geo.max_distance_km", "TYPE"),
        ("geo.neutral_score", "RANGE"),
        ("ai.model", "CONTROL_CHARACTER"),
        ("ai.enabled", "TYPE"),
        ("cluster.max_cluster_size", "TYPE"),
        ("title.blend_lower", "CROSS_FIELD"),
        ("scoring.date", "CROSS_FIELD"),
        ("category_weights.overrides.Ä", "KEY_CHARSET"),
        ("category_weights.overrides.a.date", "RANGE"),
        ("text.synonyms.0.canonical", "RANGE"),
        ("text.synonyms.1.canonical", "REQUIRED"),
    }


@pytest.mark.parametrize(
    ("document", "only"),
    [
        ({"thresholds": {"low": 0.8, "high": "0.95"}}, ("thresholds.high", "TYPE")),
        ({"thresholds": {"low": 0.8, "high": 95}}, ("thresholds.high", "RANGE")),
        ({"thresholds": {"low": "0.8", "high": 0.3}}, ("thresholds.low", "TYPE")),
        ({"scoring": weights(title=11)}, ("scoring.title", "RANGE")),
        (
            {"date": {"time_close_minutes": 180, "time_gap_penalty_hours": "4"}},
            ("date.time_gap_penalty_hours", "TYPE"),
        ),
        (
            {"ai": {"min_combined_score": 0.8, "max_combined_score": 9}},
            ("ai.max_combined_score", "RANGE"),
        ),
    ],
)
def test_a_rule_between_fields_is_not_judged_while_one_of_them_is_broken(document, only):
    assert found(document) == {only}


def test_one_bad_category_does_not_hide_another():
    document = {
        "category_weights": {
            "overrides": {"a": {"date": "0.5"}, "b": weights()},
            "priority": ["a", "b"],
        }
    }
    assert found(document) == {
        ("category_weights.overrides.a.date", "TYPE"),
        ("category_weights.overrides.b", "CROSS_FIELD"),
    }


@pytest.mark.parametrize(
    ("document", "path", "meant"),
    [
        ({"tresholds": 1}, "tresholds", "thresholds"),
        ({"thresholds": {"hihg": 1}}, "thresholds.hihg", "thresholds.high"),
        (
            {"title": {"cross_source_typ": {}}},
            "title.cross_source_typ",
            "title.cross_source_type",
        ),
        (
            {"title": {"cross_source_type": {"blend_uper": 1}}},
            "title.cross_source_type.blend_uper",
            "title.cross_source_type.blend_upper",
        ),
        (
            {"canonical": {"field_strategies": {"titel": "longest"}}},
            "canonical.field_strategies.titel",
            "canonical.field_strategies.title",
        ),
        (entry(titel=1), "category_weights.overrides.a.titel",
         "category_weights.overrides.a.title"),
        (
            {"text": {"synonyms": [{"canonical": "x", "variant": []}]}},
            "text.synonyms.0.variant",
            "text.synonyms.0.variants",
        ),
    ],
)  # fmt: skip
def test_an_unknown_key_comes_with_the_name_that_was_meant(document: dict, path: str, meant: str):
    (violation,) = refusal(document).violations
    assert (violation.path, violation.rule) == (path, "UNKNOWN_KEY")
    assert violation.description.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    "document",
    [
        {"ai": {"api_key": CANARY}},
        {"ai": {"gemini_api_key": CANARY}},
        {"xyzzy": 1},
        {"__proto__": 1},
    ],
)
def test_an_unknown_key_like_no_other_gets_no_guess(document: dict):
    (violation,) = refusal(document).violations
    assert violation.rule == "UNKNOWN_KEY"
    assert violation.description == "no such setting"


@pytest.mark.parametrize(
    "key",
    ["тhresholds", "thres\u200bholds", "\u202ethresholds", "a.b", "", "k" * 129, "a\nb", CANARY],
)
def test_a_key_of_odd_characters_is_refused_and_not_repeated(key: str):
    (violation,) = refusal({key: 1}).violations
    assert violation.rule == "UNKNOWN_KEY"
    assert not key or key not in violation.description
    if not key.isalnum():
        assert violation.path == "?"


@pytest.mark.parametrize(
    "document", [{"a\ud800": 1}, {"thresholds": {"\udfff": 1}}, {5: 1}, {None: 1}]
)
def test_a_key_that_is_no_text_is_refused(document: dict):
    assert refusal(document).violations


def test_a_document_nested_without_end_is_refused():
    deep: dict[str, Any] = {}
    for _ in range(50_000):
        deep = {"thresholds": deep}
    error = refusal(deep)
    while deep:
        deep = deep.pop("thresholds")
    assert error.violations


@pytest.mark.parametrize("document", [None, [], [1], "x", 5, True])
def test_a_document_that_is_no_object_is_refused(document: Any):
    assert refusal(document).violations


@pytest.mark.parametrize("section", list(MatchingConfig.model_fields))
@pytest.mark.parametrize("value", [CANARY, 5, [], True, None])
def test_a_section_that_is_no_object_is_refused(section: str, value: Any):
    assert found({section: value}) == {(section, "TYPE")}


def test_a_document_beyond_its_byte_limit_is_refused():
    aliases = ["x" * 200] * 1000
    document = {"text": {"city_aliases": [{"city": "x", "aliases": aliases}] * 2}}
    assert found(document) == {("config", "TOO_LARGE")}
    assert rules.validated({"text": {"city_aliases": [{"city": "x", "aliases": aliases}]}})


def test_many_violations_are_all_listed_but_the_message_stays_short():
    error = refusal({f"treshold{number}": 1 for number in range(2_000)})
    assert len(error.violations) == 2_000
    assert len(str(error)) < 1_000


@pytest.mark.parametrize(
    "document",
    [
        {f"treshold{number}": 1 for number in range(20_000)},
        {"category_weights": {"overrides": {f"k{n}": {"date": 11} for n in range(20_000)}}},
        {"category_weights": {"overrides": {f"k{n}": {} for n in range(100_000)}}},
        {"category_weights": {"priority": ["Ä"] * 100_000}},
        {"text": {"synonyms": [{"canonical": ""}] * 100_000}},
        {"text": {"synonyms": [{"canonical": "x", "variants": [""] * 20_000}]}},
    ],
    ids=["keys", "entries", "empty entries", "texts", "items", "texts of an item"],
)
def test_a_flood_of_violations_is_refused_in_a_moment(document: dict):
    assert refusal(document).violations


@pytest.mark.parametrize("path", list(tree.leaf_paths()), ids=".".join)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        lambda value: value + "\x00",
        lambda value: f"AIza0123456789-abcdefghijk-{value}",
        lambda value: value * 50,
        lambda value: [value, {value: value}],
        lambda value: {value: value},
        lambda value: {value: {value: value}},
        lambda value: {"a": {"date": value, value: value}},
        lambda value: [{"text": f"{value}\n", "separator": value, value: value}],
        lambda value: [{"canonical": [value], "variants": [value, f"{value}\x1b"]}],
    ],
    ids=["text", "control", "secret", "long", "list", "map", "deep map", "entry", "item", "items"],
)
def test_no_value_and_no_odd_key_is_ever_repeated(path: tuple[str, ...], wrap: Any):
    try:
        rules.validated(nested(path, wrap(CANARY)))
    except InvalidRequest as error:
        assert not [said for said in everything_said(error) if CANARY in said]  # noqa: PT017
    else:
        assert path in {("ai", "model")}


@pytest.mark.parametrize("number", [987654321, -987654321, 98765.4321, 9.87654321e300])
@pytest.mark.parametrize("path", list(tree.leaf_paths()), ids=".".join)
def test_no_number_is_ever_repeated(path: tuple[str, ...], number: float):
    said = "\n".join(everything_said(refusal(nested(path, number))))
    assert "98765" not in said


NAMES = sorted({name for path in tree.leaf_paths() for name in path} | {"a", "canonical", "text"})
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(CANARY) | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), children, max_size=4)
    ),
    max_leaves=10,
)
tables = st.fixed_dictionaries(
    {},
    optional={
        "category_weights": st.fixed_dictionaries(
            {}, optional={"overrides": json_values, "priority": json_values}
        ),
        "text": st.fixed_dictionaries({}, optional={"synonyms": json_values}),
    },
)
documents = st.one_of(
    st.dictionaries(st.sampled_from(list(MatchingConfig.model_fields)), json_values, max_size=5),
    tables,
)


@given(documents)
def test_any_json_is_either_a_config_or_refused_in_silence(document: dict):
    try:
        rules.validated(document)
    except InvalidRequest as error:
        assert error.violations  # noqa: PT017
        assert not [said for said in everything_said(error) if CANARY in said]  # noqa: PT017


@pytest.mark.parametrize(
    ("document", "start"),
    [
        ({"scoring": {"date": 0.32}}, "scoring: weights sum to 1.02"),
        ({"scoring": {"date": 0.2}}, "scoring: weights sum to 0.9"),
        (entry(date=0.5), "category_weights.overrides.a: weights sum to 1.2"),
        (
            {"category_weights": {"overrides": {}, "priority": ["a"]}},
            "category_weights.priority: a has no weights",
        ),
        (
            {"category_weights": {"overrides": {"a": {}}, "priority": []}},
            "category_weights.overrides.a: not in priority",
        ),
        (
            {"ai": {"min_combined_score": 0.1, "max_combined_score": 0.35}},
            "ai: the score window lies below",
        ),
        (
            {"ai": {"min_combined_score": 0.1, "max_combined_score": 0.2}},
            "ai: the score window lies below",
        ),
        ({"ai": {"min_combined_score": 0.2}}, "ai: the score window begins below"),
        (
            {
                "ai": {"min_combined_score": 0.75, "max_combined_score": 0.9},
                "thresholds": {"title_veto": 0},
            },
            "ai: the score window lies above",
        ),
        (
            {
                "ai": {"min_combined_score": 0.65, "max_combined_score": 0.79},
                "thresholds": {"title_veto": 0},
            },
            "ai: the score window ends above",
        ),
    ],
)
def test_what_is_allowed_but_odd_gives_one_warning(document: dict, start: str):
    (warning,) = rules.warnings(rules.validated(document))
    assert warning.startswith(start)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"scoring": {"date": 0.309}},
        {"scoring": {"date": 0.291}},
        entry(),
        {"category_weights": {"overrides": {}, "priority": []}},
        {"ai": {"min_combined_score": 0.36, "max_combined_score": 0.75}},
        {"ai": {"min_combined_score": 0.8, "max_combined_score": 0.9}},
        {
            "ai": {"min_combined_score": 0.4, "max_combined_score": 0.74},
            "thresholds": {"title_veto": 0},
        },
    ],
)
def test_what_is_ordinary_gives_no_warning(document: dict):
    assert rules.warnings(rules.validated(document)) == []


def test_warnings_add_up_in_a_fixed_order():
    document = {
        "scoring": {"date": 1},
        "category_weights": {"overrides": {"b": {}, "a": {}}, "priority": ["z"]},
        "ai": {"min_combined_score": 0.1},
    }
    places = [warning.split(":")[0] for warning in rules.warnings(rules.validated(document))]
    assert places == [
        "scoring",
        "category_weights.overrides.a",
        "category_weights.overrides.b",
        "category_weights.overrides.a",
        "category_weights.overrides.b",
        "category_weights.priority",
        "ai",
    ]


@pytest.mark.parametrize(
    ("category", "weights"),
    [
        (None, (0.3, 0.25, 0.3, 0.15)),
        ("fasnacht", (0.3, 0.3, 0.25, 0.15)),
        ("unknown", (0.3, 0.25, 0.3, 0.15)),
        ("partial", (0.0, 0.25, 0.3, 0.9)),
    ],
)
def test_a_category_inherits_the_weights_that_it_does_not_set(category, weights):
    overrides = {"fasnacht": tree.DEFAULTS["category_weights"]["overrides"]["fasnacht"]}
    overrides["partial"] = {"date": 0.0, "description": 0.9}
    config = rules.validated({"category_weights": {"overrides": overrides}})
    assert rules.weights_of(config, category) == weights


@pytest.mark.parametrize(
    ("document", "ignored"),
    [
        ({}, []),
        (tree.DEFAULTS, []),
        ({"new": 1}, ["new"]),
        ({"new": {"a": {"b": 1}}}, ["new"]),
        ({"thresholds": {"high": 0.8, "new": None}}, ["thresholds.new"]),
        ({"title": {"cross_source_type": {"new": 1}}}, ["title.cross_source_type.new"]),
        (
            {"canonical": {"field_strategies": {"new": "longest"}}},
            ["canonical.field_strategies.new"],
        ),
        (entry(date=0.3, new=1), ["category_weights.overrides.a.new"]),
        (
            {"text": {"synonyms": [{"canonical": "a"}, {"canonical": "b", "new": [1]}]}},
            ["text.synonyms.1.new"],
        ),
        (
            {
                "new": 1,
                "geo": {"newer": 1},
                "text": {"newest": [], "prefixes": [{"text": "a", "n": 1}]},
            },
            ["new", "geo.newer", "text.newest", "text.prefixes.0.n"],
        ),
    ],
)
def test_an_old_reader_skips_what_is_new_and_says_so(document: dict, ignored: list[str]):
    config, paths = rules.read(document)
    assert sorted(paths) == sorted(ignored)
    assert config == rules.validated(tree.known(document))


def test_an_old_reader_still_takes_what_it_knows():
    config, _ = rules.read({"new": 1, "thresholds": {"high": 0.8, "new": 1}})
    assert config.thresholds.high == 0.8


def test_reading_leaves_the_document_as_it_was():
    document = {"new": 1, "thresholds": {"high": 0.8, "new": 1}}
    rules.read(document)
    assert document == {"new": 1, "thresholds": {"high": 0.8, "new": 1}}


@pytest.mark.parametrize(
    "document",
    [
        {"thresholds": {"high": CANARY}},
        {"thresholds": {"high": 2}, "new": 1},
        {"thresholds": {"low": 0.9}},
        {"thresholds": CANARY},
        {"thresholds": None},
        {"category_weights": {"overrides": {"a": CANARY}}},
        {"category_weights": {"overrides": {"a": None}}},
        {"category_weights": {"overrides": [CANARY]}},
        {"text": {"synonyms": [CANARY]}},
        {"text": {"synonyms": [None]}},
        {"text": {"synonyms": {"a": CANARY}}},
        {"text": {"prefixes": [[{"text": CANARY}]]}},
    ],
)
def test_an_old_reader_refuses_what_it_knows_and_finds_wrong(document: dict):
    with pytest.raises(InvalidRequest) as caught:
        rules.read(document)
    assert not [said for said in everything_said(caught.value) if CANARY in said]


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_an_old_reader_refuses_what_is_no_object(document: Any):
    with pytest.raises(InvalidRequest):
        rules.read(document)


@pytest.mark.parametrize("key", ["sk-abcdefghijklmnopqrstuv", "a\nb", "\x1b[31m", "my pass word"])
def test_an_ignored_path_shows_only_plain_names(key: str):
    _, paths = rules.read({"geo": {key: 1}})
    assert paths == ["geo.?"]


@given(documents)
def test_any_json_is_either_read_or_refused(document: dict):
    try:
        config, paths = rules.read(document)
    except InvalidRequest as error:
        assert error.violations  # noqa: PT017
    else:
        assert isinstance(config, MatchingConfig)
        assert isinstance(paths, list)


@pytest.mark.parametrize(
    "document", [{}, {"thresholds": {"high": 0.8}}, {"text": {"synonyms": []}}]
)
def test_a_partial_document_is_completed_with_the_defaults(document: dict):
    complete = rules.complete(document)
    assert tree.dump(rules.validated(document)) == complete
    assert tree.differing(complete, tree.DEFAULTS) == document
