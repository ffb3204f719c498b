"""The running service: config client and server of one process, wired by hand."""

import logging
from dataclasses import dataclass

import grpc

from dedup_rpc import certificate
from dedup_rpc.client import AsyncConfigClient, Retry
from dedup_rpc.server import NotAllowed, Serving
from dedup_rpc.telemetry import Telemetry
from eventdedup.matcher.v1.matcher_service_pb2_grpc import add_MatcherServiceServicer_to_server
from matcher_service.batch import Outcome
from matcher_service.config_client import ConfigLadder
from matcher_service.env import Env, Rung
from matcher_service.grants import GRANTS, SERVICE
from matcher_service.reporting import Reporter
from matcher_service.servicer import Servicer

LOG = logging.getLogger("event_dedup.matcher")
UNARY_SECONDS = 120.0
"""A small batch that takes longer than this is ended."""
RETRY = Retry(tries=4)
"""A batch waits for the live rung: a service that is not there costs it under a second."""


@dataclass
class MatcherServer:
    """A MatcherService that listens on `address`."""

    address: str
    serving: Serving
    client: AsyncConfigClient
    reporter: Reporter
    telemetry: Telemetry
    drain_seconds: float

    async def stop(self, grace: float | None = None) -> None:
        """Drain: running batches get `grace` seconds (Env), then they are cancelled."""
        await self.serving.stop(self.drain_seconds if grace is None else grace)
        await self.reporter.close()
        await self.client.close()
        await self.telemetry.close()

    async def serve_until_signal(self) -> None:
        """Run until SIGTERM or SIGINT, then drain."""
        await self.serving.signalled()
        await self.stop()


async def start(env: Env) -> MatcherServer:
    """Listen.

    Raises `NotAllowed`, `InvalidRequest` (principals), OSError or ValueError, each with a message
    that says what to do.
    """
    _require_safe(env)
    access = env.access
    telemetry = Telemetry(env.telemetry, "matcher-service")
    guard = access.guard(GRANTS, telemetry, unary_seconds=UNARY_SECONDS)
    tls = access.credentials()
    client = AsyncConfigClient(
        env.config_address, env.config_credentials, deadline=env.config_timeout, retry=RETRY
    )
    configs, reporter = ConfigLadder(client, env), Reporter(client)
    done = reporter.done if Rung.LIVE in env.rungs else _unheard

    def register(_: Serving, server: grpc.aio.Server) -> None:
        add_MatcherServiceServicer_to_server(Servicer(configs, env.max_listings, done), server)

    serving = Serving((SERVICE,), register, guard, tls)
    certificate.add_gauge(telemetry.metrics, access.cert_file, env.config_credentials.cert_file)
    telemetry.start()
    address = await serving.start(env.address, access.health_address)
    reporter.start(address)
    LOG.info("listening on %s, config from %s", address, env.config_address)
    return MatcherServer(address, serving, client, reporter, telemetry, env.drain_seconds)


def _unheard(outcome: Outcome) -> None:
    """Drop what a matcher would report that may not ask ConfigService."""


def _require_safe(env: Env) -> None:
    env.access.require_safe(env.address)
    if env.access.is_exposed(env.config_address) and not env.config_credentials.ca_file:
        raise NotAllowed("secrets come from ConfigService over TLS: set MATCHER_CONFIG_TLS_CA_FILE")
