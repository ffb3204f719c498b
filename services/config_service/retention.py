"""Which revisions of the history are old enough to go."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Retention:
    """How much of the history stays: at least so many revisions, and all that are younger."""

    count: int = 10_000
    age: timedelta = timedelta(days=365)

    def through(self, head: int, old: int, applied: Collection[int]) -> int:
        """Return the last revision that may go; 0 or less for none.

        `old` is the newest revision that is older than `age`, `applied` what live clients run.
        """
        return min(head - self.count, old, *(number - 1 for number in applied))
