"""What a running matcher says of itself."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class BatchStats:
    """What one revision did to the batches of one matcher; rates are shares, 0 to 1."""

    revision: int
    batches: int = 0
    listings: int = 0
    merge_rate: float = 0.0
    ambiguous_rate: float = 0.0
    largest_cluster: int = 0

    def __add__(self, other: "BatchStats") -> "BatchStats":
        """Return both together, under this one's revision; rates are weighted by listings."""
        return BatchStats(
            self.revision,
            self.batches + other.batches,
            self.listings + other.listings,
            self._together(other, "merge_rate"),
            self._together(other, "ambiguous_rate"),
            max(self.largest_cluster, other.largest_cluster),
        )

    def _together(self, other: "BatchStats", name: str) -> float:
        listings = self.listings + other.listings
        total = sum(float(getattr(one, name)) * one.listings for one in (self, other))
        return total / listings if listings else 0.0


@dataclass(frozen=True)
class Rejection:
    """A revision that a matcher refuses to run; ConfigService fills `reported_at` in."""

    revision: int
    why: str
    reported_at: datetime | None = None


@dataclass(frozen=True)
class StatusReport:
    """What a matcher says of itself: which revision it was given, and which its last batch ran under."""

    instance_id: str
    version: str = ""
    epoch: str = ""
    received_revision: int = 0
    applied_revision: int = 0
    source: str = ""
    rejection: Rejection | None = None
    stats: tuple[BatchStats, ...] = ()
