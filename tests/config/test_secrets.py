"""The API key: set, cleared, never shown but by the one RPC, never in clear on the disk."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service.edits import Meta, SetSecret
from config_service.env import Env
from config_service.legacy import LegacySettings
from config_service.state import SecretEdit
from eventdedup.config.v1 import config_service_pb2 as pb

NAME = "ai.api_key"
CANARY = "Canary-Key-0815-Zebra"
CANARY_TEXT = "Kanarienvogelprefix"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def _clear(client: Any, **more: Any) -> pb.ClearSecretResponse:
    return await client.stub.ClearSecret(pb.ClearSecretRequest(name=NAME, **more))


async def test_a_key_shows_as_set_and_its_value_only_by_access_secret(client: Any) -> None:
    answer = await client.set_key(CANARY)
    await client.update({"ai": {"enabled": True}})
    stub = client.stub
    answers = [
        answer,
        await client.get(),
        await client.get(2),
        await stub.GetSnapshot(pb.GetSnapshotRequest()),
        await stub.ListRevisions(pb.ListRevisionsRequest()),
        await stub.DiffRevisions(pb.DiffRevisionsRequest(from_revision=1)),
        await stub.RollbackConfig(pb.RollbackConfigRequest(revision=1)),
        await stub.WatchConfig(pb.WatchConfigRequest()).read(),
    ]
    assert not [a for a in answers if CANARY.encode() in a.SerializeToString()]
    found = await client.get()
    assert found.has_api_key
    assert [(s.name, s.is_set, s.version, s.set_by) for s in found.secrets] == [
        (NAME, True, 1, "dev")
    ]
    assert (await client.key()).value == CANARY


@pytest.mark.parametrize("reason", [CANARY, f"new: {CANARY}!"])
async def test_a_reason_that_holds_the_value_is_refused_and_not_echoed(
    client: Any, sql: Callable[..., Any], reason: str
) -> None:
    refused = await client.refused(client.set_key(f" {CANARY}\n", reason=reason))
    assert (refused.code, refused.reason) == (INVALID, "SECRET_IN_CONFIG")
    assert [v.path for v in refused.violations] == ["reason"]
    assert CANARY not in str(refused)
    assert CANARY not in str(sql("SELECT * FROM config_revisions"))
    assert (await client.set_key(CANARY, reason="new")).revision.revision == 2


async def test_clearing_the_key(client: Any) -> None:
    await client.set_key(CANARY)
    cleared = await _clear(client, reason="gone")
    assert (cleared.changed, cleared.secret.is_set, cleared.secret.version) == (True, False, 2)
    assert (cleared.secret.key_id, cleared.secret.fingerprint) == ("", "")
    assert not (await client.get()).has_api_key
    refused = await client.refused(client.key())
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION, "SECRET_NOT_SET",
    )  # fmt: skip
    again = await _clear(client)
    assert (again.changed, again.revision.revision) == (False, 3)
    await client.set_key("next")
    assert ((await client.key()).value, (await client.key()).version) == ("next", 3)


async def test_clearing_a_key_that_was_never_set_makes_no_revision(client: Any) -> None:
    answer = await _clear(client)
    assert (answer.changed, answer.revision.revision, answer.secret.version) == (False, 1, 0)


async def test_a_secret_makes_a_revision_with_the_same_config(client: Any) -> None:
    before = await client.get()
    answer = await client.set_key(CANARY)
    assert (answer.revision.revision, answer.revision.origin) == (2, pb.ORIGIN_SECRET)
    assert list(answer.revision.changed_paths) == ["secrets.ai.api_key"]
    assert answer.revision.digest == before.revision.digest


async def test_access_secret_answers_not_modified_for_the_known_version(client: Any) -> None:
    await client.set_key(CANARY)
    known = pb.AccessSecretRequest(name=NAME, known_version=1)
    answer = await client.stub.AccessSecret(known)
    assert (answer.not_modified, answer.value, answer.version) == (True, "", 1)
    await client.set_key(CANARY)
    answer = await client.stub.AccessSecret(known)
    assert (answer.not_modified, answer.value, answer.version) == (False, CANARY, 2)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("  key\n", "key"), ("\u3000key\t", "key"), ("plain:x", "plain:x"), ("cse2.x", "cse2.x"),
        ("k" * 4096, "k" * 4096), ("schlüssel 鍵 🔑", "schlüssel 鍵 🔑"),
    ],
    ids=["spaces", "wide", "plain", "token", "long", "unicode"],
)  # fmt: skip
async def test_a_value_is_trimmed_and_comes_back(client: Any, given: str, stored: str) -> None:
    await client.set_key(given)
    assert (await client.key()).value == stored


@pytest.mark.parametrize("value", ["", " \n\t", "k" * 4097, "a\x00b", "a\nb", "a\u202eb"])
async def test_a_bad_value_is_refused_and_not_echoed(client: Any, value: str) -> None:
    refused = await client.refused(client.set_key(value))
    assert (refused.code, refused.reason) == (INVALID, "SECRET_FORMAT")
    assert [v.path for v in refused.violations] == ["value"]
    assert "kkkk" not in repr(refused)
    assert await client.stored() == 1


@pytest.mark.parametrize("name", ["", "ai", "AI.API_KEY", "ai.api_key ", "x" * 1000])
async def test_a_name_that_no_secret_has_is_not_found(client: Any, name: str) -> None:
    for call in (
        client.stub.SetSecret(pb.SetSecretRequest(name=name, value=CANARY)),
        client.stub.ClearSecret(pb.ClearSecretRequest(name=name)),
        client.stub.AccessSecret(pb.AccessSecretRequest(name=name)),
    ):
        refused = await client.refused(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "SECRET_UNKNOWN")
        assert CANARY not in repr(refused)


async def test_a_stale_etag_keeps_the_old_key(client: Any) -> None:
    etag = (await client.set_key("one")).revision.etag
    await client.update({"ai": {"enabled": True}})
    for call in (client.set_key("two", etag=etag), _clear(client, etag=etag)):
        assert (await client.refused(call)).code is grpc.StatusCode.ABORTED
    assert (await client.key()).value == "one"


async def test_a_matcher_takes_the_snapshot_and_then_the_key(client: Any) -> None:
    await client.set_key(CANARY)
    await client.update({"ai": {"enabled": True}})
    snapshot = await client.stub.GetSnapshot(pb.GetSnapshotRequest())
    assert snapshot.config.ai.enabled
    assert [(s.name, s.is_set, s.version) for s in snapshot.secrets] == [(NAME, True, 1)]
    key = await client.key()
    assert (key.value, key.version) == (CANARY, snapshot.secrets[0].version)


async def test_fingerprints_compare_values_in_one_store_only(
    env: Env,
    tmp_path: Path,
    serve: Callable[[Env], Awaitable[Any]],
    connect: Callable[[str], Any],
) -> None:
    async def connected(name: str) -> Any:
        url = f"sqlite:///{tmp_path / name / 's.db'}"
        return connect((await serve(replace(env, database_url=url))).address)

    async def fingerprint(client: Any, key: str) -> str:
        return (await client.set_key(key)).secret.fingerprint

    a, b = await connected("a"), await connected("b")
    one = await fingerprint(a, CANARY)
    assert len(one) == 12
    assert await fingerprint(a, CANARY) == one
    assert await fingerprint(b, CANARY) != one
    assert await fingerprint(a, CANARY + "x") != one


async def test_canaries_are_nowhere_on_the_disk_in_logs_or_in_errors(
    client: Any, env: Env, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for logger in (None, "sqlalchemy", "event_dedup", "grpc"):
        caplog.set_level(logging.DEBUG, logger)
    await client.update({"text": {"prefixes": [{"text": CANARY_TEXT}]}})
    await client.set_key(CANARY)
    await client.key()
    seen = [
        await client.refused(client.set_key(CANARY + "\x00")),
        await client.update_refused({"text": {"prefixes": [{"text": CANARY_TEXT + "\x00"}]}}),
        await client.update_refused({"ai": {"model": CANARY_TEXT + "/"}}, reason="x"),
    ]
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {"c.db", "c.db-wal", "c.key"} <= {path.name for path in files}
    for text in (CANARY, CANARY_TEXT):
        assert text not in caplog.text
        assert text not in repr(seen)
        assert not [path.name for path in files if text.encode() in path.read_bytes()]
    assert "version 1 was read" in caplog.text


def test_a_key_is_not_in_the_repr_of_what_carries_it() -> None:
    meta = Meta("dev")
    carriers = [
        SetSecret(NAME, CANARY, meta),
        SecretEdit(NAME, CANARY, "dev", "", "SetSecret"),
        LegacySettings({}, CANARY, ""),
        Env(keyring=CANARY, legacy_key=CANARY),
    ]
    assert CANARY not in repr(carriers)
