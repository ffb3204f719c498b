"""The strict YAML loader: what it takes, what it refuses, and how fast."""

import time
from pathlib import Path

import pytest

from dedup_model import strict_yaml
from dedup_model.errors import InvalidRequest

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD = [
    (BOMB, "YAML_ALIAS", "line 1"),
    ("a: &x\n  b: *x", "YAML_ALIAS", "line 2"),
    ("a: 1\nb: *a", "YAML_ALIAS", "line 2"),
    ("[" * 20_000, "YAML_TOO_DEEP", "line 1"),
    ("a: " * 3, "YAML_SYNTAX", "line 1"),
    ("a: 1\nb: 2\na: 3", "DUPLICATE_KEY", "line 3"),
    ("a:\n  b: 1\n  b: 2", "DUPLICATE_KEY", "line 3"),
    ("a: !!python/object/apply:os.system [x]", "YAML_TAG", "line 1"),
    ("a: !!binary aGk=", "YAML_TAG", "line 1"),
    ("a: !!set {x}", "YAML_TAG", "line 1"),
    ("1: a", "YAML_KEY", "line 1"),
    ("null: a", "YAML_KEY", "line 1"),
    ("true: a", "YAML_KEY", "line 1"),
    ("[a, b]: c", "YAML_KEY", "line 1"),
    ("a: 1\n---\nb: 2", "YAML_SYNTAX", "line 2"),
    ("- a", "YAML_TOP", "file"),
    ("word", "YAML_TOP", "file"),
    ("a:\n\tb: 1", "YAML_SYNTAX", "line 2"),
    ("a: \x00", "YAML_SYNTAX", "file"),
    ("a: '" + "x" * 300_000 + "'", "YAML_TOO_LARGE", "file"),
    ("<<: {a: 1}\nb: &y 1", "YAML_ALIAS", "line 2"),
]


@pytest.mark.parametrize(
    ("text", "rule", "place"), BAD, ids=[f"{r[1]}-{i}" for i, r in enumerate(BAD)]
)
def test_a_bad_text_is_refused_with_its_line(text: str, rule: str, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        strict_yaml.parse(text)
    (violation,) = caught.value.violations
    assert (violation.rule, violation.path) == (rule, place)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    began = time.process_time()
    with pytest.raises(InvalidRequest):
        strict_yaml.parse(BOMB)
    assert time.process_time() - began < 1.0


def test_a_scalar_never_changes_its_type_in_silence() -> None:
    text = "a: no\nb: on\nc: 12:30:45\nd: 010\ne: 1_000\nf: .nan\ng: 2026-03-07\nh: 0x1F\ni: Yes"
    assert strict_yaml.parse(text) == {
        "a": "no", "b": "on", "c": "12:30:45", "d": "010", "e": "1_000", "f": ".nan",
        "g": "2026-03-07", "h": "0x1F", "i": "Yes",
    }  # fmt: skip


def test_json_scalars_have_their_types() -> None:
    text = "a: 1\nb: 1.5\nc: true\nd: null\ne: '1'\nf: -2e3\ng: [1, x]\nh: {i: ''}\nj:"
    assert strict_yaml.parse(text) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "1", "f": -2000.0, "g": [1, "x"],
        "h": {"i": ""}, "j": None,
    }  # fmt: skip


def test_an_empty_text_and_a_byte_order_mark_are_fine() -> None:
    assert strict_yaml.parse("") == strict_yaml.parse("# nothing\n") == {}
    assert strict_yaml.parse("\ufeffa: 1") == {"a": 1}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "latin.yaml"
    binary.write_bytes("a: ä".encode("latin-1"))
    for path in (tmp_path / "none.yaml", tmp_path, binary):
        with pytest.raises(InvalidRequest) as caught:
            strict_yaml.load(path)
        assert caught.value.violations[0].path == path.name


def test_a_refusal_never_shows_the_text() -> None:
    with pytest.raises(InvalidRequest) as caught:
        strict_yaml.parse("a: [canary-4711")
    assert "canary" not in str(caught.value)
