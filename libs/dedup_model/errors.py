"""Everything that can go wrong on purpose, as nouns; `dedup_rpc.status` gives each its status."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken rule: where, which rule (`UPPER_SNAKE`) and what would be right; never the value."""

    path: str
    rule: str
    description: str


class DedupError(Exception):
    """Base of the errors that a caller may see; the message holds no value and no secret."""

    reason = "INTERNAL"
    retry_seconds = 1.0
    """When to try again what may be tried again."""

    def __init__(self, message: str, **facts: str) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class InvalidRequest(DedupError):
    """The request breaks rules; lists all of them."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[Violation]) -> None:
        listed = "; ".join(f"{v.path}: {v.description}" for v in violations[:5])
        more = f" (and {len(violations) - 5} more)" if len(violations) > 5 else ""
        super().__init__(listed + more)
        self.violations = tuple(violations)
        rules = {violation.rule for violation in violations}
        self.reason = rules.pop() if len(rules) == 1 else "INVALID_REQUEST"


def invalid(path: str, rule: str, description: str) -> InvalidRequest:
    """Return the error of a request that breaks one rule."""
    return InvalidRequest([Violation(path, rule, description)])


class MalformedRequest(DedupError):
    """The bytes are no message of the expected type."""

    reason = "MALFORMED_REQUEST"


class Unauthenticated(DedupError):
    """The call shows no valid credentials."""

    reason = "UNAUTHENTICATED"


class AmbiguousCredential(DedupError):
    """The call shows credentials of more than one principal."""

    reason = "AMBIGUOUS_CREDENTIAL"


class PermissionDenied(DedupError):
    """The caller is known but has no role that may do this."""

    reason = "PERMISSION_DENIED"


class RevisionConflict(DedupError):
    """The etag names another revision than the current one."""

    reason = "REVISION_CONFLICT"


class RevisionNotFound(DedupError):
    """No such revision in this epoch."""

    reason = "REVISION_NOT_FOUND"


class FutureRevision(DedupError):
    """The revision lies beyond the head of this epoch."""

    reason = "FUTURE_REVISION"


class RevisionCompacted(DedupError):
    """The revision was removed from the history for its age."""

    reason = "REVISION_COMPACTED"


class SecretUnknown(DedupError):
    """No secret has this name."""

    reason = "SECRET_UNKNOWN"


class SecretNotSet(DedupError):
    """The secret exists by name but has no value."""

    reason = "SECRET_NOT_SET"


class KeyringUnavailable(DedupError):
    """The service is sealed: it has no key ring, a bad one, or one that does not open this store."""

    reason = "KEYRING_UNAVAILABLE"


class PlaintextRefused(DedupError):
    """A cell of an earlier system is not sealed, and reading such cells is not allowed."""

    reason = "PLAINTEXT_REFUSED"


class KeyNotInRing(DedupError):
    """The key that sealed a cell is not in the key ring."""

    reason = "KEY_NOT_IN_RING"


class CiphertextInvalid(DedupError):
    """A sealed cell does not authenticate: altered, truncated or moved."""

    reason = "CIPHERTEXT_INVALID"


class SchemaTooNew(DedupError):
    """The store was written by a newer release; this one only reads it."""

    reason = "SCHEMA_TOO_NEW"


class StoreUnavailable(DedupError):
    """The database does not answer or is locked; nothing is known about the write."""

    reason = "STORE_UNAVAILABLE"


class DiskFull(DedupError):
    """The database has no room for what shall be written; nothing was."""

    reason = "DISK_FULL"


class ReplicaBehind(DedupError):
    """The replica has not seen the asked revision yet."""

    reason = "REPLICA_BEHIND"


class ConfigUnavailable(DedupError):
    """No allowed rung of the fallback ladder gave a config."""

    reason = "CONFIG_UNAVAILABLE"


class AiUnavailable(DedupError):
    """The language model cannot be asked, and the process is told to fail batches then."""

    reason = "AI_UNAVAILABLE"


class ListingNotFound(DedupError):
    """The listing that was asked about is not in the batch, or could not be read."""

    reason = "LISTING_NOT_FOUND"


class LimitExceeded(DedupError):
    """A size or count limit of the server was passed."""

    reason = "LIMIT_EXCEEDED"


class MetadataTooLarge(DedupError):
    """The call's metadata is larger than the server takes."""

    reason = "METADATA_TOO_LARGE"


class RateLimited(DedupError):
    """The caller calls too often, or too many wrong credentials came from its address."""

    reason = "RATE_LIMITED"


class CallLimit(DedupError):
    """The server runs as many calls as it takes at once."""

    reason = "CALL_LIMIT"


class BatchLimit(DedupError):
    """The server runs as many batches as it takes and lets no more wait, or holds too much input."""

    reason = "BATCH_LIMIT"

    def __init__(self, message: str, retry_seconds: float = 1.0, **facts: str) -> None:
        super().__init__(message, **facts)
        self.retry_seconds = retry_seconds


class StreamLimit(DedupError):
    """The server, or the caller's share of it, holds as many streams as it takes."""

    reason = "STREAM_LIMIT"


class WatchLimit(DedupError):
    """The server, or the caller's share of it, holds as many watches as it takes."""

    reason = "WATCH_LIMIT"


class DeadlineExceeded(DedupError):
    """The call's time, or the longest that the server gives a call, is over."""

    reason = "DEADLINE_EXCEEDED"
