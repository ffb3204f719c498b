"""The last good snapshot on disk: one file, mode 0600, checksummed, without secrets."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from dedup_model import rules, tree
from dedup_model.errors import InvalidRequest
from dedup_model.snapshot import Snapshot

FILE = "last-good.json"


def save(folder: Path, snapshot: Snapshot, contact: float) -> None:
    """Write a snapshot with the time of contact (seconds since 1970); replaces the file at once."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "epoch": snapshot.epoch,
        "revision": snapshot.revision,
        "digest": snapshot.digest,
        "schema_version": snapshot.schema_version,
        "config": tree.dump(snapshot.config),
        "contact": contact,
    }
    document = {"body": body, "checksum": _checksum(body)}
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=FILE)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(folder / FILE)


def load(folder: Path) -> tuple[Snapshot, float] | None:
    """Return the snapshot and its time of contact, or None when there is no intact one."""
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        body = document["body"]
        if document["checksum"] != _checksum(body):
            return None
        config, ignored = rules.read(body["config"])
        return _snapshot(body, config, tuple(ignored)), float(body["contact"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidRequest):
        return None


def _snapshot(body: dict[str, Any], config: Any, ignored: tuple[str, ...]) -> Snapshot:
    return Snapshot(
        epoch=body["epoch"],
        revision=body["revision"],
        digest=body["digest"],
        config=config,
        schema_version=body["schema_version"],
        ignored_paths=ignored,
    )


def _checksum(body: Any) -> str:
    return hashlib.sha256(tree.canonical_json(body)).hexdigest()
