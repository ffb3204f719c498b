"""The reports of running matchers, one sealed row for each principal's instance."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from config_service.cipher import KeyRing
from config_service.clients import KEPT, Client, merged
from config_service.rows import report_cell, stamped
from config_service.tables import CLIENTS
from dedup_model import tree
from dedup_model.errors import LimitExceeded
from dedup_model.reports import BatchStats, Rejection, StatusReport

MAX_INSTANCES = 1000


@dataclass(frozen=True)
class Reports:
    """The reports as one transaction sees them."""

    connection: Connection
    ring: KeyRing
    store_id: str

    def save(self, principal: str, report: StatusReport, now: datetime) -> None:
        """Keep a report in place of the instance's last one; forget clients that fell silent."""
        table = CLIENTS.c
        self.connection.execute(delete(CLIENTS).where(table.reported_at < stamped(now - KEPT)))
        mine = (table.principal == principal) & (table.instance_id == report.instance_id)
        row = self.connection.execute(select(CLIENTS).where(mine)).first()
        if row is None:
            self._require_room(principal)
        new = merged(self._opened(row) if row else None, report, now)
        self.connection.execute(delete(CLIENTS).where(mine))
        cell = report_cell(self.store_id, principal, report.instance_id, stamped(now))
        values = {
            "principal": principal,
            "instance_id": report.instance_id,
            "reported_at": stamped(now),
            "report": self.ring.seal(tree.canonical_json(_document(new)), cell),
        }
        self.connection.execute(insert(CLIENTS).values(values))

    def _require_room(self, principal: str) -> None:
        query = select(func.count()).where(CLIENTS.c.principal == principal)
        if self.connection.execute(query).scalar_one() >= MAX_INSTANCES:
            raise LimitExceeded(f"at most {MAX_INSTANCES} instances of a principal report a day")

    def clients(self, now: datetime) -> Iterator[Client]:
        """Yield who reported within KEPT, sorted by principal and instance."""
        table = CLIENTS.c
        query = select(CLIENTS).where(table.reported_at >= stamped(now - KEPT))
        for row in self.connection.execute(query.order_by(table.principal, table.instance_id)):
            when = datetime.fromisoformat(row.reported_at)
            yield Client(row.principal, when, self._opened(row))

    def _opened(self, row: Any) -> StatusReport:
        cell = report_cell(self.store_id, row.principal, row.instance_id, row.reported_at)
        return _report(json.loads(self.ring.open(row.report, cell)))


def _document(report: StatusReport) -> dict[str, Any]:
    document = asdict(report)
    if report.rejection and report.rejection.reported_at:
        document["rejection"]["reported_at"] = stamped(report.rejection.reported_at)
    return document


def _report(document: dict[str, Any]) -> StatusReport:
    rejection = document["rejection"]
    if rejection:
        when = datetime.fromisoformat(rejection["reported_at"])
        rejection = Rejection(rejection["revision"], rejection["why"], when)
    stats = tuple(BatchStats(**one) for one in document["stats"])
    return StatusReport(**{**document, "rejection": rejection, "stats": stats})
