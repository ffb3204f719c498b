"""The audit log: who did what, each event chained to the one before.

The MAC of an event is HMAC-SHA-256 over the MAC before and the event's canonical JSON, under a key
derived from the store's own. The number and MAC of the last event are sealed in the head row, bound
to its revision, so that events cut off at the end are missed too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from config_service.cipher import KeyRing, StoreKey
from config_service.revision import Story
from config_service.rows import audit_head_cell, clear_values, legible, stamped
from config_service.state import SecretStatus
from config_service.tables import AUDIT
from dedup_model import tree

PURPOSE = "event-dedup audit"
BEFORE_FIRST = ""
SHOWN_PATHS = 20


@dataclass(frozen=True)
class Entry:
    """What somebody does, before it is in the log; `facts` hold no secret and no setting's value."""

    principal: str
    action: str
    revision: int
    facts: dict[str, str]


@dataclass(frozen=True)
class AuditEvent:
    """One event of the log."""

    sequence: int
    at: datetime
    principal: str
    action: str
    epoch: str
    revision: int
    facts: dict[str, str]
    mac: str


@dataclass(frozen=True)
class AuditFilter:
    """Which events a list shows; empty texts filter nothing."""

    principal: str = ""
    action: str = ""


@dataclass(frozen=True)
class AuditLog:
    """The log as one transaction sees it."""

    connection: Connection
    ring: KeyRing
    key: StoreKey

    def append(self, head: Row[Any], entry: Entry, now: datetime, revision: int) -> str:
        """Add an event; the caller holds the head's lock and stores the new end that is returned.

        The chain goes on where the head row says that it ends, not at the last row of the table:
        events that were cut off would not be missed otherwise. `revision` is the head's from now on.
        Raises `CiphertextInvalid` when the end does not authenticate.
        """
        sequence, before = self.end(head)
        values = {
            "sequence": sequence + 1,
            "at": stamped(now),
            "principal": entry.principal,
            "action": entry.action,
            "epoch": head.epoch,
            "revision": entry.revision,
            "facts": tree.canonical_json(entry.facts).decode(),
        }
        mac = self.mac(before, values)
        self.connection.execute(insert(AUDIT).values(**values, mac=mac))
        return self.sealed_end(head.store_id, revision, sequence + 1, mac)

    def sealed_end(
        self, store_id: str, revision: int, sequence: int = 0, mac: str = BEFORE_FIRST
    ) -> str:
        """Return the end of the log as the head row keeps it; without an event, of an empty log."""
        end = tree.canonical_json([sequence, mac])
        return self.ring.seal(end, audit_head_cell(store_id, revision))

    def end(self, head: Row[Any]) -> tuple[int, str]:
        """Return number and MAC of the last event, as the head row says."""
        cell = audit_head_cell(head.store_id, head.revision)
        sequence, mac = json.loads(self.ring.open(head.audit_head, cell))
        return sequence, mac

    def mac(self, before: str, values: dict[str, Any]) -> str:
        """Return the MAC of an event's columns that follows another MAC."""
        return self.key.hash(PURPOSE, tree.canonical_json([before, values]))

    def page(self, before: int | None, size: int, only: AuditFilter) -> list[AuditEvent]:
        """Return up to `size` events below the number `before`, newest first."""
        query = select(AUDIT).order_by(AUDIT.c.sequence.desc()).limit(size)
        if before is not None:
            query = query.where(AUDIT.c.sequence < before)
        if only.principal:
            query = query.where(AUDIT.c.principal == only.principal)
        if only.action:
            query = query.where(AUDIT.c.action == only.action)
        return [_event(row) for row in self.connection.execute(query)]


def _event(row: Row[Any]) -> AuditEvent:
    with legible("audit_events", row.sequence):
        return AuditEvent(
            row.sequence,
            datetime.fromisoformat(row.at),
            row.principal,
            row.action,
            row.epoch,
            row.revision,
            {str(name): str(fact) for name, fact in dict(json.loads(row.facts)).items()},
            row.mac,
        )


def revision_entry(story: Story, action: str, more: Mapping[str, str] = {}) -> Entry:
    """Return the entry of a new revision, with more facts of its own."""
    shown = ", ".join(story.changed_paths[:SHOWN_PATHS])
    hidden = len(story.changed_paths) - SHOWN_PATHS
    facts = {
        "changed": f"{shown} and {hidden} more" if hidden > 0 else shown,
        "reason": story.reason,
        "record": revision_record(story),
        **more,
    }
    return Entry(story.author, action, story.number, facts)


def revision_record(story: Story) -> str:
    """Return the SHA-256 of what the history says of a revision in clear, and of its config."""
    return tree.digest(clear_values(story))


def secret_record(status: SecretStatus) -> str:
    """Return the SHA-256 of what is said of a secret in clear, short of the key that seals it."""
    facts = [status.name, status.is_set, status.version, status.fingerprint, status.set_by]
    return tree.digest({"secret": [*facts, stamped(status.set_at) if status.set_at else ""]})


def secret_facts(status: SecretStatus) -> dict[str, str]:
    """Return the facts of a secret that was set or cleared."""
    facts = {"secret": status.name, "version": str(status.version)}
    return {**facts, "secret_record": secret_record(status)}
