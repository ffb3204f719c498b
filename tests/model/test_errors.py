"""Errors: what they say, how they sum up many violations."""

import pytest

from dedup_model.errors import DedupError, InvalidRequest, RevisionConflict, Violation, invalid


def violations(*rules: str) -> list[Violation]:
    return [Violation(f"a{i}", rule, f"must be {i}") for i, rule in enumerate(rules)]


def test_one_broken_rule_is_the_reason():
    assert invalid("thresholds.high", "RANGE", "at most 1").reason == "RANGE"
    assert InvalidRequest(violations("RANGE", "RANGE")).reason == "RANGE"


def test_several_broken_rules_have_the_common_reason():
    assert InvalidRequest(violations("RANGE", "TYPE")).reason == "INVALID_REQUEST"


def test_the_reason_of_one_error_is_not_the_reason_of_the_next():
    invalid("x", "RANGE", "at most 1")
    assert InvalidRequest.reason == "INVALID_REQUEST"


@pytest.mark.parametrize(("count", "ending"), [(1, "a0: must be 0"), (7, "(and 2 more)")])
def test_the_message_lists_five_violations_and_counts_the_rest(count: int, ending: str):
    error = InvalidRequest(violations(*["RANGE"] * count))
    assert str(error).endswith(ending)
    assert str(error).count("must be") == min(count, 5)
    assert len(error.violations) == count


def test_violations_cannot_be_changed_after_the_fact():
    listed = violations("RANGE")
    error = InvalidRequest(listed)
    listed.clear()
    assert len(error.violations) == 1


def test_an_error_carries_facts_beside_its_message():
    error = RevisionConflict("the settings have changed", current_etag="e:2")
    assert isinstance(error, DedupError)
    assert (error.reason, error.facts) == ("REVISION_CONFLICT", {"current_etag": "e:2"})
    assert "e:2" not in str(error)
