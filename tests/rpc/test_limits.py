"""What the guard lets callers do at once, in a second and for how long."""

import asyncio
import logging
from collections import Counter
from typing import Any

import grpc
import pytest
from rpc.guarded import GRANTS, ByName, Handlers, eventually, refusal, serving

from dedup_model.errors import RateLimited
from dedup_rpc.guard import Guard
from dedup_rpc.limits import MAX_ADDRESSES, Bucket, Limits, Pace, Strangers, address_of

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def guard(policy: Any = None, **limits: Any) -> Guard:
    return Guard(policy or ByName(), GRANTS, limits=Limits(**limits))


@pytest.mark.parametrize("seconds", [None, 3600], ids=["without a deadline", "with a long one"])
async def test_a_unary_call_ends_at_the_servers_deadline(seconds: float | None) -> None:
    async with serving(guard(unary_seconds=0.2)) as (caller, handlers):
        error = await refusal(caller.unary("Wait", timeout=seconds))
        assert (error.code.name, error.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert handlers.cancelled == 1
        assert await caller.unary("Echo") == b"x"


async def test_a_method_may_take_longer_than_the_others() -> None:
    longer = {"/t.T/Wait": 30.0}
    async with serving(guard(unary_seconds=0.01, longer=longer)) as (caller, handlers):
        call = caller.unary("Wait")
        await asyncio.sleep(0.6)
        handlers.release.set()
        assert await call == b"done"


async def test_streams_know_no_deadline_of_the_server() -> None:
    async with serving(guard(unary_seconds=0.01)) as (caller, handlers):
        stream = caller.watch()
        assert await stream.read() == b"first"
        await asyncio.sleep(0.6)
        handlers.release.set()
        assert await stream.read() == b"last"


class Late:
    """The context of a call that arrives after its deadline; grpc does not let a client send one."""

    def __init__(self) -> None:
        self.status: Any = None

    def invocation_metadata(self) -> Any:
        return (("authorization", "anna"),)

    def auth_context(self) -> Any:
        return {}

    def time_remaining(self) -> float:
        return 0.0

    async def abort(self, code: Any, details: str, trailing: Any) -> None:
        self.status = code
        raise grpc.aio.AbortError


async def test_a_call_whose_deadline_has_passed_never_reaches_its_handler() -> None:
    called = []
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _: called.append(request))
    context = Late()
    with pytest.raises(grpc.aio.AbortError):
        await guard().guarded("/t.T/Echo", handler).unary_unary(b"", context)
    assert context.status is grpc.StatusCode.DEADLINE_EXCEEDED
    assert called == []


async def test_more_calls_than_the_server_takes_are_told_to_come_back() -> None:
    async with serving(guard(calls=3)) as (caller, handlers):
        held = [caller.unary("Wait") for _ in range(3)]
        await eventually(lambda: not any(call.done() for call in held))
        await asyncio.sleep(0.1)
        error = await refusal(caller.unary("Echo"))
        assert (error.code, error.reason) == (EXHAUSTED, "CALL_LIMIT")
        assert error.retry_seconds
        handlers.release.set()
        await asyncio.gather(*held)
        assert await caller.unary("Echo") == b"x"


async def test_streams_and_calls_do_not_take_each_others_place() -> None:
    async with serving(guard(calls=1, streams=1)) as (caller, _):
        stream = caller.watch()
        assert await stream.read() == b"first"
        assert await caller.unary("Echo") == b"x"
        error = await refusal(caller.watch().read())
        assert (error.code, error.reason) == (EXHAUSTED, "WATCH_LIMIT")


async def test_the_51st_watch_of_a_principal_is_refused_and_others_watch_on() -> None:
    async with serving(guard(streams_per_principal=50)) as (caller, _):
        held = [caller.watch() for _ in range(50)]
        assert await asyncio.gather(*(one.read() for one in held)) == [b"first"] * 50
        error = await refusal(caller.watch().read())
        assert (error.code, error.reason) == (EXHAUSTED, "WATCH_LIMIT")
        assert error.retry_seconds
        assert await caller.watch("bert").read() == b"first"
        held.pop().cancel()
        async with asyncio.timeout(60):
            while await _is_refused(again := caller.watch()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        again.cancel()


async def _is_refused(stream: Any) -> bool:
    try:
        return await stream.read() != b"first"
    except grpc.aio.AioRpcError:
        return True


async def test_a_stream_both_ways_over_the_limit_is_no_watch() -> None:
    async with serving(guard(streams=1)) as (caller, _):
        first = caller.chat()
        assert await first.read() == b"hello"
        error = await refusal(caller.chat().read())
        assert (error.code, error.reason) == (EXHAUSTED, "STREAM_LIMIT")


async def test_a_principal_that_calls_too_often_is_slowed_down_alone() -> None:
    async with serving(guard(calls_per_second=5)) as (caller, _):
        for _ in range(10):
            await caller.unary("Echo")
        error = await refusal(caller.unary("Echo"))
        assert (error.code, error.reason) == (EXHAUSTED, "RATE_LIMITED")
        assert error.retry_seconds
        assert await caller.unary("Echo", "bert") == b"x"
        await asyncio.sleep(0.3)
        assert await caller.unary("Echo") == b"x"


async def test_a_flood_of_wrong_tokens_is_refused_unasked_and_good_ones_notice_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "event_dedup")
    policy = ByName()
    async with serving(guard(policy)) as (caller, _):
        refused: Counter[tuple[str, str]] = Counter()
        for i in range(1000):
            error = await refusal(caller.unary("Echo", f"wrong-{i}"))
            refused[error.code.name, error.reason] += 1
            if i % 10 == 0:
                assert await caller.unary("Echo", "anna") == b"x"
                assert await caller.unary("Echo", f"new-{i}") == b"x"
        error = await refusal(caller.unary("Echo", "wrong"))
    assert set(refused) == {
        ("UNAUTHENTICATED", "UNAUTHENTICATED"),
        ("RESOURCE_EXHAUSTED", "RATE_LIMITED"),
    }
    looked_at = refused["UNAUTHENTICATED", "UNAUTHENTICATED"]
    assert 20 <= looked_at <= 200
    assert policy.asked == 200 + looked_at
    assert error.retry_seconds
    assert "ipv4:127.0.0.1 shows too many wrong credentials" in caplog.text
    assert sum("Echo" in record.message for record in caplog.records) == looked_at


def test_a_bucket_holds_two_seconds_worth_and_fills_at_its_rate() -> None:
    bucket = Bucket(rate=10, now=0)
    assert [bucket.take(0) for _ in range(21)] == [True] * 20 + [False]
    assert bucket.is_empty(0.05)
    assert not bucket.is_empty(0.11)
    assert [bucket.take(0.25) for _ in range(3)] == [True, True, False]
    assert sum(bucket.take(1000) for _ in range(100)) == 20


def test_a_slow_rate_still_lets_one_through() -> None:
    bucket = Bucket(rate=0.1, now=0)
    assert [bucket.take(0), bucket.take(0), bucket.take(10.1)] == [True, False, True]


def test_each_principal_has_a_pace_of_its_own() -> None:
    pace = Pace(1)
    for _ in range(2):
        pace.require("anna", 0)
    with pytest.raises(RateLimited):
        pace.require("anna", 0)
    pace.require("bert", 0)


def test_the_oldest_of_very_many_addresses_is_forgotten() -> None:
    strangers = Strangers(0.1, lambda: 0)
    assert not strangers
    for i in range(MAX_ADDRESSES + 1):
        strangers.refused(f"ipv4:{i}")
    assert strangers
    assert not strangers.are_at("ipv4:0")
    assert strangers.are_at("ipv4:1")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:51234", "ipv4:10.0.0.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:51234", "ipv6:2001:db8:1:2::"),
        ("ipv6:[2001:db8:1:2:ffff::9]:1", "ipv6:2001:db8:1:2::"),
        ("ipv6:[::ffff:10.0.0.7]:1", "ipv4:10.0.0.7"),
        ("ipv6:[fe80::1%25eth0]:1", "ipv6:fe80::"),
        ("unix:", "unix:"),
        ("unix:/run/config.sock", "unix:/run/config.sock"),
    ],
)
def test_an_address_is_a_machine_or_its_network(peer: str, address: str) -> None:
    assert address_of(peer) == address


async def test_calls_that_ended_in_any_way_leave_nothing_behind() -> None:
    made = guard(unary_seconds=0.2)
    async with serving(made, Handlers()) as (caller, _):
        await refusal(caller.unary("Wait"))
        gone = caller.unary("Wait", timeout=0.05)
        await refusal(gone)
        stream = caller.watch()
        await stream.read()
        stream.cancel()
        await refusal(caller.unary("Echo", ""))
        await eventually(lambda: not any(one.running for one in made.counts.methods.values()))
    ended = made.counts.methods["/t.T/Wait"].ended
    # a client's reset may come before its deadline has passed on this side
    assert ended in ({"DEADLINE_EXCEEDED": 2}, {"DEADLINE_EXCEEDED": 1, "CANCELLED": 1})
    assert made.counts.refused == {"UNAUTHENTICATED": 1}
