"""The date signal: how far two listings agree on days and start times."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dedup_model.signal_settings import Date
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import Bools, Floats, Ints, Table, rounded
from matcher_service.engine.shows import Shows

DAY_MINUTES = 1440
SHIFTS = (60.0, 120.0, 720.0)
"""Minutes by which feeds shift times: by the time zone, or without a.m. and p.m."""
CHUNK_SHOWS = 2_000_000
"""Pairs of shows that are compared at a time, to bound memory."""


def date_scores(table: Table, pairs: Pairs, settings: Date) -> Floats:
    """Return a score a pair in [0, 1]: shared days times the mean time factor of shared days.

    Shared days are the Jaccard index `c/(|A| + |B| - c)` over the sets of days, so that one
    evening in the middle of a long run is not the run. When both listings begin on one day they
    are Kulczynski's coefficient `(c/|A| + c/|B|) / 2`: a source that prints the opening day of a
    range alone keeps half or more. The time factor of a day is the best agreement between any two
    of its shows. The score is the better of two readings: shows on their calendar day, and shows
    before 03:00 on the evening before. Semantics section 10, with its faults replaced.
    """
    size = len(table.ids)
    apart = other_source(table, pairs)
    scores = _agreement(_reading(table.shows, size), pairs, apart, settings)
    late = _late(table)
    again = np.flatnonzero(late[pairs.left] | late[pairs.right])
    nights = _reading(table.nights, size)
    evenings = _agreement(nights, pairs.taken(again), apart[again], settings)
    scores[again] = np.maximum(scores[again], evenings)
    dated = nights.counts.all > 0
    known = dated[pairs.left] & dated[pairs.right]
    return rounded(np.where(known, scores, settings.unknown_date_score))


@dataclass(frozen=True, slots=True)
class ShowCounts:
    """Of each listing: its shows, and the shows of its fullest day."""

    all: Ints
    fullest: Ints

    def compared(self, pairs: Pairs) -> Ints:
        """Return how many pairs of shows are compared at most for each pair of listings."""
        left, right = self.all[pairs.left], self.all[pairs.right]
        other = np.where(left <= right, self.fullest[pairs.right], self.fullest[pairs.left])
        most: Ints = np.minimum(left, right) * other
        return most


def show_counts(shows: Shows, size: int) -> ShowCounts:
    """Count the shows of `size` listings."""
    begins = np.flatnonzero(_new(shows.owner, shows.day))
    fullest = np.zeros(size, np.int64)
    np.maximum.at(fullest, shows.owner[begins], np.diff(np.append(begins, len(shows.owner))))
    return ShowCounts(np.bincount(shows.owner, minlength=size), fullest)


def _new(first: Ints, second: Ints) -> Bools:
    """Tell where one of two values is another than in the row before."""
    result: Bools = (np.diff(first, prepend=-1) != 0) | (np.diff(second, prepend=-1) != 0)
    return result


@dataclass(frozen=True, slots=True)
class _Reading:
    """Shows as they are read, with their numbers and the row of the first one a listing."""

    shows: Shows
    counts: ShowCounts
    first: Ints


def _reading(shows: Shows, size: int) -> _Reading:
    counts = show_counts(shows, size)
    return _Reading(shows, counts, np.cumsum(counts.all) - counts.all)


def _late(table: Table) -> Bools:
    """Tell which listings have a show that counts as the evening before."""
    late = np.zeros(len(table.ids), bool)
    late[table.shows.owner[table.shows.day != table.nights.day]] = True
    return late


def _agreement(reading: _Reading, pairs: Pairs, apart: Bools, settings: Date) -> Floats:
    """Return the agreement of each pair; the many pairs of two single shows take a short way."""
    counts = reading.counts.all
    single = (counts[pairs.left] == 1) & (counts[pairs.right] == 1)
    scores = np.zeros(len(pairs))
    scores[single] = _of_singles(reading, pairs.taken(single), apart[single], settings)
    rest = np.flatnonzero(~single)
    for chunk in _chunks(reading.counts.compared(pairs.taken(rest))):
        rows = rest[chunk]
        scores[rows] = _of_many(reading, pairs.taken(rows), apart[rows], settings)
    return scores


def _chunks(compared: Ints) -> list[slice]:
    total = np.cumsum(compared)
    steps = np.arange(CHUNK_SHOWS, total[-1] if len(total) else 0, CHUNK_SHOWS)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(total, steps), [len(compared)]]))
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]


def _of_singles(reading: _Reading, pairs: Pairs, apart: Bools, settings: Date) -> Floats:
    shows, left, right = reading.shows, reading.first[pairs.left], reading.first[pairs.right]
    factors = _factors(shows.start[left], shows.start[right], apart, settings)
    return np.where(shows.day[left] == shows.day[right], factors, 0.0)


def _of_many(reading: _Reading, pairs: Pairs, apart: Bools, settings: Date) -> Floats:
    shows, counts = reading.shows, reading.counts.all
    swap = counts[pairs.left] > counts[pairs.right]
    small = np.where(swap, pairs.right, pairs.left)
    large = np.where(swap, pairs.left, pairs.right)
    pair, mine = _joined(reading.first[small], counts[small])
    span = int(shows.day.max(initial=0)) + 2
    keys = shows.owner * span + shows.day
    wanted = large[pair] * span + shows.day[mine]
    lower, upper = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, "right")
    row, theirs = _joined(lower, upper - lower)
    factors = _factors(shows.start[mine[row]], shows.start[theirs], apart[pair[row]], settings)
    best, common = _by_pair(factors, pair[row], shows.day[mine[row]], len(pairs))
    return best / np.maximum(common, 1) * _shared_days(shows, pairs, common, len(counts))


def _factors(first: Floats, second: Floats, apart: Bools, settings: Date) -> Floats:
    """Return the agreement of start times, with what is granted to two sources."""
    factors = time_factors(first, second, settings)
    least = between_sources(first, second, settings)
    return np.where(apart, np.maximum(factors, least), factors)


def _joined(starts: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Return `(row, position)` of every position in each row's range."""
    row = np.repeat(np.arange(len(starts)), lengths)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return row, starts[row] + offset


def _by_pair(factors: Floats, pair: Ints, day: Ints, size: int) -> tuple[Floats, Ints]:
    """Return each pair's sum over shared days of the best factor, and its shared days."""
    starts = np.flatnonzero(_new(pair, day))
    best = np.maximum.reduceat(factors, starts) if len(starts) else factors
    sums = np.bincount(pair[starts], weights=best, minlength=size)
    return sums.astype(np.float64), np.bincount(pair[starts], minlength=size).astype(np.int64)


def _shared_days(shows: Shows, pairs: Pairs, common: Ints, size: int) -> Floats:
    new_owner = np.diff(shows.owner, prepend=-1) != 0
    first = np.zeros(size, np.int64)
    first[shows.owner[new_owner]] = shows.day[new_owner]
    distinct = new_owner | (np.diff(shows.day, prepend=-1) != 0)
    days = np.maximum(np.bincount(shows.owner[distinct], minlength=size), 1)
    left, right = days[pairs.left], days[pairs.right]
    jaccard = common / (left + right - common)
    kulczynski = (common / left + common / right) / 2
    return np.where(first[pairs.left] == first[pairs.right], kulczynski, jaccard)


def time_factors(first: Floats, second: Floats, settings: Date) -> Floats:
    """Return the agreement of start times (minutes, negative is unknown) in [0, 1].

    Piecewise linear through the configured corners: 1 up to `time_tolerance_minutes`,
    `close_factor` at `time_close_minutes`, `far_factor` at `time_gap_penalty_hours`,
    `time_gap_penalty_factor` beyond. The distance wraps at midnight.
    """
    apart = _minutes_apart(first, second)
    gap = settings.time_gap_penalty_hours * 60
    corners = [settings.time_tolerance_minutes, settings.time_close_minutes, gap]
    heights = [1.0, settings.close_factor, settings.far_factor]
    factors = np.interp(apart, corners, heights)
    factors = np.where(apart > gap, settings.time_gap_penalty_factor, factors)
    factors = np.where(apart <= settings.time_tolerance_minutes, 1.0, factors)
    unknown = (first < 0) | (second < 0)
    return np.where(unknown, settings.unknown_time_factor, factors)


def between_sources(first: Floats, second: Floats, settings: Date) -> Floats:
    """Return the least agreement of start times that two sources name.

    `shifted_factor` at exactly one or two hours, as feeds shift times when they mistake the time
    zone, and at twelve, as they lose a.m. and p.m.; else `other_source_factor` up to
    `other_source_hours`.
    """
    apart = _minutes_apart(first, second)
    near = apart <= settings.other_source_hours * 60
    least = np.where(near, settings.other_source_factor, 0.0)
    return np.where(np.isin(apart, SHIFTS), settings.shifted_factor, least)


def _minutes_apart(first: Floats, second: Floats) -> Floats:
    apart = np.abs(first - second)
    result: Floats = np.minimum(apart, np.abs(DAY_MINUTES - apart))
    return result


def other_source(table: Table, pairs: Pairs) -> Bools:
    """Tell which pairs are of two stated sources."""
    left, right = table.source.codes[pairs.left], table.source.codes[pairs.right]
    result: Bools = (left != right) & (left > 0) & (right > 0)
    return result
