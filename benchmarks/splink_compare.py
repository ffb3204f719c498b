"""The engine beside Splink with DuckDB, on the same listings in one run: `make compare`.

`splink_compare.py PYTHON [LISTINGS ...]` runs Splink under the interpreter PYTHON, which has
`requirements/compare.txt`, on light and harsh synthetic sets of these sizes (default 5,000 and 20,000).
Splink gets titles, venues and towns in the engine's own normal forms, and the cluster threshold with the best
F1 of ten, which only labels can tell; the engine runs under its defaults. Times are CPU seconds of all
threads, Splink's with training and one clustering, the engine's with reading and canonical events.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quality_figures import rates
from quality_sets import LabelledSet, synthetic
from synthetic import Spec

from dedup_cli.worst_errors import pairs_of
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.listing import Listing
from matcher_service.engine.normalise import fold, words_of
from matcher_service.engine.pipeline import deduplicate
from matcher_service.engine.prepare import Forms
from matcher_service.engine.records import read
from matcher_service.garbage import collect_rarely

SIZES = (5_000, 20_000)
CELL_DEGREES = 0.1
CHILD = Path(__file__).with_name("splink_run.py")
CONFIG = MatchingConfig()
EMPTY_WORDS = frozenset(map(fold, CONFIG.text.function_words))


def main(python: str, sizes: list[int]) -> None:
    """Print a row a set."""
    collect_rarely()
    print(
        "| set | listings | engine F1 | Splink F1 | at | engine CPU s | Splink CPU s | Splink wall s | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, harsh in (("light", False), ("harsh", True)):
        for size in sizes:
            labelled = synthetic(name, Spec(harsh=harsh, listings=size))
            print(row(labelled, *engine(labelled), splink(labelled, python)), flush=True)


def row(labelled: LabelledSet, ours: float, seconds: float, theirs: Mapping[str, Any]) -> str:
    """Return a line of the table; of Splink's thresholds the best one counts."""
    scores = {at: f1(labelled, clusters) for at, clusters in theirs["clusters"].items()}
    best = max(scores, key=lambda at: scores[at])
    cpu, wall = theirs["spent"]
    cells = (
        f"{labelled.name} | {len(labelled.raw):,} | {ours:.3f} | {scores[best]:.3f} | {best}",
        f"{seconds:.1f} | {cpu:.1f} | {wall:.1f} | {cpu / seconds:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def engine(labelled: LabelledSet) -> tuple[float, float]:
    """Return F1 and CPU seconds of the engine."""
    start = time.process_time()
    result = deduplicate(labelled.raw, CONFIG, 1.0, lambda *_: None)
    seconds = time.process_time() - start
    return f1(labelled, {n: one.id for one in result.events for n in one.listing_ids}), seconds


def splink(labelled: LabelledSet, python: str) -> Mapping[str, Any]:
    """Return what Splink found."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "listings.jsonl"), Path(folder, "clusters.json")
        rows = splink_rows(read(labelled.raw, CONFIG).listings)
        source.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
        subprocess.run(
            [python, str(CHILD), str(source), str(target)], check=True, capture_output=True
        )
        result: Mapping[str, Any] = json.loads(target.read_text())
        return result


def splink_rows(listings: tuple[Listing, ...]) -> list[dict[str, Any]]:
    """Return the listings as rows of a table, their texts normalised as the engine does."""
    forms = Forms(CONFIG.text)
    rows = [_row(one, forms) for one in listings]
    frequency = Counter(word for one in rows for word in one["words"])
    for one in rows:
        one["words"] = sorted(one["words"], key=lambda word: (frequency[word], word))[:4]
    return rows


def _row(one: Listing, forms: Forms) -> dict[str, Any]:
    form, geo = forms.prepared(one), one.location.geo
    first = one.event_dates[0] if one.event_dates else None
    start = first.start if first else None
    minutes = None if start is None else f"{start // 3600 % 24:02}:{start % 3600 // 60:02}"
    cell = geo and f"{geo.latitude // CELL_DEGREES}:{geo.longitude // CELL_DEGREES}"
    return {
        "unique_id": one.id,
        "title": form.title,
        "words": words_of(form.title, EMPTY_WORDS),
        "venue": form.venue or None,
        "city": form.city or None,
        "first_day": str(first.date) if first else None,
        "days": sorted({str(entry.date) for entry in one.event_dates}),
        "start": f"{first.date} {minutes}" if first and minutes else None,
        "latitude": geo.latitude if geo else None,
        "longitude": geo.longitude if geo else None,
        "cell": cell,
    }


def f1(labelled: LabelledSet, clusters: Mapping[str, str]) -> float:
    """Return pairwise F1 over the listings whose truth is known."""
    gold = labelled.gold
    found = set(pairs_of({name: one for name, one in clusters.items() if name in gold}))
    return rates(found, set(pairs_of(gold))).f1


if __name__ == "__main__":
    main(sys.argv[1], [int(size) for size in sys.argv[2:]] or list(SIZES))
