"""Which running servers share a store, and which keys each holds."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from config_service.rows import stamped
from config_service.tables import REPLICAS

ALIVE = timedelta(seconds=60)
"""A replica that has not said anything for this long is not waited for."""


@dataclass(frozen=True)
class Replicas:
    """The replicas as one transaction sees them."""

    connection: Connection

    def announce(self, replica_id: str, key_ids: Collection[str], now: datetime) -> None:
        """Say that a replica is alive and which keys it holds, first the one that it seals with.

        Forgets replicas that are not.
        """
        table = REPLICAS.c
        self.connection.execute(delete(REPLICAS).where(table.seen_at < stamped(now - ALIVE)))
        values = {"seen_at": stamped(now), "key_ids": json.dumps(list(key_ids))}
        where = table.replica_id == replica_id
        if not self.connection.execute(update(REPLICAS).where(where).values(values)).rowcount:
            self.connection.execute(insert(REPLICAS).values(replica_id=replica_id, **values))

    def leave(self, replica_id: str) -> None:
        """Say that a replica has ended."""
        self.connection.execute(delete(REPLICAS).where(REPLICAS.c.replica_id == replica_id))

    def held(self, now: datetime) -> list[tuple[str, ...]]:
        """Return the key ids of every live replica, first the one that it seals with."""
        query = select(REPLICAS.c.key_ids).where(REPLICAS.c.seen_at >= stamped(now - ALIVE))
        return [tuple(json.loads(text)) for text in self.connection.execute(query).scalars()]
