"""How often which call was made, how it ended and how long it took: plain numbers, cheap to add to."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

UNARY, WATCH = "unary", "server_stream"
"""Kinds of calls."""
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the buckets of seconds; one more bucket holds the rest."""


@dataclass(slots=True)
class MethodCounts:
    """The calls of one method; those that are let in count as running until they end."""

    service: str
    method: str
    kind: str
    running: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def end(self, code: str, seconds: float) -> None:
        """Count a call that ended with the status `code` after `seconds`."""
        self.ended[code] += 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Counts:
    """The calls of one server, and the credentials that it refused, by reason."""

    def __init__(self) -> None:
        self.methods: dict[str, MethodCounts] = {}
        self.refused: Counter[str] = Counter()

    def of(self, path: str, kind: str) -> MethodCounts:
        """Return the counts of `/package.Service/Method`, a kind such as `unary`."""
        if path not in self.methods:
            service, _, method = path.lstrip("/").rpartition("/")
            self.methods[path] = MethodCounts(service, method, kind)
        return self.methods[path]
