"""The YAML loader: what it takes, what it refuses, on which line, and how quickly."""

import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup_model import rules, strict_yaml
from dedup_model.errors import InvalidRequest

CANARY = "CANARY-7f3a91c2"
BOMB = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
)


def refusal(text: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        strict_yaml.parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        pytest.param(BOMB, "line 1", "YAML_ALIAS", id="alias bomb"),
        pytest.param("a: &a [*a]", "line 1", "YAML_ALIAS", id="recursive alias"),
        pytest.param("&a {b: *a}", "line 1", "YAML_ALIAS", id="recursive map"),
        pytest.param("a: 1\nb: &x 2", "line 2", "YAML_ALIAS", id="anchor alone"),
        pytest.param("a: 1\n&x b: 2", "line 2", "YAML_ALIAS", id="anchor on a key"),
        pytest.param("a: 1\nb: *x", "line 2", "YAML_ALIAS", id="undefined alias"),
        pytest.param("a: 1\n*x : 2", "line 2", "YAML_ALIAS", id="alias as a key"),
        pytest.param("x: &x {a: 1}\ny: {<<: *x}", "line 1", "YAML_ALIAS", id="merge of an alias"),
        pytest.param("a: " + "[" * 20_000, "line 1", "YAML_TOO_DEEP", id="20,000 lists"),
        pytest.param("a: " + "{a: " * 20_000, "line 1", "YAML_TOO_DEEP", id="20,000 maps"),
        pytest.param("- " * 20_000, "line 1", "YAML_TOO_DEEP", id="20,000 dashes"),
        pytest.param("? " * 20_000, "line 1", "YAML_TOO_DEEP", id="20,000 question marks"),
        pytest.param("a: " + "[" * 20 + "]" * 20, "line 1", "YAML_TOO_DEEP", id="one too deep"),
        pytest.param("a: " + "x" * 300 * 1024, "file", "YAML_TOO_LARGE", id="300 KiB"),
        pytest.param("[" * 300 * 1024, "file", "YAML_TOO_LARGE", id="300 KiB of brackets"),
        pytest.param("a: " + "ä" * 131_071, "file", "YAML_TOO_LARGE", id="bytes, not characters"),
        pytest.param("a: 1\nb: 2\na: 3", "line 3", "DUPLICATE_KEY", id="key twice"),
        pytest.param("a:\n  b: 1\n  b: 1", "line 3", "DUPLICATE_KEY", id="key twice inside"),
        pytest.param('a: 1\n"a": 2', "line 2", "DUPLICATE_KEY", id="key twice, once quoted"),
        pytest.param("a: 1\n'a': 2", "line 2", "DUPLICATE_KEY", id="key twice, single quotes"),
        pytest.param("x: {a: 1, a: 2}", "line 1", "DUPLICATE_KEY", id="key twice in flow"),
        pytest.param("x:\n- a: 1\n  a: 2", "line 3", "DUPLICATE_KEY", id="key twice in a list"),
        pytest.param(
            f"a: 1\nb: !!python/object/apply:os.system [{CANARY}]",
            "line 2", "YAML_TAG", id="python object",
        ),
        pytest.param(f"a: !!python/name:os.{CANARY}", "line 1", "YAML_TAG", id="python name"),
        pytest.param("a: !!binary aGk=", "line 1", "YAML_TAG", id="binary"),
        pytest.param("a: !!set {x}", "line 1", "YAML_TAG", id="set"),
        pytest.param("a: !!timestamp 2020-01-01", "line 1", "YAML_TAG", id="timestamp"),
        pytest.param("a: !!str 5", "line 1", "YAML_TAG", id="str"),
        pytest.param("a: !own 5", "line 1", "YAML_TAG", id="own tag"),
        pytest.param("a: ! 5", "line 1", "YAML_TAG", id="non-specific tag"),
        pytest.param("!!str a: 5", "line 1", "YAML_TAG", id="tag on a key"),
        pytest.param("!!map {a: 5}", "line 1", "YAML_TAG", id="tag on the top"),
        pytest.param("%TAG ! tag:x,2000:\n---\na: !b 1", "line 3", "YAML_TAG", id="tag directive"),
        pytest.param("a: 1\n2: x", "line 2", "YAML_KEY", id="int key"),
        pytest.param("1.5: x", "line 1", "YAML_KEY", id="float key"),
        pytest.param("null: x", "line 1", "YAML_KEY", id="null key"),
        pytest.param("~: x", "line 1", "YAML_KEY", id="tilde key"),
        pytest.param("? \n: x", "line 1", "YAML_KEY", id="empty key"),
        pytest.param("true: x", "line 1", "YAML_KEY", id="bool key"),
        pytest.param(f"? [{CANARY}]\n: x", "line 1", "YAML_KEY", id="list as a key"),
        pytest.param(f"? {{{CANARY}: 1}}\n: x", "line 1", "YAML_KEY", id="map as a key"),
        pytest.param("a: {[x]: 1}", "line 1", "YAML_KEY", id="list as a flow key"),
        pytest.param("a: 1\n---\nb: 2", "line 2", "YAML_SYNTAX", id="two documents"),
        pytest.param("a: 1\n...\n---\nb: 2", "line 3", "YAML_SYNTAX", id="two closed documents"),
        pytest.param("a:\n\tb: 1", "line 2", "YAML_SYNTAX", id="tab indent"),
        pytest.param("a: 1\n  b: 2", "line 2", "YAML_SYNTAX", id="wrong indent"),
        pytest.param(f"a: 1\nb: [1, {CANARY}", "line 2", "YAML_SYNTAX", id="unclosed list"),
        pytest.param(f'a: "{CANARY}', "line 1", "YAML_SYNTAX", id="unclosed quote"),
        pytest.param("a: 1\nb: @x", "line 2", "YAML_SYNTAX", id="reserved character"),
        pytest.param("%YAML 9.9\n---\na: 1", "line 1", "YAML_SYNTAX", id="version 9.9"),
        pytest.param('a: 1\nb: "x\0y"', "line 2", "YAML_SYNTAX", id="raw NUL"),
        pytest.param("a: 1\nb: \x1b[31m", "line 2", "YAML_SYNTAX", id="raw escape"),
        pytest.param("a: 1\nb: \ud800", "line 2", "YAML_SYNTAX", id="raw surrogate"),
        pytest.param("a: 1\nb: " + "9" * 5_000, "line 2", "YAML_SYNTAX", id="5,000 digits"),
        pytest.param('a: 1\nb: "\\ud800"', "line 2", "YAML_SYNTAX", id="escaped surrogate"),
        pytest.param('a: 1\n"\\ud800": 1', "line 2", "YAML_SYNTAX", id="escaped surrogate key"),
        pytest.param('a: 1\nb: "\\U00110000"', "line 2", "YAML_SYNTAX", id="beyond Unicode"),
        pytest.param('a: 1\n"\\UFFFFFFFF": 1', "line 2", "YAML_SYNTAX", id="far beyond Unicode"),
        pytest.param(f"%YAML {'9' * 5_000}.1\n---\na: 1", "line 1", "YAML_SYNTAX", id="long version"),
        pytest.param("a: 1\nb: 1e999", "line 2", "YAML_SYNTAX", id="beyond any float"),
        pytest.param("\ufeffa: 1\n\0", "line 2", "YAML_SYNTAX", id="raw NUL after a BOM"),
        pytest.param(CANARY, "file", "YAML_TOP", id="scalar at the top"),
        pytest.param(f'"{CANARY}: 1"', "file", "YAML_TOP", id="text at the top"),
        pytest.param("5", "file", "YAML_TOP", id="number at the top"),
        pytest.param("false", "file", "YAML_TOP", id="false at the top"),
        pytest.param('""', "file", "YAML_TOP", id="empty text at the top"),
        pytest.param(f"- {CANARY}", "file", "YAML_TOP", id="list at the top"),
        pytest.param("[]", "file", "YAML_TOP", id="empty list at the top"),
    ],
)  # fmt: skip
def test_a_bad_text_is_refused_where_it_is_bad(text: str, place: str, rule: str):
    error = refusal(text)
    (violation,) = error.violations
    assert (violation.path, violation.rule) == (place, rule)
    said = f"{error!r} {violation!r} " + "".join(traceback.format_exception(error))
    assert CANARY not in said


@pytest.mark.parametrize(
    "text",
    [BOMB, "a: " + "[" * 20_000, "a: " + "{a: " * 20_000, "x" * 50_000_000],
    ids=["alias bomb", "lists", "maps", "50 MB"],
)
def test_a_bomb_is_refused_before_it_costs_anything(text: str):
    refusal(text)


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("", {}),
        ("\n\n", {}),
        ("# nothing\n", {}),
        ("---", {}),
        ("null", {}),
        ("{}", {}),
        ("a: 1", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: 1\nA: 2", {"a": 1, "A": 2}),
        ('"1": x\n"null": y', {"1": "x", "null": "y"}),
        ("a: ä – 🎭", {"a": "ä – 🎭"}),  # noqa: RUF001
        ("a: {b: [1, {c: x}]}", {"a": {"b": [1, {"c": "x"}]}}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("=: 1", {"=": 1}),
        ("a: " + "[" * 19 + "]" * 19, None),
    ],
)
def test_a_good_text_is_a_mapping(text: str, document: dict[str, Any] | None):
    parsed = strict_yaml.parse(text)
    assert document is None or parsed == document


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("null", None), ("~", None), ("", None), ("Null", "Null"), ("NULL", "NULL"),
        ("true", True), ("false", False),
        ("no", "no"), ("No", "No"), ("off", "off"), ("on", "on"), ("yes", "yes"), ("y", "y"),
        ("n", "n"), ("True", "True"), ("FALSE", "FALSE"),
        ("0", 0), ("12", 12), ("-12", -12), ("+12", 12),
        ("010", "010"), ("-010", "-010"), ("0o10", "0o10"), ("0x1F", "0x1F"), ("0b11", "0b11"),
        ("1_000", "1_000"), ("1,000", "1,000"),
        ("12:30", "12:30"), ("12:30:45", "12:30:45"), ("190:20:30.15", "190:20:30.15"),
        ("2020-01-01", "2020-01-01"), ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("0.1000000000000000055511151231257827", 0.1), ("0.5", 0.5), ("-0.5", -0.5), ("1.0", 1.0), ("1e3", 1000.0), ("1.5E-3", 0.0015),
        ("1.", "1."), (".5", ".5"), ("1_0.5", "1_0.5"), ("00.5", "00.5"), ("1e", "1e"),
        (".nan", ".nan"), (".NaN", ".NaN"), (".inf", ".inf"), ("-.inf", "-.inf"),
        ("nan", "nan"), ("inf", "inf"), ("Infinity", "Infinity"),
        ('"no"', "no"), ("'0.5'", "0.5"), ('"null"', "null"), ('""', ""), ('"true"', "true"),
        ("=", "="), ("<<", "<<"), ("٣", "٣"), ("'${GEMINI_API_KEY}'", "${GEMINI_API_KEY}"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_json_would_make_of_it_or_a_text(scalar: str, value: Any):
    parsed = strict_yaml.parse(f"a: {scalar}")["a"]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "ai: {enabled: no}",
        "ai: {enabled: off}",
        "ai: {enabled: yes}",
        "ai: {enabled: True}",
        "ai: {enabled: 0}",
        'ai: {enabled: "false"}',
        "cluster: {max_cluster_size: 010}",
        "cluster: {max_cluster_size: 0x1F}",
        "cluster: {max_cluster_size: 1_000}",
        "cluster: {max_cluster_size: 12:30:45}",
        "geo: {max_distance_km: 1:30}",
        "geo: {max_distance_km: 2020-01-01}",
        "thresholds: {high: 0,8}",
        "thresholds: {high: .8}",
        "thresholds: {high: .nan}",
        "thresholds: {high: .inf}",
        "thresholds: {high: 1e999}",
        "thresholds: {high: '0.8'}",
        "ai: {model: no models}",
        "ai: {model: 5}",
        "ai:\n  model: ${GEMINI_API_KEY}",
        "thresholds:\n- high: 0.8",
        '"a\\ud800": 1',
        'text: {synonyms: [{canonical: "a\\0b"}]}',
    ],
)
def test_a_scalar_of_the_wrong_type_never_becomes_a_setting(text: str):
    with pytest.raises(InvalidRequest):
        rules.validated(strict_yaml.parse(text))


@pytest.mark.parametrize(
    "reference", ["${GEMINI_API_KEY}", "$GEMINI_API_KEY", "%(KEY)s", "{{ KEY }}"]
)
def test_no_variable_is_ever_expanded(reference: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEMINI_API_KEY", CANARY)
    monkeypatch.setenv("KEY", CANARY)
    assert strict_yaml.parse(f"a: '{reference}'") == {"a": reference}
    assert strict_yaml.parse(strict_yaml.dump({"a": reference})) == {"a": reference}


@pytest.mark.parametrize("text", ["a: ${KEY}", "a: x${KEY}", "${KEY}: 1", "a:\n- ${KEY}"])
def test_a_variable_outside_of_quotes_is_refused(text: str):
    with pytest.raises(InvalidRequest) as caught:
        strict_yaml.parse(text)
    (violation,) = caught.value.violations
    assert violation.rule == "SECRET_IN_YAML"


@given(st.text(max_size=200))
def test_any_text_is_a_mapping_or_refused(text: str):
    try:
        assert isinstance(strict_yaml.parse(text), dict)
    except InvalidRequest as error:
        assert error.violations  # noqa: PT017


@given(st.text(alphabet="ab:-?[]{},&*!|>'\"%@#\n\t 01.~\x00\ufeff\ud800", max_size=60))
def test_any_heap_of_yaml_signs_is_a_mapping_or_refused(text: str):
    try:
        assert isinstance(strict_yaml.parse(text), dict)
    except InvalidRequest as error:
        assert error.violations  # noqa: PT017


@pytest.mark.parametrize("text", ["", "\ufeff", "# nothing\n", "null", "~\n"])
def test_a_text_of_nothing_is_an_empty_mapping_or_refused_in_the_words_of_who_asks(text: str):
    assert strict_yaml.parse(text) == {}
    with pytest.raises(InvalidRequest, match="file: say more"):
        strict_yaml.parse(text, "say more")
    assert strict_yaml.parse("{}", "say more") == {}


def test_a_file_is_read(tmp_path: Path):
    path = tmp_path / "matching.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa4\n")
    assert strict_yaml.load(path) == {"a": "ä"}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"a: \xff\xfe", "FILE_UNREADABLE"),
        (b"a: \xed\xa0\x80", "FILE_UNREADABLE"),
        (b"\xff\xfea\x00:\x00 \x001\x00", "FILE_UNREADABLE"),
        (b"a: " + b"x" * 300 * 1024, "YAML_TOO_LARGE"),
        (b"a: 1\na: 2", "DUPLICATE_KEY"),
        (b"a: x\x00y", "YAML_SYNTAX"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: bytes, rule: str):
    path = tmp_path / "matching.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest) as caught:
        strict_yaml.load(path)
    assert [violation.rule for violation in caught.value.violations] == [rule]


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path):
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(InvalidRequest) as caught:
            strict_yaml.load(path)
        (violation,) = caught.value.violations
        assert (violation.path, violation.rule) == (path.name, "FILE_UNREADABLE")
