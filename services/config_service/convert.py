"""Between the service's values and the messages of `eventdedup.config.v1`."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from config_service import revision as model
from config_service.revision import Revision, Story
from config_service.state import HistoryFilter, SecretStatus, State
from config_service.steps import Seen
from config_service.watch import Bookmark, Event, GoAway, Heartbeat, WatchOptions
from dedup_model import rules, tree
from dedup_model.change import Change
from dedup_model.errors import InvalidRequest, invalid
from dedup_model.text_rules import text_problem
from dedup_rpc.wire import enum_number, moment, timestamp, to_document, to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

MAX_NOTES = 100
MAX_SEARCHED = 200
"""Characters of a text to look for."""


def change_of(request: pb.UpdateConfigRequest) -> Change:
    """Return the change that an update asks for."""
    mask = tuple(request.update_mask.paths) if request.HasField("update_mask") else None
    return Change(to_document(request.config), mask, tuple(request.clear_mask.paths))


def config(document: tree.Document) -> MatchingConfig:
    """Return a document as the typed message."""
    return to_message(document, MatchingConfig())


def revision(epoch: str, value: Story) -> pb.Revision:
    """Return a revision without its config."""
    return pb.Revision(
        revision=value.number,
        etag=f"{epoch}:{value.number}",
        origin=pb.Origin.ValueType(enum_number(pb.Origin.DESCRIPTOR, value.origin) or 0),
        created_at=timestamp(value.created_at),
        author=value.author,
        reason=value.reason,
        changed_paths=value.changed_paths,
        digest=value.digest,
        schema_version=value.schema_version,
    )


def secret(status: SecretStatus) -> pb.SecretStatus:
    """Return a secret's status."""
    return pb.SecretStatus(
        name=status.name,
        is_set=status.is_set,
        version=status.version,
        key_id=status.key_id,
        set_at=timestamp(status.set_at) if status.set_at else None,
        set_by=status.set_by,
        fingerprint=status.fingerprint,
    )


def got_config(state: State, shown: Revision) -> pb.GetConfigResponse:
    """Return a revision with its layers, and the present state of the secrets."""
    return pb.GetConfigResponse(
        epoch=state.epoch,
        revision=revision(state.epoch, shown),
        overrides=config(shown.layers.overrides),
        effective=config(shown.layers.effective),
        provenance=[
            pb.LeafProvenance(
                path=path,
                provenance=pb.Provenance.Value(f"PROVENANCE_{origin.upper()}"),
            )
            for path, origin in shown.layers.provenance()
        ],
        secrets=[secret(status) for status in state.secrets],
        has_api_key=any(s.is_set for s in state.secrets if s.name == "ai.api_key"),
        warnings=_warnings(shown.layers.effective),
        evidence=_struct(shown.evidence),
    )


def _struct(document: tree.Document | None) -> Struct | None:
    if document is None:
        return None
    struct = Struct()
    struct.update(document)
    return struct


def evidence_of(request: pb.UpdateConfigRequest) -> tree.Document | None:
    """Return the figures that speak for an update; raises `InvalidRequest` for no JSON."""
    if not request.HasField("evidence"):
        return None
    try:
        _require_kinds(Value(struct_value=request.evidence))
        return json_format.MessageToDict(request.evidence)
    except (json_format.Error, ValueError):
        raise invalid("evidence", "NOT_FINITE", "every value set, finite numbers only") from None


def _require_kinds(value: Value) -> None:
    """Raise ValueError for a value that is none; the library takes it for null."""
    match value.WhichOneof("kind"):
        case None:
            raise ValueError
        case "struct_value":
            for inner in value.struct_value.fields.values():
                _require_kinds(inner)
        case "list_value":
            for inner in value.list_value.values:
                _require_kinds(inner)


def _warnings(effective: tree.Document) -> list[str]:
    """Return the warnings of a config, and what today's rules refuse of one stored before."""
    try:
        return rules.warnings(rules.read(effective)[0])
    except InvalidRequest as error:
        return [
            f"stored against today's rules: {v.path}: {v.description}" for v in error.violations
        ]


def history_filter(request: pb.ListRevisionsRequest) -> HistoryFilter:
    """Return which revisions a history shows."""
    return HistoryFilter(
        author=plain(request, "author"),
        path_prefix=plain(request, "path_prefix"),
        created_from=_moment(request, "created_from"),
        created_until=_moment(request, "created_until"),
    )


def plain(request: Message, field: str) -> str:
    """Return a text to look for; raises `InvalidRequest` for one that no column can hold."""
    value: str = getattr(request, field)
    if len(value) > MAX_SEARCHED:
        raise invalid(field, "TOO_LARGE", f"at most {MAX_SEARCHED} characters")
    if problem := text_problem(value):
        raise invalid(field, *problem)
    return value


def _moment(request: pb.ListRevisionsRequest, name: str) -> datetime | None:
    if not request.HasField(name):  # type: ignore[arg-type]
        return None
    try:
        return moment(getattr(request, name))
    except (ValueError, OverflowError):
        raise invalid(name, "RANGE", "a time of the years 1 to 9999") from None


def path_changes(changes: Iterable[tuple[str, Any, Any]]) -> list[pb.PathChange]:
    """Return changed paths with typed values."""
    return [
        pb.PathChange(path=path, old=_setting(old), new=_setting(new)) for path, old, new in changes
    ]


def _setting(value: Any) -> pb.SettingValue:
    match value:
        case None:
            return pb.SettingValue()
        case bool():
            return pb.SettingValue(bool_value=value)
        case int():
            return pb.SettingValue(int_value=value)
        case float():
            return pb.SettingValue(double_value=value)
        case str():
            return pb.SettingValue(string_value=value)
        case _:
            return pb.SettingValue(json_value=tree.canonical_json(value).decode())


def edited(before: State, after: State, notes: list[str], *, stored: bool) -> dict[str, Any]:
    """Return the fields that the answers to an update and to a rollback share."""
    shown = after if stored else before
    layers = after.revision.layers
    return {
        "epoch": after.epoch,
        "revision": revision(shown.epoch, shown.revision),
        "overrides": config(layers.overrides),
        "effective": config(layers.effective),
        "changed": before.stamp != after.stamp,
        "changes": path_changes(model.changes(before.revision.layers, layers)),
        "warnings": [*_warnings(layers.effective), *_capped(notes)],
    }


def _capped(notes: list[str]) -> list[str]:
    more = len(notes) - MAX_NOTES
    return [*notes[:MAX_NOTES], f"and {more} more"] if more > 0 else notes


def snapshot_secrets(secrets: Iterable[SecretStatus]) -> list[pb.SnapshotSecret]:
    """Return the secrets' state as a matcher sees it."""
    return [pb.SnapshotSecret(name=s.name, is_set=s.is_set, version=s.version) for s in secrets]


def snapshot(state: State, shown: Revision) -> pb.GetSnapshotResponse:
    """Return a snapshot."""
    return pb.GetSnapshotResponse(
        epoch=state.epoch,
        revision=shown.number,
        digest=shown.digest,
        config=config(shown.layers.effective),
        schema_version=shown.schema_version,
        issued_at=timestamp(shown.created_at),
        secrets=snapshot_secrets(state.secrets),
    )


def watch_options(request: pb.WatchConfigRequest) -> WatchOptions:
    """Return what a watcher asked for."""
    if request.mode not in pb.WatchMode.values():
        raise invalid("mode", "UNKNOWN_VALUE", "LATEST or EVERY")
    return WatchOptions(
        every=request.mode == pb.WATCH_MODE_EVERY,
        epoch=request.epoch,
        after=request.after_revision if request.HasField("after_revision") else None,
        heartbeat=request.heartbeat_seconds if request.HasField("heartbeat_seconds") else 15.0,
    )


def watch_bytes(event: Event) -> bytes:
    """Return one message of a watch, serialised."""
    return watch_event(event).SerializeToString()


def watch_event(event: Event) -> pb.WatchConfigResponse:
    """Return one message of a watch."""
    match event:
        case Seen():
            return pb.WatchConfigResponse(state=_config_state(event))
        case Bookmark(epoch, after, head):
            return pb.WatchConfigResponse(
                bookmark=pb.Bookmark(epoch=epoch, after_revision=after, head=head)
            )
        case Heartbeat(epoch, number):
            return pb.WatchConfigResponse(heartbeat=pb.Heartbeat(epoch=epoch, revision=number))
        case GoAway(reason):
            return pb.WatchConfigResponse(go_away=pb.GoAway(reason=reason))


def _config_state(seen: Seen) -> pb.ConfigState:
    return pb.ConfigState(
        epoch=seen.epoch,
        revision=revision(seen.epoch, seen.revision),
        effective=config(seen.revision.layers.effective),
        changed_paths=seen.changed_paths,
        skipped_revisions=seen.skipped,
        resync=seen.resync,
        secrets=snapshot_secrets(seen.secrets),
    )
