"""One database transaction on the settings table: everything that runs in it."""

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from config_service import rows
from config_service.audit import AuditLog, Entry, revision_entry, secret_facts
from config_service.cipher import KeyRing, StoreKey
from config_service.idempotency import Claim, Ledger
from config_service.revision import Draft, Layers, Origin, Revision, Story
from config_service.state import HistoryFilter, SecretEdit, SecretStatus, State
from config_service.tables import REVISIONS, SECRETS, SETTINGS
from dedup_model import tree
from dedup_model.errors import (
    CiphertextInvalid,
    FutureRevision,
    RevisionCompacted,
    RevisionNotFound,
    SecretNotSet,
    StoreUnavailable,
)
from dedup_model.matching_config import SECRET_NAMES

Edit: TypeAlias = Callable[["Transaction", State], Draft | SecretEdit | None]
"""Given the locked head, says what to append; None appends nothing."""


class Transaction:
    """One database transaction with everything that runs in it."""

    def __init__(
        self, connection: Connection, ring: Callable[[], KeyRing], *, writes: bool
    ) -> None:
        self.connection, self._give_ring, self._writes = connection, ring, writes
        # No functools.cached_property: before Python 3.12 all instances share its lock, and `head` waits.
        self._ring: KeyRing | None = None
        self._head: Row[Any] | None = None
        self._key: StoreKey | None = None

    @property
    def ring(self) -> KeyRing:
        """Return the ring that this transaction seals and opens with; raises `KeyringUnavailable`.

        One that writes locks first: while it waits, its ring could be promoted and retired.
        """
        if self._ring is None:
            if self._writes:
                self.lock()
            self._ring = self._give_ring()
        return self._ring

    @property
    def head(self) -> Row[Any]:
        """Return the head row; in a transaction that writes it is locked until its end."""
        self.lock()
        if self._head is None:
            self._give_ring()  # a service that is sealed from its first day on says so
            raise StoreUnavailable("the settings store holds no settings; run the migration")
        return self._head

    def lock(self) -> None:
        """Read the head row, if there is one; in a transaction that writes no other one passes."""
        if self._head is None:
            query = select(SETTINGS).with_for_update() if self._writes else select(SETTINGS)
            self._head = self.connection.execute(query).first()

    def update_head(self, **values: Any) -> None:
        """Write columns of the head row."""
        self.connection.execute(update(SETTINGS).values(values))
        self._head = None

    @property
    def store_key(self) -> StoreKey:
        """Return the store's own key; opening it proves the ring."""
        if self._key is None:
            head = self.head
            cell = rows.store_key_cell(head.store_id)
            self._key = StoreKey(self.ring.open(head.store_key, cell))
        return self._key

    @property
    def audit(self) -> AuditLog:
        """Return the audit log."""
        return AuditLog(self.connection, self.ring, self.store_key)

    def record(self, entry: Entry, now: datetime, **head: Any) -> None:
        """Add an event to the audit log, and give the head row what comes with it."""
        revision = head.get("revision", self.head.revision)
        end = self.audit.append(self.head, entry, now, revision)
        self.update_head(audit_head=end, **head)

    def prove(self) -> None:
        """Open what nothing works without: the present settings, and the store's own key.

        A store of a release before the audit log has no such key.
        """
        head = self.head
        if head.store_key is not None:
            self.store_key  # noqa: B018
        query = select(REVISIONS.c.document).where(REVISIONS.c.revision == head.revision)
        cell = rows.revision_cell(head.store_id, head.revision)
        self.ring.open(self.connection.execute(query).scalar(), cell)

    def state(self) -> State:
        """Return the head's state."""
        head = self.head
        revision = self.revision(head.revision)
        found = {row.name: row for row in self.connection.execute(select(SECRETS))}
        secrets = tuple(rows.secret_status(name, found.get(name)) for name in SECRET_NAMES)
        return State(head.epoch, revision, secrets)

    def secret_key_ids(self) -> dict[str, str]:
        """Return by name which keys seal the secrets that are set."""
        query = select(SECRETS.c.name, SECRETS.c.key_id)
        found = self.connection.execute(query.where(SECRETS.c.value.is_not(None))).all()
        return {row.name: row.key_id for row in found if row.name in SECRET_NAMES}

    def revision(self, number: int) -> Revision:
        """Return one revision, opened."""
        ring, head = self.ring, self.head  # a sealed service knows of none, whatever is there
        if number > head.revision:
            text = "the revision lies beyond the head of this epoch"
            raise FutureRevision(text, head=str(head.revision))
        if 1 <= number <= head.compacted_through:
            first = str(head.compacted_through + 1)
            raise RevisionCompacted("the revision was removed for its age", first=first)
        query = select(REVISIONS).where(REVISIONS.c.revision == number)
        row = self.connection.execute(query).first()
        if row is None:
            raise RevisionNotFound("there is no such revision", head=str(head.revision))
        return self._opened(ring, head.store_id, row)

    def page(self, before: int | None, size: int, only: HistoryFilter) -> list[Story]:
        """Return up to `size` revisions below `before` that a filter lets through, newest first."""
        query = select(REVISIONS).order_by(REVISIONS.c.revision.desc()).limit(size)
        if before is not None:
            query = query.where(REVISIONS.c.revision < before)
        query = query.where(*rows.conditions(only))
        return [Story(**rows.story(row)) for row in self.connection.execute(query)]

    def changed_since(self, number: int) -> list[str]:
        """Return the paths that revisions after `number` changed, sorted."""
        query = select(REVISIONS.c.changed_paths).where(REVISIONS.c.revision > number)
        texts = self.connection.execute(query).scalars()
        return sorted({path for text in texts for path in json.loads(text)})

    def new_epoch(self, author: str, now: datetime) -> str:
        """Give the head another epoch: revisions, etags and cursors count anew."""
        epoch = str(uuid.uuid4())
        self.head  # noqa: B018  (takes the lock)
        self.update_head(epoch=epoch, updated_at=rows.stamped(now))
        self.record(Entry(author, "new-epoch", self.head.revision, {}), now)
        return epoch

    def create(self, revision: Revision) -> None:
        """Write the first revision under new identifiers."""
        store_id, epoch = str(uuid.uuid4()), str(uuid.uuid4())
        self._insert(store_id, revision)
        values = {"id": 1, "store_id": store_id, "epoch": epoch, **rows.head_values(revision)}
        self.connection.execute(insert(SETTINGS).values(values))

    def compact(self, through: int, author: str, now: datetime) -> int:
        """Remove the revisions up to a number, never the head; returns how many."""
        through = min(through, self.head.revision - 1)
        gone = self.connection.execute(delete(REVISIONS).where(REVISIONS.c.revision <= through))
        if gone.rowcount:
            entry = Entry(author, "compact", through, {"removed": str(gone.rowcount)})
            self.record(entry, now, compacted_through=through)
        return gone.rowcount

    def newest_before(self, moment: datetime) -> int:
        """Return the number of the last revision that was made before a moment; 0 for none."""
        query = select(func.max(REVISIONS.c.revision))
        found = self.connection.execute(
            query.where(REVISIONS.c.created_at < rows.stamped(moment))
        ).scalar()
        return found or 0

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
        ledger = Ledger(self.connection, self.ring, self.store_key, self.head.store_id)
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
            secret = self._write_secret(before, wanted, now)
            secrets = tuple(secret if s.name == secret.name else s for s in before.secrets)
            draft, facts = _secret_draft(before, wanted), secret_facts(secret)
        else:
            draft, secrets, facts = wanted, before.secrets, {}
        revision = before.revision.next(draft, now)
        if store:
            self._insert(self.head.store_id, revision)
            entry = revision_entry(revision, draft.action, facts)
            self.record(entry, now, **rows.head_values(revision))
        return State(before.epoch, revision, secrets)

    def open_secret(self, name: str) -> tuple[str, int]:
        """Return a secret's value and version; raises `SecretNotSet`."""
        key = self.store_key  # a sealed service does not know whether the secret is set
        row = self.connection.execute(select(SECRETS).where(SECRETS.c.name == name)).first()
        if row is None or row.value is None:
            raise SecretNotSet("the secret is not set", secret=name)
        value = rows.secret_value(row, self.head.store_id, self.ring, key)
        return value.decode(), row.version

    def _write_secret(self, before: State, edit: SecretEdit, now: datetime) -> SecretStatus:
        old = before.secret(edit.name)
        value = edit.value.encode() if edit.value is not None else None
        new = SecretStatus(
            name=edit.name,
            is_set=value is not None,
            version=old.version + 1,
            key_id=self.ring.primary if value else "",
            fingerprint=self.store_key.fingerprint(value) if value else "",
            set_at=now,
            set_by=edit.author,
        )
        self._store_secret(old.version == 0, new, value)
        return new

    def _store_secret(self, is_new: bool, status: SecretStatus, value: bytes | None) -> None:
        cell = rows.secret_cell(self.head.store_id, status.name, status.version)
        sealed = self.ring.seal(value, cell) if value else None
        values = {"value": sealed, **rows.secret_values(status)}
        if is_new:
            self.connection.execute(insert(SECRETS).values(name=status.name, **values))
        else:
            where = SECRETS.c.name == status.name
            self.connection.execute(update(SECRETS).where(where).values(values))

    def _insert(self, store_id: str, revision: Revision) -> None:
        cell = rows.revision_cell(store_id, revision.number)
        sealed = self.ring.seal(tree.canonical_json(revision.document()), cell)
        values = {**rows.clear_values(revision), "document": sealed}
        self.connection.execute(insert(REVISIONS).values(values))

    def _opened(self, ring: KeyRing, store_id: str, row: Row[Any]) -> Revision:
        cell = rows.revision_cell(store_id, row.revision)
        document = json.loads(ring.open(row.document, cell))
        evidence = document.pop("evidence", None)
        if tree.digest(document["effective"]) != row.digest:
            raise CiphertextInvalid("a revision's digest is not its document's", row=cell.row)
        return Revision(**rows.story(row), layers=Layers(**document), evidence=evidence)


def has_head(connection: Connection) -> bool:
    """Tell whether a migrated database holds settings yet."""
    return connection.execute(select(SETTINGS.c.id)).first() is not None


def is_empty(connection: Connection) -> bool:
    """Tell whether a migrated database was never written to."""
    return not has_head(connection) and not connection.execute(select(REVISIONS.c.revision)).first()


def is_ready(connection: Connection) -> bool:
    """Tell whether the settings have their own key and audit log: the last step of a migration."""
    return connection.execute(select(SETTINGS.c.store_key)).scalar() is not None


def _secret_draft(before: State, edit: SecretEdit) -> Draft:
    return Draft(
        before.revision.layers,
        Origin.SECRET,
        edit.author,
        edit.reason,
        edit.action,
        (f"secrets.{edit.name}",),
    )
