"""Which pairs are looked at: listings that share a day and a key."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise, product, starmap

import numpy as np

from dedup_model.errors import LimitExceeded
from dedup_model.matching_config import Blocking
from matcher_service.engine.columns import NO_DAY, Bools, Ints, Rows, Table
from matcher_service.engine.shows import Shows
from matcher_service.engine.words import Matrix

EARTH_RADIUS_KM = 6371.0
CHUNK_PAIRS = 4_000_000
"""Pairs that are expanded at a time, to bound memory; a block of any size is split exactly."""
SPAN_DAYS = 300_000
"""Days of listings whose keys are joined at a time, to bound memory."""
NO_LIMIT = sys.maxsize
VENUE_WORDS = 2
"""Rarest words of a venue's name that become keys."""
MIN_KEY_WORD = 3
"""Characters of a title word that may become a key."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidate pairs as rows of the table: `left` < `right`, sorted, each pair once."""

    left: Rows
    right: Rows

    def __len__(self) -> int:
        return len(self.left)

    def taken(self, chosen: Ints | Bools | slice) -> "Pairs":
        """Return some of the pairs."""
        return Pairs(self.left[chosen], self.right[chosen])

    def codes(self, size: int) -> Ints:
        """Return `left * size + right` of each pair, which names it in a batch of `size` rows."""
        return self.left.astype(np.int64) * size + self.right


def decoded(codes: Ints, size: int) -> Pairs:
    """Return the pairs of codes."""
    span = max(size, 1)
    return Pairs((codes // span).astype(np.int32), (codes % span).astype(np.int32))


def candidates(
    table: Table,
    blocking: Blocking,
    progress: Callable[[int, int], None],
    span_days: int = SPAN_DAYS,
    most: int = NO_LIMIT,
) -> Pairs:
    """Return every pair that shares a day and a key; `progress` hears pairs done and in all.

    Keys: the head of the city's name, a geo cell or its neighbour, a rare title word that stands
    anywhere in the other listing, a rare word of the venue's name. A word that more listings of a
    day have than `max_word_block` is a key together with another such word only: all towns have a
    church. Listings without any date meet on their own title words and the whole venue only, so
    that batches without dates do not pair everything in a town. Shows before 03:00 also key the
    day before. How many days of listings are joined at a time, `span_days`, changes no result.
    Raises `LimitExceeded` for more than `most` pairs, and holds about twice as many at most.
    """
    size, keys = len(table.ids), list(_keys(table, blocking))
    spans = _spans(_days(table), span_days)

    def on(number: int, days: Shows) -> Ints:
        codes = np.empty(0, np.int64)
        for done, key in enumerate(keys):
            progress(number * len(keys) + done, len(spans) * len(keys))
            codes = _within(most, chain([codes], _under(key, days, blocking, size)))
        return codes

    return decoded(_within(most, starmap(on, enumerate(spans))), size)


def _under(key: "_Key", days: Shows, blocking: Blocking, size: int) -> Iterator[Ints]:
    """Yield the codes of the pairs that share a key on one of the days, some at a time."""
    entries = _entries(key, days if key.dateless else _dated(days))
    parts = _split(entries, blocking.max_word_block) if key.words else [entries]
    return (_distinct(codes) for part in parts for codes in _pairs_inside(part, size))


def _within(most: int, parts: Iterable[Ints]) -> Ints:
    """Return the codes of all parts sorted, each once; raises `LimitExceeded` for more than `most`."""
    loose, count = [np.empty(0, np.int64)], 0
    for part in parts:
        loose.append(part)
        count += len(part)
        if count > most:
            loose, count = [_counted(most, loose)], 0
    return _counted(most, loose)


def _counted(most: int, loose: list[Ints]) -> Ints:
    codes = _distinct(np.concatenate(loose))
    if len(codes) > most:
        raise LimitExceeded(
            f"more than {most} pairs of listings share a day and a place or a word: send the batch in"
            " parts, a few days each",
            limit=str(most),
        )
    return codes


def _distinct(codes: Ints) -> Ints:
    """Return the codes sorted, each once; sorting is several times as fast as hashing here."""
    codes.sort()
    first = np.ones(len(codes), bool)
    np.not_equal(codes[1:], codes[:-1], out=first[1:])
    result: Ints = codes[first]
    return result


def _days(table: Table) -> Shows:
    """Return the distinct days of each listing, `NO_DAY` where it has none."""
    shows, nights = table.shows, table.nights
    missing = np.setdiff1d(np.arange(len(table.ids)), shows.owner)
    owner = np.concatenate([shows.owner, nights.owner, missing])
    day = np.concatenate([shows.day, nights.day, np.full(len(missing), NO_DAY)])
    distinct = np.unique(np.stack([owner, day]), axis=1)
    return Shows(distinct[0], distinct[1], np.zeros(distinct.shape[1]))


def _dated(days: Shows) -> Shows:
    return _some(days, days.day != NO_DAY)


def _some(days: Shows, chosen: Bools) -> Shows:
    return Shows(days.owner[chosen], days.day[chosen], days.start[chosen])


def _spans(days: Shows, entries: int) -> list[Shows]:
    """Return the days cut into spans of about as many entries; a pair on several days recurs."""
    order = np.sort(days.day)
    cuts = np.unique(np.append(order[::entries], order[-1:] + 1))
    return [_some(days, (days.day >= a) & (days.day < b)) for a, b in pairwise(cuts)]


@dataclass(frozen=True, slots=True)
class _Key:
    """One kind of key: values of rows; whether listings without a date count, and words they are."""

    rows: Ints
    values: Ints
    dateless: bool = False
    words: bool = False


def _keys(table: Table, blocking: Blocking) -> Iterator[_Key]:
    if blocking.use_city:
        rows = np.flatnonzero(table.city_head.known)
        yield _Key(rows, table.city_head.codes[rows])
    if blocking.use_geo:
        yield _Key(*_cells(table, blocking.geo_cell_km))
    if blocking.use_title:
        lengths = np.array([len(word) for word in table.title_vocabulary], np.int64)
        count = blocking.title_words
        titles = _rare_words(table.title_words.presence, lengths, count)
        yield _Key(*titles, dateless=True, words=True)
        yield _Key(*_rare_words(table.found_words, lengths, 2 * count), words=True)
    if blocking.use_venue:
        venues = table.venue_words.presence
        lengths = np.full(venues.shape[1], MIN_KEY_WORD)
        yield _Key(*_rare_words(venues, lengths, VENUE_WORDS), words=True)
        rows = np.flatnonzero(table.venue.known)
        yield _Key(rows, table.venue.codes[rows], dateless=True)


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


@dataclass(frozen=True, slots=True)
class _Entries:
    """Listings under a value on a day."""

    member: Ints
    value: Ints
    day: Ints

    def taken(self, positions: Ints | Bools | slice) -> "_Entries":
        return _Entries(self.member[positions], self.value[positions], self.day[positions])

    def sorted(self, *columns: Ints) -> "_Entries":
        return self.taken(np.lexsort(columns))


def _entries(key: _Key, days: Shows) -> _Entries:
    starts = np.searchsorted(days.owner, key.rows)
    lengths = np.searchsorted(days.owner, key.rows, "right") - starts
    member, value = np.repeat(key.rows, lengths), np.repeat(key.values, lengths)
    return _Entries(member, value, days.day[_ranges(starts, lengths)])


def _split(entries: _Entries, largest: int) -> Iterator[_Entries]:
    """Yield the entries of small blocks, and those of larger ones anew under two values each."""
    entries = entries.sorted(entries.value, entries.day)
    first, end = _runs(entries.value, entries.day)
    is_small = end - first <= largest
    yield entries.taken(is_small)
    large = entries.taken(~is_small)
    large = large.sorted(large.value, large.member, large.day)
    span = int(large.value.max(initial=0)) + 1
    doubled = [
        _Entries(large.member[left], large.value[left] * span + large.value[right], large.day[left])
        for left, right in _index_pairs(_runs(large.member, large.day)[1])
    ]
    yield _joined([*doubled, large.taken(slice(0))])


def _joined(parts: list[_Entries]) -> _Entries:
    return _Entries(
        np.concatenate([part.member for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.day for part in parts]),
    )


def _runs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Return the begin and the end of the run of equal values that each position is in."""
    new = (np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0)
    begins = np.flatnonzero(new)
    lengths = np.diff(np.append(begins, len(first)))
    return np.repeat(begins, lengths), np.repeat(begins + lengths, lengths)


def _pairs_inside(entries: _Entries, size: int) -> Iterator[Ints]:
    """Yield the pairs inside blocks as codes `left * size + right`, some at a time."""
    entries = entries.sorted(entries.member, entries.value, entries.day)
    for left, right in _index_pairs(_runs(entries.value, entries.day)[1]):
        one, other = entries.member[left], entries.member[right]
        yield (one * size + other)[one != other]


def _index_pairs(ends: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield the pairs of positions inside runs that end there, about `CHUNK_PAIRS` at a time."""
    position = np.arange(len(ends))
    partners = ends - position - 1
    total = np.cumsum(partners)
    start = 0
    while start < len(ends):
        before = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, before + CHUNK_PAIRS, "right")), start + 1)
        some = slice(start, stop)
        left = np.repeat(position[some], partners[some])
        yield left, _ranges(position[some] + 1, partners[some])
        start = stop


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """Return the concatenation of `range(start, start + length)` for each row."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - lengths - starts, lengths)
