"""`event-dedup dedup --constraints`."""

import hashlib
import json

import pytest


@pytest.fixture
def listings(tmp_path, listing):
    path = tmp_path / "blatt_events.json"
    path.write_text(json.dumps({"events": [listing("a"), listing("b")]}), encoding="utf-8")
    return path


@pytest.fixture
def constraints(tmp_path):
    def write(*lines):
        path = tmp_path / "constraints.jsonl"
        texts = (one if isinstance(one, str) else json.dumps(one) for one in lines)
        path.write_text("".join(f"{one}\n" for one in texts), encoding="utf-8")
        return path

    return write


def line(kind="CANNOT_LINK", a="a", b="b"):
    keys = {
        name: {"source_code": "blatt", "id": one} for name, one in zip("ab", (a, b), strict=True)
    }
    return {
        "listing_a": keys["a"],
        "listing_b": keys["b"],
        "kind": kind,
        "reviewer": "Redaktion",
        "reason": "two organs",
    }


def test_a_batch_obeys_the_file_and_its_receipt_names_it(dedup, listings, constraints):
    assert len(set(dedup(listings).clusters().values())) == 1
    path = constraints(line(), "")
    results = dedup(listings, options=("--constraints", str(path)))
    assert len(set(results.clusters().values())) == 2
    (decision,) = results.lines("decisions.jsonl")
    assert (decision["reason"], decision["reviewer"]) == ("cannot_link", "Redaktion")
    assert results.counts["constraints_obeyed"] == 1
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in json.dumps(results.summary["constraints"])


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[]",
        line("SAME"),
        line("MUST_LINK", b="a"),
        line(b=""),
        line() | {"sure": True},
        line() | {"reviewer": 7},
        line() | {"listing_a": "a"},
        line(b="b" * 201),
        line() | {"reviewer": "r" * 201},
        line() | {"reason": "r" * 1001},
    ],
)
def test_a_line_that_is_no_constraint_is_named_and_nothing_is_run(
    run, listings, constraints, tmp_path, wrong
):
    path = constraints(line(), wrong)
    out = tmp_path / "none"
    answer = run("dedup", listings, "-o", out, "--constraints", path)
    assert answer.status != 0
    assert "constraints.jsonl, line 2" in answer.err
    assert "line 1:" not in answer.err
    assert not out.exists()


def test_more_constraints_than_one_message_holds_are_refused(run, listings, constraints, tmp_path):
    path = constraints(*(line(b="b" * 150 + str(i)) for i in range(6000)))
    answer = run("dedup", listings, "-o", tmp_path / "none", "--constraints", path)
    assert answer.status != 0
    assert "at most 1000000" in answer.err
