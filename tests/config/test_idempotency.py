"""A request with an id is applied once and answered alike, however often it comes."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import setup
from config_service.cipher import parse_ring
from config_service.database import open_database, parse_url
from config_service.edits import Meta, Update
from config_service.env import Env
from config_service.idempotency import KEPT, Claim
from config_service.store import Store, utc_now
from dedup_model.change import Change
from dedup_model.errors import CiphertextInvalid, InvalidRequest
from eventdedup.config.v1 import config_service_pb2 as pb

HIGH = {"thresholds": {"high": 0.8}}


def new_id() -> str:
    return str(uuid.uuid4())


async def test_the_same_request_is_applied_once_and_gets_the_first_answer(client: Any) -> None:
    request_id = new_id()
    first = await client.update(HIGH, request_id=request_id, reason="once")
    await client.update({"thresholds": {"high": 0.9}})
    again = await client.update(HIGH, request_id=request_id, reason="once")
    assert again == first
    assert (first.revision.revision, first.changed) == (2, True)
    assert await client.stored() == 3
    assert (await client.effective())["thresholds"]["high"] == 0.9


async def test_the_spelling_of_the_id_does_not_matter(client: Any) -> None:
    request_id = new_id()
    first = await client.update(HIGH, request_id=request_id)
    assert await client.update(HIGH, request_id=request_id.upper()) == first


async def test_an_update_that_changed_nothing_is_answered_alike_later(client: Any) -> None:
    request_id = new_id()
    first = await client.update({}, request_id=request_id)
    await client.update(HIGH)
    assert await client.update({}, request_id=request_id) == first
    assert not first.changed


async def test_a_secret_is_set_and_cleared_once(client: Any) -> None:
    set_id, clear_id = new_id(), new_id()
    first = await client.set_key("key-1", request_id=set_id)
    clear = pb.ClearSecretRequest(name="ai.api_key", request_id=clear_id)
    cleared = await client.stub.ClearSecret(clear)
    assert await client.set_key("key-1", request_id=set_id) == first
    assert await client.stub.ClearSecret(clear) == cleared
    assert (first.secret.version, cleared.secret.version) == (1, 2)
    assert not (await client.get()).has_api_key


async def test_a_rollback_is_made_once(client: Any) -> None:
    await client.update(HIGH)
    request = pb.RollbackConfigRequest(revision=1, request_id=new_id())
    first = await client.stub.RollbackConfig(request)
    await client.update(HIGH)
    assert await client.stub.RollbackConfig(request) == first
    assert await client.stored() == 4


@pytest.mark.parametrize(
    "other",
    [
        {"document": {"thresholds": {"high": 0.81}}},
        {"document": HIGH, "reason": "other"},
        {"document": HIGH, "mask": ["thresholds.high"]},
    ],
)
async def test_an_id_with_other_content_is_refused(client: Any, other: dict[str, Any]) -> None:
    request_id = new_id()
    await client.update(HIGH, request_id=request_id)
    refused = await client.update_refused(request_id=request_id, **other)
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED",
    )  # fmt: skip
    assert await client.stored() == 2


async def test_an_id_of_another_call_is_refused(client: Any) -> None:
    request_id = new_id()
    await client.set_key("key-1", request_id=request_id)
    refused = await client.update_refused(HIGH, request_id=request_id)
    assert refused.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    "bad", ["x", "0" * 36, "00000000-0000-0000-0000-000000000000", "{" + "a" * 36 + "}", " "]
)
async def test_an_id_that_is_no_uuid_is_refused(client: Any, bad: str) -> None:
    refused = await client.update_refused(HIGH, request_id=bad)
    assert [(v.path, v.rule) for v in refused.violations] == [("request_id", "REQUEST_ID_FORMAT")]
    assert await client.stored() == 1


async def test_a_refused_request_may_be_repeated_with_its_id(client: Any) -> None:
    request_id = new_id()
    await client.update({"thresholds": {"low": 0.7}})
    await client.update_refused({"thresholds": {"high": 0.6}}, request_id=request_id)
    await client.update({"thresholds": {"low": 0.1}})
    answer = await client.update({"thresholds": {"high": 0.6}}, request_id=request_id)
    assert answer.changed


async def test_a_dry_run_does_not_use_an_id_up(client: Any) -> None:
    request_id = new_id()
    await client.update(HIGH, request_id=request_id, validate_only=True)
    assert (await client.update(HIGH, request_id=request_id)).changed


async def test_repeats_that_race_make_one_revision(client: Any) -> None:
    request_id = new_id()
    answers = await asyncio.gather(*(client.update(HIGH, request_id=request_id) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await client.stored() == 2


def apply(store: Store, value: float, principal: str, request_id: str) -> int:
    document = {"thresholds": {"high": value}}
    claim = Claim(principal, request_id, str(document).encode())
    _, after = store.apply(Update(Change(document), Meta(principal)), claim=claim)
    return after.revision.number


def test_the_same_id_of_another_principal_is_another_request(store: Store) -> None:
    request_id = new_id()
    assert apply(store, 0.8, "anna", request_id) == 2
    assert apply(store, 0.9, "bert", request_id) == 3
    assert apply(store, 0.8, "anna", request_id) == 2


class Clock:
    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> Any:
        return self.now


def test_an_id_is_remembered_for_a_day(env: Env, store: Store, sql: Callable[..., Any]) -> None:
    clock = Clock()
    later = Store(open_database(parse_url(env.database_url)), setup.open_store(env).keyring, clock)
    request_id = new_id()
    assert apply(later, 0.8, "anna", request_id) == 2
    clock.now += KEPT
    assert apply(later, 0.8, "anna", request_id) == 2
    clock.now += timedelta(seconds=1)
    assert apply(later, 0.9, "anna", new_id()) == 3
    assert sql("SELECT count(*) FROM idempotency_keys") == [(1,)]
    assert apply(later, 0.8, "anna", request_id) == 4


def test_an_answer_moved_to_another_request_does_not_open(
    store: Store, sql: Callable[..., Any]
) -> None:
    one, two = new_id(), new_id()
    apply(store, 0.8, "anna", one)
    apply(store, 0.8, "anna", two)
    sql("UPDATE idempotency_keys SET answer = (SELECT answer FROM idempotency_keys LIMIT 1)")
    with pytest.raises(CiphertextInvalid):
        [apply(store, 0.8, "anna", request_id) for request_id in (one, two)]


def test_a_new_first_key_still_knows_old_requests(env: Env, store: Store, tmp_path: Path) -> None:
    request_id = new_id()
    apply(store, 0.8, "anna", request_id)
    key_file = tmp_path / "c.key"
    fresh = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY"
    ring_file = tmp_path / "ring"
    ring_file.write_text("\n".join([fresh, *key_file.read_text().splitlines()]))
    rotated = setup.open_store(replace(env, keyring_file=ring_file))
    assert rotated.keyring.ring().primary == parse_ring([fresh]).primary
    assert apply(rotated, 0.8, "anna", request_id) == 2
    with pytest.raises(InvalidRequest):
        apply(rotated, 0.9, "anna", request_id)
