"""A revision as a matcher receives it: immutable, complete, without secret values."""

from dataclasses import dataclass, field
from datetime import datetime

from dedup_model.matching_config import MatchingConfig


@dataclass(frozen=True)
class SecretState:
    """Whether a secret is set, and which version of it; 0 means never set."""

    is_set: bool = False
    version: int = 0


@dataclass(frozen=True)
class Snapshot:
    """One effective config with its identity.

    `digest` is the SHA-256 of the stored canonical JSON; receivers compare it and do not
    recompute it. `ignored_paths` names what this release could not read of it.
    """

    epoch: str
    revision: int
    digest: str
    config: MatchingConfig
    schema_version: int
    issued_at: datetime | None = None
    secrets: dict[str, SecretState] = field(default_factory=dict)
    ignored_paths: tuple[str, ...] = ()
