"""A store as the release before the audit log left it, and migrations of it that are killed."""

import os
import signal
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from alembic import command
from sqlalchemy import Connection, Engine, event, text

from config_service import rows, setup
from config_service.__main__ import main
from config_service.cipher import KeyRing, parse_ring
from config_service.database import open_database, parse_url, transaction
from config_service.env import Env
from config_service.revision import Draft, Layers, Origin, Revision, first
from dedup_model import tree

NAME = "ai.api_key"
SECRET = "Canary-Old-Key-9"
BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@dataclass
class OldStore:
    """What was written; `answers` are of requests that may not be repeated any more."""

    store_id: str
    epoch: str
    revisions: list[Revision]


def build(env: Env, secret: str = "") -> OldStore:
    """Write a store of four revisions with the schema of the first two migrations.

    `secret` is the cell of the API key, else it is sealed under the ring.
    """
    engine = open_database(parse_url(env.database_url))
    scripts, ring = setup._scripts(), parse_ring(str(env.keyring).splitlines())
    with transaction(engine, writes=True) as connection:
        scripts.attributes["connection"] = connection
        command.upgrade(scripts, "0002")
    made = OldStore(str(uuid.uuid4()), str(uuid.uuid4()), _history())
    with transaction(engine, writes=True) as connection:
        _fill(connection, ring, made, secret)
    engine.dispose()
    return made


def _history() -> list[Revision]:
    found = [first(Layers.of({}, {}), "config-service migrate", BEGAN)]
    for number in (1, 2):
        layers = found[-1].layers.with_overrides({"geo": {"neutral_score": number / 10}})
        draft = Draft(layers, Origin.UPDATE, "ann", f"reason {number}", "")
        found.append(found[-1].next(draft, BEGAN + timedelta(hours=number)))
    draft = Draft(found[-1].layers, Origin.SECRET, "ann", "", "", (f"secrets.{NAME}",))
    return [*found, found[-1].next(draft, BEGAN + timedelta(hours=3))]


def _fill(connection: Connection, ring: KeyRing, made: OldStore, secret: str) -> None:
    for revision in made.revisions:
        cell = rows.revision_cell(made.store_id, revision.number)
        sealed = ring.seal(tree.canonical_json(revision.document()), cell)
        _insert(connection, "config_revisions", **rows.clear_values(revision), document=sealed)
    head = {"id": 1, "store_id": made.store_id, "epoch": made.epoch}
    _insert(connection, "config_settings", **head, **rows.head_values(made.revisions[-1]))
    sealed = ring.seal(SECRET.encode(), rows.secret_cell(made.store_id, NAME, 1))
    facts = {"key_id": ring.primary, "fingerprint": "0123456789ab", "set_by": "ann"}
    at = BEGAN.isoformat()
    _insert(
        connection,
        "config_secrets",
        name=NAME,
        version=1,
        value=secret or sealed,
        set_at=at,
        **facts,
    )
    claim = {"principal": "ann", "request_id": str(uuid.uuid4()), "request_hash": "0" * 64}
    _insert(connection, "idempotency_keys", **claim, answer="old", created_at=rows.stamped(BEGAN))


def _insert(connection: Connection, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)


def migrate() -> None:
    """Run `config-service migrate` as the variables of the process say."""
    main(["migrate"])


def migrate_killed_at(number: int) -> None:
    """Run the command, and end it with SIGKILL before one of its SQL statements."""
    left = number

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    migrate()
