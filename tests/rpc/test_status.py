"""One table gives every domain error its status."""

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from dedup_model import errors
from dedup_model.errors import DedupError, InvalidRequest, Violation
from dedup_rpc.status import CODES, internal, status_of


def domain_errors() -> list[type[DedupError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, DedupError) and kind is not DedupError
    ]


def example(kind: type[DedupError]) -> DedupError:
    if kind is InvalidRequest:
        return InvalidRequest([Violation("a.b", "RANGE", "0 to 1")])
    return kind("what to do", fact="value")


@pytest.mark.parametrize("kind", domain_errors())
def test_every_domain_error_has_a_status(kind: type[DedupError]) -> None:
    code, status = status_of(example(kind))
    info = ErrorInfo()
    assert code is CODES[kind]
    assert status.code == code.value[0]
    assert status.details[0].Unpack(info)
    assert info.domain == "eventdedup"
    assert info.reason.replace("_", "").isupper()


def test_the_table_holds_no_other_classes() -> None:
    assert set(CODES) == set(domain_errors())


def test_an_invalid_request_lists_all_violations() -> None:
    violations = [Violation(f"p{i}", "RANGE", "0 to 1") for i in range(7)]
    _, status = status_of(InvalidRequest(violations))
    bad = BadRequest()
    assert status.details[1].Unpack(bad)
    assert [(v.field, v.reason) for v in bad.field_violations] == [
        (f"p{i}", "RANGE") for i in range(7)
    ]
    assert "(and 2 more)" in status.message


def test_what_may_be_repeated_says_when() -> None:
    for kind in domain_errors():
        code, status = status_of(example(kind))
        retried = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert any(d.Is(RetryInfo.DESCRIPTOR) for d in status.details) == retried


def test_everything_else_is_internal_and_silent() -> None:
    code, status = internal("some-id")
    assert code is grpc.StatusCode.INTERNAL
    assert status.message == "internal error; id=some-id"
