"""What must hold in the database at every instant, read past the service.

The rows are read with plain SQL; only documents, answers and the secret's value are opened with the
service's own code. What was checked once is not read again until `check_whole`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reliability.workload import Journal, Outcome, Write
from sqlalchemy import Connection, create_engine, event, text

from config_service import setup
from config_service.cipher import KeyRing, parse_ring
from config_service.database import parse_url
from config_service.env import Env
from config_service.rows import secret_cell
from dedup_model import tree
from dedup_model.errors import DedupError


class Checker:
    """Compares one database with one journal, again and again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._forget()

    def check_whole(self, env: Env) -> list[str]:
        """Return what does not hold, reading everything anew."""
        self._forget()
        return self.check(env, self._journal.acknowledged())

    def check(self, env: Env, acknowledged: list[Write]) -> list[str]:
        """Return what does not hold; `acknowledged` was taken before the database was copied."""
        with _rows(env) as connection:
            found = [*self._history(connection), *self._head(connection)]
            found += [*self._secret(connection, parse_ring([str(env.keyring)]))]
            found += [*self._requests(connection), *self._audit(connection)]
        found += self._documents(env)
        return [*found, *self._kept(acknowledged), *self._journal.violations]

    def _forget(self) -> None:
        self._at: dict[str, int] = {}
        self._expected: Any = None
        self._seen = 0
        self._new: list[tuple[int, Write | None]] = []
        self._secrets: list[Write] = []

    def _history(self, connection: Connection) -> Iterator[str]:
        query = "SELECT count(*), min(revision), max(revision) FROM config_revisions"
        count, low, high = connection.execute(text(query)).one()
        if (low, high) != (1, count):
            yield f"revisions are not contiguous: {count} from {low} to {high}"
        query = "SELECT * FROM config_revisions WHERE revision > :seen ORDER BY revision"
        for row in connection.execute(text(query), {"seen": self._seen}):
            yield from self._revision(row)

    def _revision(self, row: Any) -> Iterator[str]:
        self._seen = row.revision
        write = self._journal.writes.get(row.reason)
        self._new.append((row.revision, write))
        if write is None:
            if row.revision != 1:
                yield f"revision {row.revision} is nobody's"
            return
        if row.reason in self._at:
            yield f"{row.reason} was applied twice, as {self._at[row.reason]} and {row.revision}"
        if write.etag and int(write.etag.rpartition(":")[2]) + 1 != row.revision:
            yield f"{row.reason} won as {row.revision} with the etag of another revision"
        self._at[row.reason] = row.revision
        if write.path is None:
            self._secrets.append(write)

    def _head(self, connection: Connection) -> Iterator[str]:
        query = (
            "SELECT revision, updated_at AS at, updated_by AS author FROM config_settings"
            " UNION ALL SELECT * FROM (SELECT revision, created_at, author FROM config_revisions"
            " ORDER BY revision DESC LIMIT 1) AS newest"
        )
        head, newest = (tuple(row) for row in connection.execute(text(query)))
        if head != newest:
            yield f"the head {head} is not the newest revision {newest}"

    def _secret(self, connection: Connection, ring: KeyRing) -> Iterator[str]:
        row = connection.execute(text("SELECT * FROM config_secrets")).first()
        version = row.version if row else 0
        if version != len(self._secrets):
            yield f"the secret has version {version} after {len(self._secrets)} revisions of it"
        elif row:
            store_id = connection.execute(text("SELECT store_id FROM config_settings")).scalar_one()
            value = ring.open(row.value, secret_cell(store_id, row.name, version)).decode()
            if value != self._secrets[-1].value:
                yield "the secret's value is not the one that was set last"

    def _requests(self, connection: Connection) -> Iterator[str]:
        ids = set(connection.execute(text("SELECT request_id FROM idempotency_keys")).scalars())
        for write in self._journal.writes.values():
            if write.request_id and (write.request_id in ids) != (write.reason in self._at):
                yield f"{write.reason}: history and kept answer do not agree"

    def _audit(self, connection: Connection) -> Iterator[str]:
        query = (
            "SELECT (SELECT count(*) FROM audit_events WHERE revision = r.revision"
            " AND action NOT LIKE 'Access%') AS events, r.revision FROM config_revisions AS r"
        )
        for row in connection.execute(text(f"SELECT * FROM ({query}) AS x WHERE events <> 1")):
            yield f"revision {row.revision} has {row.events} audit events"

    def _documents(self, env: Env) -> Iterator[str]:
        store = setup.open_store(env)
        try:
            for number, write in self._new:
                yield from self._document(store.revision(number).layers.effective, number, write)
            yield from store.verify_audit().findings
        except DedupError as error:
            yield f"what is stored does not open: {error.reason}"
        finally:
            store.close()
            self._new = []

    def _document(self, effective: Any, number: int, write: Write | None) -> Iterator[str]:
        if self._expected is None:
            self._expected = effective
        if write and write.path:
            self._expected = tree.put(self._expected, write.path, write.value)
        if effective != self._expected:
            yield f"revision {number} is not the merge of the writes before it"

    def _kept(self, acknowledged: list[Write]) -> Iterator[str]:
        for write in acknowledged:
            if self._at.get(write.reason) != write.revision:
                at = self._at.get(write.reason)
                yield f"{write.reason} was acknowledged as {write.revision} and is {at or 'lost'}"
        for write in self._journal.writes.values():
            if write.outcome is Outcome.NOT_APPLIED and write.reason in self._at:
                yield f"{write.reason} was refused but is revision {self._at[write.reason]}"


@contextmanager
def _rows(env: Env) -> Iterator[Connection]:
    """Yield a connection that sees one state of all tables."""
    engine = create_engine(parse_url(env.database_url), hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    else:
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
