"""What callers may ask of the head: updates, rollbacks and secrets, judged but not yet stored."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from config_service.revision import Draft, Layers, Origin
from config_service.state import SecretEdit, State
from config_service.transaction import Transaction
from dedup_model import tree
from dedup_model.change import EVERYTHING, Change
from dedup_model.errors import InvalidRequest, RevisionConflict, SecretUnknown, Violation, invalid
from dedup_model.matching_config import SECRET_NAMES
from dedup_model.text_rules import text_problem
from dedup_model.tree import Document

MAX_REASON = 1000
MAX_SECRET = 4096
MAX_EVIDENCE = 16 * 1024
EMPTY = "empty; write {} to clear all overrides"
_ETAG = re.compile(r"[0-9a-f-]{36}:[1-9][0-9]{0,17}")


class Edit(Protocol):
    """One write, given the locked head; None when there is nothing to change."""

    def __call__(self, transaction: Transaction, head: State) -> Draft | SecretEdit | None:
        """Return what to append; raises a domain error when the edit is refused."""
        ...


@dataclass(frozen=True)
class Meta:
    """Who asks, why, and what they had seen."""

    author: str
    reason: str = ""
    etag: str = ""

    def __post_init__(self) -> None:
        if len(self.reason) > MAX_REASON:
            raise invalid("reason", "TOO_LARGE", f"at most {MAX_REASON} characters")
        if problem := text_problem(self.reason):
            raise invalid("reason", *problem)
        if self.etag and not _ETAG.fullmatch(self.etag):
            raise invalid("etag", "ETAG_FORMAT", "not an etag of this service")

    def require_current(self, transaction: Transaction, head: State) -> None:
        """Raise `RevisionConflict` when the etag is not the head's."""
        present = etag(head)
        if self.etag and self.etag != present:
            epoch, _, number = self.etag.partition(":")
            same = epoch == head.epoch
            paths = transaction.changed_since(int(number)) if same else []
            raise RevisionConflict(
                "the settings have changed since they were read; read again and repeat",
                current_etag=present,
                changed_paths=",".join(paths[:50]),
            )


def etag(state: State) -> str:
    """Return `epoch:revision`."""
    return f"{state.epoch}:{state.revision.number}"


@dataclass(frozen=True)
class Update:
    """A partial update of the overrides."""

    change: Change
    meta: Meta
    evidence: Document | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        require_evidence(self.evidence)
        self.change.require_small()

    def __call__(self, transaction: Transaction, head: State) -> Draft | None:
        """Return the draft, or None when nothing would change."""
        if EVERYTHING in (self.change.mask or ()) and not self.meta.etag:
            raise invalid(
                "etag", "REQUIRED", "replacing all overrides needs the etag that was read"
            )
        self.meta.require_current(transaction, head)
        layers = head.revision.layers
        overrides = self.change.applied_to(layers.overrides, layers.inherited)
        return _draft(head, overrides, Origin.UPDATE, self.meta, "UpdateConfig", self.evidence)


@dataclass(frozen=True)
class Rollback:
    """The overrides of an old revision, as a new one."""

    number: int
    meta: Meta

    def __call__(self, transaction: Transaction, head: State) -> Draft | None:
        """Return the draft, or None when nothing would change."""
        self.meta.require_current(transaction, head)
        old = transaction.revision(self.number)
        overrides = old.layers.overrides
        return _draft(head, overrides, Origin.ROLLBACK, self.meta, "RollbackConfig")


@dataclass(frozen=True)
class Import:
    """The overrides of a document, all of them."""

    overrides: Document = field(repr=False)
    meta: Meta
    action: str = "ImportConfig"

    def __post_init__(self) -> None:
        text = "null; leave it out to inherit it"
        if violations := [Violation(p, "REQUIRED", text) for p in tree.nulls(self.overrides)]:
            raise InvalidRequest(violations)

    def __call__(self, transaction: Transaction, head: State) -> Draft | None:
        """Return the draft, or None when nothing would change."""
        self.meta.require_current(transaction, head)
        return _draft(head, self.overrides, Origin.IMPORT, self.meta, self.action)


def _draft(
    head: State,
    overrides: Document,
    origin: Origin,
    meta: Meta,
    action: str,
    evidence: Document | None = None,
) -> Draft | None:
    layers: Layers = head.revision.layers.with_overrides(overrides)
    if layers == head.revision.layers:
        return None
    return Draft(layers, origin, meta.author, meta.reason, action, evidence=evidence)


def require_evidence(evidence: Document | None) -> None:
    """Raise `InvalidRequest` for evidence that is too large or holds what no text may hold."""
    if evidence is None:
        return
    try:
        text = tree.canonical_json(evidence)
    except ValueError:
        raise invalid("evidence", "NOT_FINITE", "finite numbers only") from None
    if len(text) > MAX_EVIDENCE:
        raise invalid("evidence", "TOO_LARGE", f"at most {MAX_EVIDENCE} bytes as JSON")
    for found in _texts(evidence):
        if problem := text_problem(found):
            raise invalid("evidence", *problem)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, inner in value.items():
                yield from (name, *_texts(inner))
        case list():
            for inner in value:
                yield from _texts(inner)


@dataclass(frozen=True)
class SetSecret:
    """A new value of a secret."""

    name: str
    value: str = field(repr=False)
    meta: Meta

    def __post_init__(self) -> None:
        require_secret_name(self.name)
        if not 1 <= len(self.value.strip()) <= MAX_SECRET or not self.value.strip().isprintable():
            text = f"1 to {MAX_SECRET} printable characters after trimming"
            raise invalid("value", "SECRET_FORMAT", text)
        if self.value.strip() in self.meta.reason:
            text = "holds the secret's value, and is stored in clear: leave it out"
            raise invalid("reason", "SECRET_IN_CONFIG", text)

    def __call__(self, transaction: Transaction, head: State) -> SecretEdit:
        """Return the write."""
        self.meta.require_current(transaction, head)
        return _secret_edit(self.name, self.value.strip(), self.meta, "SetSecret")


@dataclass(frozen=True)
class ClearSecret:
    """The removal of a secret."""

    name: str
    meta: Meta

    def __post_init__(self) -> None:
        require_secret_name(self.name)

    def __call__(self, transaction: Transaction, head: State) -> SecretEdit | None:
        """Return the write, or None when the secret is not set."""
        self.meta.require_current(transaction, head)
        is_set = any(secret.is_set for secret in head.secrets if secret.name == self.name)
        return _secret_edit(self.name, None, self.meta, "ClearSecret") if is_set else None


def _secret_edit(name: str, value: str | None, meta: Meta, action: str) -> SecretEdit:
    return SecretEdit(name, value, author=meta.author, reason=meta.reason, action=action)


def require_secret_name(name: str) -> None:
    """Raise `SecretUnknown` for a name that no secret has."""
    if name not in SECRET_NAMES:
        raise SecretUnknown("no secret has this name", known=", ".join(SECRET_NAMES))
