"""The handlers of ConfigService: decode, one call, encode."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from config_service import clients, convert, convert_clients, paging
from config_service.edits import (
    ClearSecret,
    Rollback,
    SetSecret,
    Update,
    require_secret_name,
)
from config_service.feed import Feed
from config_service.request_meta import claim, meta
from config_service.revision import Revision
from config_service.state import State
from config_service.store import Store
from config_service.watches import Watches
from config_service.writers import Writers
from dedup_model import tree
from dedup_model.errors import (
    LimitExceeded,
    ReplicaBehind,
    RevisionCompacted,
    RevisionNotFound,
)
from dedup_rpc.guard import caller
from dedup_rpc.wire import refuse_unknown_fields
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceServicer

LOG = logging.getLogger("event_dedup.config")
MAX_WAIT_SECONDS, MAX_WAITING = 10.0, 500
"""For a revision; who waits counts among the calls at once, so not all of them may wait."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Servicer(ConfigServiceServicer):
    """Answers the RPCs of one store."""

    def __init__(self, store: Store, feed: Feed, writers: Writers, watches: Watches) -> None:
        self._store, self._feed, self._writers = store, feed, writers
        self._watches, self._waiting = watches, 0
        self._serialised: dict[Any, tuple[State, bytes]] = {}

    async def GetConfig(  # type: ignore[override]
        self, request: pb.GetConfigRequest, context: Context
    ) -> pb.GetConfigResponse | bytes:
        """Return the current config or a named revision."""
        state = self._feed.state
        if not request.HasField("revision"):
            return self._head_bytes(convert.got_config, state)
        return convert.got_config(state, await self._revision(request.revision))

    async def UpdateConfig(
        self, request: pb.UpdateConfigRequest, context: Context
    ) -> pb.UpdateConfigResponse:
        """Change overrides."""
        refuse_unknown_fields(request)
        update = Update(convert.change_of(request), meta(request), convert.evidence_of(request))
        unused = [f"{path}: not in update_mask, ignored" for path in update.change.unused()]
        before, after = await self._writers.apply(
            update, claim(request), validate_only=request.validate_only
        )
        stored = not request.validate_only
        return pb.UpdateConfigResponse(**convert.edited(before, after, unused, stored=stored))

    async def RollbackConfig(
        self, request: pb.RollbackConfigRequest, context: Context
    ) -> pb.RollbackConfigResponse:
        """Append a revision with the overrides of an old one."""
        refuse_unknown_fields(request)
        rollback = Rollback(request.revision, meta(request))
        before, after = await self._writers.apply(
            rollback, claim(request), validate_only=request.validate_only
        )
        notes = await self._drift(request.revision, after)
        stored = not request.validate_only
        return pb.RollbackConfigResponse(**convert.edited(before, after, notes, stored=stored))

    async def ListRevisions(
        self, request: pb.ListRevisionsRequest, context: Context
    ) -> pb.ListRevisionsResponse:
        """Return a page of the history."""
        size = paging.size(request.page_size)
        epoch = self._feed.state.epoch
        before = paging.start(request.page_token, epoch)
        only = convert.history_filter(request)
        page = await self._feed.run_blocking(self._store.page, before, size + 1, only)
        shown = paging.fitting((convert.revision(epoch, revision) for revision in page), size)
        more = paging.token(epoch, shown[-1].revision) if len(page) > len(shown) else ""
        return pb.ListRevisionsResponse(epoch=epoch, revisions=shown, next_page_token=more)

    async def DiffRevisions(
        self, request: pb.DiffRevisionsRequest, context: Context
    ) -> pb.DiffRevisionsResponse:
        """Compare two revisions."""
        right = await self._revision(
            request.to_revision if request.HasField("to_revision") else None
        )
        left = await self._revision(
            request.from_revision if request.HasField("from_revision") else max(right.number - 1, 1)
        )
        epoch = self._feed.state.epoch
        changes = tree.changes(left.layers.effective, right.layers.effective)
        return pb.DiffRevisionsResponse(
            from_revision=convert.revision(epoch, left),
            to_revision=convert.revision(epoch, right),
            changes=convert.path_changes(changes),
        )

    async def SetSecret(
        self, request: pb.SetSecretRequest, context: Context
    ) -> pb.SetSecretResponse:
        """Store a secret."""
        refuse_unknown_fields(request)
        edit = SetSecret(request.name, request.value, meta(request))
        _, after = await self._writers.apply(edit, claim(request))
        status = convert.secret(after.secret(request.name))
        return pb.SetSecretResponse(
            revision=convert.revision(after.epoch, after.revision), secret=status
        )

    async def ClearSecret(
        self, request: pb.ClearSecretRequest, context: Context
    ) -> pb.ClearSecretResponse:
        """Remove a secret."""
        refuse_unknown_fields(request)
        edit = ClearSecret(request.name, meta(request))
        before, after = await self._writers.apply(edit, claim(request))
        return pb.ClearSecretResponse(
            revision=convert.revision(after.epoch, after.revision),
            secret=convert.secret(after.secret(request.name)),
            changed=before.stamp != after.stamp,
        )

    async def GetSnapshot(  # type: ignore[override]
        self, request: pb.GetSnapshotRequest, context: Context
    ) -> pb.GetSnapshotResponse | bytes:
        """Return what a matcher runs on."""
        state = self._feed.state
        if _is_behind(state, request):
            state = await self._reached(request, context)
        if request.HasField("revision"):
            return convert.snapshot(state, await self._revision(request.revision))
        if (request.known_epoch, request.known_revision) == state.stamp:
            return self._head_bytes(_not_modified, state)
        return self._head_bytes(convert.snapshot, state)

    async def AccessSecret(
        self, request: pb.AccessSecretRequest, context: Context
    ) -> pb.AccessSecretResponse:
        """Return a secret's value."""
        require_secret_name(request.name)
        access, known = self._store.access_secret, request.known_version
        value, version = await self._writers.run(access, request.name, caller().name, known)
        if value:
            LOG.info("secret %s version %d was read by %s", request.name, version, caller().name)
        return pb.AccessSecretResponse(not_modified=not value, value=value, version=version)

    async def ReportStatus(
        self, request: pb.ReportStatusRequest, context: Context
    ) -> pb.ReportStatusResponse:
        """Keep the word of a running matcher."""
        report = convert_clients.report_of(request)
        clients.require_sound(report)
        epoch, head = self._feed.state.stamp
        await self._writers.run(self._store.report, caller().name, report)
        return pb.ReportStatusResponse(epoch=epoch, head=head)

    async def ListClients(
        self, request: pb.ListClientsRequest, context: Context
    ) -> pb.ListClientsResponse:
        """Return who runs what."""
        state = self._feed.state
        return convert_clients.clients(state, await self._feed.run_blocking(self._store.clients))

    async def WatchConfig(  # type: ignore[override]
        self, request: pb.WatchConfigRequest, context: Context
    ) -> None:
        """Stream the config as it changes."""
        try:
            await self._watches.serve(convert.watch_options(request), context.write)
        except grpc.aio.BaseError:
            # the client went away while it was written to: nothing failed, and nobody is to be told
            raise asyncio.CancelledError from None

    def _head_bytes(self, make: Callable[[State, Revision], Message], state: State) -> bytes:
        """Return a message of the head, serialised once per revision."""
        told, answer = self._serialised.get(make, (None, b""))
        if told is not state:
            answer = make(state, state.revision).SerializeToString()
            self._serialised[make] = state, answer
        return answer

    async def _drift(self, number: int, after: State) -> list[str]:
        """Return what holds otherwise than in the old revision; nothing when that is gone by now."""
        try:
            old = await self._revision(number)
        except (RevisionCompacted, RevisionNotFound):
            return []
        drifted = tree.changes(old.layers.effective, after.revision.layers.effective)
        return [
            f"{path}: inherited values have changed since revision {number}"
            for path, _, _ in drifted
        ]

    async def _revision(self, number: int | None) -> Revision:
        head = self._feed.state.revision
        if number is None or number == head.number:
            return head
        return await self._feed.run_blocking(self._store.revision, number)

    async def _reached(self, request: pb.GetSnapshotRequest, context: Context) -> State:
        state = self._feed.state
        left = min(context.time_remaining() or MAX_WAIT_SECONDS, MAX_WAIT_SECONDS)
        ends = time.monotonic() + left * 0.9
        with self._place_to_wait():
            while _is_behind(state, request):
                if time.monotonic() >= ends:
                    head = str(state.revision.number)
                    raise ReplicaBehind("this server has not seen that revision yet", head=head)
                await self._feed.changed(state, ends - time.monotonic())
                state = self._feed.state
        return state

    @contextmanager
    def _place_to_wait(self) -> Iterator[None]:
        if self._waiting >= MAX_WAITING:
            raise LimitExceeded("too many callers wait for a revision; try again")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def _is_behind(state: State, request: pb.GetSnapshotRequest) -> bool:
    known = request.known_epoch == state.epoch
    return known and state.revision.number < request.min_revision


def _not_modified(state: State, revision: Revision) -> pb.GetSnapshotResponse:
    return pb.GetSnapshotResponse(
        not_modified=True, epoch=state.epoch, revision=revision.number, digest=revision.digest
    )
