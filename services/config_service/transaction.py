"""One database transaction on the settings table: everything that runs in it."""

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, insert, or_, select, update

from config_service.cipher import Cell, KeyRing
from config_service.idempotency import Claim, Ledger
from config_service.revision import Draft, Layers, Origin, Revision, Story
from config_service.state import HistoryFilter, SecretEdit, SecretStatus, State
from config_service.tables import REVISIONS, SECRETS, SETTINGS
from dedup_model import tree
from dedup_model.errors import (
    CiphertextInvalid,
    FutureRevision,
    RevisionNotFound,
    SecretNotSet,
    StoreUnavailable,
)
from dedup_model.matching_config import SECRET_NAMES

Edit: TypeAlias = Callable[["Transaction", State], Draft | SecretEdit | None]
"""Given the locked head, says what to append; None appends nothing."""


class Transaction:
    """One database transaction with everything that runs in it."""

    def __init__(self, connection: Connection, ring: KeyRing, *, writes: bool) -> None:
        self.connection, self._ring, self._writes = connection, ring, writes

    @property
    def head(self) -> Row[Any]:
        """Return the head row; in a transaction that writes it is locked until its end."""
        query = select(SETTINGS).with_for_update() if self._writes else select(SETTINGS)
        row = self.connection.execute(query).first()
        if row is None:
            raise StoreUnavailable("the settings store holds no settings; run the migration")
        return row

    def state(self) -> State:
        """Return the head's state."""
        head = self.head
        rows = {row.name: row for row in self.connection.execute(select(SECRETS))}
        secrets = tuple(_secret_status(name, rows.get(name)) for name in SECRET_NAMES)
        return State(head.epoch, self.revision(head.revision), secrets)

    def revision(self, number: int) -> Revision:
        """Return one revision, opened."""
        head = self.head
        if number > head.revision:
            text = "the revision lies beyond the head of this epoch"
            raise FutureRevision(text, head=str(head.revision))
        query = select(REVISIONS).where(REVISIONS.c.revision == number)
        row = self.connection.execute(query).first()
        if row is None:
            raise RevisionNotFound("there is no such revision", head=str(head.revision))
        return self._opened(head.store_id, row)

    def page(self, before: int | None, size: int, only: HistoryFilter) -> list[Story]:
        """Return up to `size` revisions below `before` that a filter lets through, newest first."""
        query = select(REVISIONS).order_by(REVISIONS.c.revision.desc()).limit(size)
        if before is not None:
            query = query.where(REVISIONS.c.revision < before)
        query = query.where(*_conditions(only))
        return [Story(**_story(row)) for row in self.connection.execute(query)]

    def changed_since(self, number: int) -> list[str]:
        """Return the paths that revisions after `number` changed, sorted."""
        query = select(REVISIONS.c.changed_paths).where(REVISIONS.c.revision > number)
        rows = self.connection.execute(query).scalars()
        return sorted({path for text in rows for path in json.loads(text)})

    def new_epoch(self, now: datetime) -> str:
        """Give the head another epoch: revisions, etags and cursors count anew."""
        epoch = str(uuid.uuid4())
        values = {"epoch": epoch, "updated_at": now.isoformat(timespec="microseconds")}
        self.connection.execute(update(SETTINGS).values(values))
        return epoch

    def create(self, revision: Revision) -> None:
        """Write the first revision under new identifiers."""
        store_id, epoch = str(uuid.uuid4()), str(uuid.uuid4())
        self._insert(store_id, revision)
        values = {"id": 1, "store_id": store_id, "epoch": epoch, **_head_values(revision)}
        self.connection.execute(insert(SETTINGS).values(values))

    def apply(self, edit: Edit, now: datetime, *, store: bool) -> tuple[State, State]:
        """Run one edit on the head; returns the states before and after."""
        before = self.state()
        before.revision.require_writable()
        wanted = edit(self, before)
        if wanted is None:
            return before, before
        return before, self.append(before, wanted, now, store=store)

    def apply_once(self, edit: Edit, now: datetime, claim: Claim) -> tuple[State, State]:
        """Run one edit unless its claim has an answer; returns the states of the first answer."""
        ledger = Ledger(self.connection, self._ring, self.head.store_id)
        states = ledger.recall(claim, now, self.revision)
        if states is None:
            states = self.apply(edit, now, store=True)
            ledger.keep(claim, now, *states)
        return states

    def append(
        self, before: State, wanted: Draft | SecretEdit, now: datetime, *, store: bool
    ) -> State:
        """Append the next revision, and the secret with it; returns the state after."""
        if isinstance(wanted, SecretEdit):
            secrets = self._write_secret(before, wanted, now)
            wanted = _secret_draft(before, wanted)
        else:
            secrets = before.secrets
        revision = before.revision.next(wanted, now)
        if store:
            self._insert(self.head.store_id, revision)
            self.connection.execute(update(SETTINGS).values(_head_values(revision)))
        return State(before.epoch, revision, secrets)

    def open_secret(self, name: str) -> tuple[str, int]:
        """Return a secret's value and version; raises `SecretNotSet`."""
        row = self.connection.execute(select(SECRETS).where(SECRETS.c.name == name)).first()
        if row is None or row.value is None:
            raise SecretNotSet("the secret is not set", secret=name)
        cell = _secret_cell(self.head.store_id, name, row.version)
        return self._ring.open(row.value, cell).decode(), row.version

    def _write_secret(
        self, before: State, edit: SecretEdit, now: datetime
    ) -> tuple[SecretStatus, ...]:
        old = next(secret for secret in before.secrets if secret.name == edit.name)
        value = edit.value.encode() if edit.value is not None else None
        new = SecretStatus(
            name=edit.name,
            is_set=value is not None,
            version=old.version + 1,
            key_id=self._ring.primary if value else "",
            fingerprint=self._ring.fingerprint(value) if value else "",
            set_at=now,
            set_by=edit.author,
        )
        self._store_secret(old.version == 0, new, value)
        return tuple(new if secret.name == new.name else secret for secret in before.secrets)

    def _store_secret(self, is_new: bool, status: SecretStatus, value: bytes | None) -> None:
        cell = _secret_cell(self.head.store_id, status.name, status.version)
        values = {
            "version": status.version,
            "value": self._ring.seal(value, cell) if value else None,
            "key_id": status.key_id,
            "fingerprint": status.fingerprint,
            "set_at": status.set_at.isoformat() if status.set_at else "",
            "set_by": status.set_by,
        }
        if is_new:
            self.connection.execute(insert(SECRETS).values(name=status.name, **values))
        else:
            where = SECRETS.c.name == status.name
            self.connection.execute(update(SECRETS).where(where).values(values))

    def _insert(self, store_id: str, revision: Revision) -> None:
        layers = revision.layers
        document = {
            "inherited": layers.inherited,
            "bootstrap": layers.bootstrap,
            "overrides": layers.overrides,
            "effective": layers.effective,
        }
        sealed = self._ring.seal(
            tree.canonical_json(document), _revision_cell(store_id, revision.number)
        )
        self.connection.execute(
            insert(REVISIONS).values(
                revision=revision.number,
                origin=str(revision.origin),
                created_at=revision.created_at.isoformat(timespec="microseconds"),
                author=revision.author,
                reason=revision.reason,
                changed_paths=json.dumps(revision.changed_paths),
                digest=revision.digest,
                schema_version=revision.schema_version,
                document=sealed,
            )
        )

    def _opened(self, store_id: str, row: Row[Any]) -> Revision:
        cell = _revision_cell(store_id, row.revision)
        document = json.loads(self._ring.open(row.document, cell))
        if tree.digest(document["effective"]) != row.digest:
            raise CiphertextInvalid("a revision's digest is not its document's", row=cell.row)
        return Revision(**_story(row), layers=Layers(**document))


def _story(row: Row[Any]) -> dict[str, Any]:
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


def has_head(connection: Connection) -> bool:
    """Tell whether a migrated database holds settings yet."""
    return connection.execute(select(SETTINGS.c.id)).first() is not None


def _head_values(revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "updated_at": revision.created_at.isoformat(timespec="microseconds"),
        "updated_by": revision.author,
    }


def _conditions(only: HistoryFilter) -> list[ColumnElement[bool]]:
    table, conditions = REVISIONS.c, []
    if only.author:
        conditions.append(table.author == only.author)
    if only.path_prefix:
        path = only.path_prefix
        found = (table.changed_paths.contains(f'"{path}{end}', autoescape=True) for end in '".')
        conditions.append(or_(*found))
    if only.created_from:
        conditions.append(table.created_at >= only.created_from.isoformat(timespec="microseconds"))
    if only.created_until:
        conditions.append(table.created_at < only.created_until.isoformat(timespec="microseconds"))
    return conditions


def _revision_cell(store_id: str, number: int) -> Cell:
    return Cell(store_id, "config_revisions", "document", str(number))


def _secret_cell(store_id: str, name: str, version: int) -> Cell:
    return Cell(store_id, "config_secrets", "value", name, version)


def _secret_status(name: str, row: Row[Any] | None) -> SecretStatus:
    if row is None:
        return SecretStatus(name)
    set_at = datetime.fromisoformat(row.set_at)
    return SecretStatus(
        name, row.value is not None, row.version, row.key_id, row.fingerprint, set_at, row.set_by
    )


def _secret_draft(before: State, edit: SecretEdit) -> Draft:
    return Draft(
        before.revision.layers,
        Origin.SECRET,
        edit.author,
        edit.reason,
        (f"secrets.{edit.name}",),
    )
