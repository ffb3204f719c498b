"""How a ConfigService process is told to run, read once from environment and command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from config_service.retention import Retention
from dedup_rpc import access
from dedup_rpc.access import Access
from dedup_rpc.telemetry import TelemetryEnv
from dedup_rpc.variables import log_level, number, path

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_DATABASE = "sqlite:///.state/config.db"

VARIABLES = (
    "CONFIG_ADDRESS",
    "CONFIG_ALLOW_PLAIN",
    "CONFIG_BOOTSTRAP_FILE",
    "CONFIG_DATABASE_URL",
    "CONFIG_DATABASE_URL_FILE",
    "CONFIG_KEEP_DAYS",
    "CONFIG_KEEP_REVISIONS",
    "CONFIG_KEYRING",
    "CONFIG_KEYRING_FILE",
    "CONFIG_METRICS_ADDRESS",
    "CONFIG_POLL_SECONDS",
    *access.variables("CONFIG"),
)


@dataclass(frozen=True)
class Env:
    """Settings of the process; never those of the matcher.

    Variables: `CONFIG_ADDRESS` (host:port or unix:path), `CONFIG_DATABASE_URL`
    or, in a file, `CONFIG_DATABASE_URL_FILE`, `CONFIG_KEYRING_FILE`, `CONFIG_KEYRING` (the ring itself), `CONFIG_BOOTSTRAP_FILE` (YAML),
    `CONFIG_POLL_SECONDS`, `CONFIG_KEEP_REVISIONS` and `CONFIG_KEEP_DAYS` (a revision stays that is
    among so many newest ones or that young), `CONFIG_ALLOW_PLAIN=1` (cells that an earlier system
    left unsealed may be read, so that `keys rewrap` can seal them), `EVENT_DEDUP_ENCRYPTION_KEY` (opens Fernet tokens of an earlier
    system), `LOG_LEVEL`; those of `Access` and `TelemetryEnv` with the prefix `CONFIG`.
    """

    address: str = DEFAULT_ADDRESS
    database_url: str = DEFAULT_DATABASE
    keyring_file: Path | None = None
    keyring: str | None = field(default=None, repr=False)
    legacy_key: str | None = field(default=None, repr=False)
    bootstrap_file: Path | None = None
    poll_seconds: float = 0.1
    allow_plain: bool = False
    retention: Retention = field(default_factory=Retention)
    log_level: str = "INFO"
    access: Access = field(default_factory=lambda: Access("CONFIG"))
    telemetry: TelemetryEnv = field(default_factory=TelemetryEnv)

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Env":
        """Return the Env of a process's variables; raises ValueError that names the variable.

        Raises OSError for a database URL's file that cannot be read.
        """
        return cls(
            address=variables.get("CONFIG_ADDRESS") or DEFAULT_ADDRESS,
            database_url=_database_url(variables),
            keyring_file=path(variables, "CONFIG_KEYRING_FILE"),
            keyring=variables.get("CONFIG_KEYRING") or None,
            legacy_key=variables.get("EVENT_DEDUP_ENCRYPTION_KEY") or None,
            bootstrap_file=path(variables, "CONFIG_BOOTSTRAP_FILE"),
            poll_seconds=number(variables, "CONFIG_POLL_SECONDS", 0.1, 0.01, 60),
            allow_plain=variables.get("CONFIG_ALLOW_PLAIN") == "1",
            retention=_retention(variables),
            log_level=log_level(variables),
            access=Access.read(variables, "CONFIG"),
            telemetry=TelemetryEnv.read(variables, "CONFIG"),
        )


def _database_url(variables: Mapping[str, str]) -> str:
    file = path(variables, "CONFIG_DATABASE_URL_FILE")
    if not file:
        return variables.get("CONFIG_DATABASE_URL") or DEFAULT_DATABASE
    if variables.get("CONFIG_DATABASE_URL"):
        raise ValueError("set CONFIG_DATABASE_URL or CONFIG_DATABASE_URL_FILE, not both")
    if text := file.read_text().strip():
        return text
    raise ValueError("the file of CONFIG_DATABASE_URL_FILE is empty")


def _retention(variables: Mapping[str, str]) -> Retention:
    count = number(variables, "CONFIG_KEEP_REVISIONS", 10_000, 1, 10**9)
    days = number(variables, "CONFIG_KEEP_DAYS", 365, 1, 36_500)
    return Retention(int(count), timedelta(days=days))
