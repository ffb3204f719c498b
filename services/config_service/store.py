"""The settings table and its history: the only way to the database.

Every write is one transaction that takes the head's lock first, so revisions are contiguous and no
update is lost.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeAlias

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from config_service import rewrap
from config_service.adoption import adopt
from config_service.audit import AuditEvent, AuditFilter, Entry
from config_service.audit_check import MAX_FINDINGS, Check, Known, Verdict
from config_service.cipher import KeyRing
from config_service.clients import LIVE, Client
from config_service.database import DISK_FULL, DatabaseError, lock_store, name_of, transaction
from config_service.idempotency import KEPT, Claim
from config_service.keyring import Keyring
from config_service.replicas import Replicas
from config_service.reports import Reports
from config_service.retention import Retention
from config_service.revision import Layers, Revision, Story, first
from config_service.state import HistoryFilter, State
from config_service.transaction import Edit, Transaction, has_head, is_ready
from dedup_model.errors import DedupError, DiskFull, RevisionNotFound, StoreUnavailable
from dedup_model.reports import StatusReport

LOG = logging.getLogger("event_dedup.config.store")
Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


class Store:
    """The database of one ConfigService; blocking, safe for many threads."""

    def __init__(self, engine: Engine, keyring: Keyring, clock: Clock = utc_now) -> None:
        self._engine, self.keyring, self._clock = engine, keyring, clock
        self._replica_id = str(uuid.uuid4())

    def create(self, layers: Layers, author: str) -> None:
        """Write revision 1 under a new store id and epoch, unless there is a head already.

        Gives a store of a release without them its own key and its audit log.
        """
        with self._transaction(writes=True) as opened:
            lock_store(opened.connection)
            if not has_head(opened.connection):
                opened.create(first(layers, author, self._clock()))
            adopt(opened, self._clock())

    def stamp(self) -> tuple[str, int]:
        """Return the head's epoch and revision: one indexed read."""
        with self._transaction() as opened:
            head = opened.head
            return head.epoch, head.revision

    def secret_key_ids(self) -> dict[str, str]:
        """Return by name which keys seal the secrets that are set."""
        with self._transaction() as opened:
            return opened.secret_key_ids()

    def state(self) -> State:
        """Return the present state."""
        with self._transaction() as opened:
            return opened.state()

    def revision(self, number: int, epoch: str | None = None) -> Revision:
        """Return one revision.

        Raises `RevisionNotFound`, `RevisionCompacted` or `FutureRevision`. With an `epoch` it is
        looked for in that one alone.
        """
        with self._transaction() as opened:
            if epoch is not None and opened.head.epoch != epoch:
                raise RevisionNotFound("the store is in another epoch")
            return opened.revision(number)

    def page(self, before: int | None, size: int, only: HistoryFilter | None = None) -> list[Story]:
        """Return up to `size` revisions below `before`, newest first, without their configs."""
        with self._transaction() as opened:
            return opened.page(before, size, only or HistoryFilter())

    def new_epoch(self, author: str) -> str:
        """Begin another epoch, after the database was restored; returns its name."""
        with self._transaction(writes=True) as opened:
            return opened.new_epoch(author, self._clock())

    def apply(
        self, edit: Edit, *, validate_only: bool = False, claim: Claim | None = None
    ) -> tuple[State, State]:
        """Run one edit on the locked head; returns the states before and after.

        With `validate_only` the state after is what would be stored, and `claim` does not count.
        With a `claim` the first answer to it is returned when there is one.
        """
        if validate_only:
            with self._transaction() as opened:
                return opened.apply(edit, self._clock(), store=False)
        with self._transaction(writes=True) as opened:
            if claim is None:
                return opened.apply(edit, self._clock(), store=True)
            return opened.apply_once(edit, self._clock(), claim)

    def access_secret(self, name: str, reader: str, known_version: int = 0) -> tuple[str, int]:
        """Return a secret's value and version, after the audit log holds who read it.

        The value is empty, and nothing is recorded, when the version is the known one. Raises
        `SecretNotSet`.
        """
        with self._transaction(writes=True) as opened:
            value, version = opened.open_secret(name)
            if version == known_version:
                return "", version
            facts = {"secret": name, "version": str(version)}
            entry = Entry(reader, "AccessSecret", opened.head.revision, facts)
            opened.record(entry, self._clock())
        return value, version

    def audit_page(self, before: int | None, size: int, only: AuditFilter) -> list[AuditEvent]:
        """Return up to `size` events of the audit log below `before`, newest first."""
        with self._transaction() as opened:
            return opened.audit.page(before, size, only)

    def verify_audit(self, known: Known | None = None) -> Verdict:
        """Check the audit log against itself, the history, the secrets and a noted event."""
        with self._transaction() as opened:
            return Check(opened.audit, opened.head, known or Known()).verdict()

    def report(self, principal: str, report: StatusReport) -> None:
        """Keep what a running matcher says of itself."""
        with self._transaction(writes=True) as opened:
            store_id = opened.head.store_id
            opened.prove()  # all else that is written is sealed beside something that was opened
            Reports(opened.connection, opened.ring, store_id).save(principal, report, self._clock())

    def clients(self) -> list[Client]:
        """Return who reported within a day."""
        with self._transaction() as opened:
            return self._clients(opened)

    def _clients(self, opened: Transaction) -> list[Client]:
        reports = Reports(opened.connection, opened.ring, opened.head.store_id)
        return list(reports.clients(self._clock()))

    def compact(self, retention: Retention, author: str) -> int:
        """Remove revisions that nobody needs any more; returns how many.

        Kept are the newest ones, the young ones, those that a live client runs, and those that the
        answer to a repeated request may show.
        """
        now = self._clock()
        with self._transaction(writes=True) as opened:
            head = opened.head
            applied = [
                client.report.applied_revision
                for client in self._clients(opened)
                if client.report.epoch == head.epoch and client.reported_at > now - LIVE
            ]
            # the first answer of the last day begins from the revision that held before it
            shown = opened.newest_before(now - KEPT - timedelta(hours=1))
            old = min(opened.newest_before(now - retention.age), shown - 1)
            through = retention.through(head.revision, old, [n for n in applied if n])
            return opened.compact(through, author, now)

    def rewrap(self, author: str, max_cells: int = 0) -> tuple[int, int]:
        """Seal cells anew under the key that writes, batch by batch; returns how many, how many remain.

        Raises `CiphertextInvalid`, `KeyNotInRing` or `PlaintextRefused` after all that open.
        """
        done = 0
        while sealed := self._rewrap_batch(author, max_cells - done if max_cells else rewrap.BATCH):
            done += sealed
            if max_cells and done >= max_cells:
                break
        return done, self._remaining()

    def _rewrap_batch(self, author: str, size: int) -> int:
        with self._transaction(writes=True) as opened:
            ring, head = opened.ring, opened.head
            sealed = rewrap.Cells(opened.connection, ring, head.store_id).batch(size)
            if sealed:
                facts = {"cells": str(sealed), "key_id": ring.primary}
                opened.record(Entry(author, "Rewrap", head.revision, facts), self._clock())
        return sealed

    def _remaining(self) -> int:
        writes = self.keyring.ring().primary
        return sum(count for key_id, count in self.cells().items() if key_id != writes)

    def cells(self) -> Counter[str]:
        """Return how many cells each key seals, by key id."""
        with self._transaction() as opened:
            return rewrap.counts(opened.connection)

    def unopened(self) -> list[str]:
        """Open every cell with the ring in use; returns a sentence for each that does not open."""
        with self._transaction() as opened:
            cells = rewrap.Cells(opened.connection, opened.ring, opened.head.store_id)
            with closing(cells.unopened()) as found:
                return list(islice(found, MAX_FINDINGS))

    def prove(self, ring: KeyRing) -> None:
        """Open what nothing works without; raises `KeyNotInRing` or `CiphertextInvalid`."""
        with self._connection() as connection:
            if has_head(connection):
                Transaction(connection, lambda: ring, writes=False).prove()

    def key_ids(self) -> Collection[str]:
        """Return the ids of the keys that seal something, after all that is being written."""
        with self._transaction(writes=True) as opened:
            opened.lock()
            return rewrap.counts(opened.connection).keys()

    def is_ready(self) -> bool:
        """Tell whether there are settings, with their own key and audit log."""
        with self._connection() as connection:
            return is_ready(connection)

    def announce(self) -> None:
        """Tell other replicas which keys this one holds."""
        with self._connection(writes=True) as connection:
            now = self._clock()
            Replicas(connection).announce(self._replica_id, self.keyring.held, now)

    def replicas(self) -> list[tuple[str, ...]]:
        """Return the key ids of every live replica, first the one that it seals with."""
        with self._connection() as connection:
            return Replicas(connection).held(self._clock())

    def leave(self) -> None:
        """Tell other replicas that this one ends."""
        with self._connection(writes=True) as connection:
            Replicas(connection).leave(self._replica_id)

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator["Transaction"]:
        with self._connection(writes=writes) as connection:
            yield Transaction(connection, self.keyring.ring, writes=writes)

    @contextmanager
    def _connection(self, *, writes: bool = False) -> Iterator[Connection]:
        try:
            with transaction(self._engine, writes=writes) as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError, DatabaseError) as error:
            raise _told(error) from None


def _told(error: Exception) -> DedupError:
    """Return what callers are told of a database's error: never its text."""
    if (name := name_of(error)) in DISK_FULL:
        LOG.error("the database has no room left: %s", name)
        return DiskFull("the settings store has no room left: its disk is full", kind=name)
    kind = type(getattr(error, "orig", None) or error).__name__
    return StoreUnavailable("the settings store does not answer", kind=kind)
