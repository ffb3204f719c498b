"""What an update asks for: values by path, judged as far as the settings tree can, as a message."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct

from dedup_model.change import EVERYTHING, path_in_map, path_problem
from dedup_model.errors import InvalidRequest, Violation, invalid
from dedup_model.matching_config import SECRET_NAMES
from dedup_model.tree import Document, Path, find, put
from dedup_rpc.client.documents import empty
from dedup_rpc.wire import to_document, to_message
from eventdedup.config.v1.config_service_pb2 import UpdateConfigRequest
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig


def update_request(
    values: Mapping[str, Any], clear: Iterable[str], evidence: Mapping[str, Any] | None
) -> UpdateConfigRequest:
    """Return the request that sets `values` by path and drops the overrides at `clear`.

    None drops the override too; for a map entry it deletes the entry. Raises `InvalidRequest` that
    names every path that is none and every value that does not fit its setting's type.
    """
    cleared = [*clear, *(path for path, value in values.items() if _drops(path, value))]
    kept = {path: value for path, value in values.items() if not _drops(path, value)}
    _require(kept, cleared)
    request = UpdateConfigRequest(config=_body(kept), clear_mask=_mask(cleared))
    if kept:
        request.update_mask.paths.extend(kept)
    if evidence is not None:
        request.evidence.CopyFrom(_struct(evidence))
    return request


def _drops(path: str, value: Any) -> bool:
    return value is None and path != EVERYTHING and path_in_map(path) is None


def _mask(paths: list[str]) -> FieldMask | None:
    return FieldMask(paths=paths) if paths else None


def _body(values: Mapping[str, Any]) -> MatchingConfig:
    if EVERYTHING in values:
        return to_message(values[EVERYTHING], MatchingConfig())
    document: Document = {}
    for path, value in values.items():
        if value is not None:
            document = put(document, tuple(path.split(".")), value)
    return to_message(document, MatchingConfig())


def _require(values: Mapping[str, Any], cleared: list[str]) -> None:
    if EVERYTHING in values and len(values) > 1:
        raise invalid(EVERYTHING, "SYNTAX", "stands alone: it replaces all overrides")
    violations = [*_misfits(values), *unknown(cleared)]
    if violations:
        raise InvalidRequest(violations)


def unknown(paths: Iterable[str]) -> Iterator[Violation]:
    """Yield a violation for each path that names no setting."""
    for path in paths:
        if path in SECRET_NAMES:
            yield Violation(path, "SECRET", "is a secret, not a setting: it is set by SetSecret")
        elif problem := path_problem(path, whole=False):
            yield Violation(path, "UNKNOWN_PATH", problem)


def _misfits(values: Mapping[str, Any]) -> Iterator[Violation]:
    for path, value in values.items():
        if path == EVERYTHING:
            yield from _lost(value)
        elif problems := list(unknown([path])):
            yield from problems
        elif value is not None and not _fits(tuple(path.split(".")), value):
            yield Violation(path, "TYPE", "the value does not fit the setting's type")


def _lost(document: Any) -> Iterator[Violation]:
    if not isinstance(document, Mapping) or _sent(dict(document)) != document:
        yield Violation(EVERYTHING, "TYPE", "takes a document of known settings in their types")


def _fits(path: Path, value: Any) -> bool:
    """Tell whether the message carries a value as it is; what it cannot carry it would drop."""
    sent = find(_sent(put({}, path, value)), path)
    return bool(sent == value or (sent is None and value == empty(path)))


def _sent(document: Document) -> Document:
    try:
        return to_document(to_message(document, MatchingConfig()))
    except (TypeError, ValueError, AttributeError):
        return {}


def _struct(evidence: Mapping[str, Any]) -> Struct:
    struct = Struct()
    try:
        struct.update(dict(evidence))
    except (TypeError, ValueError, AttributeError):
        raise invalid("evidence", "TYPE", "takes what JSON can hold, by name") from None
    return struct
