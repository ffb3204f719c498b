"""Answers that are kept: an SQLite file that several processes may share."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from matcher_service.llm.answer import Answer, parsed

Found = TypeVar("Found")
LOG = logging.getLogger("event_dedup.matcher.ai")
FILE: Final = "ai_answers.sqlite3"
MAX_ROWS, MAX_AGE_SECONDS, BUSY_SECONDS = 200_000, 180 * 86400.0, 5.0
_TABLE = """CREATE TABLE IF NOT EXISTS answers
    (key TEXT PRIMARY KEY, kept REAL NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID"""
_OLDEST = """DELETE FROM answers WHERE key IN
    (SELECT key FROM answers ORDER BY kept DESC, key LIMIT -1 OFFSET ?)"""


class Cache:
    """Answers by prompt key; one that cannot be used costs calls, never a batch.

    A file that is no database is set aside with a warning and made anew. Answers older than
    `max_age` seconds are not used; beyond `max_rows` the oldest go.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.time,
        max_rows: int = MAX_ROWS,
        max_age: float = MAX_AGE_SECONDS,
    ) -> None:
        self._path, self._clock = folder / FILE, clock
        self._max_rows, self._max_age = max_rows, max_age

    def find(self, keys: Iterable[str]) -> dict[str, Answer]:
        """Return the answers that are known."""
        return self._tried(lambda database: dict(self._known(database, keys))) or {}

    def keep(self, answers: dict[str, Answer]) -> None:
        """Keep answers and drop what is too old or too much."""
        now = self._clock()
        rows = [(key, now, answer.model_dump_json()) for key, answer in answers.items()]

        def write(database: sqlite3.Connection) -> None:
            database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
            database.execute("DELETE FROM answers WHERE kept < ?", (now - self._max_age,))
            database.execute(_OLDEST, (self._max_rows,))

        self._tried(write)

    def _known(
        self, database: sqlite3.Connection, keys: Iterable[str]
    ) -> Iterator[tuple[str, Answer]]:
        oldest = self._clock() - self._max_age
        query = "SELECT answer FROM answers WHERE key = ? AND kept >= ?"
        for key in keys:
            row = database.execute(query, (key, oldest)).fetchone()
            answer = parsed(row[0]) if row else None
            if answer:
                yield key, answer

    def _tried(self, work: Callable[[sqlite3.Connection], Found]) -> Found | None:
        try:
            return self._worked(work)
        except (sqlite3.Error, OSError) as error:
            LOG.warning("kept AI answers cannot be used: %s", type(error).__name__)
            return None

    def _worked(self, work: Callable[[sqlite3.Connection], Found]) -> Found:
        try:
            with self._opened() as database:
                return work(database)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            LOG.warning("%s is no readable database; it is made anew", FILE)
            self._path.replace(self._path.with_suffix(".unreadable"))
        with self._opened() as database:
            return work(database)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        # made with its mode before SQLite opens it, and never readable by others
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database, database:
            database.execute(_TABLE)
            yield database
