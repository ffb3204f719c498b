"""The client for blocking code."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from dedup_model.reports import StatusReport
from dedup_model.snapshot import Snapshot
from dedup_rpc.client import calls
from dedup_rpc.client.blocking_watch import Watch
from dedup_rpc.client.calls import Write
from dedup_rpc.client.connection import Connected
from dedup_rpc.client.reports import Clients
from dedup_rpc.client.values import (
    API_KEY,
    AuditEvent,
    AuditVerdict,
    ConfigView,
    Difference,
    Edit,
    Export,
    Position,
    Revision,
    SecretEdit,
    SecretValue,
    WatchMode,
)
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub


class ConfigClient(Connected):
    """Reads, changes and watches the settings of one ConfigService."""

    _make_stub = ConfigServiceStub

    def get(self, revision: int | None = None) -> ConfigView:
        """Return the present config, or that of an old revision.

        Raises `RevisionNotFound`, `FutureRevision` or `RevisionCompacted` for a revision that is
        not there.
        """
        return self._run(calls.get(revision))

    def snapshot(
        self,
        known: Snapshot | None = None,
        *,
        min_revision: int = 0,
        epoch: str = "",
        revision: int | None = None,
    ) -> Snapshot:
        """Return what a batch runs on: immutable, typed, without secrets.

        `known` itself comes back while it is the present one, and nothing older ever does.
        `min_revision` waits for a revision of `epoch` (by default `known`'s), such as one that an
        update has just made by way of another replica. Raises `UnusableConfig`.
        """
        return self._run(calls.snapshot(known, min_revision, epoch, revision))

    def history(
        self,
        *,
        author: str = "",
        path_prefix: str = "",
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[Revision]:
        """Iterate over revisions, newest first; fetches a page when it is needed."""
        page = calls.history(page_size, author, path_prefix, created_from, created_until)
        return self._all(page)

    def diff(
        self,
        left: int | None = None,
        right: int | None = None,
    ) -> Difference:
        """Compare two revisions; by default the present one with the one before it."""
        return self._run(calls.diff(left, right))

    def update(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        clear: Iterable[str] = (),
        etag: str = "",
        reason: str = "",
        evidence: Mapping[str, Any] | None = None,
        validate_only: bool = False,
        request_id: str | None = None,
    ) -> Edit:
        """Set `values` by path and let inherited ones show through at `clear`; all or nothing.

        None as a value clears, too; for a map entry it deletes the entry. `{"*": document}` replaces
        all overrides and needs an etag. The same request is sent again after an unknown outcome and
        applied once. Raises `InvalidRequest` with every violation, `RevisionConflict` for a stale
        etag (`error.facts["current_etag"]` is the present one).
        """
        write = Write(etag, reason, validate_only, request_id)
        return self._run(calls.update(values or {}, clear, evidence, write))

    def rollback(
        self,
        revision: int,
        *,
        etag: str = "",
        reason: str = "",
        validate_only: bool = False,
        request_id: str | None = None,
    ) -> Edit:
        """Return to the overrides of an old revision; fails like `update` and `get`."""
        write = Write(etag, reason, validate_only, request_id)
        return self._run(calls.rollback(revision, write))

    def set_secret(
        self,
        value: str,
        *,
        name: str = API_KEY,
        etag: str = "",
        reason: str = "",
        request_id: str | None = None,
    ) -> SecretEdit:
        """Store a secret. Raises `InvalidRequest` for an empty one, `SecretUnknown` for the name."""
        write = Write(etag, reason, request_id=request_id)
        return self._run(calls.set_secret(name, value, write))

    def clear_secret(
        self,
        *,
        name: str = API_KEY,
        etag: str = "",
        reason: str = "",
        request_id: str | None = None,
    ) -> SecretEdit:
        """Remove a secret."""
        write = Write(etag, reason, request_id=request_id)
        return self._run(calls.clear_secret(name, write))

    def access_secret(
        self,
        *,
        name: str = API_KEY,
        known_version: int = 0,
    ) -> SecretValue:
        """Return a secret's value, for matchers; its value is None when the version is known.

        Raises `SecretNotSet`.
        """
        return self._run(calls.access_secret(name, known_version))

    def watch(
        self,
        mode: WatchMode = WatchMode.LATEST,
        after: Position | None = None,
        *,
        heartbeat: float = 15.0,
        connect_within: float | None = None,
    ) -> Watch:
        """Follow the settings, over the ends of streams, until closed.

        `after` is the position of the last state that was seen: EVERY goes on with the next
        revision, LATEST with the newest one. Whatever ends a stream, another one is opened, with
        growing pauses. Raises for refusals (`Unauthenticated`, `PermissionDenied`, `InvalidRequest`)
        when it first connects, and later when they last; `ServiceError` when it has not connected
        within `connect_within` seconds.
        """
        return self._follow(mode, after, heartbeat, connect_within)

    def report_status(self, report: StatusReport) -> tuple[str, int]:
        """Say what this matcher runs; returns the present epoch and head."""
        return self._run(calls.report_status(report))

    def clients(self) -> Clients:
        """Return which matchers run which revision."""
        return self._run(calls.clients())


class AdminClient(Connected):
    """Exports, imports and audits the settings of one ConfigService."""

    _make_stub = ConfigAdminServiceStub

    def export_config(
        self,
        revision: int | None = None,
        *,
        effective: bool = False,
    ) -> Export:
        """Return the overrides, or everything that holds, as YAML; never a secret."""
        return self._run(calls.export_config(revision, effective=effective))

    def import_config(
        self,
        yaml: str,
        *,
        etag: str = "",
        reason: str = "",
        validate_only: bool = False,
        request_id: str | None = None,
    ) -> Edit:
        """Make the overrides those of a YAML text, all of them; fails like `update`."""
        write = Write(etag, reason, validate_only, request_id)
        return self._run(calls.import_config(yaml, write))

    def audit_events(
        self,
        *,
        principal: str = "",
        action: str = "",
        page_size: int = 100,
    ) -> Iterator[AuditEvent]:
        """Iterate over the audit log, newest first."""
        return self._all(calls.audit_events(page_size, principal, action))

    def verify_audit(
        self,
        *,
        known_sequence: int = 0,
        known_mac: str = "",
    ) -> AuditVerdict:
        """Check the audit log; an event noted elsewhere shows whether the store was put back."""
        return self._run(calls.verify_audit(known_sequence, known_mac))
