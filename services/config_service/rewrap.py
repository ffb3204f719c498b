"""Every sealed cell of a store: counted by key, opened, sealed anew under the key that writes."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, and_, func, select, update

from config_service import rows
from config_service.cipher import FERNET, PLAIN, PREFIX, Cell, KeyRing, key_id_of
from config_service.tables import CLIENTS, IDEMPOTENCY, REVISIONS, SECRETS, SETTINGS
from dedup_model.errors import CiphertextInvalid, KeyNotInRing, PlaintextRefused

KEY_ID_END = len(PREFIX) + 14
BATCH = 200


@dataclass(frozen=True)
class Place:
    """One column of sealed cells, and how a row's cell is bound to its place."""

    table: Table
    column: Column[Any]
    cell: Callable[[str, Row[Any]], Cell]
    also: Callable[[str], Mapping[str, str]] = lambda key_id: {}

    @property
    def keys(self) -> list[Column[Any]]:
        """Return the columns that name a row."""
        return list(self.table.primary_key.columns)


PLACES = (
    Place(SETTINGS, SETTINGS.c.store_key, lambda store, row: rows.store_key_cell(store)),
    Place(
        SETTINGS,
        SETTINGS.c.audit_head,
        lambda store, row: rows.audit_head_cell(store, row.revision),
    ),
    Place(
        SECRETS,
        SECRETS.c.value,
        lambda store, row: rows.secret_cell(store, row.name, row.version),
        lambda key_id: {"key_id": key_id},
    ),
    Place(
        CLIENTS,
        CLIENTS.c.report,
        lambda store, row: rows.report_cell(store, row.principal, row.instance_id, row.reported_at),
    ),
    Place(
        IDEMPOTENCY,
        IDEMPOTENCY.c.answer,
        lambda store, row: rows.answer_cell(store, row.principal, row.request_id),
    ),
    Place(
        REVISIONS, REVISIONS.c.document, lambda store, row: rows.revision_cell(store, row.revision)
    ),
)


@dataclass(frozen=True)
class Cells:
    """The sealed cells of a store as one transaction sees them."""

    connection: Connection
    ring: KeyRing
    store_id: str

    def batch(self, size: int = BATCH) -> int:
        """Seal up to `size` cells anew; returns how many, 0 when none is left.

        A cell that somebody writes meanwhile stays as written: it is compared and set. One that
        does not open stops nothing, until it is among the last: then its error is raised.
        """
        sealed, unopened = 0, None
        for place, row in self._stale(BATCH):
            try:
                sealed += self._sealed_anew(place, row)
            except (CiphertextInvalid, KeyNotInRing, PlaintextRefused) as error:
                unopened = error
            if sealed >= size:
                break
        if unopened and not sealed:
            raise unopened
        return sealed

    def _stale(self, size: int) -> Iterator[tuple[Place, Row[Any]]]:
        for place in PLACES:
            fresh = f"{PREFIX}.{self.ring.primary}."
            query = select(place.table).where(
                place.column.is_not(None), ~place.column.startswith(fresh, autoescape=True)
            )
            found = self.connection.execute(query.limit(size)).all()
            yield from ((place, row) for row in found)
            size -= len(found)
            if size <= 0:
                return

    def _sealed_anew(self, place: Place, row: Row[Any]) -> int:
        cell, old = place.cell(self.store_id, row), row._mapping[place.column]
        token = self.ring.seal(self.ring.open(old, cell), cell)
        same = and_(place.column == old, *(key == row._mapping[key] for key in place.keys))
        values = {place.column.name: token, **place.also(self.ring.primary)}
        return self.connection.execute(update(place.table).where(same).values(values)).rowcount

    def unopened(self) -> Generator[str, None, None]:
        """Open every cell; yields a sentence for each one that does not open."""
        for place in PLACES:
            query = select(place.table).where(place.column.is_not(None))
            query = query.execution_options(yield_per=BATCH)
            with self.connection.execute(query) as found:
                for row in found:
                    yield from self._problem(place, row)

    def _problem(self, place: Place, row: Row[Any]) -> Iterator[str]:
        cell = place.cell(self.store_id, row)
        try:
            self.ring.open(row._mapping[place.column], cell)
        except (CiphertextInvalid, KeyNotInRing, PlaintextRefused) as error:
            yield f"{cell.table}.{cell.column} of row {cell.row}: {error.message}"


def counts(connection: Connection) -> Counter[str]:
    """Return how many cells each key seals, by key id; legacy cells as `fernet` and `plain`."""
    found: Counter[str] = Counter()
    for place in PLACES:
        head = func.substr(place.column, 1, KEY_ID_END).label("head")
        query = select(head, func.count()).where(place.column.is_not(None)).group_by(head)
        for beginning, count in connection.execute(query):
            found[_key(beginning)] += count
    return found


def _key(beginning: str) -> str:
    known = beginning.startswith((f"{PREFIX}.", FERNET, PLAIN))
    return key_id_of(beginning) if known else "unknown"
