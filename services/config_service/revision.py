"""A revision and how the next one is made from it: frozen values, no clock, no storage."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from dedup_model import rules, tree
from dedup_model.errors import SchemaTooNew
from dedup_model.matching_config import SCHEMA_VERSION
from dedup_model.tree import Document


class Origin(StrEnum):
    """What made a revision."""

    INITIAL = "initial"
    UPDATE = "update"
    ROLLBACK = "rollback"
    SECRET = "secret"
    UPGRADE = "upgrade"
    BOOTSTRAP = "bootstrap"
    IMPORT = "import"


@dataclass(frozen=True)
class Layers:
    """The documents of a revision: what is inherited, what operators set, what holds.

    `inherited` is the whole tree below the overrides; `bootstrap` is the part of it that the
    bootstrap file gave.
    """

    inherited: Document
    bootstrap: Document
    overrides: Document
    effective: Document

    @classmethod
    def of(cls, bootstrap: Document, overrides: Document) -> "Layers":
        """Return the layers over the code's defaults; raises `InvalidRequest`."""
        inherited = tree.dump(rules.validated(tree.layer(tree.DEFAULTS, bootstrap)))
        base = cls(inherited, tree.picked(inherited, bootstrap), {}, inherited)
        return base.with_overrides(overrides)

    def with_overrides(self, overrides: Document) -> "Layers":
        """Return the same base under other overrides; raises `InvalidRequest`."""
        inherited = rules.complete(tree.known(self.inherited))
        effective = tree.dump(rules.validated(tree.layer(inherited, overrides)))
        return replace(self, overrides=tree.picked(effective, overrides), effective=effective)

    def override_paths(self) -> list[str]:
        """Return the dotted paths of the overrides."""
        return [".".join(path) for path in tree.present_paths(self.overrides)]

    def provenance(self) -> Iterator[tuple[str, str]]:
        """Yield `(path, default | bootstrap | override)` of every leaf."""
        for path in tree.leaf_paths():
            over = tree.find(self.overrides, path) is not None
            boot = tree.find(self.bootstrap, path) is not None
            yield ".".join(path), "override" if over else "bootstrap" if boot else "default"


@dataclass(frozen=True)
class Draft:
    """What the next revision shall hold, and who wants it why."""

    layers: Layers
    origin: Origin
    author: str
    reason: str
    action: str
    secret_paths: tuple[str, ...] = ()
    evidence: Document | None = None


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is known of a revision without opening its config; `origin` may be a newer release's."""

    number: int
    origin: str
    created_at: datetime
    author: str
    reason: str
    changed_paths: tuple[str, ...]
    digest: str
    schema_version: int


@dataclass(frozen=True, kw_only=True)
class Revision(Story):
    """One immutable config with its number and its story."""

    layers: Layers
    evidence: Document | None = None

    def next(self, draft: Draft, now: datetime) -> "Revision":
        """Return the revision after this one."""
        changed = changes(self.layers, draft.layers)
        return Revision(
            number=self.number + 1,
            origin=draft.origin,
            created_at=now,
            author=draft.author,
            reason=draft.reason,
            changed_paths=(*(path for path, _, _ in changed), *draft.secret_paths),
            digest=tree.digest(draft.layers.effective),
            schema_version=SCHEMA_VERSION,
            layers=draft.layers,
            evidence=draft.evidence,
        )

    def document(self) -> Document:
        """Return what is sealed of a revision."""
        layers = self.layers
        document = {
            "inherited": layers.inherited,
            "bootstrap": layers.bootstrap,
            "overrides": layers.overrides,
            "effective": layers.effective,
        }
        return document | ({"evidence": self.evidence} if self.evidence is not None else {})

    def require_writable(self) -> None:
        """Raise `SchemaTooNew` when a newer release wrote this revision."""
        if self.schema_version > SCHEMA_VERSION:
            raise SchemaTooNew("a newer release has written the settings; this one only reads them")


def changes(old: Layers, new: Layers) -> list[tuple[str, Any, Any]]:
    """Return `(path, old, new)` of what differs in effect, and of overrides that come or go."""
    found = tree.changes(old.effective, new.effective)
    named = [path for path, _, _ in found]
    moved = {*tree.present_paths(old.overrides)} ^ {*tree.present_paths(new.overrides)}
    return found + [
        (".".join(path), tree.find(old.effective, path), tree.find(new.effective, path))
        for path in sorted(moved)
        if not any(f"{name}.".startswith(".".join((*path, ""))) for name in named)
    ]


def first(layers: Layers, author: str, now: datetime) -> Revision:
    """Return revision 1."""
    return Revision(
        number=1,
        origin=Origin.INITIAL,
        created_at=now,
        author=author,
        reason="",
        changed_paths=(),
        digest=tree.digest(layers.effective),
        schema_version=SCHEMA_VERSION,
        layers=layers,
    )
