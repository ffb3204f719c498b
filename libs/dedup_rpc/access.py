"""What a service asks of its callers, and where it may ask nothing: read once with its Env."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import grpc

from dedup_rpc.address import is_local, require_port
from dedup_rpc.authz import ROLES, AuthzFile, Development, Grants, Policy
from dedup_rpc.guard import Guard
from dedup_rpc.limits import Limits
from dedup_rpc.server import HEALTH, NotAllowed
from dedup_rpc.telemetry import Telemetry
from dedup_rpc.tls import ServerFiles
from dedup_rpc.variables import number, path

LOG = logging.getLogger("event_dedup.access")
STAGES = ("development", "production")
NAMES = (
    "AUTHZ_FILE",
    "CALLS_PER_SECOND",
    "HEALTH_ADDRESS",
    "MAX_CALLS",
    "MAX_STREAMS",
    "MAX_STREAMS_PER_PRINCIPAL",
    "TLS_CERT_FILE",
    "TLS_CLIENT_CA_FILE",
    "TLS_KEY_FILE",
)


@dataclass(frozen=True)
class Access:
    """Files and addresses named by `PREFIX_` variables, and the stage that all services share.

    Variables: `PREFIX_AUTHZ_FILE` (principals), `PREFIX_TLS_CERT_FILE`, `PREFIX_TLS_KEY_FILE`,
    `PREFIX_TLS_CLIENT_CA_FILE` (then each client must show a certificate), `PREFIX_HEALTH_ADDRESS`
    (plaintext, health alone), `EVENT_DEDUP_ENV` (development or production), `GRPC_TRACE`; for all
    callers together `PREFIX_MAX_CALLS` and `PREFIX_MAX_STREAMS` at once, for each principal
    `PREFIX_MAX_STREAMS_PER_PRINCIPAL` at once and `PREFIX_CALLS_PER_SECOND`.
    """

    prefix: str
    authz_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    health_address: str | None = None
    production: bool = False
    traced: bool = False
    recheck_seconds: float = 15.0
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def read(cls, variables: Mapping[str, str], prefix: str) -> "Access":
        """Return what the variables say; raises ValueError that names the variable."""
        return cls(
            prefix=prefix,
            authz_file=path(variables, f"{prefix}_AUTHZ_FILE"),
            cert_file=path(variables, f"{prefix}_TLS_CERT_FILE"),
            key_file=path(variables, f"{prefix}_TLS_KEY_FILE"),
            client_ca_file=path(variables, f"{prefix}_TLS_CLIENT_CA_FILE"),
            health_address=variables.get(f"{prefix}_HEALTH_ADDRESS") or None,
            production=_stage(variables) == "production",
            traced=bool(variables.get("GRPC_TRACE")),
            limits=_limits(variables, prefix),
        )

    def require_safe(self, address: str) -> None:
        """Raise `NotAllowed` with all reasons why `address` must not be served like this.

        Raises `BadAddress` when it, or that of health, has a port that is none.
        """
        require_port(address)
        require_port(self.health_address or "")
        if reasons := list(self._reasons(address)):
            raise NotAllowed("; ".join(reasons))
        if not self.authz_file:
            LOG.warning("development: no credentials are asked, every caller is `dev`, all roles")

    def _reasons(self, address: str) -> Iterator[str]:
        if self.production and self.traced:
            yield "GRPC_TRACE writes bearer tokens to the log: unset it in production"
        if bool(self.cert_file) != bool(self.key_file):
            yield f"set {self.prefix}_TLS_CERT_FILE and {self.prefix}_TLS_KEY_FILE together"
        if self.client_ca_file and not self.cert_file:
            yield f"{self.prefix}_TLS_CLIENT_CA_FILE needs {self.prefix}_TLS_CERT_FILE"
        if not self.is_exposed(address):
            return
        where = "production" if self.production else "an address beyond loopback"
        if not self.cert_file:
            yield f"{where} needs TLS: set {self.prefix}_TLS_CERT_FILE and {self.prefix}_TLS_KEY_FILE"
        if not self.authz_file:
            yield f"{where} needs credentials: set {self.prefix}_AUTHZ_FILE"

    def is_exposed(self, address: str) -> bool:
        """Tell whether the conveniences of development end here."""
        return self.production or not is_local(address)

    def guard(
        self,
        grants: Grants,
        telemetry: Telemetry | None = None,
        *,
        unary_seconds: float = 10.0,
        longer: Mapping[str, float] | None = None,
        stall_seconds: float = 60.0,
    ) -> Guard:
        """Return the guard; health is open without TLS, and for every role with it.

        Unary calls end after `unary_seconds`, those of the methods in `longer` after as many as it
        says, streams whose caller takes nothing for `stall_seconds` then. Raises `InvalidRequest` that names the bad entries of the principals' file, or OSError.
        """
        open_health = () if self.cert_file else HEALTH
        closed_health = dict.fromkeys(HEALTH if self.cert_file else (), frozenset(ROLES))
        return Guard(
            self._policy(),
            Grants({**grants.roles, **closed_health}),
            open_health,
            self.recheck_seconds,
            limits=replace(
                self.limits,
                unary_seconds=unary_seconds,
                longer=longer or {},
                stall_seconds=stall_seconds,
            ),
            counts=telemetry.counts if telemetry else None,
            tracing=telemetry.tracing if telemetry else None,
            certificates=self.client_ca_file is not None,
        )

    def _policy(self) -> Policy:
        if self.authz_file:
            return AuthzFile(self.authz_file, lambda: datetime.now(UTC))
        return Development()

    def credentials(self) -> grpc.ServerCredentials | None:
        """Return the TLS credentials, None for plaintext; raises `NotAllowed` for bad files."""
        if not self.cert_file or not self.key_file:
            return None
        return ServerFiles(self.cert_file, self.key_file, self.client_ca_file).credentials()


def _limits(variables: Mapping[str, str], prefix: str) -> Limits:
    def read(name: str, default: float) -> float:
        return number(variables, f"{prefix}_{name}", default, 1, 1_000_000)

    default = Limits()
    return Limits(
        calls=int(read("MAX_CALLS", default.calls)),
        streams=int(read("MAX_STREAMS", default.streams)),
        streams_per_principal=int(read("MAX_STREAMS_PER_PRINCIPAL", default.streams_per_principal)),
        calls_per_second=read("CALLS_PER_SECOND", default.calls_per_second),
    )


def variables(prefix: str) -> tuple[str, ...]:
    """Return the names of the variables with a prefix."""
    return tuple(f"{prefix}_{name}" for name in NAMES)


def _stage(variables: Mapping[str, str]) -> str:
    stage = variables.get("EVENT_DEDUP_ENV") or "development"
    if stage not in STAGES:
        raise ValueError(f"EVENT_DEDUP_ENV must be one of {', '.join(STAGES)}")
    return stage
