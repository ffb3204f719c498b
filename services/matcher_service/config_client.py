"""The config of a batch: one snapshot by RPC before it starts, or the next allowed rung.

Ladder: live, the last good snapshot in memory, the last good one on disk (both no older than the
longest staleness since the last live contact), the bootstrap file with the environment's key.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from dedup_model import rules, strict_yaml, tree
from dedup_model.errors import ConfigUnavailable, InvalidRequest
from dedup_model.matching_config import SCHEMA_VERSION
from dedup_model.snapshot import SecretState, Snapshot
from dedup_rpc.status import remote_error
from dedup_rpc.wire import moment, to_document, unknown_fields
from eventdedup.config.v1 import config_service_pb2 as pb
from matcher_service import last_good
from matcher_service.env import Env, Rung

if TYPE_CHECKING:
    from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceAsyncStub

LOG = logging.getLogger("event_dedup.matcher.config")
API_KEY = "ai.api_key"


@dataclass(frozen=True)
class BatchConfig:
    """What one batch runs under; no later change touches it."""

    snapshot: Snapshot
    source: Rung
    api_key: str | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()


class ConfigClient:
    """Gives each batch its config."""

    def __init__(
        self,
        stub: "ConfigServiceAsyncStub",
        env: Env,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stub, self._env, self._clock = stub, env, clock
        self._good: Snapshot | None = None
        self._contact = float("-inf")
        self._key: tuple[int, str] | None = None

    async def for_batch(self) -> BatchConfig:
        """Return the best config that an allowed rung gives; raises `ConfigUnavailable`."""
        problems: list[str] = []
        for rung in self._env.rungs:
            try:
                return await self._from(rung, tuple(problems))
            except _NoConfig as problem:
                problems.append(f"{rung}: {problem}")
        LOG.error("no config for a batch: %s", "; ".join(problems))
        raise ConfigUnavailable("no allowed source gives a config: " + "; ".join(problems))

    async def _from(self, rung: Rung, problems: tuple[str, ...]) -> BatchConfig:
        match rung:
            case Rung.LIVE:
                return await self._live()
            case Rung.MEMORY:
                return self._kept(self._good, self._contact, rung, problems)
            case Rung.FILE:
                folder = self._env.state_dir
                snapshot, contact = (folder and last_good.load(folder)) or (None, 0.0)
                return self._kept(snapshot, contact, rung, problems)
            case Rung.BOOTSTRAP:
                return self._bootstrap(problems)

    async def _live(self) -> BatchConfig:
        snapshot = await self._fetched()
        self._remember(snapshot)
        key, warnings = await self._api_key(snapshot)
        return BatchConfig(snapshot, Rung.LIVE, key, warnings)

    async def _fetched(self) -> Snapshot:
        good = self._good
        request = pb.GetSnapshotRequest()
        if good:
            request = pb.GetSnapshotRequest(
                known_epoch=good.epoch, known_revision=good.revision, min_revision=good.revision
            )
        try:
            answer = await self._stub.GetSnapshot(request, timeout=self._env.config_timeout)
        except grpc.RpcError as error:
            raise _NoConfig(f"ConfigService answered {remote_error(error).code.name}") from None
        return good if good and answer.not_modified else _accepted(answer)

    def _remember(self, snapshot: Snapshot) -> None:
        now = self._clock()
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
        if self._key is None or self._key[0] != state.version:
            request = pb.AccessSecretRequest(name=API_KEY)
            try:
                answer = await self._stub.AccessSecret(request, timeout=self._env.config_timeout)
            except grpc.RpcError as error:
                name = remote_error(error).code.name
                return None, (f"ai.api_key cannot be read: ConfigService answered {name}",)
            self._key = answer.version, answer.value
        return self._key[1], ()

    def _kept(
        self, snapshot: Snapshot | None, contact: float, rung: Rung, problems: tuple[str, ...]
    ) -> BatchConfig:
        if snapshot is None:
            raise _NoConfig("nothing is kept")
        if self._clock() - contact > self._env.max_staleness:
            raise _NoConfig("what is kept is too old")
        LOG.warning("config from %s: %s", rung, "; ".join(problems))
        key = self._key[1] if self._key and snapshot.config.ai.enabled else None
        return BatchConfig(snapshot, rung, key, problems)

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
        return BatchConfig(snapshot, Rung.BOOTSTRAP, key, problems)


class _NoConfig(Exception):
    """A rung gives nothing; says why."""


def _accepted(answer: pb.GetSnapshotResponse) -> Snapshot:
    """Return the answered snapshot; refuses one of a newer tree or with invalid values."""
    if answer.schema_version > SCHEMA_VERSION:
        raise _NoConfig("the snapshot is of a newer release's settings and was rejected")
    try:
        config, ignored = rules.read(to_document(answer.config))
    except InvalidRequest as error:
        raise _NoConfig(f"the snapshot was rejected: {error.message}") from None
    return Snapshot(
        epoch=answer.epoch,
        revision=answer.revision,
        digest=answer.digest,
        config=config,
        schema_version=answer.schema_version,
        issued_at=moment(answer.issued_at),
        secrets={s.name: SecretState(s.is_set, s.version) for s in answer.secrets},
        ignored_paths=(*ignored, *unknown_fields(answer.config)),
    )
