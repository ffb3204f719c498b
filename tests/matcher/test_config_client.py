"""The fallback ladder against a real ConfigService and against services that answer oddly."""

import json
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import serving
from config_service.env import Env as ConfigEnv
from dedup_model import rules, tree
from dedup_model.errors import ConfigUnavailable, KeyringUnavailable, Violation
from dedup_model.matching_config import MatchingConfig
from dedup_model.snapshot import SecretState, Snapshot
from dedup_rpc.client import (
    AsyncConfigClient,
    Retry,
    SecretValue,
    ServiceError,
    UnusableConfig,
    UnusableCredentials,
)
from dedup_rpc.status import RemoteError
from matcher_service.config_client import ConfigLadder
from matcher_service.env import Env, Rung

KEY = "canary-key-7731"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def down() -> ServiceError:
    remote = RemoteError(grpc.StatusCode.UNAVAILABLE, "", "down", {}, ())
    return ServiceError(remote, maybe_applied=False)


class Answers:
    """A ConfigService that answers what it is told, and counts."""

    def __init__(self, *snapshots: Snapshot | Exception) -> None:
        self.snapshots, self.secret_calls = list(snapshots), 0
        self.known: list[Snapshot | None] = []

    async def snapshot(self, known: Snapshot | None = None) -> Snapshot:
        self.known.append(known)
        answer = self.snapshots.pop(0) if self.snapshots else down()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def access_secret(self) -> SecretValue:
        self.secret_calls += 1
        return SecretValue(3, KEY)


def snapshot(revision: int = 5, **settings: Any) -> Snapshot:
    document = tree.layer(tree.DEFAULTS, settings)
    return Snapshot(
        epoch="e1",
        revision=revision,
        digest=tree.digest(document),
        config=rules.validated(document),
        schema_version=1,
        secrets={"ai.api_key": SecretState(is_set=True, version=3)},
    )


def client(answers: Any, clock: Clock | None = None, **env: Any) -> ConfigLadder:
    return ConfigLadder(answers, Env(**env), clock or Clock())


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[serving.ConfigServer]:
    env = ConfigEnv(address="127.0.0.1:0", database_url=f"sqlite:///{tmp_path / 'c.db'}")
    server = await serving.start(env)
    yield server
    await server.stop(0)


@pytest.fixture
async def live(service: serving.ConfigServer) -> AsyncIterator[AsyncConfigClient]:
    async with AsyncConfigClient(service.address, retry=Retry(tries=1)) as connected:
        yield connected


async def test_a_batch_gets_the_live_config_and_the_next_one_the_changed_one(
    live: AsyncConfigClient,
) -> None:
    configs = client(live)
    first = await configs.for_batch()
    await live.update({"thresholds.high": 0.8})
    second = await configs.for_batch()
    assert (first.source, second.source) == (Rung.LIVE, Rung.LIVE)
    assert second.snapshot.revision == first.snapshot.revision + 1
    assert first.snapshot.config.thresholds.high == 0.75
    assert second.snapshot.config.thresholds.high == 0.8


async def test_a_list_that_an_operator_emptied_is_empty_and_not_the_default(
    live: AsyncConfigClient,
) -> None:
    await live.update({"text.synonyms": [], "category_weights.priority": []})
    config = (await client(live).for_batch()).snapshot.config
    assert config.text.synonyms == []
    assert config.category_weights.priority == []
    assert config.text.prefixes == MatchingConfig().text.prefixes


async def test_a_run_with_ai_gets_the_decrypted_key(live: AsyncConfigClient) -> None:
    await live.set_secret(KEY)
    configs = client(live)
    without = await configs.for_batch()
    await live.update({"ai.enabled": True})
    with_ai = await configs.for_batch()
    assert (without.api_key, with_ai.api_key) == (None, KEY)
    assert KEY not in repr(with_ai)


async def test_an_unchanged_config_is_not_sent_again(live: AsyncConfigClient) -> None:
    configs = client(live)
    first, second = await configs.for_batch(), await configs.for_batch()
    assert second.snapshot is first.snapshot


async def test_the_config_that_is_kept_is_named_when_the_next_one_is_asked_for() -> None:
    answers = Answers(snapshot(), snapshot(6))
    configs = client(answers)
    first = await configs.for_batch()
    await configs.for_batch()
    assert answers.known == [None, first.snapshot]


async def test_the_key_is_read_once_for_a_version() -> None:
    answers = Answers(snapshot(ai={"enabled": True}), snapshot(6, ai={"enabled": True}))
    configs = client(answers)
    for _ in range(2):
        assert (await configs.for_batch()).api_key == KEY
    assert answers.secret_calls == 1


async def test_a_missing_key_is_a_warning_and_no_failure() -> None:
    answer = replace(snapshot(ai={"enabled": True}), secrets={})
    pinned = await client(Answers(answer)).for_batch()
    assert pinned.api_key is None
    assert pinned.warnings == ("ai.enabled is on but ai.api_key is not set",)


async def test_when_the_service_is_down_the_last_good_config_in_memory_is_used() -> None:
    configs = client(Answers(snapshot(scoring={"date": 0.4})))
    await configs.for_batch()
    pinned = await configs.for_batch()
    assert pinned.source is Rung.MEMORY
    assert pinned.snapshot.config.scoring.date == 0.4
    assert pinned.warnings == ("live: ConfigService answered UNAVAILABLE",)


async def test_memory_serves_no_longer_than_the_longest_staleness() -> None:
    clock = Clock()
    configs = client(Answers(snapshot()), clock, max_staleness=60.0, rungs=(Rung.LIVE, Rung.MEMORY))
    await configs.for_batch()
    clock.now += 60
    assert (await configs.for_batch()).source is Rung.MEMORY
    clock.now += 1
    with pytest.raises(ConfigUnavailable, match="too old"):
        await configs.for_batch()


async def test_after_a_restart_the_last_good_file_is_used(tmp_path: Path) -> None:
    await client(Answers(snapshot(scoring={"date": 0.4})), state_dir=tmp_path).for_batch()
    pinned = await client(Answers(), state_dir=tmp_path).for_batch()
    assert (pinned.source, pinned.snapshot.revision) == (Rung.FILE, 5)
    assert pinned.snapshot.config.scoring.date == 0.4


async def test_the_last_good_file_holds_no_secret_and_is_private(tmp_path: Path) -> None:
    answers = Answers(snapshot(ai={"enabled": True}))
    pinned = await client(answers, state_dir=tmp_path).for_batch()
    (path,) = tmp_path.iterdir()
    assert pinned.api_key == KEY
    assert KEY not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def cut(text: str) -> str:
    return text[: len(text) // 2]


def altered(text: str) -> str:
    document = json.loads(text)
    document["body"]["config"]["thresholds"]["high"] = 0.5
    return json.dumps(document)


@pytest.mark.parametrize("damage", [cut, altered, lambda _: "[]", lambda _: "", lambda _: "{}"])
async def test_a_damaged_last_good_file_is_not_used(
    tmp_path: Path, damage: Callable[[str], str]
) -> None:
    await client(Answers(snapshot()), state_dir=tmp_path).for_batch()
    (path,) = tmp_path.iterdir()
    path.write_text(damage(path.read_text()))
    pinned = await client(Answers(), state_dir=tmp_path).for_batch()
    assert pinned.source is Rung.BOOTSTRAP


async def test_with_nothing_fetched_the_yaml_file_and_the_environment_key_hold(
    tmp_path: Path,
) -> None:
    path = tmp_path / "matching.yaml"
    path.write_text("thresholds:\n  high: 0.8\n")
    pinned = await client(Answers(), bootstrap_file=path, api_key=KEY).for_batch()
    assert pinned.source is Rung.BOOTSTRAP
    assert (pinned.snapshot.epoch, pinned.snapshot.revision) == ("", 0)
    assert pinned.snapshot.config.thresholds.high == 0.8
    assert pinned.snapshot.config.ai.enabled
    assert pinned.api_key == KEY


async def test_with_nothing_at_all_the_defaults_hold() -> None:
    pinned = await client(Answers()).for_batch()
    assert pinned.snapshot.config == MatchingConfig()
    assert pinned.snapshot.digest == tree.digest(tree.DEFAULTS)


async def test_a_bad_yaml_file_fails_the_batch_and_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "matching.yaml"
    path.write_text("thresholds:\n  high: 7.25\n")
    with pytest.raises(ConfigUnavailable, match=r"thresholds\.high") as caught:
        await client(Answers(), bootstrap_file=path).for_batch()
    assert "7.25" not in str(caught.value)


async def test_a_rung_that_is_not_allowed_is_not_used(tmp_path: Path) -> None:
    configs = client(Answers(snapshot()), rungs=(Rung.LIVE,), state_dir=tmp_path)
    await configs.for_batch()
    with pytest.raises(ConfigUnavailable, match="live: ConfigService answered UNAVAILABLE"):
        await configs.for_batch()


def rejected(revision: int) -> UnusableConfig:
    return UnusableConfig(("e1", revision), [Violation("thresholds.high", "RANGE", "0 to 1")])


async def test_a_snapshot_that_cannot_be_trusted_never_replaces_a_good_one() -> None:
    configs = client(Answers(snapshot(), rejected(6)))
    await configs.for_batch()
    pinned = await configs.for_batch()
    assert (pinned.source, pinned.snapshot.revision) == (Rung.MEMORY, 5)
    assert pinned.warnings == ("live: the snapshot was rejected: thresholds.high: 0 to 1",)


async def test_a_rejected_revision_is_told_until_a_good_one_comes() -> None:
    configs = client(Answers(snapshot(), rejected(6), down(), snapshot(7)))
    told = [(await configs.for_batch()).rejected for _ in range(4)]
    revisions = [one and (one.epoch, one.rejection.revision) for one in told]
    assert revisions == [None, ("e1", 6), ("e1", 6), None]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyringUnavailable("sealed"), "ConfigService answered KEYRING_UNAVAILABLE"),
        (UnusableCredentials("two tokens"), "the token for ConfigService cannot be read"),
        (FileNotFoundError(2, "gone"), "the token for ConfigService cannot be read"),
    ],
)
async def test_whatever_keeps_the_live_rung_from_answering_the_next_one_is_taken(
    error: Exception, said: str
) -> None:
    configs = client(Answers(snapshot(), error))
    await configs.for_batch()
    pinned = await configs.for_batch()
    assert pinned.source is Rung.MEMORY
    assert pinned.warnings == (f"live: {said}",)


async def test_a_new_revision_is_fetched_before_a_batch_asks(tmp_path: Path) -> None:
    answers = Answers(snapshot(5), snapshot(6))
    ladder = ConfigLadder(answers, Env(rungs=(Rung.LIVE, Rung.MEMORY)))
    await ladder.warm()
    await ladder.warm()
    await ladder.warm()
    pinned = await ladder.for_batch()
    assert (pinned.snapshot.revision, pinned.source) == (6, Rung.MEMORY)


async def test_the_rungs_that_gave_configs_are_counted_and_so_are_batches_without_any() -> None:
    clock = Clock()
    configs = client(Answers(snapshot()), clock, rungs=(Rung.LIVE, Rung.MEMORY), max_staleness=60.0)
    assert configs.given() == {("live",): 0, ("memory",): 0, ("none",): 0}
    await configs.for_batch()
    await configs.for_batch()
    await configs.for_batch()
    clock.now += 61
    with pytest.raises(ConfigUnavailable):
        await configs.for_batch()
    assert configs.given() == {("live",): 1, ("memory",): 2, ("none",): 1}


async def test_the_age_grows_from_the_last_live_config_on() -> None:
    clock = Clock()
    configs = client(Answers(snapshot(), rejected(6), down(), snapshot(6)), clock)
    assert configs.age() == float("inf")
    await configs.for_batch()
    clock.now += 30
    await configs.for_batch()
    await configs.warm()
    assert configs.age() == 30
    await configs.warm()
    assert configs.age() == 0


@pytest.mark.parametrize("allowed", [True, False])
async def test_after_a_restart_the_age_is_that_of_the_file(tmp_path: Path, allowed: bool) -> None:
    clock = Clock()
    await client(Answers(snapshot()), clock, state_dir=tmp_path).for_batch()
    clock.now += 20
    rungs = tuple(Rung) if allowed else (Rung.LIVE, Rung.MEMORY)
    configs = client(Answers(snapshot()), clock, state_dir=tmp_path, rungs=rungs)
    assert configs.age() == (20 if allowed else float("inf"))
    await configs.for_batch()
    assert configs.age() == 0


async def test_an_answer_that_was_overtaken_does_not_take_the_newest_back() -> None:
    answers = Answers(snapshot(6), snapshot(5))
    ladder = ConfigLadder(answers, Env(rungs=(Rung.LIVE, Rung.MEMORY)))
    await ladder.warm()
    overtaken = await ladder.for_batch()
    assert overtaken.snapshot.revision == 5
    kept = await ladder.for_batch()
    assert (kept.snapshot.revision, kept.source) == (6, Rung.MEMORY)
    assert answers.known[-1] is not None
    assert answers.known[-1].revision == 6


async def test_a_store_with_another_epoch_counts_from_its_own_start() -> None:
    ladder = ConfigLadder(
        Answers(snapshot(6), replace(snapshot(2), epoch="e2")),
        Env(rungs=(Rung.LIVE, Rung.MEMORY)),
    )
    await ladder.warm()
    await ladder.warm()
    assert (await ladder.for_batch()).snapshot.epoch == "e2"
