"""How calls end: what the log says of them, and how loud."""

import asyncio
import logging
from typing import Any

import pytest
from rpc.guarded import GRANTS, ByName, eventually, refusal, serving

from dedup_model.errors import LimitExceeded
from dedup_rpc import outcome
from dedup_rpc.guard import Guard
from dedup_rpc.limits import Limits

SECRET = "do-not-show-me"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Return the records of ended calls."""
    caplog.set_level(logging.DEBUG, "event_dedup")
    return lambda: [record for record in caplog.records if hasattr(record, "duration_ms")]


async def test_a_call_that_goes_well_is_a_line_for_debugging(lines: Any) -> None:
    async with serving(Guard(ByName(), GRANTS)) as (caller, _):
        await caller.unary("Echo")
    (line,) = lines()
    assert (line.levelname, line.method, line.code) == ("DEBUG", "/t.T/Echo", "OK")
    assert line.principal == "anna"
    assert 0 <= line.duration_ms < 1000


async def test_a_failed_call_is_told_with_its_reason(lines: Any) -> None:
    def fail(_: bytes) -> bytes:
        raise LimitExceeded("too many")

    async with serving(Guard(ByName(), GRANTS)) as (caller, handlers):
        handlers.echo = fail
        await refusal(caller.unary("Echo"))
    (line,) = lines()
    assert (line.levelname, line.code, line.reason) == (
        "INFO",
        "RESOURCE_EXHAUSTED",
        "LIMIT_EXCEEDED",
    )


async def test_a_slow_call_is_a_warning_and_a_long_stream_is_none(lines: Any) -> None:
    async with serving(Guard(ByName(), GRANTS)) as (caller, handlers):
        stream, call = caller.watch(), caller.unary("Wait")
        await stream.read()
        await asyncio.sleep(outcome.SLOW_SECONDS + 0.1)
        handlers.release.set()
        assert await call == b"done"
        assert await stream.read() == b"last"
        await eventually(lambda: len(lines()) == 2)
    levels = {line.method: line.levelname for line in lines()}
    assert levels == {"/t.T/Wait": "WARNING", "/t.T/Watch": "DEBUG"}


async def test_a_call_that_the_client_gave_up_is_quiet(lines: Any) -> None:
    async with serving(Guard(ByName(), GRANTS)) as (caller, handlers):
        call = caller.unary("Wait")
        await asyncio.sleep(0.2)
        call.cancel()
        await eventually(lambda: bool(lines()))
    (line,) = lines()
    assert (line.levelname, line.code) == ("DEBUG", "CANCELLED")
    assert handlers.cancelled == 1


async def test_an_answer_that_cannot_be_serialised_shows_nothing_of_itself(
    lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def SerializeToString(self) -> bytes:
            raise ValueError(SECRET)

    async with serving(Guard(ByName(), GRANTS)) as (caller, handlers):
        handlers.echo = lambda _: Broken()
        error = await refusal(caller.unary("Echo"))
    assert (error.code.name, error.reason) == ("INTERNAL", "INTERNAL")
    assert error.facts["error_id"] in caplog.text
    assert SECRET not in error.message + caplog.text


async def test_the_time_of_a_call_counts_from_its_beginning(lines: Any) -> None:
    async with serving(Guard(ByName(), GRANTS, limits=Limits(unary_seconds=0.3))) as (caller, _):
        await refusal(caller.unary("Wait"))
    (line,) = lines()
    assert (line.code, line.levelname) == ("DEADLINE_EXCEEDED", "INFO")
    assert line.duration_ms >= 300
