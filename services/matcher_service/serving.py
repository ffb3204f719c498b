"""The running service: config client and server of one process, wired by hand."""

import asyncio
import logging
from dataclasses import dataclass

import grpc

from dedup_rpc import certificate
from dedup_rpc.client import AsyncConfigClient, Retry
from dedup_rpc.server import NotAllowed, Serving
from dedup_rpc.telemetry import Telemetry
from eventdedup.matcher.v1.matcher_service_pb2_grpc import add_MatcherServiceServicer_to_server
from matcher_service.batch import Outcome, Runner
from matcher_service.config_client import ConfigLadder
from matcher_service.env import Env, Rung
from matcher_service.garbage import collect_rarely
from matcher_service.grants import GRANTS, SERVICE
from matcher_service.llm.tier import Tier
from matcher_service.llm.totals import Totals
from matcher_service.reporting import Reporter
from matcher_service.requests import MIB, Intake
from matcher_service.servicer import Servicer
from matcher_service.warming import Warming
from matcher_service.workers import Workers

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
    warming: Warming
    telemetry: Telemetry
    workers: Workers
    intake: Intake
    drain_seconds: float

    async def stop(self, grace: float | None = None) -> None:
        """Drain: running batches get `grace` seconds (Env), then they are cancelled."""
        await self.serving.stop(self.drain_seconds if grace is None else grace)
        await asyncio.to_thread(self.workers.close)
        await self.warming.close()
        await self.reporter.close()
        await self.client.close()
        await self.telemetry.close()

    async def serve_until_signal(self) -> None:
        """Run until SIGTERM or SIGINT, then drain."""
        await self.serving.signalled()
        await self.stop()


async def start(env: Env) -> MatcherServer:
    """Listen, in a process that looks for cyclic garbage rarely.

    Raises `NotAllowed`, `InvalidRequest` (principals), OSError or ValueError, each with a message
    that says what to do.
    """
    _require_safe(env)
    collect_rarely()
    access = env.access
    telemetry = Telemetry(env.telemetry, "matcher-service")
    guard = access.guard(
        GRANTS, telemetry, unary_seconds=UNARY_SECONDS, stall_seconds=env.stall_seconds
    )
    tls = access.credentials()
    client = AsyncConfigClient(
        env.config_address, env.config_credentials, deadline=env.config_timeout, retry=RETRY
    )
    configs, reporter = ConfigLadder(client, env), Reporter(client)
    workers = Workers(env.workers, places=env.max_batches, waiting=env.max_queued)
    intake = Intake(env.max_listings, env.max_input_mib * MIB, env.stall_seconds)
    runner = Runner(workers, Tier(env.ai_base_url, env.state_dir), env.ai_failure, env.max_pairs)
    done = reporter.done if Rung.LIVE in env.rungs else _unheard

    totals = Totals()
    _measure(telemetry, totals)
    _measure_load(telemetry, workers, intake)
    _measure_config(telemetry, configs, env)

    def heard(outcome: Outcome) -> None:
        if outcome.usage:
            totals.add(outcome.usage)
        done(outcome)

    def register(_: Serving, server: grpc.aio.Server) -> None:
        add_MatcherServiceServicer_to_server(Servicer(configs, intake, runner, heard), server)

    serving = Serving((SERVICE,), register, guard, tls)
    certificate.add_gauge(telemetry.metrics, access.cert_file, env.config_credentials.cert_file)
    telemetry.start()
    address = await serving.start(env.address, access.health_address)
    reporter.start(address)
    warming = Warming(client, configs.warm)
    if Rung.LIVE in env.rungs:
        warming.start()
    LOG.info("listening on %s, config from %s", address, env.config_address)
    return MatcherServer(
        address,
        serving,
        client,
        reporter,
        warming,
        telemetry,
        workers,
        intake,
        env.drain_seconds,
    )


def _measure(telemetry: Telemetry, totals: Totals) -> None:
    """Show what asking the language model has cost."""
    add = telemetry.metrics.counters
    add("eventdedup_ai_pairs", "Pairs for the language model", ("outcome",), totals.pairs)
    add("eventdedup_ai_tokens", "Tokens of its answers", ("kind",), totals.tokens)
    add("eventdedup_ai_failures", "Pairs without an answer", ("kind",), totals.failures)
    add("eventdedup_ai_calls", "Requests to it", (), totals.calls)
    add("eventdedup_ai_cost_usd", "Price of its answers in USD", (), totals.cost)


def _measure_load(telemetry: Telemetry, workers: Workers, intake: Intake) -> None:
    """Show what runs and waits."""
    lanes = {"small": workers.small, "large": workers.large}
    telemetry.metrics.gauges(
        "eventdedup_matcher_batches",
        "Batches that run or wait",
        ("size", "state"),
        lambda: {
            (size, state): count
            for size, turns in lanes.items()
            for state, count in (("running", turns.running), ("queued", turns.waiting))
        },
    )
    telemetry.metrics.gauge(
        "eventdedup_matcher_held_bytes",
        "Input and decisions that batches hold",
        lambda: intake.held,
    )


def _measure_config(telemetry: Telemetry, configs: ConfigLadder, env: Env) -> None:
    """Show where configs come from, and how long ago the last live one came."""
    metrics = telemetry.metrics
    metrics.counters(
        "eventdedup_matcher_configs", "Configs of batches by source", ("source",), configs.given
    )
    if Rung.LIVE in env.rungs:
        age, longest = "eventdedup_matcher_config_age", "eventdedup_matcher_config_max_age"
        metrics.gauge(f"{age}_seconds", "Since the last live config", configs.age)
        metrics.gauge(f"{longest}_seconds", "It is kept so long", lambda: env.max_staleness)


def _unheard(outcome: Outcome) -> None:
    """Drop what a matcher would report that may not ask ConfigService."""


def _require_safe(env: Env) -> None:
    env.access.require_safe(env.address)
    if env.access.is_exposed(env.config_address) and not env.config_credentials.ca_file:
        raise NotAllowed("secrets come from ConfigService over TLS: set MATCHER_CONFIG_TLS_CA_FILE")
