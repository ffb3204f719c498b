"""WatchConfig: LATEST and EVERY, heartbeats, resync, and how a stream ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from config_service.edits import Meta, Update
from config_service.serving import ConfigServer
from config_service.steps import Seen, Steps
from config_service.store import Store
from config_service.watch import Bookmark, GoAway, Heartbeat, Watch, WatchOptions
from dedup_model.change import Change
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

EVERY = pb.WATCH_MODE_EVERY
BIG = {"text": {"prefixes": [{"text": f"{i:04d}" + "x" * 190} for i in range(900)]}}


def _watch(client: Any, **fields: Any) -> Any:
    return client.stub.WatchConfig(pb.WatchConfigRequest(**fields))


async def _read(call: Any, seconds: float = 3) -> pb.WatchConfigResponse:
    return await asyncio.wait_for(call.read(), seconds)


async def _numbers(call: Any, count: int) -> list[int]:
    return [(await _read(call)).state.revision.revision for _ in range(count)]


async def _score(client: Any, *numbers: int) -> None:
    for number in numbers:
        await client.update({"geo": {"neutral_score": number / 1000}})


async def test_latest_shows_the_present_state_and_then_each_change(client: Any) -> None:
    call = _watch(client)
    first = (await _read(call)).state
    assert (first.revision.revision, first.skipped_revisions, first.resync) == (1, 0, False)
    assert list(first.changed_paths) == []
    assert first.effective == (await client.get()).effective
    await client.update({"geo": {"neutral_score": 0.1}, "ai": {"enabled": True}})
    then = (await _read(call)).state
    assert list(then.changed_paths) == ["geo.neutral_score", "ai.enabled"]
    assert (then.revision.revision, then.effective.geo.neutral_score) == (2, 0.1)
    call.cancel()


async def test_a_reader_that_holds_still_skips_to_the_newest_state(
    client: Any, server: ConfigServer
) -> None:
    """Messages of 200 kB in a window of 64 kB: the stream stands until the reader goes on."""
    await client.update(BIG)
    options = [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        call = ConfigServiceStub(channel).WatchConfig(pb.WatchConfigRequest())
        assert (await _read(call)).state.revision.revision == 2
        await _score(client, *range(3, 23))
        seen = []
        while not seen or seen[-1].revision.revision < 22:
            seen.append((await _read(call)).state)
        call.cancel()
    assert len(seen) < 10
    assert sum(state.skipped_revisions + 1 for state in seen) == 20
    assert seen[-1].effective.geo.neutral_score == 0.022
    assert list(seen[-1].changed_paths) == ["geo.neutral_score"]


async def test_a_cursor_that_is_not_moved_coalesces_five_writes(
    client: Any, server: ConfigServer, store: Store
) -> None:
    steps = Steps(server.feed, store)
    events = Watch(server.feed, steps, WatchOptions(), asyncio.Event()).events()
    assert isinstance(await anext(events), Seen)
    await _score(client, 1, 2, 3, 4)
    await client.set_key("key-1")
    seen = await anext(events)
    assert isinstance(seen, Seen)
    assert (seen.revision.number, seen.skipped) == (6, 4)
    assert seen.changed_paths == ("geo.neutral_score", "secrets.ai.api_key")


async def test_every_shows_a_bookmark_and_then_each_revision_once_in_order(client: Any) -> None:
    await _score(client, 2, 3, 4, 5)
    call = _watch(client, mode=EVERY, after_revision=2, epoch=(await client.get()).epoch)
    bookmark = (await _read(call)).bookmark
    assert (bookmark.after_revision, bookmark.head) == (2, 5)
    assert await _numbers(call, 3) == [3, 4, 5]
    await _score(client, 6)
    state = (await _read(call)).state
    assert (state.revision.revision, list(state.changed_paths)) == (6, ["geo.neutral_score"])
    assert (state.effective.geo.neutral_score, state.skipped_revisions) == (0.006, 0)
    call.cancel()


async def test_every_from_zero_is_the_whole_history_and_unset_is_the_head(client: Any) -> None:
    await _score(client, 2, 3)
    whole = _watch(client, mode=EVERY, after_revision=0)
    assert (await _read(whole)).bookmark.after_revision == 0
    assert await _numbers(whole, 3) == [1, 2, 3]
    head = _watch(client, mode=EVERY)
    assert (await _read(head)).bookmark.after_revision == 3
    await _score(client, 4)
    assert await _numbers(head, 1) == [4]
    assert await _numbers(whole, 1) == [4]


async def test_every_misses_nothing_while_eight_writers_write(client: Any) -> None:
    call = _watch(client, mode=EVERY)
    await _read(call)
    leaves = ("max_distance_km", "min_confidence", "neutral_score", "venue_mismatch_factor")

    async def write(leaf: str) -> None:
        for number in range(10):
            await client.update({"geo": {leaf: 0.1 + number / 100}})

    await asyncio.gather(*map(write, leaves))
    assert await _numbers(call, 40) == list(range(2, 42))


async def test_a_heartbeat_names_what_this_stream_has_sent(client: Any) -> None:
    call = _watch(client, mode=EVERY, after_revision=1, heartbeat_seconds=0.1)
    assert (await _read(call)).WhichOneof("event") == "bookmark"
    beat = (await _read(call)).heartbeat
    assert (beat.revision, beat.epoch) == (1, (await client.get()).epoch)
    await _score(client, 2)
    while (message := await _read(call)).WhichOneof("event") == "heartbeat":
        assert message.heartbeat.revision == 1
    assert message.state.revision.revision == 2
    assert (await _read(call)).heartbeat.revision == 2
    latest = _watch(client, heartbeat_seconds=0.1)
    assert (await _read(latest)).state.revision.revision == 2
    assert (await _read(latest)).heartbeat.revision == 2


@pytest.mark.parametrize("mode", [pb.WATCH_MODE_LATEST, EVERY])
async def test_a_cursor_of_another_epoch_gets_one_state_to_resync(client: Any, mode: Any) -> None:
    await _score(client, 2)
    epoch = (await client.get()).epoch
    call = _watch(client, mode=mode, epoch="1" * 8 + epoch[8:], after_revision=99)
    state = (await _read(call)).state
    assert (state.resync, state.epoch, state.revision.revision) == (True, epoch, 2)
    await _score(client, 3)
    state = (await _read(call)).state
    assert (state.resync, state.revision.revision) == (False, 3)


@pytest.mark.parametrize("mode", [pb.WATCH_MODE_LATEST, EVERY])
async def test_a_new_epoch_under_a_running_stream_is_a_resync(
    client: Any, sql: Callable[..., Any], mode: Any
) -> None:
    call = _watch(client, mode=mode)
    await _read(call)
    epoch = "0" * 8 + (await client.get()).epoch[8:]
    sql("UPDATE config_settings SET epoch = ?", epoch)
    state = (await _read(call)).state
    assert (state.resync, state.epoch, state.revision.revision) == (True, epoch, 1)


async def test_a_missing_revision_is_a_resync_not_silence(
    client: Any, sql: Callable[..., Any]
) -> None:
    await _score(client, 2, 3, 4)
    sql("DELETE FROM config_revisions WHERE revision IN (2, 3)")
    call = _watch(client, mode=EVERY, after_revision=1)
    await _read(call)
    state = (await _read(call)).state
    assert (state.revision.revision, state.resync, state.skipped_revisions) == (4, True, 2)


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"mode": EVERY, "after_revision": -1}, "INVALID_ARGUMENT", "RANGE"),
        ({"after_revision": -(2**63)}, "INVALID_ARGUMENT", "RANGE"),
        ({"heartbeat_seconds": 0.0}, "INVALID_ARGUMENT", "RANGE"),
        ({"heartbeat_seconds": 301.0}, "INVALID_ARGUMENT", "RANGE"),
        ({"heartbeat_seconds": float("nan")}, "INVALID_ARGUMENT", "RANGE"),
        ({"mode": 99}, "INVALID_ARGUMENT", "UNKNOWN_VALUE"),
        ({"mode": EVERY, "after_revision": 2}, "OUT_OF_RANGE", "FUTURE_REVISION"),
        ({"mode": EVERY, "after_revision": 2**63 - 1}, "OUT_OF_RANGE", "FUTURE_REVISION"),
    ],
)
async def test_a_bad_argument_ends_the_watch_at_once(
    client: Any, fields: dict[str, Any], code: str, reason: str
) -> None:
    refused = await client.refused(_read(_watch(client, **fields)))
    assert (refused.code.name, refused.reason) == (code, reason)


@pytest.mark.parametrize("mode", [pb.WATCH_MODE_LATEST, EVERY])
async def test_a_changed_secret_shows_as_a_path_without_value(client: Any, mode: Any) -> None:
    call = _watch(client, mode=mode)
    await _read(call)
    await client.set_key("canary-4711")
    message = await _read(call)
    assert list(message.state.changed_paths) == ["secrets.ai.api_key"]
    assert [(s.is_set, s.version) for s in message.state.secrets] == [(True, 1)]
    assert b"canary-4711" not in message.SerializeToString()


async def test_a_write_of_another_store_object_is_seen_through_the_poll(
    client: Any, store: Store
) -> None:
    call = _watch(client)
    await _read(call)
    change = Change({"thresholds": {"high": 0.8}})
    await asyncio.to_thread(store.apply, Update(change, Meta("another process")))
    state = (await _read(call, 1)).state
    assert (state.revision.revision, state.revision.author) == (2, "another process")
    assert (await client.get()).effective.thresholds.high == 0.8


async def test_shutdown_says_go_away_and_ends_cleanly_at_once(
    client: Any, server: ConfigServer
) -> None:
    calls = [_watch(client, mode=mode) for mode in (EVERY, pb.WATCH_MODE_LATEST) * 5]
    for call in calls:
        await _read(call)
    began = time.monotonic()
    stopping = asyncio.create_task(server.stop())
    for call in calls:
        while (message := await _read(call)).WhichOneof("event") == "heartbeat":
            pass
        assert message.go_away.reason == "shutdown"
        assert await _read(call) is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
    await stopping
    assert time.monotonic() - began < 15


async def test_a_stream_ends_of_age(server: ConfigServer, store: Store) -> None:
    async def kinds(**more: Any) -> list[type]:
        steps = Steps(server.feed, store)
        watch = Watch(server.feed, steps, WatchOptions(**more), asyncio.Event(), 0.35)
        events: AsyncIterator[Any] = watch.events()
        began = time.monotonic()
        found = [event async for event in events]
        assert 0.3 < time.monotonic() - began < 15
        assert found[-1] == GoAway("stream_age")
        return [type(event) for event in found[:-1]]

    assert set(await kinds(heartbeat=0.1)) == {Seen, Heartbeat}
    assert (await kinds(every=True))[0] is Bookmark


def test_lives_are_ten_minutes_and_differ(server: ConfigServer, store: Store) -> None:
    steps = Steps(server.feed, store)
    lives = {
        Watch(server.feed, steps, WatchOptions(), asyncio.Event()).life_seconds for _ in "x" * 50
    }
    assert len(lives) > 40
    assert all(480 <= life <= 720 for life in lives)
