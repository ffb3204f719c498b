"""How long the report of a large batch takes to write and to open, beside that of an empty batch.

`python benchmarks/report.py [LISTINGS]`: 50,000 made-up listings of 20 sources unless told
otherwise, matched by the engine under the defaults; the page opens in a headless Chromium.
"""

import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from report_page.browser import CHROMIUM, Page, browser

from dedup_model.matching_config import SCHEMA_VERSION, MatchingConfig
from dedup_model.snapshot import Snapshot
from dedup_report import Results, page
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service import convert
from matcher_service.batch import Outcome
from matcher_service.config_client import BatchConfig
from matcher_service.engine.pipeline import deduplicate
from matcher_service.env import Rung

FLOOR = 0.65
ROUNDS = 5
SYLLABLES = (
    "ba",
    "den",
    "kel",
    "mor",
    "zu",
    "schi",
    "run",
    "tal",
    "win",
    "fa",
    "ger",
    "hol",
    "lin",
)
TOWNS = 200
DAYS = 90
SOURCES = 20
EXCHANGED = 0.15
NEXT_PAGE = "document.querySelector('#events .pager button:last-child').click()"
SEARCH = """(() => {
  const box = document.querySelector('#events input[type=search]');
  box.value = 'saal ba';
  box.dispatchEvent(new Event('input'));
})()"""


def listings(count: int) -> Iterator[pb.Listing]:
    """Yield listings of events that 1 to 4 sources tell, each with some words exchanged."""
    order = random.Random(7)
    words = ["".join(order.choices(SYLLABLES, k=3)).title() for _ in range(4000)]
    made = 0
    while made < count:
        title, text = order.choices(words, k=5), order.choices(words, k=40)
        town, day = order.randrange(TOWNS), order.randrange(DAYS)
        for source in order.sample(range(SOURCES), order.choice((1, 2, 3, 4))):
            if made < count:
                yield pb.Listing(
                    id=f"l{made:06}",
                    source_code=f"source{source:02}",
                    title=" ".join(exchanged(title, words, order)),
                    description=" ".join(exchanged(text, words, order)),
                    event_dates=[pb.EventDate(date=f"2026-{4 + day // 28:02}-{1 + day % 28:02}")],
                    location=pb.Location(name=f"Saal {words[town]}", city=words[town + TOWNS]),
                )
                made += 1


def exchanged(text: list[str], words: list[str], order: random.Random) -> list[str]:
    """Return words of which some are others."""
    return [order.choice(words) if order.random() < EXCHANGED else word for word in text]


def batch(sent: list[pb.Listing]) -> Results:
    """Match listings in this process."""
    pinned = BatchConfig(Snapshot("", 0, "", MatchingConfig(), SCHEMA_VERSION), Rung.BOOTSTRAP)
    raw = convert.raw_listings(sent)
    outcome = Outcome(pinned, deduplicate(raw, pinned.snapshot.config, FLOOR, lambda *_: None))
    whole = pb.ResultChunk()
    for chunk in convert.chunks(outcome):
        whole.MergeFrom(chunk)
    return Results(sent, FLOOR, convert.summary(outcome), whole.events, whole.decisions)


def timed(act: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def write(path: Path, results: Results) -> None:
    """Write a report and print what it took."""
    seconds = timed(lambda: path.write_text(page(results), encoding="utf-8"))
    counts, megabytes = results.summary, path.stat().st_size / 1e6
    print(
        f"{counts.read:,} listings, {counts.merged_events:,} events of several,"
        f" {len(results.decisions):,} pairs returned: written in {seconds:.2f} s,"
        f" {megabytes:.1f} MB"
    )


def opening(tab: Page, path: Path) -> float:
    """Return the median seconds until a page has loaded and run its script."""
    return median(tab.open(path) for _ in range(ROUNDS))


def main(count: int) -> None:
    """Write and open both reports; print seconds and their ratio."""
    if not CHROMIUM:
        raise SystemExit("no chromium here")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        small, large = folder / "small.html", folder / "large.html"
        write(small, batch([]))
        write(large, batch(list(listings(count))))
        with browser(folder) as tab:
            tab.look()
            empty, full = opening(tab, small), opening(tab, large)
            print(f"opens in {full:.2f} s, empty {empty:.2f} s: {full / empty:.1f} times as long")
            print(f"next page {timed(lambda: tab.run(NEXT_PAGE)):.3f} s")
            print(f"first search {timed(lambda: tab.run(SEARCH)):.3f} s", end=", ")
            print(f"second {timed(lambda: tab.run(SEARCH)):.3f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
