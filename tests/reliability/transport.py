"""Sends what no client library would send: HTTP/2 frames exactly as they are written down.

Header blocks are literals without compression. Answers are read as far as a status goes: values
that the server compressed stay as they are.
"""

import asyncio
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum

import grpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM = ACK = 1
END_HEADERS = 4
WINDOW, MAX_FRAME = 65_535, 16_384
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 3, 4
"""Identifiers of settings."""
REFUSED_STREAM = 7
INDEXED_STATUS = dict(zip(range(8, 15), (200, 204, 206, 304, 400, 404, 500), strict=True))
CODES = {code.value[0]: code for code in grpc.StatusCode}

Header = tuple[bytes, bytes]


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def message(body: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """Return a gRPC message with its prefix, which may lie about flag and length."""
    return struct.pack(">BI", flag, len(body) if length is None else length) + body


def request_headers(path: bytes, *more: Header, **replaced: bytes | None) -> list[Header]:
    """Return the headers of a call; `replaced` gives some another value, None leaves one out."""
    usual: dict[str, bytes | None] = {
        ":method": b"POST",
        ":scheme": b"http",
        ":path": path,
        ":authority": b"localhost",
        "content-type": b"application/grpc",
        "te": b"trailers",
    }
    usual |= {_name(name): value for name, value in replaced.items()}
    kept = [(name.encode(), value) for name, value in usual.items() if value is not None]
    return [*kept, *more]


def _name(name: str) -> str:
    pseudo = name in ("method", "scheme", "authority")
    return f":{name}" if pseudo else name.replace("_", "-")


def block(headers: Iterable[Header]) -> bytes:
    """Return a header block of literals."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(value: bytes) -> bytes:
    if len(value) < 127:
        return bytes([len(value)]) + value
    rest, size = len(value) - 127, b"\x7f"
    while rest >= 128:
        size += bytes([rest % 128 + 128])
        rest //= 128
    return size + bytes([rest]) + value


def settings(**values: int) -> bytes:
    """Return a SETTINGS frame; keys are `_` and the identifier."""
    pairs = (struct.pack(">HI", int(name[1:]), value) for name, value in values.items())
    return frame(Kind.SETTINGS, payload=b"".join(pairs))


def head(headers: Iterable[Header], stream: int = 1, flags: int = END_HEADERS) -> bytes:
    """Return the HEADERS frame of a call."""
    return frame(Kind.HEADERS, flags, stream, block(headers))


def data(payload: bytes, stream: int = 1, flags: int = END_STREAM) -> bytes:
    """Return a DATA frame."""
    return frame(Kind.DATA, flags, stream, payload)


def reset(stream: int, error: int = 8) -> bytes:
    """Return a RST_STREAM frame; CANCEL unless said."""
    return frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", error))


@dataclass
class End:
    """How a stream ended, as far as it did."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    done: bool = False
    reset: int | None = None

    @property
    def code(self) -> grpc.StatusCode | None:
        """Return the status, None when there is none."""
        number = self.headers.get("grpc-status")
        return CODES[int(number)] if number else None


class Connection:
    """One connection; once begun, it answers what the server has to hear back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._answers = reader, writer, False
        self.streams: defaultdict[int, End] = defaultdict(End)
        self.settings: dict[int, int] = {}
        self.goaway: tuple[int, bytes] | None = None
        self.closed = False
        self._windows: defaultdict[int, int] = defaultdict(int)

    def send(self, *parts: bytes) -> None:
        """Send bytes."""
        self._writer.write(b"".join(parts))

    async def drained(self) -> None:
        """Wait until the server has taken most of what was sent."""
        await self._writer.drain()

    def begin(self) -> None:
        """Send preface and settings; without a header table answers can be read."""
        self._answers = True
        self.send(PREFACE, settings(_1=0, _4=1 << 30), _window(0, 1 << 30))

    async def ended(self, stream: int = 1, seconds: float = 10.0) -> End:
        """Read until a stream has ended or the connection is closed, at most `seconds`."""
        await self._read_until(lambda: self.streams[stream].done, seconds)
        return self.streams[stream]

    async def answered(self, stream: int = 1, seconds: float = 10.0) -> End:
        """Read until a stream has brought a first piece of an answer, or has ended."""
        found = self.streams[stream]
        await self._read_until(lambda: bool(found.body) or found.done, seconds)
        return found

    async def until_closed(self, seconds: float = 10.0) -> bool:
        """Read until the server closes; tells whether it did."""
        await self._read_until(lambda: False, seconds)
        return self.closed

    async def send_body(self, payload: bytes, stream: int = 1) -> None:
        """Send a body in frames that the server's windows take."""
        while payload:
            await self._read_until(lambda: self._room(stream) > 0 or self.streams[stream].done, 10)
            size = min(self._room(stream), MAX_FRAME)
            if self.closed or self.streams[stream].done or size <= 0:
                return
            part, payload = payload[:size], payload[size:]
            self.send(data(part, stream, 0 if payload else END_STREAM))
            self._windows[0] -= len(part)
            self._windows[stream] -= len(part)

    def _room(self, stream: int) -> int:
        initial = self.settings.get(INITIAL_WINDOW_SIZE, WINDOW)
        return min(WINDOW + self._windows[0], initial + self._windows[stream])

    async def _read_until(self, done: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not done() and not self.closed:
                    await self._read()
        except TimeoutError:
            return

    async def _read(self) -> None:
        try:
            length, kind, flags, stream = struct.unpack(">3sBBI", await self._reader.readexactly(9))
            payload = await self._reader.readexactly(int.from_bytes(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True
            return
        self._take(kind, flags, stream & 0x7FFF_FFFF, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        match kind:
            case Kind.SETTINGS if not flags & ACK:
                self.settings |= dict(struct.iter_unpack(">HI", payload))
                self._answer(frame(Kind.SETTINGS, ACK))
            case Kind.PING if not flags & ACK:
                self._answer(frame(Kind.PING, ACK, payload=payload))
            case Kind.WINDOW_UPDATE:
                self._windows[stream] += int.from_bytes(payload)
            case Kind.GOAWAY:
                self.goaway = int.from_bytes(payload[4:8]), payload[8:]
            case Kind.RST_STREAM:
                self.streams[stream].reset = int.from_bytes(payload)
                self.streams[stream].done = True
            case Kind.HEADERS:
                self.streams[stream].headers |= _decoded(payload)
            case Kind.DATA:
                self.streams[stream].body += payload
        if kind in (Kind.HEADERS, Kind.DATA) and flags & END_STREAM:
            self.streams[stream].done = True

    def _answer(self, part: bytes) -> None:
        if self._answers:
            self.send(part)


def _window(stream: int, more: int) -> bytes:
    return frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


def _decoded(payload: bytes) -> dict[str, str]:
    """Return the headers of a block that needs no table but the status of the static one."""
    found, at = {}, 0
    while at < len(payload):
        first = payload[at]
        if first & 0x80:
            found[":status"] = str(INDEXED_STATUS.get(first & 0x7F, 0))
            at += 1
        elif first & 0x20 and not first & 0x40:
            _, at = _integer(payload, at, 5)
        else:
            number, at = _integer(payload, at, 6 if first & 0x40 else 4)
            name, at = _string(payload, at) if not number else (f"#{number}", at)
            found[name], at = _string(payload, at)
    return found


def _integer(payload: bytes, at: int, bits: int) -> tuple[int, int]:
    limit = (1 << bits) - 1
    value, at = payload[at] & limit, at + 1
    shift = 0
    while value >= limit and (shift == 0 or payload[at - 1] & 0x80):
        value += (payload[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value, at


def _string(payload: bytes, at: int) -> tuple[str, int]:
    size, at = _integer(payload, at, 7)
    return payload[at : at + size].decode("latin-1"), at + size


@asynccontextmanager
async def connected(address: str, *, begun: bool = True) -> AsyncIterator[Connection]:
    """Yield a connection to `unix:path` or `host:port`."""
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    connection = Connection(reader, writer)
    if begun:
        connection.begin()
    try:
        yield connection
    finally:
        writer.close()


async def call(address: str, *parts: bytes, seconds: float = 10.0) -> End:
    """Return how stream 1 of a new connection ends after these bytes."""
    async with connected(address) as connection:
        connection.send(*parts)
        return await connection.ended(1, seconds)
