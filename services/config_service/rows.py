"""Between rows of the settings tables and the service's values."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_

from config_service.cipher import Cell, KeyRing, StoreKey
from config_service.revision import Origin, Revision, Story
from config_service.state import HistoryFilter, SecretStatus
from config_service.tables import REVISIONS
from dedup_model.errors import CiphertextInvalid


@contextmanager
def legible(table: str, row: object) -> Iterator[None]:
    """Turn columns in clear that hold what nobody wrote there into `CiphertextInvalid`."""
    try:
        yield
    except (ValueError, TypeError):
        raise CiphertextInvalid("a row is damaged", table=table, row=str(row)) from None


def stamped(moment: datetime) -> str:
    """Return a time as the tables keep it: texts that sort as the times do."""
    return moment.isoformat(timespec="microseconds")


def store_key_cell(store_id: str) -> Cell:
    """Return the place of the store's own key."""
    return Cell(store_id, "config_settings", "store_key", "1")


def audit_head_cell(store_id: str, revision: int) -> Cell:
    """Return the place of the audit log's end, bound to the head's revision."""
    return Cell(store_id, "config_settings", "audit_head", "1", revision)


def revision_cell(store_id: str, number: int) -> Cell:
    """Return the place of a revision's document."""
    return Cell(store_id, "config_revisions", "document", str(number))


def secret_cell(store_id: str, name: str, version: int) -> Cell:
    """Return the place of a secret's value."""
    return Cell(store_id, "config_secrets", "value", name, version)


def answer_cell(store_id: str, principal: str, request_id: str) -> Cell:
    """Return the place of the answer to a request."""
    return Cell(store_id, "idempotency_keys", "answer", f"{request_id} {principal}")


def report_cell(store_id: str, principal: str, instance_id: str, reported_at: str) -> Cell:
    """Return the place of a client's report, bound to its time: an older one is not this one."""
    return Cell(store_id, "client_status", "report", f"{instance_id} {reported_at} {principal}")


def head_values(revision: Revision) -> dict[str, Any]:
    """Return what the head row says of its revision."""
    return {
        "revision": revision.number,
        "updated_at": stamped(revision.created_at),
        "updated_by": revision.author,
    }


def clear_values(story: Story) -> dict[str, Any]:
    """Return a revision's columns without its document."""
    return {
        "revision": story.number,
        "origin": str(story.origin),
        "created_at": stamped(story.created_at),
        "author": story.author,
        "reason": story.reason,
        "changed_paths": json.dumps(story.changed_paths),
        "digest": story.digest,
        "schema_version": story.schema_version,
    }


def story(row: Row[Any]) -> dict[str, Any]:
    """Return the fields of a `Story`; raises `CiphertextInvalid` for a damaged row."""
    with legible("config_revisions", row.revision):
        return {
            "number": row.revision,
            "origin": Origin(row.origin) if row.origin in set(Origin) else row.origin,
            "created_at": datetime.fromisoformat(row.created_at),
            "author": row.author,
            "reason": row.reason,
            "changed_paths": tuple(json.loads(row.changed_paths)),
            "digest": row.digest,
            "schema_version": row.schema_version,
        }


def secret_status(name: str, row: Row[Any] | None) -> SecretStatus:
    """Return what a row says of a secret; no row means that it was never set."""
    if row is None:
        return SecretStatus(name)
    with legible("config_secrets", name):
        set_at = datetime.fromisoformat(row.set_at)
    return SecretStatus(
        name, row.value is not None, row.version, row.key_id, row.fingerprint, set_at, row.set_by
    )


def secret_value(row: Row[Any], store_id: str, ring: KeyRing, key: StoreKey) -> bytes:
    """Return a secret's value, opened.

    Raises `CiphertextInvalid` also for the value that the same version had before a restore.
    """
    value = ring.open(row.value, secret_cell(store_id, row.name, row.version))
    if key.fingerprint(value) != row.fingerprint:
        raise CiphertextInvalid("a secret's fingerprint is not its value's", row=row.name)
    return value


def secret_values(status: SecretStatus) -> dict[str, Any]:
    """Return a secret's columns without its name and value."""
    return {
        "version": status.version,
        "key_id": status.key_id,
        "fingerprint": status.fingerprint,
        "set_at": status.set_at.isoformat() if status.set_at else "",
        "set_by": status.set_by,
    }


def conditions(only: HistoryFilter) -> list[ColumnElement[bool]]:
    """Return what a history's filter asks of the table."""
    table, found = REVISIONS.c, []
    if only.author:
        found.append(table.author == only.author)
    if only.path_prefix:
        # not LIKE: it heeds case in PostgreSQL alone
        paths, begins = table.changed_paths, (f'"{only.path_prefix}{end}' for end in '".')
        found.append(or_(*(func.replace(paths, text, "") != paths for text in begins)))
    if only.created_from:
        found.append(table.created_at >= stamped(only.created_from))
    if only.created_until:
        found.append(table.created_at < stamped(only.created_until))
    return found
