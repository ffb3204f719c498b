"""How fast the matching engine is, beside a plain loop and beside bare RapidFuzz in the same run.

`python benchmarks/engine.py pairs [LISTINGS]` prints what a candidate pair costs: the engine, a loop
over pairs in Python with the same formulas (`plain.py`), and RapidFuzz alone on the strings that had to be
compared: once for each pair, and once for each distinct pair of strings, which is the least possible.
`python benchmarks/engine.py growth [LISTINGS ...]` prints CPU time by stage, pairs, peak memory, F1 and
the exponents of growth of synthetic sets: of more days in the same towns, of more towns and days, and of those
with a tenth of each day in one town.
All in one process and one thread, which collects garbage as the service does; times are CPU times. Default
sizes: 30,000; 10,000 and 30,000 and 100,000.
"""

import json
import math
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import numpy as np
from plain import Plain, compared, plain_listings, weights_in
from rapidfuzz import fuzz
from rapidfuzz.process import cpdist
from synthetic import Item, Spec, generate

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs, candidates
from matcher_service.engine.columns import Ints, Table, Texts, table_of
from matcher_service.engine.partitions import verdicts_of
from matcher_service.engine.pipeline import Result, deduplicate
from matcher_service.engine.records import read
from matcher_service.garbage import collect_rarely

CONFIG = MatchingConfig()
FLOOR = 0.65
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "days": ("more days in the same towns", {"fixed_towns": 50}),
    "region": ("more days and more towns", {}),
    "skewed": ("the same, a tenth of each day in one town", {"skew": 0.1}),
}
"""How sets grow, each with four listings a day and town."""
LOOPED = 20_000
"""Pairs that the plain loop is timed on."""
ROUNDS = 5
SIZES = (10_000, 30_000, 100_000)
STAGES = ("normalise", "block", "score", "cluster", "canonical")


def main() -> None:
    """Run one question."""
    question, *sizes = sys.argv[1:] or ["pairs"]
    collect_rarely()
    if question == "pairs":
        pairs(int(sizes[0]) if sizes else SIZES[1])
    elif question == "growth":
        growth([int(size) for size in sizes] or list(SIZES))
    elif question == "one":
        sys.stdout.write(json.dumps(measured(int(sizes[0]), sizes[1])))
    else:
        sys.exit(__doc__)


def made(size: int, way: str = "region") -> list[Item]:
    """Return a light synthetic set in both languages."""
    _, shape = WAYS[way]
    return [item for day in generate(Spec(False, size, **shape)) for item in day.items]


def cpu(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def pairs(size: int) -> None:
    """Print what a candidate pair costs, each measured in turn `ROUNDS` times, and the medians."""
    listings = read([item.listing for item in made(size)], CONFIG).listings
    table = table_of(listings, CONFIG, lambda _: None)
    found = candidates(table, CONFIG.blocking, _unheard)
    kept = verdicts_of(table, found, CONFIG, FLOOR, _unheard)
    step = max(len(found) // LOOPED, 1)
    looped = list(zip(found.left[::step].tolist(), found.right[::step].tolist(), strict=True))
    plain = plain_listings(table)
    each, distinct = (_strings(table, found, kept.pairs, pick) for pick in (_each, _distinct))
    rows = [
        (
            cpu(lambda: verdicts_of(table, found, CONFIG, FLOOR, _unheard)) / len(found),
            cpu(lambda: _loop(plain, looped)) / len(looped),
            cpu(lambda: _bare(each)) / len(found),
            cpu(lambda: _bare(distinct)) / len(found),
        )
        for _ in range(ROUNDS)
    ]
    engine, loop, bare, least = (float(np.median(column)) for column in zip(*rows, strict=True))
    print(f"{size:,} listings, {len(found):,} candidate pairs, {len(kept.positions):,} not pruned")
    print(
        f"engine                    {engine * 1e6:6.2f} us a pair, {1 / engine:,.0f} pairs a second"
    )
    print(f"plain loop                {loop * 1e6:6.2f} us a pair: {loop / engine:.1f} engines")
    print(
        f"RapidFuzz, each pair      {bare * 1e6:6.2f} us a pair: the engine is {engine / bare:.1f} of it"
    )
    print(
        f"RapidFuzz, distinct texts {least * 1e6:6.2f} us a pair: the engine is {engine / least:.1f} of it"
    )


def _unheard(_done: int, _total: int) -> None:
    """Drop the progress."""


def _loop(plain: list[Plain], chosen: Iterable[tuple[int, int]]) -> None:
    weights = weights_in(CONFIG)
    for a, b in chosen:
        compared(plain[a], plain[b], CONFIG, weights)


def _strings(
    table: Table, found: Pairs, kept: Pairs, pick: Callable[[Texts, Pairs], Ints]
) -> list[tuple[Any, list[str], list[str]]]:
    """Return scorer and texts: places of all pairs, titles and texts of those that were not pruned."""
    chosen = (
        (table.venue, fuzz.ratio, found),
        (table.venue, fuzz.token_set_ratio, found),
        (table.street, fuzz.ratio, found),
        (table.title, fuzz.ratio, kept),
        (table.title_joined, fuzz.ratio, kept),
        (table.title, fuzz.token_set_ratio, kept),
        (table.text, fuzz.ratio, kept),
    )
    strings = []
    for column, scorer, pairs in chosen:
        codes, size = pick(column, pairs), len(column.values)
        one, other = column.values[codes // size], column.values[codes % size]
        strings.append((scorer, one.tolist(), other.tolist()))
    return strings


def _each(column: Texts, pairs: Pairs) -> Ints:
    """Return the codes of the two texts of each pair that knows both."""
    left, right = column.codes[pairs.left], column.codes[pairs.right]
    known = (left > 0) & (right > 0)
    codes: Ints = (np.minimum(left, right) * len(column.values) + np.maximum(left, right))[known]
    return codes


def _distinct(column: Texts, pairs: Pairs) -> Ints:
    """Return the same, each pair of texts once, however many pairs of listings have it."""
    return np.unique(_each(column, pairs))


def _bare(compared: Iterable[tuple[Any, list[str], list[str]]]) -> None:
    for scorer, left, right in compared:
        cpdist(left, right, scorer=scorer, dtype=np.float64)


def growth(sizes: list[int]) -> None:
    """Print a row a size, and the exponents fitted over them."""
    for way, (title, _) in WAYS.items():
        rows = [_in_child(size, way) for size in sizes]
        print(title)
        for size, row in zip(sizes, rows, strict=True):
            print(_line(size, row))
        if len(sizes) > 1:
            for name in ("pairs", "seconds"):
                print(
                    f"  {name} grow with exponent {_exponent(sizes, [r[name] for r in rows]):.2f}"
                )


def _line(size: int, row: dict[str, Any]) -> str:
    stages = ", ".join(f"{name} {row['stages'][name]:.1f}" for name in STAGES)
    return (
        f"  {size:>9,}: {row['seconds']:.1f} s ({stages}), {size / row['seconds']:,.0f} listings a CPU"
        f" second at F1 {row['f1']:.3f}, {row['pairs'] / size:.1f} pairs a listing,"
        f" {row['megabytes']:,.0f} MB"
    )


def _in_child(size: int, way: str) -> dict[str, Any]:
    """Measure in a process of its own, whose peak memory is this size's alone."""
    command = [sys.executable, __file__, "one", str(size), way]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def _exponent(sizes: list[int], values: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def measured(size: int, way: str) -> dict[str, Any]:
    """Run a batch; `megabytes` is the peak of the process, its input included."""
    items = made(size, way)
    stages: Counter[str] = Counter()
    last = [time.process_time()]

    def heard(stage: str, _done: int, _total: int) -> None:
        now = time.process_time()
        running.append(stage)
        stages[running[-2]] += now - last[0]  # type: ignore[assignment]
        last[0] = now

    running = ["normalise"]
    start = time.process_time()
    result = deduplicate([item.listing for item in items], CONFIG, FLOOR, heard)
    return {
        "seconds": time.process_time() - start,
        "stages": {name: stages[name] for name in STAGES},
        "pairs": result.counts["candidate_pairs"],
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "f1": _f1(result, items),
    }


def _f1(result: Result, items: list[Item]) -> float:
    """Return pairwise F1 of the events over the listings whose truth is known."""
    truth = {item.listing["id"]: item.cluster for item in items if item.cluster}
    wanted = sum(math.comb(count, 2) for count in Counter(truth.values()).values())
    said: list[bool] = [
        truth[a] == truth[b]
        for event in result.events
        for a, b in combinations([one for one in event.listing_ids if one in truth], 2)
    ]
    return 2 * sum(said) / max(len(said) + wanted, 1)


if __name__ == "__main__":
    main()
