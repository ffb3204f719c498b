"""How a ConfigService process is told to run, read once from environment and command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_DATABASE = "sqlite:///.state/config.db"


@dataclass(frozen=True)
class Env:
    """Settings of the process; never those of the matcher.

    Variables: `CONFIG_ADDRESS` (host:port or unix:path), `CONFIG_DATABASE_URL`,
    `CONFIG_KEYRING_FILE`, `CONFIG_KEYRING` (the ring itself), `CONFIG_BOOTSTRAP_FILE` (YAML),
    `CONFIG_POLL_SECONDS`, `EVENT_DEDUP_ENCRYPTION_KEY` (opens Fernet tokens of an earlier
    system), `LOG_LEVEL`.
    """

    address: str = DEFAULT_ADDRESS
    database_url: str = DEFAULT_DATABASE
    keyring_file: Path | None = None
    keyring: str | None = field(default=None, repr=False)
    legacy_key: str | None = field(default=None, repr=False)
    bootstrap_file: Path | None = None
    poll_seconds: float = 0.1
    log_level: str = "INFO"

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Env":
        """Return the Env of a process's variables; raises ValueError that names the variable."""
        return cls(
            address=variables.get("CONFIG_ADDRESS") or DEFAULT_ADDRESS,
            database_url=variables.get("CONFIG_DATABASE_URL") or DEFAULT_DATABASE,
            keyring_file=_path(variables.get("CONFIG_KEYRING_FILE")),
            keyring=variables.get("CONFIG_KEYRING") or None,
            legacy_key=variables.get("EVENT_DEDUP_ENCRYPTION_KEY") or None,
            bootstrap_file=_path(variables.get("CONFIG_BOOTSTRAP_FILE")),
            poll_seconds=_seconds("CONFIG_POLL_SECONDS", variables.get("CONFIG_POLL_SECONDS"), 0.1),
            log_level=_level(variables.get("LOG_LEVEL")),
        )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _seconds(name: str, text: str | None, default: float) -> float:
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 60:
        raise ValueError(f"{name} must be a number of seconds from 0.01 to 60")
    return value


def _level(text: str | None) -> str:
    level = (text or "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR")
    return level
