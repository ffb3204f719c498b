"""A store's own key and audit log, for a store that has none yet: a new one, or an older release's."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from config_service import rows
from config_service.audit import AuditLog, Entry, revision_entry, secret_facts
from config_service.cipher import StoreKey
from config_service.revision import Story
from config_service.state import SecretStatus
from config_service.tables import REVISIONS, SECRETS
from config_service.transaction import Transaction


def adopt(opened: Transaction, now: datetime) -> None:
    """Give a store its key, and its log an event for all that it holds; unless it has them."""
    head = opened.head
    if head.store_key is not None:
        return
    key = StoreKey.new()
    log = AuditLog(opened.connection, opened.ring, key)
    opened.update_head(
        store_key=opened.ring.seal(key.value, rows.store_key_cell(head.store_id)),
        audit_head=log.sealed_end(head.store_id, head.revision),
    )
    for row in opened.connection.execute(select(REVISIONS).order_by(REVISIONS.c.revision)).all():
        story = Story(**rows.story(row))
        opened.record(revision_entry(story, "migrate" if story.number == 1 else "adopted"), now)
    for row in opened.connection.execute(select(SECRETS)).all():
        status = _with_fingerprint(opened, row)
        opened.record(Entry(row.set_by, "adopted", 0, secret_facts(status)), now)


def _with_fingerprint(opened: Transaction, row: Row[Any]) -> SecretStatus:
    """Give a secret a fingerprint under the store's own key; returns its status."""
    status = rows.secret_status(row.name, row)
    if row.value is None:
        return status
    cell = rows.secret_cell(opened.head.store_id, row.name, row.version)
    fingerprint = opened.store_key.fingerprint(opened.ring.open(row.value, cell))
    named = SECRETS.c.name == row.name
    opened.connection.execute(update(SECRETS).where(named).values(fingerprint=fingerprint))
    return replace(status, fingerprint=fingerprint)
