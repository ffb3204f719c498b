"""The running service: config client and server of one process, wired by hand."""

import logging
from dataclasses import dataclass

import grpc

from dedup_rpc.channel import connect_aio
from dedup_rpc.server import NotAllowed, Serving
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.matcher.v1.matcher_service_pb2_grpc import add_MatcherServiceServicer_to_server
from matcher_service.config_client import ConfigClient
from matcher_service.env import Env
from matcher_service.grants import GRANTS, SERVICE
from matcher_service.servicer import Servicer

LOG = logging.getLogger("event_dedup.matcher")
GRACE_SECONDS = 6.0


@dataclass
class MatcherServer:
    """A MatcherService that listens on `address`."""

    address: str
    serving: Serving
    channel: grpc.aio.Channel

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Drain: running batches get `grace` seconds, then they are cancelled."""
        await self.serving.stop(grace)
        await self.channel.close()

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
    guard, tls = access.guard(GRANTS), access.credentials()
    channel = connect_aio(env.config_address, env.config_credentials)
    configs = ConfigClient(ConfigServiceStub(channel), env)

    def register(_: Serving, server: grpc.aio.Server) -> None:
        add_MatcherServiceServicer_to_server(Servicer(configs, env.max_listings), server)

    serving = Serving((SERVICE,), register, guard, tls)
    address = await serving.start(env.address, access.health_address)
    LOG.info("listening on %s, config from %s", address, env.config_address)
    return MatcherServer(address, serving, channel)


def _require_safe(env: Env) -> None:
    env.access.require_safe(env.address)
    if env.access.is_exposed(env.config_address) and not env.config_credentials.ca_file:
        raise NotAllowed("secrets come from ConfigService over TLS: set MATCHER_CONFIG_TLS_CA_FILE")
