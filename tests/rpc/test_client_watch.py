"""Watches of both clients over restarts, refusals, silences and their own end."""

import asyncio
import gc
import time

import grpc
import pytest
from rpc.guarded import eventually

from dedup_model.errors import FutureRevision, InvalidRequest, PermissionDenied
from dedup_model.tree import DEFAULTS, layer
from dedup_rpc.client import Retry, ServiceError, UnusableConfig, WatchMode
from dedup_rpc.wire import to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

EVERY, LATEST = WatchMode.EVERY, WatchMode.LATEST


@pytest.fixture
def client(service, connect):
    return connect(service.address)


def state(number, epoch="e", resync=False, skipped=0, **settings):
    found = pb.ConfigState(
        epoch=epoch,
        revision=pb.Revision(revision=number, etag=f"{epoch}:{number}", schema_version=1),
        effective=to_message(layer(DEFAULTS, settings), MatchingConfig()),
        resync=resync,
        skipped_revisions=skipped,
    )
    return pb.WatchConfigResponse(state=found)


def bookmark(after, epoch="e"):
    return pb.WatchConfigResponse(bookmark=pb.Bookmark(epoch=epoch, after_revision=after))


def go_away():
    return pb.WatchConfigResponse(go_away=pb.GoAway(reason="stream_age"))


def streams(*messages, then=None):
    """A stream that sends messages and ends, with a status or cleanly; Ellipsis hangs instead."""

    async def step(context):
        for message in messages:
            await context.write(message)
        if then is Ellipsis:
            await asyncio.sleep(60)
        elif then:
            await context.abort(then, "scripted")

    return step


async def numbers(watched, count):
    return [(await watched.next()).revision.number for _ in range(count)]


async def test_every_revision_comes_once_and_in_order_over_restarts(service, client):
    watched = client.watched(EVERY, heartbeat=1)
    first = asyncio.ensure_future(watched.next())
    await asyncio.sleep(0.3)
    await client.update({"thresholds.high": 0.8})
    seen = [(await first).revision.number]
    for value in (0.81, 0.82):
        await service.stop()
        await service.start()
        await client.update({"thresholds.high": value})
        await client.update({"geo.neutral_score": value})
        seen += await numbers(watched, 2)
    assert seen == [2, 3, 4, 5, 6]


async def test_revisions_made_while_a_watcher_was_cut_off_are_not_missed(service, client, proxy):
    cut_off = type(client)("blocking" if client.blocking else "asyncio", proxy.address)
    watched = cut_off.watched(EVERY, heartbeat=1)
    first = asyncio.ensure_future(watched.next())
    await asyncio.sleep(0.3)
    proxy.cut()
    for value in (0.8, 0.81, 0.82):
        await client.update({"thresholds.high": value})
        proxy.cut()
    found = [await first, await watched.next(), await watched.next()]
    assert [(s.revision.number, s.skipped, s.resync) for s in found] == [
        (2, 0, False),
        (3, 0, False),
        (4, 0, False),
    ]
    await cut_off.close()


async def test_the_latest_state_is_not_repeated_after_a_restart_and_says_what_changed(
    service, client
):
    watched = client.watched(heartbeat=1)
    assert (await watched.next()).changed_paths == ()
    await service.stop()
    await service.start()
    after = asyncio.ensure_future(watched.next())
    await asyncio.sleep(0.3)
    assert not after.done()
    await service.stop()
    await service.start()
    await client.update({"thresholds.high": 0.8})
    found = await after
    assert (found.revision.number, found.changed_paths) == (2, ("thresholds.high",))
    assert found.config.thresholds.high == 0.8


async def test_what_a_reconnection_skipped_is_counted_and_compared(scripted, connect):
    scripted.steps = [
        streams(state(3), then=grpc.StatusCode.UNAVAILABLE),
        streams(state(3), state(3), then=grpc.StatusCode.CANCELLED),
        streams(state(7, thresholds={"high": 0.9}, geo={"max_distance_km": 2.0}), then=...),
    ]
    watched = connect(scripted.address).watched()
    first, second = await watched.next(), await watched.next()
    assert (first.revision.number, first.skipped) == (3, 0)
    assert (second.revision.number, second.skipped) == (7, 3)
    assert second.changed_paths == ("thresholds.high", "geo.max_distance_km")
    assert [r.epoch for r in scripted.requests] == ["", "e", "e"]


@pytest.mark.parametrize(
    "end",
    [
        None,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION,
    ],
)
async def test_however_a_stream_ends_the_watch_goes_on_where_it_stood(scripted, connect, end):
    scripted.steps = [
        streams(bookmark(4), then=end),
        streams(bookmark(4), state(5), go_away(), then=end),
        streams(bookmark(5), state(6), then=end),
        streams(bookmark(6), state(7), then=...),
    ]
    watched = connect(scripted.address).watched(EVERY)
    assert await numbers(watched, 3) == [5, 6, 7]
    asked = [(r.epoch, r.after_revision, r.HasField("after_revision")) for r in scripted.requests]
    assert asked == [("", 0, False), ("e", 4, True), ("e", 5, True), ("e", 6, True)]


async def test_a_watch_begins_after_the_position_that_it_is_given(client):
    for value in (0.8, 0.81, 0.82):
        await client.update({"thresholds.high": value})
    present = await client.get()
    every = client.watched(EVERY, (present.epoch, 2))
    assert await numbers(every, 2) == [3, 4]
    latest = client.watched(LATEST, (present.epoch, 4))
    following = asyncio.ensure_future(latest.next())
    await asyncio.sleep(0.2)
    await client.update({"thresholds.high": 0.83})
    assert (await following).position == (present.epoch, 5)


async def test_another_epoch_is_one_whole_state_that_says_resync(client):
    elsewhere = "00000000-0000-4000-8000-000000000000"
    for mode in (EVERY, LATEST):
        found = await client.watched(mode, (elsewhere, 7)).next()
        assert (found.revision.number, found.resync, found.changed_paths) == (1, True, ())


async def test_an_epoch_that_changes_under_a_watch_is_followed(scripted, connect):
    scripted.steps = [
        streams(state(9), then=grpc.StatusCode.UNAVAILABLE),
        streams(state(4, epoch="f", resync=True), then=...),
    ]
    watched = connect(scripted.address).watched()
    await watched.next()
    found = await watched.next()
    assert (found.position, found.resync, found.skipped) == (("f", 4), True, 0)


async def test_a_stream_that_falls_silent_is_given_up(scripted, connect):
    scripted.steps = [streams(state(1), then=...), streams(state(2), then=...)]
    watched = connect(scripted.address).watched(heartbeat=0.1)
    await watched.next()
    began = time.monotonic()
    assert (await watched.next()).revision.number == 2
    assert 1.0 < time.monotonic() - began < 20


async def test_heartbeats_keep_a_stream(service, client):
    watched = client.watched(heartbeat=0.2)
    await watched.next()
    coming = asyncio.ensure_future(watched.next())
    await asyncio.sleep(2.0)
    await client.update({"thresholds.high": 0.8})
    assert (await coming).revision.number == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [({"heartbeat": 0}, InvalidRequest), ({"after": ("x", 1)}, InvalidRequest)],
)
async def test_a_request_that_is_refused_raises_at_once(client, options, error):
    with pytest.raises(error):
        await client.watched(EVERY, **options).next()


async def test_a_service_that_is_not_there_raises_within_the_time_allowed(connect):
    for seconds in (0, 0.5):
        began = time.monotonic()
        with pytest.raises(ServiceError):
            await connect("127.0.0.1:1").watched(connect_within=seconds).next()
        assert time.monotonic() - began < seconds + 5


async def test_a_service_that_says_nothing_raises_within_the_time_allowed(scripted, connect):
    scripted.steps = [streams(then=...)]
    began = time.monotonic()
    with pytest.raises(ServiceError, match="no word"):
        await connect(scripted.address).watched(connect_within=0.5).next()
    assert time.monotonic() - began < 5


async def test_a_watch_that_nobody_holds_any_more_ends_its_call(scripted, connect):
    scripted.steps = [streams(state(1), then=...)]
    watched = connect(scripted.address).watched()
    await watched.next()
    del watched
    await eventually(lambda: gc.collect() >= 0 and scripted.left == ["WatchConfigRequest"])


async def test_without_a_limit_a_watch_waits_for_its_service(service, client):
    await service.stop()
    first = asyncio.ensure_future(client.watched().next())
    await asyncio.sleep(0.5)
    assert not first.done()
    await service.start()
    assert (await first).revision.number == 1


async def test_closing_ends_the_call_and_an_iteration_that_waits(scripted, connect):
    scripted.steps = [streams(state(1), then=...)]
    watched = connect(scripted.address).watched()
    await watched.next()
    waiting = asyncio.ensure_future(watched.next())
    await asyncio.sleep(0.2)
    await watched.close()
    assert await waiting is None
    await eventually(lambda: scripted.left == ["WatchConfigRequest"])
    assert await watched.next() is None


async def test_the_end_of_a_client_ends_its_watches(scripted, connect):
    scripted.steps = [streams(state(1), then=...)]
    client = connect(scripted.address)
    watched = client.watched()
    await watched.next()
    waiting = asyncio.ensure_future(watched.next())
    await asyncio.sleep(0.2)
    await client.close()
    assert await waiting is None
    assert await watched.next() is None


async def test_a_watch_that_is_closed_while_it_pauses_stops_at_once(connect):
    watched = connect("127.0.0.1:1", retry=Retry(first_pause=60, longest_pause=60)).watched()
    waiting = asyncio.ensure_future(watched.next())
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await watched.close()
    assert await waiting is None
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("connect", ["asyncio"], indirect=True)
async def test_a_task_that_is_cancelled_in_a_watch_stays_cancelled(scripted, connect):
    client = connect(scripted.address)
    scripted.steps = [streams(state(1), then=...)]
    watched = client.watched()
    await watched.next()
    task = asyncio.create_task(watched.next())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: scripted.left == ["WatchConfigRequest"])


async def test_a_config_that_this_release_must_not_run_is_shown_but_not_typed(scripted, connect):
    odd = state(1, thresholds={"high": 0.75})
    odd.state.effective.thresholds.high = 7.25
    newer = state(2)
    newer.state.revision.schema_version = 99
    scripted.steps = [streams(odd, newer, then=...)]
    watched = connect(scripted.address).watched()
    for number, path in ((1, "thresholds.high"), (2, "schema_version")):
        found = await watched.next()
        with pytest.raises(UnusableConfig) as caught:
            _ = found.config
        assert (caught.value.epoch, caught.value.revision) == ("e", number)
        assert [v.path for v in caught.value.violations] == [path]
        assert "7.25" not in str(caught.value)


async def test_a_position_beyond_the_head_raises_when_the_time_allowed_is_over(client):
    present = await client.get()
    with pytest.raises(FutureRevision):
        await client.watched(EVERY, (present.epoch, 99), connect_within=0.3).next()


async def test_a_role_lost_at_first_connection_raises(scripted, connect):
    scripted.steps = [streams(then=grpc.StatusCode.PERMISSION_DENIED)]
    with pytest.raises((PermissionDenied, ServiceError)) as caught:
        await connect(scripted.address).watched().next()
    assert len(scripted.requests) == 1
    assert "PERMISSION_DENIED" in str(caught.value)
