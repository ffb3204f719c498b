"""Which key ring is in use now: follows its source, never takes one that does not fit the store.

Without a ring that opens the store the service is sealed. A newer ring that is bad, does not open
the store, or lacks a key that still seals something, is refused and the one in use stays, as long
as that one opens the store. The first key of the ring seals once every live replica holds it.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from config_service.cipher import KeyRing, KeyRingError
from dedup_model.errors import CiphertextInvalid, KeyNotInRing, KeyringUnavailable

LOG = logging.getLogger("event_dedup.config.keyring")
MISSING, BAD, WRONG = "KEYRING_MISSING", "KEYRING_BAD", "KEYRING_WRONG"


class Source(Protocol):
    """Where a ring comes from."""

    def stamp(self) -> object:
        """Return what differs after the ring was replaced."""
        ...

    def read(self) -> KeyRing | None:
        """Return the ring, None when none is configured; raises `KeyRingError`."""
        ...


class Sealed(Protocol):
    """The store, as far as its keys go."""

    def prove(self, ring: KeyRing) -> None:
        """Open what nothing works without; raises `KeyNotInRing` or `CiphertextInvalid`."""
        ...

    def key_ids(self) -> Collection[str]:
        """Return the ids of the keys that seal something, after all that is being written."""
        ...

    def replicas(self) -> Collection[Sequence[str]]:
        """Return the key ids of every live replica, first the one that it seals with."""
        ...


@dataclass(frozen=True)
class Problem:
    """Why there is no ring: a reason in UPPER_SNAKE and a sentence."""

    reason: str
    text: str


class Keyring:
    """The ring in use, or the reason why there is none."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stamp: object = object()
        self._found: KeyRing | None = None
        self._used: KeyRing | None = None
        self.problem: Problem | None = Problem(MISSING, "the key ring was not read yet")
        self.refused, self._waiting = "", ""
        """Why a newer ring is refused, and why its first key does not seal yet; else nothing."""

    @property
    def note(self) -> str:
        """Return why a newer ring is refused or its first key does not seal yet, else nothing."""
        return self.refused or self._waiting

    def ring(self) -> KeyRing:
        """Return the ring in use; raises `KeyringUnavailable` while the service is sealed."""
        if self._used is None:
            problem = self.problem or Problem(MISSING, "")
            raise KeyringUnavailable(f"the service is sealed: {problem.text}", cause=problem.reason)
        return self._used

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of the keys that open cells here, in the order of the ring."""
        return tuple(self._used.keys) if self._used else ()

    @property
    def held(self) -> tuple[str, ...]:
        """Return the same ids, first that of the key that seals here."""
        return tuple(sorted(self.key_ids, key=lambda key_id: key_id != self.ring().primary))

    def require(self) -> None:
        """Raise `KeyRingError` while the service is sealed."""
        if self.problem:
            raise KeyRingError(self.problem.text)

    def look(self, store: Sealed, *, lost: bool = False) -> None:
        """Follow source and replicas.

        `lost` says that the ring in use did not open a newer head: if it does not open the store
        indeed, it counts no more, and without another one that does the service is sealed.
        """
        self._reread(store, lost=lost and self._does_not_open(store))
        if self._found and (not self._used or self._used.primary != next(iter(self._found.keys))):
            self._promote(self._found, store.replicas())
        else:
            self._waiting = ""

    def _does_not_open(self, store: Sealed) -> bool:
        return self._used is not None and _refusal(self._used, None, store) is not None

    def _reread(self, store: Sealed, *, lost: bool) -> None:
        stamp = self._source.stamp()
        if stamp == self._stamp and self._used is not None and not lost:
            self.refused = ""
            return
        used = None if lost else self._used
        problem, found = self._judged(used, store)
        if problem is None and found:
            level = logging.INFO if self._used else logging.DEBUG
            LOG.log(level, "the key ring was read: %s", ", ".join(found.keys))
            self._stamp, self._found, self.problem = stamp, found, None
            self._used = replace(found, writer=used.primary) if used else None
        elif lost:
            self._used = self._found = None
        self._judge(problem)

    def _judged(self, used: KeyRing | None, store: Sealed) -> tuple[Problem | None, KeyRing | None]:
        try:
            found = self._source.read()
        except KeyRingError as error:
            return Problem(BAD, str(error)), None
        if found is None:
            return Problem(MISSING, "no key ring is configured: set CONFIG_KEYRING_FILE"), None
        return _refusal(found, used, store), found

    def _judge(self, problem: Problem | None) -> None:
        """Keep a judgement, and log a change of it once."""
        if problem and self._used is None and problem != self.problem:
            self.problem = problem
            LOG.error("sealed: %s", problem.text)
        refused = f"the newer key ring is refused: {problem.text}" if problem and self._used else ""
        if refused and refused != self.refused:
            LOG.error("%s", refused)
        self.refused = refused

    def _promote(self, found: KeyRing, replicas: Collection[Sequence[str]]) -> None:
        """Seal with the first key that every live replica holds; open with all of them."""
        held = [key for key in found.keys if all(key in replica for replica in replicas)]
        first = next(iter(found.keys))
        writer = held[0] if held else self._used.primary if self._used else first
        if self._used and self._used.primary != writer:
            LOG.info("the key %s seals now", writer)
        self._used = replace(found, writer=writer)
        waiting = f"the key {first} seals once every replica holds it"
        self._waiting = "" if writer == first else waiting


def _refusal(found: KeyRing, used: KeyRing | None, store: Sealed) -> Problem | None:
    if used and used.primary not in found.keys:
        return Problem(WRONG, f"{used.primary} seals here: put another key first, then rewrap")
    missed = _still_seal(set(used.keys if used else ()) - set(found.keys), store)
    if missed:
        text = "still seals, here or on another server: rewrap first"
        return Problem(WRONG, f"{', '.join(sorted(missed))} {text}")
    try:
        store.prove(found)
    except KeyNotInRing as error:
        key = error.facts.get("key_id", "")
        return Problem(WRONG, f"the key ring lacks the key {key}, which seals this store")
    except CiphertextInvalid:
        return Problem(WRONG, "the store does not authenticate: damaged, or another store's keys")
    return None


def _still_seal(retired: set[str], store: Sealed) -> set[str]:
    """Return which keys somebody still needs; servers before cells, for they write the cells."""
    if not retired:
        return set()
    seal = {held[0] for held in store.replicas() if held}
    return retired & (seal | set(store.key_ids()))
