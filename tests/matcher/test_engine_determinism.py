"""One batch gives the same bytes whatever the order of input, hash seed, workers and parts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

FOLDERS = [Path(__file__).parents[2] / name for name in ("libs", "services", "benchmarks")]
SEEDS, WORKERS, PARTS = ("0", "1", "4242"), (1, 2, 3), (400, 5_000)
RUN = """
import hashlib, json, multiprocessing, random, sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from synthetic import Spec, generate
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.pipeline import deduplicate

def digests(orders, workers, sizes, planted):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for order, part_pairs in zip(orders, sizes, strict=True):
            yield digest(order, pool, part_pairs, planted)

def digest(order, pool, part_pairs, planted):
    raw = [item.listing for day in generate(Spec(True, 500)) for item in day.items]
    random.Random(order).shuffle(raw)
    result = deduplicate(raw, MatchingConfig(), 0.5, lambda *_: None, pool, part_pairs)
    plain = asdict(result)
    assert plain.pop("quarantined") == () and plain["counts"]["merged_events"] > 50
    del plain["repairs"]
    if planted:
        plain["ids"] = list({event["id"] for event in plain["events"]})
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()

if __name__ == "__main__":
    runs, planted = json.load(sys.stdin)
    print(json.dumps([found for run in runs for found in digests(*run, planted)]))
"""


def digests(
    folder: Path,
    seed: str,
    workers: Iterable[int],
    sizes: tuple[int, ...],
    *,
    planted: bool = False,
) -> set[str]:
    """Run numbers of workers, each with parts of several sizes, under a hash seed, each shuffled anew."""
    script = folder / "run.py"
    script.write_text(RUN)
    runs = [([f"{seed} {w} {size}" for size in sizes], w, sizes) for w in workers]
    done = subprocess.run(
        [sys.executable, str(script)],
        input=json.dumps([runs, planted]),
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_no_order_seed_worker_or_part_changes_a_byte(tmp_path: Path) -> None:
    found = [digests(tmp_path, seed, WORKERS, PARTS) for seed in SEEDS]
    assert len(set().union(*found)) == 1


def test_an_unsorted_set_that_was_planted_is_noticed(tmp_path: Path) -> None:
    found = [digests(tmp_path, seed, (1,), PARTS[:1], planted=True) for seed in SEEDS]
    assert len(set().union(*found)) > 1
