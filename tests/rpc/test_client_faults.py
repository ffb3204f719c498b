"""Lost answers, restarts, black holes and refusals: what is repeated, and what the caller hears."""

import asyncio
import time
import uuid

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from rpc.guarded import eventually

from dedup_model import errors
from dedup_model.errors import PermissionDenied, RevisionConflict, invalid
from dedup_rpc.client import Retry, ServiceError
from dedup_rpc.status import status_of
from eventdedup.config.v1 import config_service_pb2 as pb

CODES = grpc.StatusCode
UNKNOWN = (CODES.UNAVAILABLE, CODES.DEADLINE_EXCEEDED, CODES.CANCELLED, CODES.INTERNAL)
NOT_APPLIED = (
    CODES.INVALID_ARGUMENT,
    CODES.FAILED_PRECONDITION,
    CODES.ABORTED,
    CODES.OUT_OF_RANGE,
    CODES.NOT_FOUND,
    CODES.UNAUTHENTICATED,
    CODES.PERMISSION_DENIED,
    CODES.RESOURCE_EXHAUSTED,
    CODES.UNIMPLEMENTED,
)


def fails(code, details=()):
    async def step(context):
        status = Status(code=code.value[0], message="scripted")
        for detail in details:
            status.details.add().Pack(detail)
        await context.abort_with_status(rpc_status.to_status(status))

    return step


def refuses(error):
    async def step(context):
        await context.abort_with_status(rpc_status.to_status(status_of(error)[1]))

    return step


async def answers(context):
    return pb.UpdateConfigResponse(changed=True, revision=pb.Revision(revision=2, etag="e:2"))


async def hangs(context):
    await asyncio.sleep(60)


async def test_an_update_whose_answer_is_lost_is_applied_once(service, proxy, connect):
    client = connect(proxy.address)
    await client.get()
    proxy.lose_answers(2)
    edit = await client.update({"thresholds.high": 0.8}, reason="once")
    assert proxy.lost == 2
    assert (edit.changed, edit.revision.number) == (True, 2)
    assert [one.number for one in await client.listed("history")] == [2, 1]
    applied = await client.listed("audit_events", action="UpdateConfig")
    assert len(applied) == 1


async def test_secrets_rollbacks_and_imports_are_applied_once_as_well(service, proxy, connect):
    client = connect(proxy.address)
    await client.update({"thresholds.high": 0.8})
    proxy.ANSWER_BYTES = 150
    for step in (
        lambda: client.set_secret("k"),
        client.clear_secret,
        lambda: client.rollback(1),
        lambda: client.import_config("thresholds: {high: 0.7}"),
    ):
        proxy.lose_answers(1)
        await step()
    assert (proxy.losing, proxy.lost) == (0, 4)
    assert [one.number for one in await client.listed("history")] == [6, 5, 4, 3, 2, 1]


async def test_updates_and_reads_go_on_over_a_restart(service, connect):
    client = connect(service.address)
    await client.get()
    await service.stop()
    update = asyncio.ensure_future(client.update({"thresholds.high": 0.8}))
    read = asyncio.ensure_future(client.get())
    await asyncio.sleep(0.4)
    assert not update.done()
    await service.start()
    assert (await update).revision.number == 2
    assert (await read).revision.number in (1, 2)


async def test_a_service_behind_a_black_hole_costs_the_deadline_and_no_more(
    service, proxy, connect
):
    client = connect(proxy.address, deadline=1.0, retry=Retry(try_seconds=0.3))
    await client.get()
    proxy.deaf = True
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        await client.update({"thresholds.high": 0.8})
    assert 0.6 < time.monotonic() - began < 5
    assert caught.value.maybe_applied
    proxy.deaf = False
    proxy.cut()
    assert uuid.UUID(caught.value.request_id)
    edit = await client.within(10).update(
        {"thresholds.high": 0.8}, request_id=caught.value.request_id
    )
    assert edit.revision.number == 2


@pytest.mark.parametrize("code", UNKNOWN)
async def test_an_unknown_outcome_is_repeated_as_the_same_request(scripted, connect, code):
    scripted.steps = [fails(code), fails(code), answers]
    edit = await connect(scripted.address).update({"thresholds.high": 0.8})
    assert edit.revision.number == 2
    first, *others = scripted.requests
    assert uuid.UUID(first.request_id)
    assert others == [first, first]


@pytest.mark.parametrize("code", NOT_APPLIED)
async def test_a_refusal_is_not_repeated(scripted, connect, code):
    scripted.steps = [fails(code)]
    with pytest.raises(ServiceError, match="scripted") as caught:
        await connect(scripted.address).update({"thresholds.high": 0.8})
    assert len(scripted.requests) == 1
    assert caught.value.code is code
    assert not caught.value.maybe_applied


async def test_a_limit_that_names_a_pause_is_waited_for(scripted, connect):
    limit = [ErrorInfo(reason="LIMIT_EXCEEDED"), RetryInfo(retry_delay=Duration(nanos=300_000_000))]
    scripted.steps = [fails(CODES.RESOURCE_EXHAUSTED, limit), answers]
    began = time.monotonic()
    await connect(scripted.address).update({"thresholds.high": 0.8})
    assert time.monotonic() - began >= 0.3


async def test_a_pause_that_is_longer_than_the_deadline_is_not_begun(scripted, connect):
    limit = [ErrorInfo(reason="LIMIT_EXCEEDED"), RetryInfo(retry_delay=Duration(seconds=30))]
    scripted.steps = [fails(CODES.RESOURCE_EXHAUSTED, limit)]
    began = time.monotonic()
    with pytest.raises(errors.LimitExceeded):
        await connect(scripted.address, deadline=20).update({"thresholds.high": 0.8})
    assert time.monotonic() - began < 10


async def test_a_fault_of_the_service_is_repeated_a_few_times_alone(scripted, connect):
    scripted.steps = [fails(CODES.INTERNAL)]
    with pytest.raises(ServiceError) as caught:
        await connect(scripted.address).update({"thresholds.high": 0.8})
    assert len(scripted.requests) == 3
    assert caught.value.maybe_applied


async def test_the_number_of_tries_can_be_limited(scripted, connect):
    scripted.steps = [fails(CODES.UNAVAILABLE)]
    with pytest.raises(ServiceError):
        await connect(scripted.address, retry=Retry(first_pause=0.01, tries=2)).get()
    assert len(scripted.requests) == 2


async def test_a_try_that_hangs_is_given_up_for_another_one(scripted, connect):
    scripted.steps = [hangs, answers]
    client = connect(scripted.address, retry=Retry(first_pause=0.01, try_seconds=0.3))
    assert (await client.update({"thresholds.high": 0.8})).changed


async def test_a_door_that_closes_after_an_unknown_outcome_leaves_it_unknown(scripted, connect):
    scripted.steps = [fails(CODES.UNAVAILABLE), refuses(PermissionDenied("no role"))]
    with pytest.raises(ServiceError, match="unknown") as caught:
        await connect(scripted.address).update({"thresholds.high": 0.8})
    assert caught.value.maybe_applied
    assert caught.value.request_id == scripted.requests[0].request_id
    scripted.steps = [fails(CODES.UNAVAILABLE), refuses(PermissionDenied("no role"))]
    with pytest.raises(PermissionDenied):
        await connect(scripted.address).get()


@pytest.mark.parametrize(
    "error", [RevisionConflict("stale", current_etag="e:3"), invalid("a.b", "RANGE", "0 to 1")]
)
async def test_a_verdict_after_an_unknown_outcome_settles_it(scripted, connect, error):
    scripted.steps = [fails(CODES.UNAVAILABLE), refuses(error)]
    with pytest.raises(type(error)):
        await connect(scripted.address).update({"thresholds.high": 0.8})


async def test_what_is_only_judged_carries_no_request_id(scripted, connect):
    scripted.steps = [fails(CODES.UNAVAILABLE), answers]
    await connect(scripted.address).update({"thresholds.high": 0.8}, validate_only=True)
    assert [one.request_id for one in scripted.requests] == ["", ""]


@pytest.mark.parametrize("connect", ["asyncio"], indirect=True)
async def test_a_task_that_is_cancelled_ends_its_call(scripted, connect):
    client = connect(scripted.address)
    scripted.steps = [hangs]
    task = asyncio.create_task(client.update({"thresholds.high": 0.8}))
    await eventually(lambda: len(scripted.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: scripted.left == ["UpdateConfigRequest"])
    assert len(scripted.requests) == 1
