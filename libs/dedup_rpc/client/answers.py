"""The messages of ConfigService as the client's values."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from dedup_model.reports import BatchStats, Rejection, StatusReport
from dedup_model.snapshot import SecretState, Snapshot
from dedup_rpc.client import documents
from dedup_rpc.client.reports import Clients, ClientStatus
from dedup_rpc.client.values import (
    AuditEvent,
    AuditVerdict,
    ConfigView,
    Difference,
    Edit,
    Export,
    PathChange,
    Revision,
    SecretEdit,
    SecretStatus,
    SecretValue,
    Settings,
    WatchState,
)
from dedup_rpc.wire import enum_name, moment, unknown_fields
from eventdedup.config.v1 import config_admin_service_pb2 as admin
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

_STATS = tuple(BatchStats.__dataclass_fields__)
_REPORTED = ("instance_id", "version", "epoch", "received_revision", "applied_revision", "source")


def revision(found: pb.Revision) -> Revision:
    """Return a revision without its config."""
    return Revision(
        number=found.revision,
        etag=found.etag,
        origin=str(enum_name(pb.Origin.DESCRIPTOR, found.origin)),
        created_at=moment(found.created_at),
        author=found.author,
        reason=found.reason,
        changed_paths=tuple(found.changed_paths),
        digest=found.digest,
        schema_version=found.schema_version,
    )


def config_view(answer: pb.GetConfigResponse) -> ConfigView:
    """Return a config with where it comes from."""
    shown = answer.revision
    provenance = {leaf.path: _source(leaf) for leaf in answer.provenance}
    return ConfigView(
        epoch=answer.epoch,
        revision=revision(shown),
        settings=_settings(answer.effective, shown.schema_version, (answer.epoch, shown.revision)),
        overrides=documents.overrides(answer.overrides, provenance),
        provenance=provenance,
        secrets={secret.name: _secret_status(secret) for secret in answer.secrets},
        has_api_key=answer.has_api_key,
        warnings=tuple(answer.warnings),
        evidence=_document(answer) if answer.HasField("evidence") else None,
    )


def _settings(config: MatchingConfig, schema: int, at: tuple[str, int]) -> Settings:
    document = documents.effective(config, schema)
    return Settings(document, schema, tuple(unknown_fields(config)), at)


def _source(leaf: pb.LeafProvenance) -> str:
    return str(enum_name(pb.Provenance.DESCRIPTOR, leaf.provenance))


def _document(answer: pb.GetConfigResponse) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(answer.evidence)
    return found


def _secret_status(found: pb.SecretStatus) -> SecretStatus:
    return SecretStatus(
        name=found.name,
        is_set=found.is_set,
        version=found.version,
        key_id=found.key_id,
        set_at=_when(found, "set_at"),
        set_by=found.set_by,
        fingerprint=found.fingerprint,
    )


def _when(message: Message, field: str) -> datetime | None:
    return moment(getattr(message, field)) if message.HasField(field) else None


def edit(
    answer: pb.UpdateConfigResponse | pb.RollbackConfigResponse | admin.ImportConfigResponse,
) -> Edit:
    """Return the outcome of an update, a rollback or an import."""
    number, schema = answer.revision.revision, answer.revision.schema_version
    told = None
    if not isinstance(answer, admin.ImportConfigResponse):
        told = _settings(answer.effective, schema, (answer.epoch, number))
    return Edit(
        settings=told,
        epoch=answer.epoch,
        revision=revision(answer.revision),
        changed=answer.changed,
        changes=_changes(answer.changes),
        warnings=tuple(answer.warnings),
    )


def difference(answer: pb.DiffRevisionsResponse) -> Difference:
    """Return how two revisions differ."""
    left, right = revision(answer.from_revision), revision(answer.to_revision)
    return Difference(left, right, _changes(answer.changes))


def _changes(changes: Iterable[pb.PathChange]) -> tuple[PathChange, ...]:
    return tuple(PathChange(one.path, _value(one.old), _value(one.new)) for one in changes)


def _value(value: pb.SettingValue) -> Any:
    kind = value.WhichOneof("kind")
    found: Any = getattr(value, kind) if kind else None
    return json.loads(found) if kind == "json_value" else found


def revisions(answer: pb.ListRevisionsResponse) -> tuple[tuple[Revision, ...], str]:
    """Return a page of the history and the token of the next one."""
    return tuple(map(revision, answer.revisions)), answer.next_page_token


def secret_set(answer: pb.SetSecretResponse) -> SecretEdit:
    """Return the outcome of setting a secret."""
    return SecretEdit(revision(answer.revision), _secret_status(answer.secret))


def secret_cleared(answer: pb.ClearSecretResponse) -> SecretEdit:
    """Return the outcome of clearing a secret."""
    return SecretEdit(revision(answer.revision), _secret_status(answer.secret), answer.changed)


def secret_value(answer: pb.AccessSecretResponse) -> SecretValue:
    """Return a secret's value; None for a version that the caller has."""
    return SecretValue(answer.version, None if answer.not_modified else answer.value)


def snapshot(answer: pb.GetSnapshotResponse) -> Snapshot:
    """Return what a matcher runs on; raises `UnusableConfig`."""
    at = answer.epoch, answer.revision
    settings = _settings(answer.config, answer.schema_version, at)
    return Snapshot(
        epoch=answer.epoch,
        revision=answer.revision,
        digest=answer.digest,
        config=settings.config,
        schema_version=answer.schema_version,
        issued_at=_when(answer, "issued_at"),
        secrets=_secret_states(answer.secrets),
        ignored_paths=settings.ignored_paths,
    )


def _secret_states(found: Iterable[pb.SnapshotSecret]) -> dict[str, SecretState]:
    return {one.name: SecretState(one.is_set, one.version) for one in found}


def watch_state(found: pb.ConfigState) -> WatchState:
    """Return a revision on a watch, as the stream tells it."""
    shown = found.revision
    return WatchState(
        epoch=found.epoch,
        revision=revision(shown),
        settings=_settings(found.effective, shown.schema_version, (found.epoch, shown.revision)),
        changed_paths=tuple(found.changed_paths),
        skipped=found.skipped_revisions,
        resync=found.resync,
        secrets=_secret_states(found.secrets),
    )


def clients(answer: pb.ListClientsResponse) -> Clients:
    """Return who runs what."""
    return Clients(
        epoch=answer.epoch,
        head=answer.head,
        clients=tuple(map(_client, answer.clients)),
        suspects={one.revision: tuple(one.reasons) for one in answer.suspects},
    )


def _client(found: pb.ClientStatus) -> ClientStatus:
    report = StatusReport(
        **{name: getattr(found, name) for name in _REPORTED},
        rejection=_rejection(found.rejection) if found.HasField("rejection") else None,
        stats=tuple(_stats(one) for one in found.stats),
    )
    return ClientStatus(found.principal, report, found.lag, moment(found.reported_at))


def _rejection(found: pb.Rejection) -> Rejection:
    return Rejection(found.revision, found.why, _when(found, "reported_at"))


def _stats(found: pb.BatchStats) -> BatchStats:
    return BatchStats(**{name: getattr(found, name) for name in _STATS})


def report_request(report: StatusReport) -> pb.ReportStatusRequest:
    """Return a matcher's word as a message."""
    refused = report.rejection
    return pb.ReportStatusRequest(
        **{name: getattr(report, name) for name in _REPORTED},
        rejection=pb.Rejection(revision=refused.revision, why=refused.why) if refused else None,
        stats=[pb.BatchStats(**{n: getattr(one, n) for n in _STATS}) for one in report.stats],
    )


def reported(answer: pb.ReportStatusResponse) -> tuple[str, int]:
    """Return the present epoch and head."""
    return answer.epoch, answer.head


def export(answer: admin.ExportConfigResponse) -> Export:
    """Return the config as YAML."""
    return Export(answer.yaml, revision(answer.revision))


def audit_events(answer: admin.ListAuditEventsResponse) -> tuple[tuple[AuditEvent, ...], str]:
    """Return a page of the audit log and the token of the next one."""
    return tuple(map(_audit_event, answer.events)), answer.next_page_token


def _audit_event(found: admin.AuditEvent) -> AuditEvent:
    return AuditEvent(
        sequence=found.sequence,
        at=moment(found.at),
        principal=found.principal,
        action=found.action,
        epoch=found.epoch,
        revision=found.revision,
        facts=dict(found.facts),
        mac=found.mac,
    )


def audit_verdict(answer: admin.VerifyAuditResponse) -> AuditVerdict:
    """Return what a check of the audit log found."""
    return AuditVerdict(answer.intact, answer.events, answer.head_mac, tuple(answer.findings))
