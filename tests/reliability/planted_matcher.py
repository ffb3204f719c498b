"""Matchers with one bug each, in this process; everything else is as `matcher-service serve` has it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from dedup_model.errors import ConfigUnavailable
from dedup_model.matching_config import MatchingConfig
from dedup_rpc.client import AsyncConfigClient, Retry
from dedup_rpc.server import Serving
from eventdedup.matcher.v1.matcher_service_pb2_grpc import add_MatcherServiceServicer_to_server
from matcher_service.batch import Outcome, Runner
from matcher_service.config_client import BatchConfig, ConfigLadder
from matcher_service.env import Env, Rung
from matcher_service.grants import GRANTS, SERVICE
from matcher_service.requests import MIB, Intake
from matcher_service.servicer import Servicer
from matcher_service.workers import Workers

KEPT_SECONDS = 0.3

Plant = Callable[[AsyncConfigClient, Env], tuple[ConfigLadder, Runner]]


@asynccontextmanager
async def planted(env: Env, plant: Plant) -> AsyncIterator[str]:
    """Serve with a planted part; yields the address."""
    client = AsyncConfigClient(
        env.config_address, deadline=env.config_timeout, retry=Retry(tries=2)
    )
    async with client:
        configs, runner = plant(client, env)
        intake = Intake(env.max_listings, env.max_input_mib * MIB, env.stall_seconds)
        servicer = Servicer(configs, intake, runner, lambda _: None)

        def register(_: Serving, server: Any) -> None:
            add_MatcherServiceServicer_to_server(servicer, server)

        serving = Serving((SERVICE,), register, env.access.guard(GRANTS))
        yield await serving.start(env.address)
        await serving.stop(0)
        runner.workers.close()


class Torn(ConfigLadder):
    """Takes the thresholds of the snapshot before."""

    _before: MatchingConfig | None = None

    async def for_batch(self) -> BatchConfig:
        """Mix two snapshots."""
        found = await super().for_batch()
        before, self._before = self._before or found.snapshot.config, found.snapshot.config
        mixed = found.snapshot.config.model_copy(update={"thresholds": before.thresholds})
        return replace(found, snapshot=replace(found.snapshot, config=mixed))


class Lazy(ConfigLadder):
    """Asks a few times a second only."""

    _kept: BatchConfig | None = None
    _until = 0.0

    async def for_batch(self) -> BatchConfig:
        """Return what was asked for not long ago."""
        if self._kept is None or time.monotonic() > self._until:
            self._kept = await super().for_batch()
            self._until = time.monotonic() + KEPT_SECONDS
        return self._kept


class NamesTheNewest(Runner):
    """Names the revision that holds when the batch ends."""

    configs: ConfigLadder

    async def run(self, *args: Any, **more: Any) -> Outcome:
        """Run under what is pinned and name what is newest."""
        outcome = await super().run(*args, **more)
        newest = (await self.configs.for_batch()).snapshot
        return replace(outcome, pinned=replace(outcome.pinned, snapshot=newest))


class Sticky(ConfigLadder):
    """Falls back to the first snapshot that it ever had."""

    _first: BatchConfig | None = None

    async def for_batch(self) -> BatchConfig:
        """Return the first snapshot when the live one cannot be had."""
        found = await super().for_batch()
        self._first = self._first or found
        return found if found.source is Rung.LIVE else replace(self._first, source=Rung.MEMORY)


class SilentDefaults(ConfigLadder):
    """Runs the defaults when no config can be had, under the name of the last revision."""

    _last: BatchConfig | None = None

    async def for_batch(self) -> BatchConfig:
        """Return the last config with the settings of the release."""
        try:
            self._last = await super().for_batch()
        except ConfigUnavailable:
            if self._last is None:
                raise
            snapshot = replace(self._last.snapshot, config=MatchingConfig())
            return replace(self._last, snapshot=snapshot)
        return self._last


class AnyRung(ConfigLadder):
    """Takes every rung there is, allowed or not."""

    def __init__(self, live: AsyncConfigClient, env: Env) -> None:
        super().__init__(live, replace(env, rungs=tuple(Rung)))


def _runner() -> Runner:
    return Runner(Workers(1))


def torn(client: AsyncConfigClient, env: Env) -> tuple[ConfigLadder, Runner]:
    """Mix two snapshots."""
    return Torn(client, env), _runner()


def lazy(client: AsyncConfigClient, env: Env) -> tuple[ConfigLadder, Runner]:
    """Keep a snapshot for a while."""
    return Lazy(client, env), _runner()


def names_the_newest(client: AsyncConfigClient, env: Env) -> tuple[ConfigLadder, Runner]:
    """Name another revision than the one that was used."""
    configs, runner = ConfigLadder(client, env), NamesTheNewest(Workers(1))
    object.__setattr__(runner, "configs", configs)
    return configs, runner


def sticky(client: AsyncConfigClient, env: Env) -> tuple[ConfigLadder, Runner]:
    """Fall back too far."""
    return Sticky(client, env), _runner()


def silent_defaults(client: AsyncConfigClient, env: Env) -> tuple[ConfigLadder, Runner]:
    """Fall back to the defaults without a word."""
    return SilentDefaults(client, env), _runner()


def any_rung(client: AsyncConfigClient, env: Env) -> tuple[ConfigLadder, Runner]:
    """Fall back to what is not allowed."""
    return AnyRung(client, env), _runner()
