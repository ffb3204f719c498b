"""How fast the matching engine is, beside a plain loop and beside bare RapidFuzz in the same run.

`python benchmarks/engine.py pairs [LISTINGS]` prints what a candidate pair costs: the engine, a loop
over pairs in Python, and RapidFuzz alone on the strings that had to be compared.
`python benchmarks/engine.py growth [LISTINGS ...]` prints CPU time by stage, pairs, peak memory, F1 and
the exponents of growth of synthetic sets, and of sets with a tenth of each day in one town.
All in one process and one thread; times are CPU times. Default sizes: 30,000; 10,000 and 30,000 and
100,000.
"""

import json
import math
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.process import cpdist
from synthetic import Item, Spec, generate

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import Pairs, candidates
from matcher_service.engine.columns import Table, Texts, table_of
from matcher_service.engine.partitions import verdicts_of
from matcher_service.engine.pipeline import Result, deduplicate
from matcher_service.engine.pruning import Judged
from matcher_service.engine.records import read
from matcher_service.engine.words import Words

CONFIG = MatchingConfig()
FLOOR = 0.65
SKEW = 0.1
LOOPED = 20_000
"""Pairs that the plain loop is timed on."""
ROUNDS = 5
SIZES = (10_000, 30_000, 100_000)
STAGES = ("normalise", "block", "score", "cluster", "canonical")


def main() -> None:
    """Run one question."""
    question, *sizes = sys.argv[1:] or ["pairs"]
    if question == "pairs":
        pairs(int(sizes[0]) if sizes else SIZES[1])
    elif question == "growth":
        growth([int(size) for size in sizes] or list(SIZES))
    elif question == "one":
        sys.stdout.write(json.dumps(measured(int(sizes[0]), float(sizes[1]))))
    else:
        sys.exit(__doc__)


def made(size: int, skew: float = 0.0) -> list[Item]:
    """Return a light synthetic set in both languages."""
    return [item for day in generate(Spec(False, size, skew=skew)) for item in day.items]


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
    plain = _plain(table)
    compared = list(_compared(table, found, kept))
    rows = [
        (
            cpu(lambda: verdicts_of(table, found, CONFIG, FLOOR, _unheard)) / len(found),
            cpu(lambda: _loop(plain, looped)) / len(looped),
            cpu(lambda: _bare(compared)) / len(found),
        )
        for _ in range(ROUNDS)
    ]
    engine, loop, bare = (float(np.median(column)) for column in zip(*rows, strict=True))
    print(f"{size:,} listings, {len(found):,} candidate pairs, {len(kept.positions):,} not pruned")
    print(
        f"engine            {engine * 1e6:7.2f} us a pair, {1 / engine:10,.0f} pairs a CPU second"
    )
    print(f"plain loop        {loop * 1e6:7.2f} us a pair, {loop / engine:5.1f} times the engine")
    print(
        f"bare RapidFuzz    {bare * 1e6:7.2f} us a pair; the engine takes {engine / bare:.1f} times"
    )


def _unheard(_done: int, _total: int) -> None:
    """Drop the progress."""


@dataclass(frozen=True)
class Plain:
    """What a plain loop holds of each listing: texts, weighted words, coordinates."""

    texts: list[list[str]]
    words: list[list[dict[int, float]]]
    points: list[list[float]]


def _plain(table: Table) -> Plain:
    columns = (table.title, table.title_joined, table.venue, table.street, table.text)
    matrices = (table.title_words, table.text_words, table.venue_words)
    return Plain(
        [column.values[column.codes].tolist() for column in columns],
        [[_weights(words, row) for row in range(len(table.ids))] for words in matrices],
        np.radians(table.point[:, :2]).tolist(),
    )


def _weights(words: Words, row: int) -> dict[int, float]:
    some = slice(words.weights.indptr[row], words.weights.indptr[row + 1])
    indices, weights = words.weights.indices[some].tolist(), words.weights.data[some].tolist()
    return dict(zip(indices, weights, strict=True))


def _loop(plain: Plain, chosen: Iterable[tuple[int, int]]) -> float:
    """Compare the prepared texts, words and coordinates of each pair, and no more.

    It leaves out dates, weights and verdicts, and so costs less than a whole loop would.
    """
    total, texts = 0.0, plain.texts
    for a, b in chosen:
        total += fuzz.token_set_ratio(texts[0][a], texts[0][b])
        total += fuzz.token_set_ratio(texts[2][a], texts[2][b])
        total += sum(fuzz.token_sort_ratio(text[a], text[b]) for text in texts)
        for rows in plain.words:
            total += sum(weight for word, weight in rows[a].items() if word in rows[b])
            total += sum(weight for word, weight in rows[b].items() if word in rows[a])
        total += _distance(*plain.points[a], *plain.points[b])
    return total


def _distance(a: float, b: float, c: float, d: float) -> float:
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * math.asin(math.sqrt(half)) if not math.isnan(half) else 0.0


def _compared(
    table: Table, found: Pairs, kept: Judged
) -> Iterable[tuple[Any, list[str], list[str]]]:
    """Yield scorer and texts of the distinct pairs: places of all, titles and texts of the kept."""
    for column, scorer, chosen in (
        (table.venue, fuzz.ratio, found),
        (table.venue, fuzz.token_set_ratio, found),
        (table.street, fuzz.ratio, found),
        (table.title, fuzz.ratio, kept.pairs),
        (table.title_joined, fuzz.ratio, kept.pairs),
        (table.title, fuzz.token_set_ratio, kept.pairs),
        (table.text, fuzz.ratio, kept.pairs),
    ):
        yield (scorer, *_distinct(column, chosen))


def _distinct(column: Texts, chosen: Pairs) -> tuple[list[str], list[str]]:
    left, right = column.codes[chosen.left], column.codes[chosen.right]
    known = (left > 0) & (right > 0)
    size = len(column.values)
    codes = np.unique(np.minimum(left, right)[known] * size + np.maximum(left, right)[known])
    return list(column.values[codes // size]), list(column.values[codes % size])


def _bare(compared: Iterable[tuple[Any, list[str], list[str]]]) -> None:
    for scorer, left, right in compared:
        cpdist(left, right, scorer=scorer, dtype=np.float64)


def growth(sizes: list[int]) -> None:
    """Print a row a size, and the exponents fitted over them."""
    for skew in (0.0, SKEW):
        rows = [_in_child(size, skew) for size in sizes]
        print(f"{skew:.0%} of a day in one town" if skew else "even")
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


def _in_child(size: int, skew: float) -> dict[str, Any]:
    """Measure in a process of its own, whose peak memory is this size's alone."""
    command = [sys.executable, __file__, "one", str(size), str(skew)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def _exponent(sizes: list[int], values: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def measured(size: int, skew: float) -> dict[str, Any]:
    """Run a batch; `megabytes` is the peak of the process, its input included."""
    items = made(size, skew)
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
