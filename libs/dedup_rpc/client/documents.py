"""Whole documents out of messages, in which an empty list or map is the same as none."""

from typing import Any

from google.protobuf.message import Message

from dedup_model.change import annotation_at
from dedup_model.matching_config import SCHEMA_VERSION
from dedup_model.tree import Document, Path, entry_of, find, is_list, leaf_paths, put
from dedup_rpc.wire import to_document


def empty(path: Path) -> Any:
    """Return what is absent in a message though it is there: an empty list or map; else None."""
    annotation = annotation_at(path)
    return [] if is_list(annotation) else {} if entry_of(annotation) else None


def effective(message: Message, schema_version: int) -> Document:
    """Return an effective config: a list or map that is absent is empty, not inherited.

    Of an older release's settings an absent one may be new, so that its default holds.
    """
    document = to_document(message)
    return document if schema_version < SCHEMA_VERSION else _filled(document, list(leaf_paths()))


def overrides(message: Message, provenance: dict[str, str]) -> Document:
    """Return overrides, with those that are an empty list or map."""
    overridden = [path for path in leaf_paths() if provenance.get(".".join(path)) == "override"]
    return _filled(to_document(message), overridden)


def _filled(document: Document, paths: list[Path]) -> Document:
    for path in paths:
        if find(document, path) is None and (nothing := empty(path)) is not None:
            document = put(document, path, nothing)
    return document
