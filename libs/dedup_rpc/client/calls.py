"""Every call of the client as a value: which RPC, what to send, what comes out. No I/O."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from dedup_model.reports import StatusReport
from dedup_model.snapshot import Snapshot
from dedup_rpc.client import answers
from dedup_rpc.client.edits import update_request
from dedup_rpc.client.reports import Clients
from dedup_rpc.client.values import (
    AuditEvent,
    AuditVerdict,
    ConfigView,
    Difference,
    Edit,
    Export,
    Revision,
    SecretEdit,
    SecretValue,
)
from dedup_rpc.wire import timestamp
from eventdedup.config.v1 import config_admin_service_pb2 as admin
from eventdedup.config.v1 import config_service_pb2 as pb

T = TypeVar("T")
V = TypeVar("V")
Page = tuple[tuple[V, ...], str]
"""Some of many, and the token of the next page; empty on the last."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call; a write carries the `request_id` that makes its repeat safe.

    A `long` one may use up the whole deadline in a single try.
    """

    method: str
    request: Message = field(repr=False)
    decoded: Callable[[Any], T]
    request_id: str = ""
    long: bool = False


@dataclass(frozen=True)
class Write:
    """What the calls that write have in common."""

    etag: str = ""
    reason: str = ""
    validate_only: bool = False
    request_id: str | None = None

    def call(self, method: str, request: Any, decoded: Callable[[Any], T]) -> Call[T]:
        """Return the call, with an id of its own unless it stores nothing."""
        request.etag, request.reason = self.etag, self.reason
        if self.validate_only:
            request.validate_only = True
            return Call(method, request, decoded)
        request.request_id = self.request_id or str(uuid.uuid4())
        return Call(method, request, decoded, request.request_id)


def get(revision: int | None) -> Call[ConfigView]:
    """Read a config."""
    return Call("GetConfig", pb.GetConfigRequest(revision=revision), answers.config_view)


def snapshot(
    known: Snapshot | None, min_revision: int, epoch: str, revision: int | None
) -> Call[Snapshot]:
    """Fetch what a matcher runs on; `known` comes back when it still holds."""
    if min_revision and not (known or epoch):
        raise ValueError("min_revision counts within an epoch: give known or epoch")
    request = pb.GetSnapshotRequest(
        known_epoch=known.epoch if known else epoch,
        known_revision=known.revision if known else 0,
        min_revision=max(min_revision, known.revision if known else 0),
        revision=revision,
    )
    return Call("GetSnapshot", request, lambda answer: _held(answer, known))


def _held(answer: pb.GetSnapshotResponse, known: Snapshot | None) -> Snapshot:
    return known if known and answer.not_modified else answers.snapshot(answer)


def history(
    page_size: int,
    author: str,
    path_prefix: str,
    created_from: datetime | None,
    created_until: datetime | None,
) -> Callable[[str], Call[Page[Revision]]]:
    """Read the history, by the token of a page."""

    def page(token: str) -> Call[Page[Revision]]:
        request = pb.ListRevisionsRequest(
            page_size=page_size,
            page_token=token,
            author=author,
            path_prefix=path_prefix,
            created_from=timestamp(created_from) if created_from else None,
            created_until=timestamp(created_until) if created_until else None,
        )
        return Call("ListRevisions", request, answers.revisions)

    return page


def diff(left: int | None, right: int | None) -> Call[Difference]:
    """Compare two revisions."""
    request = pb.DiffRevisionsRequest(from_revision=left, to_revision=right)
    return Call("DiffRevisions", request, answers.difference)


def update(
    values: Mapping[str, Any],
    clear: Iterable[str],
    evidence: Mapping[str, Any] | None,
    write: Write,
) -> Call[Edit]:
    """Change settings; raises `InvalidRequest`."""
    return write.call("UpdateConfig", update_request(values, clear, evidence), answers.edit)


def rollback(revision: int, write: Write) -> Call[Edit]:
    """Return to an old revision's overrides."""
    request = pb.RollbackConfigRequest(revision=revision)
    return write.call("RollbackConfig", request, answers.edit)


def set_secret(name: str, value: str, write: Write) -> Call[SecretEdit]:
    """Store a secret."""
    request = pb.SetSecretRequest(name=name, value=value)
    return write.call("SetSecret", request, answers.secret_set)


def clear_secret(name: str, write: Write) -> Call[SecretEdit]:
    """Remove a secret."""
    request = pb.ClearSecretRequest(name=name)
    return write.call("ClearSecret", request, answers.secret_cleared)


def access_secret(name: str, known_version: int) -> Call[SecretValue]:
    """Read a secret's value."""
    request = pb.AccessSecretRequest(name=name, known_version=known_version)
    return Call("AccessSecret", request, answers.secret_value)


def report_status(report: StatusReport) -> Call[tuple[str, int]]:
    """Say what a matcher runs."""
    return Call("ReportStatus", answers.report_request(report), answers.reported)


def clients() -> Call[Clients]:
    """Ask who runs what."""
    return Call("ListClients", pb.ListClientsRequest(), answers.clients)


def export_config(revision: int | None, *, effective: bool) -> Call[Export]:
    """Read the config as YAML."""
    scope = admin.EXPORT_SCOPE_EFFECTIVE if effective else admin.EXPORT_SCOPE_OVERRIDES
    request = admin.ExportConfigRequest(revision=revision, scope=scope)
    return Call("ExportConfig", request, answers.export)


def import_config(yaml: str, write: Write) -> Call[Edit]:
    """Make the overrides those of a YAML text."""
    return write.call("ImportConfig", admin.ImportConfigRequest(yaml=yaml), answers.edit)


def audit_events(
    page_size: int, principal: str, action: str
) -> Callable[[str], Call[Page[AuditEvent]]]:
    """Read the audit log, by the token of a page."""

    def page(token: str) -> Call[Page[AuditEvent]]:
        request = admin.ListAuditEventsRequest(
            page_size=page_size, page_token=token, principal=principal, action=action
        )
        return Call("ListAuditEvents", request, answers.audit_events)

    return page


def verify_audit(known_sequence: int, known_mac: str) -> Call[AuditVerdict]:
    """Check the audit log."""
    request = admin.VerifyAuditRequest(known_sequence=known_sequence, known_mac=known_mac)
    return Call("VerifyAudit", request, answers.audit_verdict, long=True)
