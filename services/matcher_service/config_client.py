"""The config of a batch: one snapshot by RPC before it starts, or the next allowed rung.

Ladder: live, the last good snapshot in memory, the last good one on disk (both no older than the
longest staleness since the last live contact), the bootstrap file with the environment's key.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dedup_model import rules, strict_yaml, tree
from dedup_model.errors import ConfigUnavailable, DedupError, InvalidRequest
from dedup_model.matching_config import SCHEMA_VERSION
from dedup_model.snapshot import SecretState, Snapshot
from dedup_rpc.client import (
    API_KEY,
    Rejection,
    SecretValue,
    ServiceError,
    UnusableConfig,
    UnusableCredentials,
)
from matcher_service import last_good
from matcher_service.env import Env, Rung

LOG = logging.getLogger("event_dedup.matcher.config")
NO_RUNG = "none"
"""Stands in counts where no allowed rung gave a config."""
_FAILURES = (ServiceError, DedupError, UnusableCredentials, OSError)


class Live(Protocol):
    """What the live rung asks; `dedup_rpc.client.AsyncConfigClient` is one."""

    async def snapshot(self, known: Snapshot | None = None) -> Snapshot:
        """Return the present snapshot; `known` itself while it still holds."""

    async def access_secret(self) -> SecretValue:
        """Return the AI key."""


@dataclass(frozen=True)
class Rejected:
    """A revision of ConfigService that this release must not run."""

    epoch: str
    rejection: Rejection


@dataclass(frozen=True)
class BatchConfig:
    """What one batch runs under; no later change touches it.

    `rejected` is what the live rung gave instead, when it was of no use.
    """

    snapshot: Snapshot
    source: Rung
    api_key: str | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    rejected: Rejected | None = None


class ConfigLadder:
    """Gives each batch its config."""

    def __init__(self, live: Live, env: Env, clock: Callable[[], float] = time.time) -> None:
        self._client, self._env, self._clock = live, env, clock
        self._good: Snapshot | None = None
        self._rejected: Rejected | None = None
        self._contact = float("-inf")
        self._key: SecretValue | None = None
        self._given: Counter[str] = Counter(dict.fromkeys((*env.rungs, NO_RUNG), 0))

    async def for_batch(self) -> BatchConfig:
        """Return the best config that an allowed rung gives; raises `ConfigUnavailable`."""
        problems: list[str] = []
        for rung in self._env.rungs:
            try:
                found = await self._from(rung, tuple(problems))
            except _NoConfig as problem:
                problems.append(f"{rung}: {problem}")
            else:
                self._given[rung] += 1
                return found
        self._given[NO_RUNG] += 1
        LOG.error("no config for a batch: %s", "; ".join(problems))
        raise ConfigUnavailable("no allowed source gives a config: " + "; ".join(problems))

    async def warm(self) -> None:
        """Fetch what holds now, for the batches to come; a failure is left for them to meet."""
        known = self._good
        try:
            snapshot = await self._fetched()
        except _NoConfig as problem:
            LOG.info("what holds now was not fetched: %s", problem)
            return
        self._remember(snapshot)
        if snapshot is not known:
            LOG.info("ready for revision %d", snapshot.revision)

    def given(self) -> dict[tuple[str, ...], float]:
        """Return how often each allowed rung gave a config, and how often none did."""
        return {(source,): count for source, count in self._given.items()}

    def age(self) -> float:
        """Return the seconds since the live rung last gave a config, infinite when it never did.

        What a process before this one left on disk counts until this one has its own.
        """
        contact = self._contact if self._good else self._stored()[1]
        return self._clock() - contact

    async def _from(self, rung: Rung, problems: tuple[str, ...]) -> BatchConfig:
        match rung:
            case Rung.LIVE:
                return await self._live()
            case Rung.MEMORY:
                return self._kept(self._good, self._contact, rung, problems)
            case Rung.FILE:
                return self._kept(*self._stored(), rung, problems)
            case Rung.BOOTSTRAP:
                return self._bootstrap(problems)

    def _stored(self) -> tuple[Snapshot | None, float]:
        folder = self._env.state_dir if Rung.FILE in self._env.rungs else None
        return (folder and last_good.load(folder)) or (None, float("-inf"))

    async def _live(self) -> BatchConfig:
        snapshot = await self._fetched()
        self._remember(snapshot)
        key, warnings = await self._api_key(snapshot)
        return BatchConfig(snapshot, Rung.LIVE, key, warnings)

    async def _fetched(self) -> Snapshot:
        try:
            snapshot = await self._client.snapshot(self._good)
        except UnusableConfig as error:
            refused = Rejection(error.revision, error.why)
            self._rejected = Rejected(error.epoch, refused)
            raise _NoConfig(f"the snapshot was rejected: {error.why}") from None
        except _FAILURES as error:
            raise _NoConfig(_said(error)) from None
        self._rejected = None
        return snapshot

    def _remember(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, unless a newer one of its epoch was fetched meanwhile."""
        now, good = self._clock(), self._good
        if good and good.epoch == snapshot.epoch and good.revision > snapshot.revision:
            self._contact = now
            return
        is_new = self._good is None or self._good.digest != snapshot.digest
        stale = now - self._contact > self._env.max_staleness / 10
        self._good, self._contact = snapshot, now
        if self._env.state_dir and (is_new or stale):
            try:
                last_good.save(self._env.state_dir, snapshot, now)
            except OSError as error:
                LOG.warning("the last good config cannot be written: %s", error.strerror)

    async def _api_key(self, snapshot: Snapshot) -> tuple[str | None, tuple[str, ...]]:
        state = snapshot.secrets.get(API_KEY, SecretState())
        if not snapshot.config.ai.enabled:
            return None, ()
        if not state.is_set:
            return None, ("ai.enabled is on but ai.api_key is not set",)
        if self._key is None or self._key.version != state.version:
            try:
                self._key = await self._client.access_secret()
            except _FAILURES as error:
                return None, (f"ai.api_key cannot be read: {_said(error)}",)
        return self._key.value, ()

    def _kept(
        self, snapshot: Snapshot | None, contact: float, rung: Rung, problems: tuple[str, ...]
    ) -> BatchConfig:
        if snapshot is None:
            raise _NoConfig("nothing is kept")
        if self._clock() - contact > self._env.max_staleness:
            raise _NoConfig("what is kept is too old")
        LOG.warning("config from %s: %s", rung, "; ".join(problems))
        key = self._key.value if self._key and snapshot.config.ai.enabled else None
        return BatchConfig(snapshot, rung, key, problems, self._rejected)

    def _bootstrap(self, problems: tuple[str, ...]) -> BatchConfig:
        path, key = self._env.bootstrap_file, self._env.api_key
        try:
            config = rules.validated(strict_yaml.load(path) if path else {})
        except InvalidRequest as error:
            raise _NoConfig(f"the bootstrap file is not valid: {error.message}") from None
        if key:
            config = config.model_copy(
                update={"ai": config.ai.model_copy(update={"enabled": True})}
            )
        digest = tree.digest(tree.dump(config))
        snapshot = Snapshot("", 0, digest, config, SCHEMA_VERSION)
        return BatchConfig(snapshot, Rung.BOOTSTRAP, key, problems, self._rejected)


class _NoConfig(Exception):
    """A rung gives nothing; says why."""


def _said(error: Exception) -> str:
    if isinstance(error, OSError | UnusableCredentials):
        return "the token for ConfigService cannot be read"
    name = error.code.name if isinstance(error, ServiceError) else getattr(error, "reason", "")
    return f"ConfigService answered {name}"
