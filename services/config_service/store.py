"""The settings table and its history: the only code that runs SQL on them.

Every write is one transaction that takes the head's lock first, so revisions are contiguous and no
update is lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeAlias

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from config_service.cipher import KeyRing
from config_service.database import lock_store, transaction
from config_service.idempotency import Claim
from config_service.revision import Layers, Revision, Story, first
from config_service.state import HistoryFilter, State
from config_service.transaction import Edit, Transaction, has_head
from dedup_model.errors import RevisionNotFound, StoreUnavailable

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


class Store:
    """The database of one ConfigService; blocking, safe for many threads."""

    def __init__(self, engine: Engine, ring: KeyRing, clock: Clock = utc_now) -> None:
        self._engine, self._ring, self._clock = engine, ring, clock

    def create(self, layers: Layers, author: str) -> None:
        """Write revision 1 under a new store id and epoch, unless there is a head already."""
        with self._transaction(writes=True) as opened:
            lock_store(opened.connection)
            if not has_head(opened.connection):
                opened.create(first(layers, author, self._clock()))

    def stamp(self) -> tuple[str, int]:
        """Return the head's epoch and revision: one indexed read."""
        with self._transaction() as opened:
            head = opened.head
            return head.epoch, head.revision

    def state(self) -> State:
        """Return the present state."""
        with self._transaction() as opened:
            return opened.state()

    def revision(self, number: int, epoch: str | None = None) -> Revision:
        """Return one revision; raises `RevisionNotFound` or `FutureRevision`.

        With an `epoch` it is looked for in that one alone.
        """
        with self._transaction() as opened:
            if epoch is not None and opened.head.epoch != epoch:
                raise RevisionNotFound("the store is in another epoch")
            return opened.revision(number)

    def page(self, before: int | None, size: int, only: HistoryFilter | None = None) -> list[Story]:
        """Return up to `size` revisions below `before`, newest first, without their configs."""
        with self._transaction() as opened:
            return opened.page(before, size, only or HistoryFilter())

    def new_epoch(self) -> str:
        """Begin another epoch, after the database was restored; returns its name."""
        with self._transaction(writes=True) as opened:
            return opened.new_epoch(self._clock())

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

    def open_secret(self, name: str) -> tuple[str, int]:
        """Return a secret's value and version; raises `SecretNotSet`."""
        with self._transaction() as opened:
            return opened.open_secret(name)

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator["Transaction"]:
        try:
            with transaction(self._engine, writes=writes) as connection:
                yield Transaction(connection, self._ring, writes=writes)
        except (DBAPIError, PoolTimeoutError) as error:
            kind = type(getattr(error, "orig", None) or error).__name__
            raise StoreUnavailable("the settings store does not answer", kind=kind) from None
