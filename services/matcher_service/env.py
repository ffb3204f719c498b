"""How a MatcherService process is told to run, read once from environment and command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from dedup_rpc import access
from dedup_rpc.access import Access
from dedup_rpc.channel import ANONYMOUS, Credentials
from dedup_rpc.telemetry import TelemetryEnv
from dedup_rpc.variables import log_level, number, path

DEFAULT_ADDRESS = "127.0.0.1:50052"
DEFAULT_CONFIG_ADDRESS = "127.0.0.1:50051"


class Rung(StrEnum):
    """A rung of the fallback ladder: where a batch's config may come from, best first."""

    LIVE = "live"
    MEMORY = "memory"
    FILE = "file"
    BOOTSTRAP = "bootstrap"


class AiFailure(StrEnum):
    """What a batch does when the language model is on and cannot be asked."""

    CONTINUE = "continue"
    FAIL = "fail"


VARIABLES = (
    "MATCHER_ADDRESS",
    "MATCHER_AI_BASE_URL",
    "MATCHER_AI_FAILURE",
    "MATCHER_BOOTSTRAP_FILE",
    "MATCHER_CONFIG_ADDRESS",
    "MATCHER_CONFIG_RUNGS",
    "MATCHER_CONFIG_TIMEOUT_SECONDS",
    "MATCHER_CONFIG_TLS_CA_FILE",
    "MATCHER_CONFIG_TLS_CERT_FILE",
    "MATCHER_CONFIG_TLS_KEY_FILE",
    "MATCHER_CONFIG_TLS_SERVER_NAME",
    "MATCHER_CONFIG_TOKEN_FILE",
    "MATCHER_DRAIN_SECONDS",
    "MATCHER_MAX_BATCHES",
    "MATCHER_MAX_INPUT_MIB",
    "MATCHER_MAX_LISTINGS",
    "MATCHER_MAX_PAIRS",
    "MATCHER_MAX_QUEUED",
    "MATCHER_MAX_STALENESS_SECONDS",
    "MATCHER_METRICS_ADDRESS",
    "MATCHER_STALL_SECONDS",
    "MATCHER_STATE_DIR",
    "MATCHER_WORKERS",
    *access.variables("MATCHER"),
)


def _cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Env:
    """Settings of the process; never those of the matching.

    Variables: `MATCHER_ADDRESS` (host:port or unix:path), `MATCHER_CONFIG_ADDRESS` (ConfigService),
    `MATCHER_CONFIG_RUNGS` (allowed sources, comma-separated, of live, memory, file, bootstrap),
    `MATCHER_CONFIG_TIMEOUT_SECONDS`, `MATCHER_MAX_STALENESS_SECONDS`, `MATCHER_STATE_DIR`,
    `MATCHER_BOOTSTRAP_FILE` (YAML), `MATCHER_MAX_LISTINGS` (of a stream), `MATCHER_MAX_INPUT_MIB` (no
    more input is taken in when all batches hold as much), `MATCHER_MAX_PAIRS` (of a batch that may be
    compared; a tenth as many may be returned), `MATCHER_MAX_BATCHES` (that run at once, of small and of large ones each),
    `MATCHER_MAX_QUEUED` (that wait, of each), `MATCHER_STALL_SECONDS` (after which a stream ends whose
    caller neither sends nor reads), `MATCHER_WORKERS` (processes that batches share; default: one a
    processor that this process may use, by its affinity; a container's CPU quota does not lower that), `MATCHER_DRAIN_SECONDS` (how long running batches may go on after
    SIGTERM), `EVENT_DEDUP_GEMINI_API_KEY` (used with the bootstrap rung alone, and turns `ai.enabled`
    on there), `LOG_LEVEL`; `MATCHER_AI_BASE_URL` (where the language model's API is, unset: the SDK's
    own address), `MATCHER_AI_FAILURE` (continue or fail); those of `Access` and
    `TelemetryEnv` with the prefix `MATCHER`; towards ConfigService those of `Credentials` with `MATCHER_CONFIG`.
    """

    address: str = DEFAULT_ADDRESS
    config_address: str = DEFAULT_CONFIG_ADDRESS
    rungs: tuple[Rung, ...] = tuple(Rung)
    config_timeout: float = 3.0
    max_staleness: float = 3600.0
    state_dir: Path | None = None
    bootstrap_file: Path | None = None
    api_key: str | None = field(default=None, repr=False)
    max_listings: int = 1_000_000
    max_input_mib: int = 1024
    max_pairs: int = 50_000_000
    max_batches: int = 2
    max_queued: int = 100
    stall_seconds: float = 60.0
    workers: int = field(default_factory=_cores)
    drain_seconds: float = 5.0
    log_level: str = "INFO"
    access: Access = field(default_factory=lambda: Access("MATCHER"))
    telemetry: TelemetryEnv = field(default_factory=TelemetryEnv)
    config_credentials: Credentials = ANONYMOUS
    ai_base_url: str | None = None
    ai_failure: AiFailure = AiFailure.CONTINUE

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Env":
        """Return the Env of a process's variables; raises ValueError that names the variable."""
        default = cls()
        count = partial(_count, variables)
        return cls(
            address=variables.get("MATCHER_ADDRESS") or DEFAULT_ADDRESS,
            config_address=variables.get("MATCHER_CONFIG_ADDRESS") or DEFAULT_CONFIG_ADDRESS,
            rungs=_rungs(variables.get("MATCHER_CONFIG_RUNGS")),
            config_timeout=number(
                variables, "MATCHER_CONFIG_TIMEOUT_SECONDS", default.config_timeout, 0.01, 60
            ),
            max_staleness=number(
                variables, "MATCHER_MAX_STALENESS_SECONDS", default.max_staleness, 0, 30 * 86400
            ),
            state_dir=path(variables, "MATCHER_STATE_DIR"),
            bootstrap_file=path(variables, "MATCHER_BOOTSTRAP_FILE"),
            api_key=variables.get("EVENT_DEDUP_GEMINI_API_KEY") or None,
            max_listings=count("MATCHER_MAX_LISTINGS", default.max_listings, 1, 10_000_000),
            max_input_mib=count("MATCHER_MAX_INPUT_MIB", default.max_input_mib, 1, 1_000_000),
            max_pairs=count("MATCHER_MAX_PAIRS", default.max_pairs, 10, 10**12),
            max_batches=count("MATCHER_MAX_BATCHES", default.max_batches, 1, 1024),
            max_queued=count("MATCHER_MAX_QUEUED", default.max_queued, 0, 100_000),
            stall_seconds=number(
                variables, "MATCHER_STALL_SECONDS", default.stall_seconds, 0.1, 3600
            ),
            workers=count("MATCHER_WORKERS", default.workers, 1, 1024),
            drain_seconds=number(
                variables, "MATCHER_DRAIN_SECONDS", default.drain_seconds, 0, 3600
            ),
            log_level=log_level(variables),
            access=Access.read(variables, "MATCHER"),
            telemetry=TelemetryEnv.read(variables, "MATCHER"),
            config_credentials=Credentials.read(variables, "MATCHER_CONFIG"),
            ai_base_url=_ai_base_url(variables.get("MATCHER_AI_BASE_URL")),
            ai_failure=_ai_failure(variables.get("MATCHER_AI_FAILURE")),
        )


def _count(variables: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    return int(number(variables, name, default, low, high))


def _ai_base_url(text: str | None) -> str | None:
    """Return where the model's API is; without TLS the key may only go to this machine."""
    parts = urlsplit(text or "https://unset")
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ValueError("MATCHER_AI_BASE_URL must be an https URL, or http on this machine")
    return text or None


def _ai_failure(text: str | None) -> AiFailure:
    if text and text not in set(AiFailure):
        raise ValueError("MATCHER_AI_FAILURE must be one of: " + ", ".join(AiFailure))
    return AiFailure(text or AiFailure.CONTINUE)


def _rungs(text: str | None) -> tuple[Rung, ...]:
    names = {name.strip() for name in text.split(",")} if text else set(Rung)
    unknown = names - set(Rung)
    if unknown:
        raise ValueError("MATCHER_CONFIG_RUNGS must list some of: " + ", ".join(Rung))
    return tuple(rung for rung in Rung if rung in names)
