"""The reader of pages sees what is there, and what is not."""

import pytest
from docs.pages import anchors, blocks, documents, holds

WHOLE = {"a": 1, "list": [{"b": "x"}, {"b": "y", "c": 2}], "text": "abc"}


@pytest.mark.parametrize(
    "part", [{}, {"a": 1}, {"list": [{"c": 2}]}, {"text": "..."}, {"absent": False}, WHOLE]
)
def test_a_part_is_found(part: object) -> None:
    assert holds(WHOLE, part)


@pytest.mark.parametrize(
    "part",
    [{"a": 2}, {"d": 1}, {"d": "..."}, {"list": [{"b": "z"}]}, {"list": {}}, {"a": {}}, {"a": []}],
)
def test_what_differs_is_no_part(part: object) -> None:
    assert not holds(WHOLE, part)


def test_documents_follow_each_other() -> None:
    assert list(documents('{"a": 1}\n[2]\n\n')) == [{"a": 1}, [2]]


def test_blocks_stand_under_their_headings() -> None:
    found = [block for block in blocks("cookbook.md") if block.heading == "One setting"]
    assert [block.language for block in found] == ["sh", "json"]
    assert found[0].text.startswith("grpcurl")


def test_headings_are_anchors_and_lines_of_code_are_none() -> None:
    found = anchors("by_hand.md")
    assert "restart-all-of-it" in found
    assert not any(one.startswith("begin-service") for one in found)
