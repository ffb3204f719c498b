"""The handlers of ConfigService: decode, one call, encode."""

import asyncio
import base64
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from config_service import convert
from config_service.edits import (
    ClearSecret,
    Edit,
    Meta,
    Rollback,
    SetSecret,
    Update,
    require_secret_name,
)
from config_service.feed import Feed
from config_service.idempotency import Claim
from config_service.revision import Revision
from config_service.state import State
from config_service.store import Store
from config_service.watch import Watch
from dedup_model import tree
from dedup_model.errors import LimitExceeded, ReplicaBehind, invalid
from dedup_rpc.guard import caller
from dedup_rpc.wire import refuse_unknown_fields
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceServicer

LOG = logging.getLogger("event_dedup.config")
DEFAULT_PAGE, MAX_PAGE = 50, 500
MAX_WAIT_SECONDS = 10.0
WRITERS, MAX_WAITING_WRITERS = 4, 200
"""Fewer writers than store threads, so that reads find one while writers wait for the lock."""
_PAGE = re.compile(r"(?P<epoch>[0-9a-f-]{36}):(?P<before>[1-9][0-9]{0,17})")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Servicer(ConfigServiceServicer):
    """Answers the RPCs of one store."""

    def __init__(self, store: Store, feed: Feed, stopping: asyncio.Event) -> None:
        self._store, self._feed, self._stopping = store, feed, stopping
        self._writers, self._waiting = asyncio.Semaphore(WRITERS), 0
        self._serialised: dict[Any, tuple[tuple[str, int], bytes]] = {}

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
        update = Update(convert.change_of(request), _meta(request))
        unused = [f"{path}: not in update_mask, ignored" for path in update.change.unused()]
        before, after = await self._apply(update, request, validate_only=request.validate_only)
        stored = not request.validate_only
        return pb.UpdateConfigResponse(**convert.edited(before, after, unused, stored=stored))

    async def RollbackConfig(
        self, request: pb.RollbackConfigRequest, context: Context
    ) -> pb.RollbackConfigResponse:
        """Append a revision with the overrides of an old one."""
        refuse_unknown_fields(request)
        rollback = Rollback(request.revision, _meta(request))
        before, after = await self._apply(rollback, request, validate_only=request.validate_only)
        notes = _drift(await self._revision(request.revision), after)
        stored = not request.validate_only
        return pb.RollbackConfigResponse(**convert.edited(before, after, notes, stored=stored))

    async def ListRevisions(
        self, request: pb.ListRevisionsRequest, context: Context
    ) -> pb.ListRevisionsResponse:
        """Return a page of the history."""
        size = _page_size(request.page_size)
        epoch = self._feed.state.epoch
        before = _page_start(request.page_token, epoch)
        only = convert.history_filter(request)
        page = await self._feed.run_blocking(self._store.page, before, size + 1, only)
        more = _page_token(epoch, page[size - 1].number) if len(page) > size else ""
        shown = [convert.revision(epoch, revision) for revision in page[:size]]
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
        edit = SetSecret(request.name, request.value, _meta(request))
        _, after = await self._apply(edit, request)
        status = convert.secret(after.secret(request.name))
        return pb.SetSecretResponse(
            revision=convert.revision(after.epoch, after.revision), secret=status
        )

    async def ClearSecret(
        self, request: pb.ClearSecretRequest, context: Context
    ) -> pb.ClearSecretResponse:
        """Remove a secret."""
        refuse_unknown_fields(request)
        before, after = await self._apply(ClearSecret(request.name, _meta(request)), request)
        return pb.ClearSecretResponse(
            revision=convert.revision(after.epoch, after.revision),
            secret=convert.secret(after.secret(request.name)),
            changed=before.stamp != after.stamp,
        )

    async def GetSnapshot(  # type: ignore[override]
        self, request: pb.GetSnapshotRequest, context: Context
    ) -> pb.GetSnapshotResponse | bytes:
        """Return what a matcher runs on."""
        state = await self._reached(request, context)
        if request.HasField("revision"):
            return convert.snapshot(state, await self._revision(request.revision))
        if (request.known_epoch, request.known_revision) == state.stamp:
            return _not_modified(state)
        return self._head_bytes(convert.snapshot, state)

    async def AccessSecret(
        self, request: pb.AccessSecretRequest, context: Context
    ) -> pb.AccessSecretResponse:
        """Return a secret's value."""
        require_secret_name(request.name)
        value, version = await self._feed.run_blocking(self._store.open_secret, request.name)
        LOG.info("secret %s version %d was read by %s", request.name, version, caller().name)
        if request.known_version == version:
            return pb.AccessSecretResponse(not_modified=True, version=version)
        return pb.AccessSecretResponse(value=value, version=version)

    async def WatchConfig(
        self, request: pb.WatchConfigRequest, context: Context
    ) -> AsyncIterator[pb.WatchConfigResponse]:
        """Stream the config as it changes."""
        watch = Watch(self._feed, self._store, convert.watch_options(request), self._stopping)
        async for event in watch.events():
            yield convert.watch_event(event)

    def _head_bytes(self, make: Callable[[State, Revision], Message], state: State) -> bytes:
        """Return a message of the head, serialised once per revision."""
        stamp, answer = self._serialised.get(make, (None, b""))
        if stamp != state.stamp:
            answer = make(state, state.revision).SerializeToString()
            self._serialised[make] = state.stamp, answer
        return answer

    async def _apply(
        self, edit: Edit, request: Any, *, validate_only: bool = False
    ) -> tuple[State, State]:
        if self._waiting >= MAX_WAITING_WRITERS:
            raise LimitExceeded("too many writers wait for the store; try again")
        claim, apply = _claim(request), self._store.apply
        self._waiting += 1
        try:
            async with self._writers:
                states = await self._feed.run_blocking(
                    apply, edit, validate_only=validate_only, claim=claim
                )
        finally:
            self._waiting -= 1
        before, after = states
        if before.stamp != after.stamp and not validate_only:
            await self._feed.refresh()
            LOG.info("revision %d by %s", after.revision.number, after.revision.author)
        return states

    async def _revision(self, number: int | None) -> Revision:
        head = self._feed.state.revision
        if number is None or number == head.number:
            return head
        return await self._feed.run_blocking(self._store.revision, number)

    async def _reached(self, request: pb.GetSnapshotRequest, context: Context) -> State:
        state = self._feed.state
        left = min(context.time_remaining() or MAX_WAIT_SECONDS, MAX_WAIT_SECONDS)
        ends = time.monotonic() + left * 0.9
        while request.known_epoch == state.epoch and state.revision.number < request.min_revision:
            if time.monotonic() >= ends:
                head = str(state.revision.number)
                raise ReplicaBehind("this server has not seen that revision yet", head=head)
            await self._feed.changed(state, ends - time.monotonic())
            state = self._feed.state
        return state


def _not_modified(state: State) -> pb.GetSnapshotResponse:
    return pb.GetSnapshotResponse(
        not_modified=True,
        epoch=state.epoch,
        revision=state.revision.number,
        digest=state.revision.digest,
    )


def _meta(request: Any) -> Meta:
    return Meta(author=caller().name, reason=request.reason, etag=request.etag)


def _claim(request: Any) -> Claim | None:
    if not request.request_id:
        return None
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    name = type(request).__name__.encode()
    return Claim(
        caller().name, request.request_id, name + content.SerializeToString(deterministic=True)
    )


def _drift(old: Revision, after: State) -> list[str]:
    drifted = tree.changes(old.layers.effective, after.revision.layers.effective)
    return [
        f"{path}: inherited values have changed since revision {old.number}"
        for path, _, _ in drifted
    ]


def _page_size(asked: int) -> int:
    if not 0 <= asked <= MAX_PAGE:
        raise invalid("page_size", "RANGE", f"0 to {MAX_PAGE}")
    return asked or DEFAULT_PAGE


def _page_token(epoch: str, before: int) -> str:
    return base64.urlsafe_b64encode(f"{epoch}:{before}".encode()).decode()


def _page_start(token: str, epoch: str) -> int | None:
    if not token:
        return None
    try:
        match = _PAGE.fullmatch(base64.urlsafe_b64decode(token).decode())
    except ValueError:
        match = None
    if not match or match["epoch"] != epoch:
        raise invalid("page_token", "PAGE_TOKEN", "not a token of this list")
    return int(match["before"])
