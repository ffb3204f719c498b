"""Which pairs are looked at: listings that share a day and a key."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from dedup_model.matching_config import Blocking
from matcher_service.engine.columns import NO_DAY, Ints, Shows, Table
from matcher_service.engine.words import Matrix

EARTH_RADIUS_KM = 6371.0
CHUNK_PAIRS = 4_000_000
"""Pairs that are expanded at a time, to bound memory; a block of any size is split exactly."""
VENUE_WORDS = 2
"""Rarest words of a venue's name that become keys."""
MIN_KEY_WORD = 3
"""Characters of a title word that may become a key."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs as rows of the table: `left` < `right`, sorted, each pair once."""

    left: Ints
    right: Ints

    def __len__(self) -> int:
        return len(self.left)

    def chunk(self, start: int, size: int) -> "Pairs":
        """Return some of the pairs."""
        return Pairs(self.left[start : start + size], self.right[start : start + size])


def candidates(table: Table, blocking: Blocking, progress: Callable[[int, int], None]) -> Pairs:
    """Return every pair that shares a day and a key; `progress` hears pairs done and in all.

    Keys: the head of the city's name, a geo cell or its neighbour, a rare title word that stands
    anywhere in the other listing, a rare word of the venue's name. Listings without any date meet
    on their own title words and the whole venue only, so that batches without dates do not pair
    everything in a town. Shows before 03:00 also key the day before.
    """
    days = _days(table)
    size = len(table.ids)
    found = [np.empty(0, np.int64)]
    keys = list(_keys(table, blocking))
    for done, (rows, values, dateless) in enumerate(keys):
        progress(done, len(keys))
        for block in _blocks(rows, values, days if dateless else _dated(days)):
            found += [np.unique(codes) for codes in _expanded(*block, size)]
    codes = np.unique(np.concatenate(found))
    return Pairs(codes // max(size, 1), codes % max(size, 1))


def _days(table: Table) -> Shows:
    """Return the distinct days of each listing, `NO_DAY` where it has none."""
    shows, nights = table.shows, table.nights
    missing = np.setdiff1d(np.arange(len(table.ids)), shows.owner)
    owner = np.concatenate([shows.owner, nights.owner, missing])
    day = np.concatenate([shows.day, nights.day, np.full(len(missing), NO_DAY)])
    distinct = np.unique(np.stack([owner, day]), axis=1)
    return Shows(distinct[0], distinct[1], np.zeros(distinct.shape[1]))


def _dated(days: Shows) -> Shows:
    dated = days.day != NO_DAY
    return Shows(days.owner[dated], days.day[dated], days.start[dated])


def _keys(table: Table, blocking: Blocking) -> Iterator[tuple[Ints, Ints, bool]]:
    """Yield row, key value and whether listings without a date count too, a kind of key each."""
    if blocking.use_city:
        rows = np.flatnonzero(table.city_head.known)
        yield rows, table.city_head.codes[rows], False
    if blocking.use_geo:
        yield (*_cells(table, blocking.geo_cell_km), False)
    if blocking.use_title:
        lengths = np.array([len(word) for word in table.title_vocabulary], np.int64)
        count = blocking.title_words
        yield (*_rare_words(table.title_words.presence, lengths, count), True)
        yield (*_rare_words(table.found_words, lengths, 2 * count), False)
    if blocking.use_venue:
        venues = table.venue_words.presence
        lengths = np.full(venues.shape[1], MIN_KEY_WORD)
        yield (*_rare_words(venues, lengths, VENUE_WORDS), False)
        rows = np.flatnonzero(table.venue.known)
        yield rows, table.venue.codes[rows], True


def _cells(table: Table, edge_km: float) -> tuple[Ints, Ints]:
    """Return eight keys a listing: the corners of its cell in a cubic grid through the Earth.

    Two listings share a corner exactly when their cells are the same or touch; a grid in space
    has no seam at the poles or the date line.
    """
    rows = np.flatnonzero(~np.isnan(table.point[:, 0]))
    latitude, longitude = np.radians(table.point[rows, 0]), np.radians(table.point[rows, 1])
    space = [
        np.cos(latitude) * np.cos(longitude),
        np.cos(latitude) * np.sin(longitude),
        np.sin(latitude),
    ]
    cell = [np.floor(EARTH_RADIUS_KM * axis / edge_km).astype(np.int64) for axis in space]
    span = int(2 * EARTH_RADIUS_KM / edge_km) + 4
    corners = [
        ((cell[0] + x) * span + cell[1] + y) * span + cell[2] + z
        for x, y, z in product((0, 1), repeat=3)
    ]
    return np.tile(rows, 8), np.concatenate(corners)


def _rare_words(presence: Matrix, lengths: Ints, count: int) -> tuple[Ints, Ints]:
    """Return the rarest words of each row as keys, ties by the word."""
    frequency = np.bincount(presence.indices, minlength=presence.shape[1])
    rows = np.repeat(np.arange(presence.shape[0]), np.diff(presence.indptr))
    kept = lengths[presence.indices] >= MIN_KEY_WORD if len(lengths) else np.empty(0, bool)
    rows, words = rows[kept], presence.indices[kept].astype(np.int64)
    order = np.lexsort((words, frequency[words], rows))
    rows, words = rows[order], words[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return rows[rank < count], words[rank < count]


def _blocks(rows: Ints, values: Ints, days: Shows) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield members sorted by block, with the start and the end of each member's block."""
    if not len(rows):
        return
    starts, ends = np.searchsorted(days.owner, rows), np.searchsorted(days.owner, rows, "right")
    lengths = ends - starts
    positions = _ranges(starts, lengths)
    member, value, day = np.repeat(rows, lengths), np.repeat(values, lengths), days.day[positions]
    order = np.lexsort((member, value, day))
    member, value, day = member[order], value[order], day[order]
    new = np.flatnonzero((np.diff(value, prepend=-1) != 0) | (np.diff(day, prepend=-1) != 0))
    sizes = np.diff(np.append(new, len(member)))
    yield member, np.arange(len(member)), np.repeat(new + sizes, sizes)


def _expanded(member: Ints, position: Ints, end: Ints, size: int) -> Iterator[Ints]:
    """Yield the pairs inside blocks as codes `left * size + right`, some at a time."""
    partners = end - position - 1
    total = np.cumsum(partners)
    start = 0
    while start < len(member):
        before = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, before + CHUNK_PAIRS, "right")), start + 1)
        count = partners[start:stop]
        left = np.repeat(member[start:stop], count)
        right = member[_ranges(position[start:stop] + 1, count)]
        yield (left * size + right)[left != right]
        start = stop


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """Return the concatenation of `range(start, start + length)` for each row."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - lengths - starts, lengths)
