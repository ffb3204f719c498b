"""The handlers of ConfigAdminService: decode, one call, encode."""

from typing import Any, TypeAlias

import grpc

from config_service import convert, paging
from config_service.audit import AuditEvent, AuditFilter
from config_service.audit_check import Known
from config_service.edits import EMPTY, Import
from config_service.feed import Feed
from config_service.request_meta import claim, meta
from config_service.store import Store
from config_service.turns import Turns
from config_service.writers import Writers
from dedup_model import strict_yaml
from dedup_model.errors import invalid
from dedup_rpc.guard import caller
from dedup_rpc.wire import refuse_unknown_fields, timestamp
from eventdedup.config.v1 import config_admin_service_pb2 as pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceServicer

MAX_REWRAPPED = 100_000
AT_ONCE = 1
"""Checks of the whole audit log, and long texts that are read: each keeps a thread for seconds."""
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AdminServicer(ConfigAdminServiceServicer):
    """Answers those who keep one store."""

    def __init__(self, store: Store, feed: Feed, writers: Writers) -> None:
        self._store, self._feed, self._writers = store, feed, writers
        self._checks, self._readings = Turns(feed, AT_ONCE), Turns(feed, AT_ONCE)

    async def GetKeyringStatus(
        self, request: pb.GetKeyringStatusRequest, context: Context
    ) -> pb.GetKeyringStatusResponse:
        """Return the state of the keys, sealed or not."""
        keyring = self._store.keyring
        cells = await self._feed.run_blocking(self._store.cells)
        replicas = await self._feed.run_blocking(self._store.replicas)
        problem = keyring.problem
        writes = "" if problem else keyring.ring().primary
        return pb.GetKeyringStatusResponse(
            sealed=problem is not None,
            sealed_reason=problem.reason if problem else "",
            keys=[
                pb.KeyStatus(
                    key_id=key_id,
                    in_ring=key_id in keyring.key_ids,
                    writes=key_id == writes,
                    cells=cells[key_id],
                    replicas=sum(key_id in held for held in replicas),
                )
                for key_id in dict.fromkeys((*keyring.key_ids, *sorted(cells)))
            ],
            replicas=len(replicas),
            note=problem.text if problem else keyring.note,
        )

    async def Rewrap(self, request: pb.RewrapRequest, context: Context) -> pb.RewrapResponse:
        """Seal cells anew."""
        if not 0 <= request.max_cells <= MAX_REWRAPPED:
            raise invalid("max_cells", "RANGE", f"0 to {MAX_REWRAPPED}")
        rewrap, author = self._store.rewrap, caller().name
        done, remaining = await self._writers.run(rewrap, author, request.max_cells)
        await self._feed.look_at_secrets()
        key_id = self._store.keyring.ring().primary
        return pb.RewrapResponse(key_id=key_id, rewrapped=done, remaining=remaining)

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: Context
    ) -> pb.ListAuditEventsResponse:
        """Return a page of the audit log."""
        size = paging.size(request.page_size)
        before = paging.start(request.page_token, "audit")
        only = AuditFilter(convert.plain(request, "principal"), convert.plain(request, "action"))
        page = await self._feed.run_blocking(self._store.audit_page, before, size + 1, only)
        shown = paging.fitting(map(_event, page), size)
        more = paging.token("audit", shown[-1].sequence) if len(page) > len(shown) else ""
        return pb.ListAuditEventsResponse(events=shown, next_page_token=more)

    async def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: Context
    ) -> pb.VerifyAuditResponse:
        """Check the audit log."""
        if request.known_sequence < 0:
            raise invalid("known_sequence", "RANGE", "0 or more")
        if bool(request.known_sequence) != bool(request.known_mac):
            missing = "known_mac" if request.known_sequence else "known_sequence"
            raise invalid(missing, "REQUIRED", "number and mac of an event are given together")
        known = Known(request.known_sequence, request.known_mac)
        verdict = await self._checks.run(self._store.verify_audit, known)
        return pb.VerifyAuditResponse(
            intact=not verdict.findings,
            events=verdict.events,
            head_mac=verdict.head_mac,
            findings=verdict.findings,
        )

    async def ExportConfig(
        self, request: pb.ExportConfigRequest, context: Context
    ) -> pb.ExportConfigResponse:
        """Return the config as YAML."""
        if request.scope not in pb.ExportScope.values():
            raise invalid("scope", "UNKNOWN_VALUE", "OVERRIDES or EFFECTIVE")
        state = self._feed.state
        shown = state.revision
        if request.HasField("revision") and request.revision != shown.number:
            shown = await self._feed.run_blocking(self._store.revision, request.revision)
        whole = request.scope == pb.EXPORT_SCOPE_EFFECTIVE
        document = shown.layers.effective if whole else shown.layers.overrides
        told = convert.revision(state.epoch, shown)
        head = f"# event-dedup settings, {told.etag}, digest {shown.digest}\n"
        return pb.ExportConfigResponse(yaml=head + strict_yaml.dump(document), revision=told)

    async def ImportConfig(
        self, request: pb.ImportConfigRequest, context: Context
    ) -> pb.ImportConfigResponse:
        """Make the overrides those of a YAML text."""
        refuse_unknown_fields(request)
        # reading a long text takes a second, for which other callers would wait
        document = await self._readings.run(strict_yaml.parse, request.yaml, EMPTY)
        edit = Import(document, meta(request))
        before, after = await self._writers.apply(
            edit, claim(request), validate_only=request.validate_only
        )
        answer = convert.edited(before, after, [], stored=not request.validate_only)
        kept = {name: answer[name] for name in answer if name not in ("overrides", "effective")}
        return pb.ImportConfigResponse(**kept)


def _event(event: AuditEvent) -> pb.AuditEvent:
    return pb.AuditEvent(
        sequence=event.sequence,
        at=timestamp(event.at),
        principal=event.principal,
        action=event.action,
        epoch=event.epoch,
        revision=event.revision,
        facts=event.facts,
        mac=event.mac,
    )
