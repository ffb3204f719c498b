"""Requests that may be repeated: the same id and content is applied once and answered alike."""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from config_service.cipher import Cell, KeyRing, StoreKey
from config_service.revision import Revision
from config_service.rows import answer_cell, stamped
from config_service.state import SecretStatus, State
from config_service.tables import IDEMPOTENCY
from dedup_model import tree
from dedup_model.errors import invalid

KEPT = timedelta(hours=24)
PURPOSE = "event-dedup request"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Claim:
    """Who sends which content under which id."""

    principal: str
    request_id: str
    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _UUID.fullmatch(self.request_id) or not uuid.UUID(self.request_id).int:
            raise invalid("request_id", "REQUEST_ID_FORMAT", "must be a UUID, and not all zeros")

    @property
    def key(self) -> str:
        """Return the id in its one spelling."""
        return str(uuid.UUID(self.request_id))


@dataclass(frozen=True)
class Ledger:
    """The answers that one transaction sees and writes."""

    connection: Connection
    ring: KeyRing
    key: StoreKey
    store_id: str

    def recall(
        self, claim: Claim, now: datetime, revision: Callable[[int], Revision]
    ) -> tuple[State, State] | None:
        """Return the states of the first answer, None when there is none within KEPT.

        Raises `InvalidRequest` `REQUEST_ID_REUSED` when the id came with other content.
        """
        row = self.connection.execute(_row_of(claim)).first()
        if row is None or datetime.fromisoformat(row.created_at) < now - KEPT:
            return None
        if not self.key.is_hash(row.request_hash, PURPOSE, claim.content):
            raise invalid("request_id", "REQUEST_ID_REUSED", "came before with other content")
        before, after = json.loads(self.ring.open(row.answer, self._cell(claim)))
        return _state(before, revision), _state(after, revision)

    def keep(self, claim: Claim, now: datetime, before: State, after: State) -> None:
        """Store an answer, and drop those that are older than KEPT."""
        old = IDEMPOTENCY.c.created_at < stamped(now - KEPT)
        self.connection.execute(delete(IDEMPOTENCY).where(old))
        answer = tree.canonical_json([_document(before), _document(after)])
        values = {
            "principal": claim.principal,
            "request_id": claim.key,
            "request_hash": self.key.hash(PURPOSE, claim.content),
            "answer": self.ring.seal(answer, self._cell(claim)),
            "created_at": stamped(now),
        }
        self.connection.execute(insert(IDEMPOTENCY).values(values))

    def _cell(self, claim: Claim) -> Cell:
        return answer_cell(self.store_id, claim.principal, claim.key)


def _row_of(claim: Claim) -> Any:
    table = IDEMPOTENCY.c
    return select(IDEMPOTENCY).where(
        table.principal == claim.principal, table.request_id == claim.key
    )


def _document(state: State) -> dict[str, Any]:
    secrets = [
        {**asdict(secret), "set_at": secret.set_at.isoformat() if secret.set_at else None}
        for secret in state.secrets
    ]
    return {"epoch": state.epoch, "revision": state.revision.number, "secrets": secrets}


def _state(document: dict[str, Any], revision: Callable[[int], Revision]) -> State:
    secrets = tuple(map(_secret, document["secrets"]))
    return State(document["epoch"], revision(document["revision"]), secrets)


def _secret(document: dict[str, Any]) -> SecretStatus:
    status = SecretStatus(**document)
    set_at = document["set_at"]
    return replace(status, set_at=datetime.fromisoformat(set_at) if set_at else None)
