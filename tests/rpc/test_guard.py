"""The guard before a real server: bytes that are no message, exceptions, metadata."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from dedup_model.errors import LimitExceeded
from dedup_rpc.authz import ROLES, Development, Grants
from dedup_rpc.guard import Guard
from dedup_rpc.logs import where
from dedup_rpc.server import Serving
from dedup_rpc.status import remote_error
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import (
    MatcherServiceServicer,
    MatcherServiceStub,
    add_MatcherServiceServicer_to_server,
)

SERVICE = "eventdedup.matcher.v1.MatcherService"
SECRET = "do-not-show-me"
METHODS = (f"/{SERVICE}/Deduplicate", f"/{SERVICE}/DeduplicateBatch")
OPEN = Guard(Development(), Grants(dict.fromkeys(METHODS, frozenset(ROLES))))


class Failing(MatcherServiceServicer):
    async def DeduplicateBatch(
        self, request: pb.DeduplicateBatchRequest, context: Any
    ) -> pb.DeduplicateBatchResponse:
        if request.listings:
            raise LimitExceeded("too many")
        raise ValueError(SECRET)

    async def Deduplicate(
        self, request_iterator: AsyncIterator[pb.DeduplicateRequest], context: Any
    ) -> AsyncIterator[pb.DeduplicateResponse]:
        yield pb.DeduplicateResponse(seq=1)
        async for _ in request_iterator:
            raise RuntimeError(SECRET)


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    def register(_: Serving, server: grpc.aio.Server) -> None:
        add_MatcherServiceServicer_to_server(Failing(), server)

    serving = Serving((SERVICE,), register, OPEN)
    address = await serving.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address) as opened:
        yield opened
    await serving.stop(0)


async def failure(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return remote_error(caught.value)


async def test_an_exception_is_hidden_and_its_place_is_logged(
    channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stub = MatcherServiceStub(channel)
    error = await failure(stub.DeduplicateBatch(pb.DeduplicateBatchRequest()))
    assert error.code is grpc.StatusCode.INTERNAL
    assert SECRET not in error.message
    assert error.facts["error_id"] in error.message
    assert error.facts["error_id"] in caplog.text
    assert "ValueError at DeduplicateBatch" in caplog.text
    assert SECRET not in caplog.text


async def test_an_exception_in_a_stream_is_hidden_too(channel: grpc.aio.Channel) -> None:
    call = MatcherServiceStub(channel).Deduplicate(iter([pb.DeduplicateRequest()]))
    first = await call.read()
    assert first.seq == 1
    error = await failure(call.read())
    assert error.code is grpc.StatusCode.INTERNAL
    assert SECRET not in error.message


async def test_a_domain_error_has_its_status(channel: grpc.aio.Channel) -> None:
    request = pb.DeduplicateBatchRequest(listings=[pb.Listing()])
    error = await failure(MatcherServiceStub(channel).DeduplicateBatch(request))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    "garbage", [b"\xff", b"\x12\x05ab", b"\x00\x01", b"\x12\x03\x0a\x01\xff", b"\x0b" * 200]
)
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    channel: grpc.aio.Channel, garbage: bytes
) -> None:
    call = channel.unary_unary(f"/{SERVICE}/DeduplicateBatch")
    error = await failure(call(garbage))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_bytes_that_are_no_message_end_a_stream_with_an_invalid_argument(
    channel: grpc.aio.Channel,
) -> None:
    call = channel.stream_stream(f"/{SERVICE}/Deduplicate")(iter([b"\xff"]))
    await call.read()
    error = await failure(call.read())
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_too_much_metadata_is_refused(channel: grpc.aio.Channel) -> None:
    stub = MatcherServiceStub(channel)
    metadata = [(f"x-{i}", "v" * 1000) for i in range(12)]
    error = await failure(stub.DeduplicateBatch(pb.DeduplicateBatchRequest(), metadata=metadata))
    assert (error.code, error.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "METADATA_TOO_LARGE",
    )


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    error = await failure(channel.unary_unary(f"/{SERVICE}/Nothing")(b""))
    assert error.code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_over_one_mebibyte_is_refused(channel: grpc.aio.Channel) -> None:
    error = await failure(channel.unary_unary(f"/{SERVICE}/DeduplicateBatch")(b"x" * (2**20 + 1)))
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_taken_port_is_refused_loudly() -> None:
    first, second = (Serving((SERVICE,), lambda *_: None, OPEN) for _ in range(2))
    address = await first.start("127.0.0.1:0")
    with pytest.raises(OSError, match="cannot listen on"):
        await second.start(address)
    await first.stop(0)


def test_where_names_the_place_and_never_the_text() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        text = where(error)
    assert text.startswith("KeyError at test_where")
    assert SECRET not in text
