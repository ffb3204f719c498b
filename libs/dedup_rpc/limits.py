"""How much callers may ask of one server at once and in a second, and the tallies that keep to it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from urllib.parse import unquote

from dedup_model.errors import RateLimited, StreamLimit, WatchLimit
from dedup_rpc.counts import WATCH, MethodCounts

BURST_SECONDS = 2.0
MAX_ADDRESSES = 10_000
Clock = Callable[[], float]


@dataclass(frozen=True)
class Limits:
    """The limits of one server; rates allow bursts of two seconds' worth.

    `unary_seconds` is the longest that a unary call runs, whatever its deadline says, but for the
    methods in `longer`. A stream ends when its caller takes nothing of what waits for it for
    `stall_seconds`. `calls` and `streams` run at once, of all callers; a principal has at most
    `streams_per_principal` streams, and makes at most `calls_per_second` calls. From one address
    `refusals_per_second` wrong credentials are looked at; then only credentials that are known.
    """

    unary_seconds: float = 10.0
    longer: Mapping[str, float] = field(default_factory=dict)
    stall_seconds: float = 60.0
    calls: int = 1000
    streams: int = 2000
    streams_per_principal: int = 1000
    calls_per_second: float = 10_000.0
    refusals_per_second: float = 10.0


class Bucket:
    """A token bucket: full at first, `rate` tokens a second come in, it holds two seconds' worth."""

    __slots__ = ("_at", "_left", "_rate", "_size")

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._at = rate, now
        self._left = self._size = max(rate * BURST_SECONDS, 1.0)

    def take(self, now: float) -> bool:
        """Take a token; tells whether there was one."""
        left = self._left + (now - self._at) * self._rate
        self._at = now
        self._left = min(left, self._size)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def is_empty(self, now: float) -> bool:
        """Tell whether no token is there."""
        return self._left + (now - self._at) * self._rate < 1


class Pace:
    """How fast each principal calls."""

    def __init__(self, calls_per_second: float) -> None:
        self._rate = calls_per_second
        self._buckets: dict[str, Bucket] = {}

    def require(self, principal: str, now: float) -> None:
        """Count a call; raises `RateLimited`."""
        bucket = self._buckets.get(principal)
        if bucket is None:
            bucket = self._buckets[principal] = Bucket(self._rate, now)
        if not bucket.take(now):
            raise RateLimited("this principal calls too often; slow down")


class Strangers:
    """Which addresses show too many credentials that nobody knows; forgets the oldest of many."""

    def __init__(self, refusals_per_second: float, clock: Clock = time.monotonic) -> None:
        self._rate, self._clock = refusals_per_second, clock
        self._buckets: dict[str, Bucket] = {}

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def are_at(self, address: str) -> bool:
        """Tell whether an address has used up what it may try."""
        bucket = self._buckets.get(address)
        return bucket is not None and bucket.is_empty(self._clock())

    def refused(self, address: str) -> None:
        """Count credentials that were refused."""
        now = self._clock()
        self._buckets.setdefault(address, Bucket(self._rate, now)).take(now)
        if len(self._buckets) > MAX_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]


class Streams:
    """The streams that are open, of all callers and of each principal."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, principal: str, counts: MethodCounts) -> Iterator[None]:
        """Hold one stream while the block runs; raises `WatchLimit` or `StreamLimit`."""
        if self._is_full(principal):
            error = WatchLimit if counts.kind == WATCH else StreamLimit
            raise error("as many streams are open as are allowed at once; close some, or try later")
        self._open[principal] += 1
        counts.running += 1
        try:
            yield
        finally:
            counts.running -= 1
            self._closed(principal)

    def _is_full(self, principal: str) -> bool:
        share = self._limits.streams_per_principal
        return self._open[principal] >= share or self._open.total() >= self._limits.streams

    def _closed(self, principal: str) -> None:
        self._open[principal] -= 1
        if not self._open[principal]:
            del self._open[principal]


def address_of(peer: str) -> str:
    """Return what of grpc's `ipv4:1.2.3.4:5` tells one caller's machine: no port, an IPv6 /64."""
    kind, _, rest = peer.partition(":")
    if kind == "ipv4":
        return f"{kind}:{rest.rpartition(':')[0]}"
    if kind == "ipv6":
        host = IPv6Address(unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0])
        return f"ipv4:{host.ipv4_mapped}" if host.ipv4_mapped else f"{kind}:{_network(host)}"
    return peer


def _network(host: IPv6Address) -> IPv6Address:
    return IPv6Network((host, 64), strict=False).network_address
