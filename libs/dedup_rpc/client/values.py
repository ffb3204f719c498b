"""What the client gives and takes: frozen values, without anything of the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

from dedup_model import rules
from dedup_model.errors import InvalidRequest, Violation
from dedup_model.matching_config import SCHEMA_VERSION, MatchingConfig
from dedup_model.snapshot import SecretState
from dedup_rpc.client.errors import UnusableConfig

Document: TypeAlias = dict[str, Any]
Position: TypeAlias = tuple[str, int]
"""An epoch and a revision of it: where a watch stands."""

API_KEY = "ai.api_key"


class WatchMode(StrEnum):
    """What a watch shows."""

    LATEST = "latest"
    """The present state, then the newest one whenever it changes."""
    EVERY = "every"
    """Each revision after the position, once, in order."""


@dataclass(frozen=True)
class Revision:
    """A revision without its config; `changed_paths` differ from the revision before."""

    number: int
    etag: str
    origin: str
    created_at: datetime
    author: str = ""
    reason: str = ""
    changed_paths: tuple[str, ...] = ()
    digest: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Settings:
    """The effective config of one revision, as a document and, by `config`, typed.

    `unknown_paths` names what a newer release sent and this one cannot read.
    """

    document: Document = field(default_factory=dict, repr=False)
    schema_version: int = SCHEMA_VERSION
    unknown_paths: tuple[str, ...] = ()
    at: Position = ("", 0)

    @cached_property
    def config(self) -> MatchingConfig:
        """The typed config; raises `UnusableConfig` when this release must not run it."""
        return self._read[0]

    @property
    def ignored_paths(self) -> tuple[str, ...]:
        """What `config` leaves out, since this release does not know it."""
        return (*self._read[1], *self.unknown_paths)

    @cached_property
    def _read(self) -> tuple[MatchingConfig, list[str]]:
        if self.schema_version > SCHEMA_VERSION:
            rule = Violation("schema_version", "SCHEMA_TOO_NEW", "settings of a newer release")
            raise UnusableConfig(self.at, [rule])
        try:
            return rules.read(self.document)
        except InvalidRequest as error:
            raise UnusableConfig(self.at, error.violations) from None


@dataclass(frozen=True)
class SecretStatus:
    """What is known of a secret, short of its value."""

    name: str
    is_set: bool = False
    version: int = 0
    key_id: str = ""
    set_at: datetime | None = None
    set_by: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class ConfigView:
    """A revision with its config and where each setting comes from.

    `provenance` holds `default`, `bootstrap` or `override` for the path of every scalar, list and
    map; `secrets` is their present state, whichever revision is shown.
    """

    epoch: str
    revision: Revision
    settings: Settings
    overrides: Document = field(default_factory=dict, repr=False)
    provenance: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, SecretStatus] = field(default_factory=dict)
    has_api_key: bool = False
    warnings: tuple[str, ...] = ()
    evidence: Document | None = None

    @property
    def etag(self) -> str:
        """What an update names to be refused when somebody else was faster."""
        return self.revision.etag

    @property
    def config(self) -> MatchingConfig:
        """The effective config; raises `UnusableConfig` when this release must not run it."""
        return self.settings.config


@dataclass(frozen=True)
class PathChange:
    """One setting that differs; None stands for no value."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Edit:
    """The outcome of an update, a rollback or an import, or of its `validate_only`.

    `revision` is the present one when nothing changed or nothing was to be stored; `settings` are
    those that hold after the edit, None where the service does not tell them.
    """

    epoch: str
    revision: Revision
    changed: bool
    settings: Settings | None = None
    changes: tuple[PathChange, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def etag(self) -> str:
        """The etag of `revision`."""
        return self.revision.etag


@dataclass(frozen=True)
class Difference:
    """How the effective configs of two revisions differ."""

    left: Revision
    right: Revision
    changes: tuple[PathChange, ...]


@dataclass(frozen=True)
class SecretEdit:
    """The outcome of setting or clearing a secret."""

    revision: Revision
    secret: SecretStatus
    changed: bool = True


@dataclass(frozen=True)
class SecretValue:
    """A secret's value, or None when the caller has that version already."""

    version: int
    value: str | None = field(repr=False)


@dataclass(frozen=True)
class WatchState:
    """A revision on a watch.

    `changed_paths` is the difference to the state before on this watch, over reconnections too;
    empty on the first one. `skipped` counts revisions in between that were not shown. With `resync`
    what came before is void (the store was restored, or its history compacted): take it whole.
    """

    epoch: str
    revision: Revision
    settings: Settings
    changed_paths: tuple[str, ...] = ()
    skipped: int = 0
    resync: bool = False
    secrets: Mapping[str, SecretState] = field(default_factory=dict)

    @property
    def position(self) -> Position:
        """Where to go on later: `watch(after=state.position)`."""
        return self.epoch, self.revision.number

    @property
    def config(self) -> MatchingConfig:
        """The effective config; raises `UnusableConfig` when this release must not run it."""
        return self.settings.config


@dataclass(frozen=True)
class AuditEvent:
    """One thing that somebody did."""

    sequence: int
    at: datetime
    principal: str
    action: str
    epoch: str = ""
    revision: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)
    mac: str = ""


@dataclass(frozen=True)
class AuditVerdict:
    """What a check of the audit log found; note `events` and `head_mac` elsewhere for the next."""

    intact: bool
    events: int
    head_mac: str
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """The config of a revision as YAML."""

    yaml: str
    revision: Revision
