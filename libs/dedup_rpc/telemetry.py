"""What a running server tells of itself, wired from its Env: counts, metrics, traces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dedup_rpc.address import require_port
from dedup_rpc.counts import Counts
from dedup_rpc.logs import FORMATS
from dedup_rpc.metrics import Metrics, MetricsPort

if TYPE_CHECKING:
    from dedup_rpc.tracing import Tracing

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True)
class TelemetryEnv:
    """Where a process tells of itself.

    Variables: `PREFIX_METRICS_ADDRESS` (host:port, plaintext; off when unset), `LOG_FORMAT` (`json`
    or `text`; unset: text on a terminal, else json), `OTEL_EXPORTER_OTLP_ENDPOINT` (an http or https
    URL of a collector that takes OTLP over gRPC; unset: no traces). The exporter reads the other
    `OTEL_` variables itself, such as headers, certificates and the sampler.
    """

    metrics_address: str | None = None
    endpoint: str | None = None
    log_format: str | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str], prefix: str) -> "TelemetryEnv":
        """Return what the variables say; raises ValueError that names the variable."""
        return cls(
            _address(variables, f"{prefix}_METRICS_ADDRESS"),
            _endpoint(variables),
            _log_format(variables),
        )


class Telemetry:
    """The counts, metrics and traces of one server."""

    def __init__(self, env: TelemetryEnv, service: str) -> None:
        self._env = env
        self.counts = Counts()
        self.metrics = Metrics(self.counts)
        self.tracing = _tracing(service, env.endpoint) if env.endpoint else None
        self._port: MetricsPort | None = None

    def start(self) -> str | None:
        """Serve the metrics when an address is set; returns it with the port that was bound.

        Raises OSError when the address is taken or not to be bound.
        """
        if self._env.metrics_address:
            self._port = MetricsPort(self.metrics, self._env.metrics_address)
        return self._port.address if self._port else None

    async def close(self) -> None:
        """Stop serving metrics, send the traces that are left."""
        if self._port:
            await self._port.close()
        if self.tracing:
            await self.tracing.close()


def _tracing(service: str, endpoint: str) -> "Tracing":
    # the libraries for it double the time that this one takes to import
    from dedup_rpc.tracing import Tracing

    return Tracing.to_collector(service, endpoint)


def _address(variables: Mapping[str, str], name: str) -> str | None:
    text = variables.get(name)
    if text and not text.rpartition(":")[2].isdecimal():
        raise ValueError(f"{name} must be host:port")
    require_port(text or "")
    return text or None


def _endpoint(variables: Mapping[str, str]) -> str | None:
    text = variables.get(ENDPOINT)
    if text and not text.startswith(("http://", "https://")):
        raise ValueError(f"{ENDPOINT} must be an http or https URL")
    require_port(urlsplit(text or "").netloc.rpartition("@")[2])
    return text or None


def _log_format(variables: Mapping[str, str]) -> str | None:
    form = variables.get("LOG_FORMAT")
    if form and form not in FORMATS:
        raise ValueError(f"LOG_FORMAT must be one of {', '.join(FORMATS)}")
    return form or None
