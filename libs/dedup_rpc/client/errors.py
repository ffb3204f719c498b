"""How calls of the client fail: domain errors, a service that gives no definite answer, a bad config."""

from collections.abc import Sequence

import grpc

from dedup_model.errors import DedupError, Violation
from dedup_rpc.status import RemoteError, domain_error, remote_error

NOT_APPLIED = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
    )
)
"""Statuses after which nothing of the call holds."""

_JUDGED = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
    )
)
"""Statuses that the service gives after it has looked for an earlier try of the same request."""


class ServiceError(Exception):
    """The service refused without a domain error, or gave no definite answer.

    `maybe_applied` tells whether a write may have been applied all the same: False means that it was
    not, True that nobody knows. Repeating the call with `request_id` is safe then for 24 hours.
    """

    def __init__(self, remote: RemoteError, *, maybe_applied: bool, request_id: str = "") -> None:
        said = f"{remote.code.name} {remote.reason}".strip()
        doubt = "; whether it was applied is unknown" if maybe_applied else ""
        super().__init__(f"{said}: {remote.message}{doubt}")
        self.code, self.reason, self.message = remote.code, remote.reason, remote.message
        self.facts = remote.facts
        self.maybe_applied, self.request_id = maybe_applied, request_id


class UnusableConfig(Exception):
    """A revision that this release must not run: of a newer release, or broken by today's rules."""

    def __init__(self, at: tuple[str, int], violations: Sequence[Violation]) -> None:
        self.epoch, self.revision = at
        self.violations = tuple(violations)
        said = "; ".join(f"{v.path}: {v.description}" for v in self.violations[:5])
        self.why = said[:500]
        super().__init__(f"revision {self.revision} cannot be used here: {said}")


def is_unknown(code: grpc.StatusCode) -> bool:
    """Tell whether a status leaves open if the call was applied."""
    return code not in NOT_APPLIED


def error_of(
    error: grpc.RpcError, *, request_id: str = "", in_doubt: bool = False
) -> DedupError | ServiceError:
    """Return what a caller gets for a status.

    `request_id` is that of a write; `in_doubt` says that an earlier try of it has ended without a
    definite answer, so that a refusal at the door settles nothing.
    """
    remote = remote_error(error)
    unsettled = bool(request_id) and in_doubt and remote.code not in _JUDGED
    known = domain_error(remote) if remote.code in NOT_APPLIED and not unsettled else None
    if known:
        return known
    maybe = bool(request_id) and (unsettled or is_unknown(remote.code))
    return ServiceError(remote, maybe_applied=maybe, request_id=request_id)
