"""One consistent view of the store, as values."""

from dataclasses import dataclass, field
from datetime import datetime

from config_service.revision import Revision


@dataclass(frozen=True)
class SecretStatus:
    """What is known of a secret, short of its value."""

    name: str
    is_set: bool = False
    version: int = 0
    key_id: str = ""
    fingerprint: str = ""
    set_at: datetime | None = None
    set_by: str = ""


@dataclass(frozen=True)
class State:
    """One consistent view of the store: the head revision and the secrets with it."""

    epoch: str
    revision: Revision
    secrets: tuple[SecretStatus, ...]

    @property
    def stamp(self) -> tuple[str, int]:
        """Return epoch and revision number: equal stamps mean equal states, seals aside."""
        return self.epoch, self.revision.number

    @property
    def secret_key_ids(self) -> dict[str, str]:
        """Return by name which keys seal the secrets that are set."""
        return {secret.name: secret.key_id for secret in self.secrets if secret.is_set}

    def is_before(self, other: "State") -> bool:
        """Tell whether this is an older state of the other's epoch."""
        return self.epoch == other.epoch and self.revision.number < other.revision.number

    def secret(self, name: str) -> SecretStatus:
        """Return a secret's status by its known name."""
        return next(secret for secret in self.secrets if secret.name == name)


@dataclass(frozen=True)
class HistoryFilter:
    """Which revisions a history shows; empty texts and None filter nothing."""

    author: str = ""
    path_prefix: str = ""
    created_from: datetime | None = None
    created_until: datetime | None = None


@dataclass(frozen=True)
class SecretEdit:
    """A secret to store, or to clear when `value` is None."""

    name: str
    value: str | None = field(repr=False)
    author: str
    reason: str
    action: str
