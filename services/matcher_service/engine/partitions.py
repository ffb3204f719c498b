"""Candidate pairs in parts that fit the cache, each with the columns of its own listings."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.cluster import labels_of
from matcher_service.engine.columns import Bools, Ints, Table, Texts
from matcher_service.engine.constraints import NOBODY, Constraints
from matcher_service.engine.date_signal import show_counts
from matcher_service.engine.decide import Verdicts
from matcher_service.engine.pruning import Judged, joined, judged
from matcher_service.engine.shows import Shows
from matcher_service.engine.words import Words
from matcher_service.engine.work import in_order

PART_PAIRS = 100_000
"""Pairs of a part: its columns stay in the cache, and one is scored in a fraction of a second."""
SHOWS_A_PAIR = 20
"""Pairs of shows that count as one more pair of listings: their dates take as long to compare."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pairs as rows of their own small table, with their positions among the candidates."""

    table: Table
    pairs: Pairs
    positions: Ints
    config: MatchingConfig
    floor: float


def verdicts_of(
    table: Table,
    pairs: Pairs,
    config: MatchingConfig,
    floor: float,
    progress: Callable[[int, int], None],
    executor: Executor | None = None,
    part_pairs: int = PART_PAIRS,
    *,
    people: Constraints = NOBODY,
) -> Judged:
    """Return the verdicts of every pair that is not `below_low`, is reported, or is in a component.

    A pair is in a component when matches and must-links connect its two listings: linkage needs its
    exact score. Pairs that people decided are scored too; they stand among `pairs`.
    Neither the executor nor the size of the parts changes a result. `progress` hears pairs done
    and in all.
    """
    run = _Run(table, pairs, config, progress, executor, part_pairs)
    places = _places(table)
    order = np.argsort(np.maximum(places[pairs.left], places[pairs.right]), kind="stable")
    found = list(run.judged(order, floor))
    inside = _inside(len(table.ids), pairs, found, config, people)
    if inside.any():
        found += run.judged(order[inside[order]], 0.0)
    return joined(found)


def _inside(
    size: int, pairs: Pairs, found: list[Judged], config: MatchingConfig, people: Constraints
) -> Bools:
    """Tell which pairs, not judged yet, are in a component, or were decided by people."""
    matched = [one.pairs.taken(_joinable(one.verdicts, config)) for one in found]
    edges = Pairs(
        np.concatenate([*(one.left for one in matched), people.must.left]),
        np.concatenate([*(one.right for one in matched), people.must.right]),
    )
    labels = labels_of(size, edges)
    inside: Bools = (labels[pairs.left] == labels[pairs.right]) | people.among(pairs, size)
    for one in found:
        inside[one.positions] = False
    return inside


def _joinable(verdicts: Verdicts, config: MatchingConfig) -> Bools:
    """Tell which pairs are a match or may still become one when the language model is asked."""
    ai = config.ai
    if not ai.enabled:
        return verdicts.matched
    return verdicts.matched | verdicts.ambiguous(ai.min_combined_score, ai.max_combined_score)


@dataclass(frozen=True, slots=True)
class _Run:
    table: Table
    pairs: Pairs
    config: MatchingConfig
    progress: Callable[[int, int], None]
    executor: Executor | None
    part_pairs: int

    def judged(self, positions: Ints, floor: float) -> Iterator[Judged]:
        ends = [0, *self._ends(positions)]
        done = 0

        def heard() -> None:
            self.progress(ends[done], len(positions))

        parts = self._parts(positions, ends, floor)
        for one in in_order(self.executor, judge_part, parts, heard):
            done += 1
            yield self._in_batch(one)

    def _ends(self, positions: Ints) -> Iterator[int]:
        """Yield where each part ends: fewer pairs are in it when they have many shows."""
        counts = show_counts(self.table.shows, len(self.table.ids))
        end = 0
        while end < len(positions):
            chosen = self.pairs.taken(positions[end : end + self.part_pairs])
            costs = np.cumsum(1 + counts.compared(chosen) // SHOWS_A_PAIR)
            end += max(int(np.searchsorted(costs, self.part_pairs, "right")), 1)
            yield end
        if not end:
            yield 0

    def _parts(self, positions: Ints, ends: list[int], floor: float) -> Iterator[Part]:
        for start, end in pairwise(ends):
            chosen = positions[start:end]
            left, right = self.pairs.left[chosen], self.pairs.right[chosen]
            rows, local = np.unique(np.concatenate([left, right]), return_inverse=True)
            pairs = Pairs(local[: len(chosen)], local[len(chosen) :])
            yield Part(part_of(self.table, rows), pairs, chosen, self.config, floor)

    def _in_batch(self, found: Judged) -> Judged:
        left, right = self.pairs.left[found.positions], self.pairs.right[found.positions]
        return replace(found, pairs=Pairs(left, right))


def judge_part(part: Part) -> Judged:
    """Return the verdicts of a part, with the positions among all candidates."""
    found = judged(part.table, part.pairs, part.config, part.floor)
    return replace(found, positions=part.positions[found.positions])


def _places(table: Table) -> Ints:
    """Return a number a listing, near for listings of one day and one city."""
    first = np.zeros(len(table.ids), np.int64)
    first[table.shows.owner[::-1]] = table.shows.day[::-1]
    return first * (len(table.city_head.values) + 1) + table.city_head.codes


def part_of(table: Table, rows: Ints) -> Table:
    """Return the table of some rows, ascending, which score among themselves as in `table`.

    What a batch tells of a word or a city as a whole stands in columns, and comes along.
    """
    columns = {one.name: getattr(table, one.name) for one in fields(Table)}
    del columns["title_vocabulary"]  # only candidates are found by it
    taken = {name: _taken(column, rows) for name, column in columns.items()}
    return Table(**taken, title_vocabulary=())


def _taken(column: Any, rows: Ints) -> Any:
    match column:
        case Texts():
            return _texts(column, rows)
        case Shows():
            return _shows(column, rows)
        case Words():
            return Words(column.weights[rows], column.presence[rows], column.mass[rows])
        case tuple():
            return tuple(column[row] for row in rows.tolist())
    return column[rows]


def _texts(column: Texts, rows: Ints) -> Texts:
    """Return the column of some rows; the first value stays, the empty one."""
    codes = np.concatenate([[0], column.codes[rows]])
    used, back = np.unique(codes, return_inverse=True)
    return Texts(column.values[used], back[1:])


def _shows(shows: Shows, rows: Ints) -> Shows:
    starts, ends = (np.searchsorted(shows.owner, rows, side) for side in ("left", "right"))
    lengths = ends - starts
    owner = np.repeat(np.arange(len(rows)), lengths)
    chosen = np.arange(len(owner)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return Shows(owner, shows.day[chosen], shows.start[chosen])
