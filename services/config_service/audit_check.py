"""Whether the audit log is whole and says the same as history and secrets."""

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Row, select

from config_service.audit import BEFORE_FIRST, AuditLog, revision_record, secret_record
from config_service.revision import Story
from config_service.rows import revision_cell, secret_status, secret_value, story
from config_service.tables import AUDIT, REVISIONS, SECRETS
from dedup_model import tree
from dedup_model.errors import CiphertextInvalid, KeyNotInRing, PlaintextRefused

MAX_FINDINGS = 100
BATCH, DOCUMENTS = 1000, 100
"""Rows that are held at once, of events and of revisions with their documents."""


@dataclass(frozen=True)
class Known:
    """An event that was noted outside of the store; number 0 means none."""

    sequence: int = 0
    mac: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a check found; no findings means that everything fits."""

    events: int
    head_mac: str
    findings: tuple[str, ...]


class Check:
    """One pass over the log, the history and the secrets."""

    def __init__(self, log: AuditLog, head: Row[Any], known: Known) -> None:
        self._log, self._head, self._known = log, head, known
        self._count, self._mac = 0, BEFORE_FIRST
        self._epoch, self._compacted, self._new_epoch_at = head.epoch, 0, ""
        self._revisions: dict[int, str] = {}
        self._secrets: dict[str, str] = {}

    def verdict(self) -> Verdict:
        """Return what fits and what does not; reads every event once."""
        with closing(self._findings()) as found:
            findings = tuple(islice(found, MAX_FINDINGS))
        return Verdict(self._count, self._mac, findings)

    def _findings(self) -> Generator[str, None, None]:
        yield from self._chain()
        yield from self._end()
        yield from self._head_row()
        yield from self._history()
        yield from self._secret_rows()

    def _chain(self) -> Iterator[str]:
        query = select(AUDIT).order_by(AUDIT.c.sequence).execution_options(yield_per=BATCH)
        with self._log.connection.execute(query) as events:
            for row in events:
                yield from self._event(row)
        if self._known.sequence > self._count:
            yield f"event {self._known.sequence}, which was noted, is not there"

    def _event(self, row: Row[Any]) -> Iterator[str]:
        if row.sequence != self._count + 1:
            yield f"events {self._count + 1} to {row.sequence - 1} are missing"
        if self._follows(row):
            self._note(row)
        else:
            yield f"event {row.sequence} was altered, or does not follow the one before it"
        if row.sequence == self._known.sequence and row.mac != self._known.mac:
            yield f"event {row.sequence} is not the one that was noted"
        self._count, self._mac = row.sequence, row.mac

    def _follows(self, row: Row[Any]) -> bool:
        values = {name: value for name, value in row._mapping.items() if name != "mac"}
        try:
            return bool(row.mac == self._log.mac(self._mac, values))
        except TypeError:  # SQLite keeps what no column of this type may hold
            return False

    def _note(self, row: Row[Any]) -> None:
        """Note what an authentic event says of other tables."""
        facts = json.loads(row.facts)
        self._epoch = row.epoch
        if row.action == "compact":
            self._compacted = row.revision
        if row.action == "new-epoch":
            self._new_epoch_at = row.at
        elif "record" in facts:
            self._new_epoch_at = ""
        if "secret_record" in facts:
            self._secrets[facts.get("secret", "")] = facts["secret_record"]
        if "record" in facts:
            self._revisions[row.revision] = facts["record"]

    def _end(self) -> Iterator[str]:
        try:
            end = self._log.end(self._head)
        except CiphertextInvalid:
            yield "the end of the log does not authenticate"
        except KeyNotInRing:
            yield "the end of the log is sealed under a key that is not in the ring"
        else:
            if end != (self._count, self._mac):
                yield f"the log ends at event {self._count}, but its end was event {end[0]}"

    def _head_row(self) -> Iterator[str]:
        if self._head.epoch != self._epoch:
            yield "the head's epoch is not the log's"
        if self._head.compacted_through != self._compacted:
            yield f"the log says that revisions up to {self._compacted} were removed, not the head"
        query = select(REVISIONS).where(REVISIONS.c.revision == self._head.revision)
        row = self._log.connection.execute(query).first()
        if row and self._head.updated_by != row.author:
            yield "the head's author is not its revision's"
        if row and self._head.updated_at != (self._new_epoch_at or row.created_at):
            yield "the head's time is not its revision's"

    def _history(self) -> Iterator[str]:
        last = self._compacted
        for row in self._rows():
            number = row.revision
            if number != last + 1:
                yield f"revisions {last + 1} to {number - 1} are missing from the history"
            if self._revisions.get(number) != _record(row):
                yield f"revision {number} is not what the audit log says of it"
            yield from self._document(row)
            last = number
        if last != self._head.revision:
            yield f"the history ends at revision {last}, the head is {self._head.revision}"
        if self._revisions and max(self._revisions) != self._head.revision:
            yield f"the log's last revision is {max(self._revisions)}, not the head's"

    def _rows(self) -> Iterator[Row[Any]]:
        query = select(REVISIONS).order_by(REVISIONS.c.revision)
        query = query.execution_options(yield_per=DOCUMENTS)
        with self._log.connection.execute(query) as revisions:
            yield from revisions

    def _document(self, row: Row[Any]) -> Iterator[str]:
        """Open a revision's document and compare it with the digest, which the log vouches for."""
        cell = revision_cell(self._head.store_id, row.revision)
        try:
            document = json.loads(self._log.ring.open(row.document, cell))
        except (CiphertextInvalid, KeyNotInRing) as error:
            yield f"the document of revision {row.revision} is not to be had: {error.message}"
        else:
            if tree.digest(document["effective"]) != row.digest:
                yield f"the document of revision {row.revision} is not the one of its digest"

    def _secret_rows(self) -> Iterator[str]:
        rows = {row.name: row for row in self._log.connection.execute(select(SECRETS))}
        for name in sorted(rows.keys() | self._secrets.keys()):
            row = rows.get(name)
            if row is None or self._secrets.get(name) != _secret(row):
                yield f"the secret {name} is not what the audit log says of it"
            elif row.value is not None:
                yield from self._value(row)

    def _value(self, row: Row[Any]) -> Iterator[str]:
        try:
            secret_value(row, self._head.store_id, self._log.ring, self._log.key)
        except (CiphertextInvalid, KeyNotInRing, PlaintextRefused) as error:
            yield f"the value of the secret {row.name} is not to be had: {error.message}"


def _record(row: Row[Any]) -> str | None:
    try:
        return revision_record(Story(**story(row)))
    except CiphertextInvalid:
        return None


def _secret(row: Row[Any]) -> str | None:
    try:
        return secret_record(secret_status(row.name, row))
    except CiphertextInvalid:
        return None
