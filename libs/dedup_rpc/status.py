"""Errors on the wire: one table gives each domain error its status; both directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from dedup_model import errors
from dedup_model.errors import DedupError, InvalidRequest, Violation

DOMAIN = "eventdedup"
MAX_DETAIL_BYTES = 3000
"""Status details travel in metadata, as base64 and beside the message; clients take 8 KiB."""

CODES: dict[type[DedupError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.MalformedRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.AmbiguousCredential: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.RevisionConflict: grpc.StatusCode.ABORTED,
    errors.RevisionNotFound: grpc.StatusCode.NOT_FOUND,
    errors.FutureRevision: grpc.StatusCode.OUT_OF_RANGE,
    errors.RevisionCompacted: grpc.StatusCode.OUT_OF_RANGE,
    errors.KeyringUnavailable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PlaintextRefused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.SecretUnknown: grpc.StatusCode.NOT_FOUND,
    errors.SecretNotSet: grpc.StatusCode.FAILED_PRECONDITION,
    errors.KeyNotInRing: grpc.StatusCode.FAILED_PRECONDITION,
    errors.CiphertextInvalid: grpc.StatusCode.DATA_LOSS,
    errors.SchemaTooNew: grpc.StatusCode.FAILED_PRECONDITION,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DiskFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ReplicaBehind: grpc.StatusCode.UNAVAILABLE,
    errors.ConfigUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.AiUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.ListingNotFound: grpc.StatusCode.NOT_FOUND,
    errors.LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.MetadataTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.CallLimit: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.BatchLimit: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StreamLimit: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.WatchLimit: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""The status of every domain error; a test walks the subclasses."""

RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


def status_of(error: DedupError) -> tuple[grpc.StatusCode, Status]:
    """Return code and rich status of a domain error."""
    code = CODES[type(error)]
    return code, _status(code, error.message, _details(error, code))


def internal(error_id: str) -> tuple[grpc.StatusCode, Status]:
    """Return the silent status of everything that is no domain error."""
    facts = {"error_id": error_id}
    info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata=facts)
    code = grpc.StatusCode.INTERNAL
    return code, _status(code, f"internal error; id={error_id}", [_packed(info)])


def _status(code: grpc.StatusCode, message: str, details: list[AnyMessage]) -> Status:
    return Status(code=code.value[0], message=message, details=details)


def _details(error: DedupError, code: grpc.StatusCode) -> list[AnyMessage]:
    details = [_packed(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts))]
    if isinstance(error, InvalidRequest):
        details.append(_packed(_bad_request(error.violations)))
    if code in RETRIED:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_seconds * 1000))
        details.append(_packed(RetryInfo(retry_delay=delay)))
    return details


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    """Return all violations, or as many as metadata carries with a last one that counts the rest."""
    listed = BadRequest()
    for i, violation in enumerate(violations):
        listed.field_violations.append(_field_violation(violation))
        if listed.ByteSize() > MAX_DETAIL_BYTES:
            del listed.field_violations[i:]
            text = f"{len(violations) - i} more violations are not listed"
            listed.field_violations.append(_field_violation(Violation("...", "MORE", text)))
            break
    return listed


def _field_violation(violation: Violation) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(
        field=violation.path, description=violation.description, reason=violation.rule
    )


def _packed(message: ErrorInfo | BadRequest | RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


@dataclass(frozen=True)
class RemoteError:
    """A status as a client sees it."""

    code: grpc.StatusCode
    reason: str
    message: str
    facts: dict[str, str]
    violations: tuple[Violation, ...]
    retry_seconds: float | None = None


def remote_error(error: Any) -> RemoteError:
    """Return what a `grpc.RpcError` says; works for any status, with or without details."""
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    status = rpc_status.from_call(error) if error.trailing_metadata() else None
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(bad)
        detail.Unpack(retry)
    violations = (Violation(v.field, v.reason, v.description) for v in bad.field_violations)
    return RemoteError(
        error.code(),
        info.reason,
        error.details() or "",
        dict(info.metadata),
        tuple(violations),
        _seconds(retry) if retry.HasField("retry_delay") else None,
    )


def _seconds(retry: RetryInfo) -> float:
    return max(float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9), 0.0)


_BY_REASON = {kind.reason: kind for kind in CODES if kind is not InvalidRequest}


def domain_error(remote: RemoteError) -> DedupError | None:
    """Return the domain error that a status stands for; None when it names no reason of ours."""
    if remote.code is grpc.StatusCode.INVALID_ARGUMENT and remote.violations:
        return InvalidRequest(remote.violations)
    kind = _BY_REASON.get(remote.reason)
    if kind is None or CODES[kind] is not remote.code:
        return None
    error = kind(remote.message)
    error.facts = dict(remote.facts)
    return error
