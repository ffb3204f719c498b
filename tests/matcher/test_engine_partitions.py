"""Parts, workers and pruning: what they may never change, and that work can be ended."""

import json
import multiprocessing
import operator
import os
import random
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs, candidates
from matcher_service.engine.columns import Table, table_of
from matcher_service.engine.decide import decide
from matcher_service.engine.partitions import part_of, verdicts_of
from matcher_service.engine.pipeline import Result, deduplicate
from matcher_service.engine.pruning import judged
from matcher_service.engine.records import read
from matcher_service.engine.scoring import score
from matcher_service.engine.work import in_order

CONFIG = MatchingConfig()
TITLES = ("Orgelabend", "Orgelkonzert am Abend", "Flohmarkt", "Großer Flohmarkt", "Lesung")
TOWNS = ("Lahr", "Offenburg", "Kehl")
TEXT = "Ein Abend mit Musik von Bach, gespielt auf der alten Orgel der Stiftskirche."


def made(seed: int, size: int) -> list[dict[str, Any]]:
    """Return a batch of listings of which many are alike."""
    pick = random.Random(seed)
    return [
        {
            "id": f"l{number:03}",
            "title": f"{pick.choice(TITLES)} {pick.choice(('', 'im Mai', 'für alle'))}",
            "description": pick.choice((None, TEXT, TEXT[:50], "Stände mit allem, was alt ist.")),
            "source_code": pick.choice(("blatt", "portal", "amt")),
            "event_dates": [{"date": f"2027-05-0{pick.randint(1, 3)}", "start_time": pick.choice((None, "19:00"))}],
            "location": {"city": pick.choice(TOWNS), "name": pick.choice((None, "Stadthalle", "Kirche"))},
        }
        for number in range(size)
    ]  # fmt: skip


def long_running(count: int, ranges: int) -> list[dict[str, Any]]:
    """Return sights of one town that are open several times on every day of most of a year."""
    dates = [
        {"date": f"2027-01-{day:02}", "end_date": "2027-12-20", "start_time": f"{8 + day}:00"}
        for day in range(1, ranges + 1)
    ]
    return [
        {"id": f"s{n:03}", "title": f"Tour {n * 31}", "location": {"city": "Kehl"}, "event_dates": dates}
        for n in range(count)
    ]  # fmt: skip


def prepared(seed: int, size: int) -> tuple[Table, Pairs]:
    table = table_of(read(made(seed, size), CONFIG).listings, CONFIG, lambda _: None)
    return table, candidates(table, CONFIG.blocking, lambda *_: None)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        yield executor


def as_bytes(result: Result) -> str:
    plain = asdict(result)
    del plain["quarantined"], plain["repairs"]
    return json.dumps(plain)


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=25)
def test_pruned_verdicts_are_exact_and_only_unreported_no_matches_are_left_out(
    seed: int, floor: float
) -> None:
    table, pairs = prepared(seed, 30)
    signals = score(table, pairs, CONFIG, lambda *_: None)
    whole = decide(table, pairs, signals, CONFIG)
    found = judged(table, pairs, CONFIG, floor)
    kept = found.positions
    for name in ("combined", "reason", "category"):
        assert (getattr(found.verdicts, name) == getattr(whole, name)[kept]).all()
    for name in ("date", "geo", "title", "description"):
        assert (getattr(found.signals, name) == getattr(signals, name)[kept]).all()
    left_out = np.setdiff1d(np.arange(len(pairs)), kept)
    assert (whole.combined[left_out] < floor).all()
    assert (whole.combined[left_out] <= CONFIG.thresholds.low).all()


def test_pruning_leaves_out_pairs_unless_the_floor_is_0() -> None:
    table, pairs = prepared(1, 200)
    assert len(judged(table, pairs, CONFIG, 0.65).positions) < len(pairs)
    assert len(judged(table, pairs, CONFIG, 0.0).positions) == len(pairs)


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_the_floor_changes_no_event_and_no_count(seed: int) -> None:
    raw = made(seed, 40)
    everything, pruned = (deduplicate(raw, CONFIG, floor, lambda *_: None) for floor in (0.0, 0.65))
    assert (everything.events, everything.counts) == (pruned.events, pruned.counts)


@given(st.integers(0, 10_000), st.integers(1, 60))
@settings(max_examples=15)
def test_a_part_scores_as_the_whole_table_does(seed: int, part_pairs: int) -> None:
    table, pairs = prepared(seed, 25)
    whole, parts = (
        verdicts_of(table, pairs, CONFIG, 0.5, lambda *_: None, part_pairs=size)
        for size in (10_000, part_pairs)
    )
    assert (whole.positions == parts.positions).all()
    assert (whole.verdicts.combined == parts.verdicts.combined).all()
    assert (whole.verdicts.reason == parts.verdicts.reason).all()


def test_listings_with_many_shows_are_compared_in_parts_of_bounded_memory() -> None:
    """All at once they take 900 MiB."""
    batch = long_running(20, 12)
    tracemalloc.start()
    try:
        found = deduplicate(batch, CONFIG, 0.0, lambda *_: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.decisions) == 190
    assert all(one.date == 1.0 for one in found.decisions)
    assert peak < 400 * 2**20


def test_a_part_has_fewer_pairs_the_more_shows_they_have() -> None:
    def parts(ranges: int) -> list[tuple[int, int]]:
        heard: list[tuple[int, int]] = []
        deduplicate(
            long_running(20, ranges),
            CONFIG,
            0.0,
            lambda stage, *work: heard.append(work) if stage == "score" else None,
            part_pairs=10_000,
        )
        return heard

    assert parts(1) == [(0, 190)]
    told = parts(6)
    assert len(told) > 5
    assert told == sorted(set(told))


def test_a_part_holds_the_texts_of_its_own_listings_only() -> None:
    table, _ = prepared(1, 100)
    part = part_of(table, np.array([3, 7]))
    assert part.ids == (table.ids[3], table.ids[7])
    assert len(part.text.values) <= 3
    assert list(part.title.values[part.title.codes]) == list(
        table.title.values[table.title.codes[[3, 7]]]
    )


@pytest.mark.parametrize("part_pairs", [37, 500])
def test_workers_and_the_order_of_input_change_no_byte(pool: Executor, part_pairs: int) -> None:
    raw = made(1, 120)
    shuffled = random.Random(2).sample(raw, len(raw))
    alone = deduplicate(raw, CONFIG, 0.65, lambda *_: None)
    shared = deduplicate(shuffled, CONFIG, 0.65, lambda *_: None, pool, part_pairs)
    assert as_bytes(alone) == as_bytes(shared)
    assert alone.counts["matches"] > 0


def test_results_come_in_the_order_of_the_tasks(pool: Executor) -> None:
    for executor in (None, pool):
        found = in_order(executor, operator.neg, iter(range(20)), lambda: None)
        assert list(found) == [-n for n in range(20)]


def test_what_the_listener_raises_ends_the_work(pool: Executor) -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            drawn.append(number)
            yield number

    def gone() -> None:
        raise KeyboardInterrupt

    for executor in (None, pool):
        with pytest.raises(KeyboardInterrupt):
            list(in_order(executor, operator.neg, tasks(), gone))
    assert len(drawn) < 100


def test_a_worker_that_dies_ends_the_work_with_an_error() -> None:
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=context) as executor,
        pytest.raises(BrokenProcessPool),
    ):
        list(in_order(executor, os._exit, range(3), lambda: None))
