"""When listings take place: each day with its start times, in columns."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher_service.engine.listing import MIDNIGHT, EventDate

UNKNOWN_TIME = -1


@dataclass(frozen=True, slots=True)
class Shows:
    """Days with start times, a row each, sorted by listing, day and start.

    `owner` is the listing's row, `day` a proleptic ordinal, `start` minutes after midnight or -1.
    """

    owner: NDArray[np.int64]
    day: NDArray[np.int64]
    start: NDArray[np.float64]


def shows_of(listings: Sequence[Sequence[EventDate]], night: int) -> Shows:
    """Return the shows of each listing's entries; the first `night` seconds are of the day before."""
    rows = array("q")
    for owner, entries in enumerate(listings):
        days = {show for entry in entries for show in _days(entry, night)}
        for show in sorted(days):
            rows.extend((owner, *show))
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Shows(columns[:, 0], columns[:, 1], columns[:, 2] / 60.0)


def _days(entry: EventDate, night: int) -> Iterable[tuple[int, int]]:
    """Yield day and start in seconds of every day of an entry.

    A start of exactly 00:00 is unknown: feeds write it for whole days. A start in the first `night`
    seconds belongs to the evening before, as does a start of 24:00, which is 00:00 of the next day
    where there are no nights.
    """
    first, last = entry.date.toordinal(), (entry.end_date or entry.date).toordinal()
    start = entry.start or UNKNOWN_TIME * 60
    if 0 < start < night:
        first, last, start = first - 1, last - 1, start + MIDNIGHT
    elif start == MIDNIGHT and not night:
        first, last, start = first + 1, last + 1, UNKNOWN_TIME * 60
    return ((day, start) for day in range(first, last + 1))
