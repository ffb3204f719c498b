"""The client for asyncio: the twin of the blocking one, call by call."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

from dedup_model.reports import StatusReport
from dedup_model.snapshot import Snapshot
from dedup_rpc.client import calls
from dedup_rpc.client.aio_watch import AsyncWatch
from dedup_rpc.client.calls import Write
from dedup_rpc.client.connection import AsyncConnected
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


class AsyncConfigClient(AsyncConnected):
    """Reads, changes and watches the settings of one ConfigService."""

    _make_stub = ConfigServiceStub

    async def get(self, revision: int | None = None) -> ConfigView:
        """As `ConfigClient.get`."""
        return await self._run(calls.get(revision))

    async def snapshot(
        self,
        known: Snapshot | None = None,
        *,
        min_revision: int = 0,
        epoch: str = "",
        revision: int | None = None,
    ) -> Snapshot:
        """As `ConfigClient.snapshot`."""
        return await self._run(calls.snapshot(known, min_revision, epoch, revision))

    def history(
        self,
        *,
        author: str = "",
        path_prefix: str = "",
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[Revision]:
        """As `ConfigClient.history`."""
        page = calls.history(page_size, author, path_prefix, created_from, created_until)
        return self._all(page)

    async def diff(
        self,
        left: int | None = None,
        right: int | None = None,
    ) -> Difference:
        """As `ConfigClient.diff`."""
        return await self._run(calls.diff(left, right))

    async def update(
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
        """As `ConfigClient.update`."""
        write = Write(etag, reason, validate_only, request_id)
        return await self._run(calls.update(values or {}, clear, evidence, write))

    async def rollback(
        self,
        revision: int,
        *,
        etag: str = "",
        reason: str = "",
        validate_only: bool = False,
        request_id: str | None = None,
    ) -> Edit:
        """As `ConfigClient.rollback`."""
        write = Write(etag, reason, validate_only, request_id)
        return await self._run(calls.rollback(revision, write))

    async def set_secret(
        self,
        value: str,
        *,
        name: str = API_KEY,
        etag: str = "",
        reason: str = "",
        request_id: str | None = None,
    ) -> SecretEdit:
        """As `ConfigClient.set_secret`."""
        write = Write(etag, reason, request_id=request_id)
        return await self._run(calls.set_secret(name, value, write))

    async def clear_secret(
        self,
        *,
        name: str = API_KEY,
        etag: str = "",
        reason: str = "",
        request_id: str | None = None,
    ) -> SecretEdit:
        """As `ConfigClient.clear_secret`."""
        write = Write(etag, reason, request_id=request_id)
        return await self._run(calls.clear_secret(name, write))

    async def access_secret(
        self,
        *,
        name: str = API_KEY,
        known_version: int = 0,
    ) -> SecretValue:
        """As `ConfigClient.access_secret`."""
        return await self._run(calls.access_secret(name, known_version))

    def watch(
        self,
        mode: WatchMode = WatchMode.LATEST,
        after: Position | None = None,
        *,
        heartbeat: float = 15.0,
        connect_within: float | None = None,
    ) -> AsyncWatch:
        """As `ConfigClient.watch`."""
        return self._follow(mode, after, heartbeat, connect_within)

    async def report_status(self, report: StatusReport) -> tuple[str, int]:
        """As `ConfigClient.report_status`."""
        return await self._run(calls.report_status(report))

    async def clients(self) -> Clients:
        """As `ConfigClient.clients`."""
        return await self._run(calls.clients())


class AsyncAdminClient(AsyncConnected):
    """Exports, imports and audits the settings of one ConfigService."""

    _make_stub = ConfigAdminServiceStub

    async def export_config(
        self,
        revision: int | None = None,
        *,
        effective: bool = False,
    ) -> Export:
        """As `AdminClient.export_config`."""
        return await self._run(calls.export_config(revision, effective=effective))

    async def import_config(
        self,
        yaml: str,
        *,
        etag: str = "",
        reason: str = "",
        validate_only: bool = False,
        request_id: str | None = None,
    ) -> Edit:
        """As `AdminClient.import_config`."""
        write = Write(etag, reason, validate_only, request_id)
        return await self._run(calls.import_config(yaml, write))

    def audit_events(
        self,
        *,
        principal: str = "",
        action: str = "",
        page_size: int = 100,
    ) -> AsyncIterator[AuditEvent]:
        """As `AdminClient.audit_events`."""
        return self._all(calls.audit_events(page_size, principal, action))

    async def verify_audit(
        self,
        *,
        known_sequence: int = 0,
        known_mac: str = "",
    ) -> AuditVerdict:
        """As `AdminClient.verify_audit`."""
        return await self._run(calls.verify_audit(known_sequence, known_mac))
