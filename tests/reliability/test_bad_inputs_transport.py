"""Bad bytes on the wire, row by row of the bad-input table: the stack answers, the service lives."""

import asyncio
import gzip
import itertools
import os
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import grpc
import pytest
from reliability import transport
from reliability.bad_inputs import Caller, row
from reliability.harness import FULL, Service, service
from reliability.transport import (
    END_HEADERS,
    END_STREAM,
    MAX_CONCURRENT_STREAMS,
    PREFACE,
    REFUSED_STREAM,
    Connection,
    End,
    Kind,
    call,
    connected,
    data,
    frame,
    head,
    message,
    request_headers,
    reset,
)

from dedup_rpc.server import MAX_REQUEST_BYTES, OPTIONS
from eventdedup.config.v1 import config_service_pb2 as pb

Code = grpc.StatusCode
PATH = b"/eventdedup.config.v1.ConfigService/"
GET = PATH + b"GetConfig"
EMPTY = message(b"")
RESETS, RESET_CONNECTIONS, FLOOD = (20_000, 10, 100_000) if FULL else (500, 2, 5_000)
HALF_OPEN, IDLE = (100, 900) if FULL else (40, 150)
BOUND_SECONDS = 0.5 if FULL else 3.0
"""For all but one in a hundred calls; other tests may run beside the short form."""

MAX_RSS_MEGABYTES = 256


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def caller(running: Service) -> Iterator[Caller]:
    with closing(Caller(running.address)) as made:
        yield made


@pytest.fixture(autouse=True)
async def _lives(running: Service, caller: Caller) -> AsyncIterator[None]:
    """After each test the same process answers, and is not swollen."""
    yield
    codes = {(await asyncio.to_thread(caller, "GetConfig")).code for _ in range(20)}
    assert codes == {Code.OK}
    assert megabytes(running.pid) <= MAX_RSS_MEGABYTES


def megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def ended(
    running: Service, *more: transport.Header, body: bytes = EMPTY, **other: bytes | None
) -> End:
    """Return how a GetConfig with these headers and this body ends."""
    headers = request_headers(other.pop("path", None) or GET, *more, **other)
    return await call(running.address, head(headers), data(body), seconds=3)


GREETINGS = {
    "random bytes": os.urandom(4096),
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "half a preface": PREFACE[:10] + b"XXXXXXXXXXXXXX",
    "a preface and nonsense": PREFACE + os.urandom(64),
    "an oversized frame": PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
}


@row("T1")
@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=list(GREETINGS))
async def test_what_is_not_http2_is_disconnected(running: Service, greeting: bytes) -> None:
    async with connected(running.address, begun=False) as connection:
        connection.send(greeting)
        assert await connection.until_closed(25)


@row("T3")
@pytest.mark.parametrize("other", [{"method": b"GET"}, {"te": None}], ids=str)
async def test_what_is_no_grpc_call_is_reset(running: Service, other: dict[str, None]) -> None:
    assert (await ended(running, **other)).reset == 2


@row("T4")
@pytest.mark.parametrize("kind", [b"text/plain", b"application/json", b"", None])
async def test_a_foreign_content_type_is_answered_as_grpc(
    running: Service, kind: bytes | None
) -> None:
    seen = await ended(running, content_type=kind)
    assert seen.code is Code.OK
    assert seen.headers["content-type"] == "application/grpc"


UNKNOWN = [b"/x/y", b"/", b"/../", b"/" + b"a" * 9000, b"GetConfig", PATH, PATH + b"nope",
           b"/grpc.channelz.v1.Channelz/GetServers", "/é".encode()]  # fmt: skip


@row("T5", "A9")
@pytest.mark.parametrize("path", UNKNOWN, ids=lambda path: repr(path[:40]))
async def test_an_unknown_path_is_unimplemented(running: Service, path: bytes) -> None:
    assert (await ended(running, path=path)).code is Code.UNIMPLEMENTED


@row("T5")
async def test_an_empty_path_is_unimplemented(running: Service) -> None:
    headers = request_headers(b"")
    seen = await call(running.address, head(headers), data(EMPTY))
    assert seen.code is Code.UNIMPLEMENTED


@row("T5")
async def test_a_path_that_is_no_text_does_not_end_the_server() -> None:
    with service() as other:
        await asyncio.to_thread(other.start)
        await call(other.address, head(request_headers(b"/\xff")), data(EMPTY), seconds=2)
        await asyncio.sleep(1)
        with closing(Caller(other.address)) as caller:
            answer = await asyncio.to_thread(caller, "GetConfig")
    assert answer.code is Code.OK


@row("T6")
@pytest.mark.parametrize("timeout", [b"abc", b"-5S", b"", b"5", b"5x"])
async def test_a_timeout_that_is_none_is_internal_by_the_stack(
    running: Service, timeout: bytes
) -> None:
    seen = await ended(running, (b"grpc-timeout", timeout))
    assert seen.code is Code.INTERNAL
    assert "grpc-status-details-bin" not in seen.headers


@row("T7")
async def test_a_deadline_that_has_passed_stores_nothing(running: Service, caller: Caller) -> None:
    before = await asyncio.to_thread(caller.head)
    for _ in range(10):
        assert (await updated(running, b"0n", 0.321)).code is Code.DEADLINE_EXCEEDED
    assert await asyncio.to_thread(caller.head) == before


@row("T7")
async def test_a_deadline_that_passes_under_way_ends_in_one_of_two_ways(running: Service) -> None:
    """The stack rounds it up to a millisecond, in which an update may be done."""
    ends = [await updated(running, b"1n", 0.4 + i / 1000) for i in range(20)]
    assert {end.code for end in ends} <= {Code.DEADLINE_EXCEEDED, Code.OK}


async def updated(running: Service, timeout: bytes, value: float) -> End:
    request = pb.UpdateConfigRequest()
    request.config.geo.neutral_score = value
    headers = request_headers(PATH + b"UpdateConfig", (b"grpc-timeout", timeout))
    body = message(request.SerializeToString())
    return await call(running.address, head(headers), data(body), seconds=3)


@row("T8")
@pytest.mark.skipif(not FULL, reason="waits for the server's own deadline")
async def test_a_call_without_a_deadline_ends_at_the_servers_own(
    running: Service, caller: Caller
) -> None:
    shown = (await asyncio.to_thread(caller, "GetConfig")).message
    known = {"known_epoch": shown.epoch, "min_revision": shown.revision.revision + 1000}
    body = message(pb.GetSnapshotRequest(**known).SerializeToString())
    began = time.monotonic()
    headers = request_headers(PATH + b"GetSnapshot", (b"grpc-timeout", b"99999999H"))
    seen = await call(running.address, head(headers), data(body), seconds=15)
    assert seen.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
    assert time.monotonic() - began < 12


ENCODINGS = {
    "an unknown encoding": ((b"grpc-encoding", b"snappy"), message(b"", flag=1)),
    "a compressed message without an encoding": ((b"x", b"y"), message(b"abc", flag=1)),
    "no gzip": ((b"grpc-encoding", b"gzip"), message(b"abc", flag=1)),
    "half a gzip": ((b"grpc-encoding", b"gzip"), message(gzip.compress(b"abc")[:12], flag=1)),
}


@row("T9")
@pytest.mark.parametrize(("header", "body"), ENCODINGS.values(), ids=list(ENCODINGS))
async def test_a_message_that_cannot_be_unpacked_is_internal_by_the_stack(
    running: Service, header: transport.Header, body: bytes
) -> None:
    seen = await ended(running, header, body=body)
    assert seen.code is Code.INTERNAL
    assert "grpc-status-details-bin" not in seen.headers


@row("T10")
async def test_a_message_that_unpacks_to_very_much_is_exhausted(running: Service) -> None:
    bomb = gzip.compress(bytes(1_000_000_000 if FULL else 60_000_000))
    async with connected(running.address) as connection:
        connection.send(head(request_headers(GET, (b"grpc-encoding", b"gzip"))))
        await connection.send_body(message(bomb, flag=1))
        assert (await connection.ended()).code is Code.RESOURCE_EXHAUSTED


@row("T11")
@pytest.mark.parametrize("length", [MAX_REQUEST_BYTES + 1, 2**32 - 1])
async def test_a_message_above_the_limit_is_exhausted_before_it_is_read(
    running: Service, length: int
) -> None:
    seen = await ended(running, body=message(b"", length=length))
    assert seen.code is Code.RESOURCE_EXHAUSTED


@row("T11")
async def test_a_message_at_the_limit_is_read(running: Service) -> None:
    request = pb.ListRevisionsRequest(author="a" * (MAX_REQUEST_BYTES - 4))
    body = request.SerializeToString()
    assert len(body) == MAX_REQUEST_BYTES
    async with connected(running.address) as connection:
        connection.send(head(request_headers(PATH + b"ListRevisions")))
        await connection.send_body(message(body))
        assert (await connection.ended()).code is Code.INVALID_ARGUMENT  # read, and found too long


@row("T12")
@pytest.mark.parametrize(
    "parts",
    [[head(request_headers(GET), flags=END_HEADERS | END_STREAM)],
     [head(request_headers(GET)), data(message(b"", length=50))],
     [head(request_headers(GET)), data(EMPTY[:3])]],
    ids=["no message", "a short message", "half a prefix"],
)  # fmt: skip
async def test_a_call_without_a_message_gets_no_answer_and_leaves_nothing(
    running: Service, parts: list[bytes]
) -> None:
    before = descriptors(running)
    for _ in range(20):
        assert (await call(running.address, *parts, seconds=0.05)).code is None
    for _ in range(200):
        if descriptors(running) <= before:
            break
        await asyncio.sleep(0.05)
    assert descriptors(running) <= before


def descriptors(running: Service) -> int:
    return len(list(Path(f"/proc/{running.pid}/fd").iterdir()))


@row("T13")
@pytest.mark.parametrize("more", [message(b"\xff"), b"xx"], ids=["a message", "bytes"])
async def test_what_follows_the_first_message_is_ignored(running: Service, more: bytes) -> None:
    assert (await ended(running, body=EMPTY + more)).code is Code.OK


@row("T14")
async def test_half_open_streams_delay_nobody(running: Service, caller: Caller) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(HALF_OPEN // 10):
            connection = await stack.enter_async_context(connected(running.address))
            connection.send(*(head(request_headers(GET), 2 * i + 1) for i in range(10)))
            await connection.drained()
        spent = await asyncio.to_thread(slowest, caller)
    assert spent < BOUND_SECONDS


def slowest(caller: Caller) -> float:
    """Return the time that all but the slowest hundredth of 100 calls took at most."""
    times = []
    for _ in range(100):
        began = time.monotonic()
        assert caller("GetConfig").code is Code.OK
        times.append(time.monotonic() - began)
    return sorted(times)[98]


@row("T15")
async def test_a_stream_beyond_the_limit_of_a_connection_is_refused(running: Service) -> None:
    limit = dict(OPTIONS)["grpc.max_concurrent_streams"]
    async with connected(running.address) as connection:
        await connection.ended(99, 0.3)
        assert connection.settings[MAX_CONCURRENT_STREAMS] == limit
        headers = request_headers(GET)
        connection.send(*(head(headers, 2 * i + 1) for i in range(limit + 1)))
        seen = await connection.ended(2 * limit + 1)
        assert seen.reset == REFUSED_STREAM


@row("T16")
async def test_a_rapid_reset_leaves_a_server_that_answers_and_does_not_grow_for_ever() -> None:
    with service() as other:
        await asyncio.to_thread(other.start)
        with closing(Caller(other.address)) as caller:
            sizes = [await flooded(other, caller) for _ in range(8 if FULL else 5)]
    print(f"{RESET_CONNECTIONS} x {RESETS} resets: {[f'{size:.0f} MB' for size in sizes]}")
    assert min(after / before for before, after in itertools.pairwise(sizes)) < 1.05
    assert sizes[-1] < 600


async def flooded(running: Service, caller: Caller) -> float:
    """Flood a server with resets, check that others are answered; returns its megabytes."""
    headers = request_headers(GET)

    async def flood() -> None:
        async with connected(running.address) as connection:
            for i in range(RESETS):
                stream = 2 * i + 1
                connection.send(head(headers, stream), data(EMPTY, stream), reset(stream))
                if i % 100 == 99 and await connection.until_closed(0.001):
                    return

    during = asyncio.create_task(asyncio.to_thread(codes, caller, 50))
    await asyncio.gather(*(flood() for _ in range(RESET_CONNECTIONS)))
    assert await during <= {Code.OK, Code.CANCELLED, Code.UNAVAILABLE}
    await asyncio.sleep(3 if FULL else 0.3)
    assert await asyncio.to_thread(codes, caller, 200) == {Code.OK}
    return megabytes(running.pid)


def codes(caller: Caller, count: int) -> set[grpc.StatusCode]:
    return {caller("GetConfig").code for _ in range(count)}


@row("T17")
async def test_a_flood_of_pings_ends_its_connection_alone(running: Service) -> None:
    async with connected(running.address) as connection:
        for i in range(100):
            connection.send(frame(Kind.PING, payload=struct.pack(">Q", i)))
            if await connection.until_closed(0.02):
                break
        assert connection.closed
        assert connection.goaway
        assert connection.goaway[1] == b"too_many_pings"


CONTINUED = frame(Kind.HEADERS, 0, 1, transport.block([(b"a", b"b")]))
FLOODS = {
    "SETTINGS": (b"", transport.settings(_4=65_535)),
    "PRIORITY": (b"", frame(Kind.PRIORITY, 0, 1, bytes(5))),
    "unknown frames": (b"", frame(0xBE, 0xFF, 0, bytes(100))),
    "CONTINUATION": (CONTINUED, frame(Kind.CONTINUATION, 0, 1, transport.block([(b"a", b"b")]))),
    "empty DATA": (head(request_headers(GET)), data(b"", flags=0)),
    "RST_STREAM": (b"", reset(99)),
    "empty HEADERS": (b"", frame(Kind.HEADERS, 0, 1)),
}


@row("T18")
@pytest.mark.parametrize(("first", "again"), FLOODS.values(), ids=list(FLOODS))
async def test_a_flood_of_frames_costs_no_memory(
    running: Service, first: bytes, again: bytes
) -> None:
    before = megabytes(running.pid)
    async with connected(running.address) as connection:
        connection.send(first)
        for _ in range(FLOOD // 100):
            connection.send(again * 100)
            if await connection.until_closed(0.001):
                break
            await sent(connection)
        assert megabytes(running.pid) - before < 32


async def sent(connection: Connection) -> None:
    try:
        async with asyncio.timeout(5):
            await connection.drained()
    except (ConnectionError, TimeoutError):
        connection.closed = True


BROKEN = {
    "a window that overflows": frame(Kind.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 3,
    "a window of nothing": frame(Kind.WINDOW_UPDATE, 0, 0, bytes(4)),
    "DATA on stream 0": data(b"abc", 0),
    "DATA on a stream that is not open": data(b"abc", 77),
    "HEADERS on stream 0": head(request_headers(GET), 0),
    "HEADERS on an even stream": head(request_headers(GET), 2),
    "a header block that is none": frame(Kind.HEADERS, END_HEADERS, 1, b"\xff" * 50),
    "a PING of 3 bytes": frame(Kind.PING, payload=b"abc"),
    "SETTINGS of 5 bytes": frame(Kind.SETTINGS, payload=b"abcde"),
    "a promise": frame(5, END_HEADERS, 1, bytes(4)),
    "CONTINUATION alone": frame(Kind.CONTINUATION, END_HEADERS, 1, b""),
    "padding past the end": frame(Kind.DATA, 8, 1, b"\xff"),
}


@row("T19")
@pytest.mark.parametrize("broken", BROKEN.values(), ids=list(BROKEN))
async def test_a_broken_frame_harms_its_connection_alone(running: Service, broken: bytes) -> None:
    async with connected(running.address) as other, connected(running.address) as connection:
        connection.send(broken)
        await connection.until_closed(0.2)
        other.send(head(request_headers(GET)), data(EMPTY))
        assert (await other.ended()).code is Code.OK


@row("T20")
async def test_idle_connections_and_slow_greetings_delay_nobody(
    running: Service, caller: Caller
) -> None:
    async with AsyncExitStack() as stack:
        idle = [
            await stack.enter_async_context(connected(running.address, begun=False))
            for _ in range(IDLE)
        ]
        for connection in idle[::3]:
            connection.send(PREFACE[:1])
        assert await asyncio.to_thread(slowest, caller) < BOUND_SECONDS
        if FULL:
            assert all(await asyncio.gather(*(c.until_closed(130) for c in idle)))


LARGE = {
    "one value of 9 KB": [(b"x-a", b"v" * 9000)],
    "one value of 15 KB": [(b"x-a", b"v" * 15_000)],
    "1,000 keys": [(b"x-key-%04d" % i, b"v") for i in range(1000)],
    "one key 1,000 times": [(b"x-a-key", b"value")] * 1000,
    "a binary value": [(b"x-bin", b"QUJD" * 3000)],
}


@row("T21", "T22")
@pytest.mark.parametrize("more", LARGE.values(), ids=list(LARGE))
async def test_too_much_metadata_is_exhausted(
    running: Service, more: list[transport.Header]
) -> None:
    seen = await ended(running, *more)
    assert seen.code is Code.RESOURCE_EXHAUSTED


@row("T21", "T22")
@pytest.mark.parametrize("size", [17_000, 60_000])
async def test_metadata_above_the_limit_of_the_stack_never_reaches_a_handler(
    running: Service, size: int
) -> None:
    headers = transport.block(request_headers(GET, (b"x-a", b"v" * size)))
    parts = [headers[i : i + 16_000] for i in range(0, len(headers), 16_000)]
    frames = [frame(Kind.HEADERS, 0, 1, parts[0])]
    frames += [frame(Kind.CONTINUATION, 0, 1, part) for part in parts[1:-1]]
    frames += [frame(Kind.CONTINUATION, END_HEADERS, 1, parts[-1])]
    seen = await call(running.address, *frames, data(EMPTY), seconds=3)
    assert seen.code in (Code.RESOURCE_EXHAUSTED, None)


@row("T23")
@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\x00b", b"a\x1b[31mb", "\u202e".encode()])
@pytest.mark.parametrize("name", [b"x-request-id", b"user-agent", b"authorization"])
async def test_control_characters_in_metadata_reach_no_log(
    running: Service, name: bytes, value: bytes
) -> None:
    before = running.log.stat().st_size
    headers = request_headers(PATH + b"GetConfig", (name, b"canary-" + value))
    seen = await call(running.address, head(headers), data(message(b"\xff")))
    assert seen.code is Code.INVALID_ARGUMENT
    assert "canary" not in str(seen.headers)
    assert b"canary" not in running.log.read_bytes()[before:]


@row("T23")
async def test_metadata_that_is_no_text_reaches_no_log(running: Service) -> None:
    assert (await ended(running, (b"authorization", b"canary-\xff\xfe"))).code is Code.OK
    assert b"canary" not in running.log.read_bytes()


@row("T24")
@pytest.mark.parametrize(
    ("header", "code"),
    [((b"x-bin", b"!!!"), Code.INTERNAL), ((b"X-Upper", b"a"), Code.INTERNAL),
     ((b"x y", b"a"), Code.INTERNAL), ((b"x\x00", b"a"), Code.INTERNAL)],
    ids=str,
)  # fmt: skip
async def test_a_header_that_is_none_is_internal_by_the_stack(
    running: Service, header: transport.Header, code: grpc.StatusCode
) -> None:
    seen = await ended(running, header)
    assert seen.code is code
    assert "grpc-status-details-bin" not in seen.headers


@row("T25")
@pytest.mark.parametrize(
    "header",
    [(b"x-forwarded-client-cert", b"By=spiffe://x;URI=spiffe://admin"), (b"x-principal", b"root"),
     (b"x-forwarded-for", b"10.0.0.1")],
    ids=str,
)  # fmt: skip
async def test_forged_headers_name_nobody(
    running: Service, caller: Caller, header: transport.Header
) -> None:
    request = pb.UpdateConfigRequest()
    request.config.geo.neutral_score = float(f"0.{os.urandom(3).hex().translate(DIGITS)}")
    headers = request_headers(PATH + b"UpdateConfig", header, authority=b"admin.internal")
    seen = await call(running.address, head(headers), data(message(request.SerializeToString())))
    assert seen.code is Code.OK
    shown = await asyncio.to_thread(caller, "GetConfig")
    assert shown.message.revision.author == "dev"


DIGITS = str.maketrans("abcdef", "123456")
