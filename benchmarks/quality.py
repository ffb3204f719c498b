"""How good the matches are: every figure of every labelled set, and what each part is worth.

`python benchmarks/quality.py` prints Markdown; `--into docs/quality.md` replaces what stands in that
page between its two marks. Real sets that are not on this machine are left out.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from quality_ablations import ABLATIONS, config_with, is_known
from quality_figures import Figures, figures, recall_by_fault, run, wrong_by_group
from quality_sets import LabelledSet, labelled_sets

from matcher_service.engine.evaluation import Rates

RUN_HEAD = (
    "set", "completeness", "reduction ratio", "compared pairs a listing", "splits + merges",
    "found pairs a listing", "largest cluster", "quarantined ‰", "ambiguous pairs ‰", "for review ‰",
)  # fmt: skip
RATES = ("P", "R", "F1")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table and an empty one."""
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _rates(rates: Rates) -> tuple[str, ...]:
    return tuple(f"{value:.3f}" for value in (rates.precision, rates.recall, rates.f1))


def _span(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def match_rows(measured: Iterable[Figures]) -> Iterator[tuple[str, ...]]:
    """Yield a row of the first table a set."""
    for one in measured:
        labelled = one.run.labelled
        yield (
            labelled.name,
            str(len(labelled.raw)),
            *_rates(one.run.pairwise),
            _span(one.f1_interval),
            *(_rates(one.cross) if one.cross else ("", "", "")),
            _span(one.cross_interval) if one.cross else "",
            *(_rates(one.evaluation.b_cubed) if one.evaluation else ("", "", "")),
        )


def run_rows(measured: Iterable[Figures]) -> Iterator[tuple[str, ...]]:
    """Yield a row of the second table a set."""
    for one in measured:
        counts, found = one.run.result.counts, one.evaluation
        per_thousand = 1000 / max(counts["read"], 1)
        yield (
            one.run.labelled.name,
            f"{one.completeness:.4f}",
            f"{one.reduction:.4f}",
            f"{counts['candidate_pairs'] / max(counts['read'], 1):.1f}",
            f"{found.splits} + {found.merges}" if found else "",
            f"{found.pairs_a_listing:.3f}" if found else "",
            str(counts["largest_cluster"]),
            f"{counts['quarantined'] * per_thousand:.1f}",
            f"{counts['ambiguous'] * per_thousand:.0f}",
            f"{counts['needs_review'] * per_thousand:.1f}",
        )


def truth_rows(measured: Iterable[Figures]) -> Iterator[tuple[str, ...]]:
    """Yield a row of the table of canonical events a set with true events."""
    for one in measured:
        if right := one.truth:
            shares = (right.title, right.days, right.dates, right.venue)
            yield (one.run.labelled.name, str(right.events), *(f"{x:.3f}" for x in shares))


def ablation_rows(measured: Iterable[Figures]) -> Iterator[tuple[str, ...]]:
    """Yield F1 a set for everything that can be switched off, as the difference to the defaults."""
    base = [(one.run.labelled, one.run.pairwise.f1) for one in measured]
    yield ("**defaults**", *(f"{f1:.3f}" for _, f1 in base))
    for name, settings in ABLATIONS.items():
        if is_known(settings):
            config = config_with(settings)
            changes = (run(labelled, config).pairwise.f1 - f1 for labelled, f1 in base)
            yield (f"{name} (`{'`, `'.join(settings)}`)", *map(_change, changes))


def _change(change: float) -> str:
    return "0" if abs(change) < 0.0005 else f"{change:+.3f}"


def fault_rows(measured: Iterable[Figures]) -> Iterator[tuple[str, ...]]:
    """Yield recall of the true pairs with each fault, worst first, over the harsh sets."""
    runs = [one.run for one in measured if one.run.labelled.name.startswith("harsh")]
    totals: dict[str, list[float]] = {}
    for done in runs:
        for name, (pairs, recall) in recall_by_fault(done).items():
            total = totals.setdefault(name, [0.0, 0.0])
            total[0], total[1] = total[0] + pairs, total[1] + pairs * recall
    for name, (true, found) in sorted(totals.items(), key=lambda item: item[1][1] / item[1][0]):
        yield (name.replace("_", " "), f"{true:.0f}", f"{found / true:.3f}")


def group_rows(measured: Iterable[Figures]) -> Iterator[tuple[str, ...]]:
    """Yield the wrongly merged pairs of each kind of hard negative, over the synthetic sets."""
    totals: dict[str, list[int]] = {}
    for one in measured:
        if one.run.labelled.groups:
            for name, (wrong, apart) in wrong_by_group(one.run).items():
                total = totals.setdefault(name or "no hard negative", [0, 0])
                total[0], total[1] = total[0] + wrong, total[1] + apart
    for name, (wrong, apart) in sorted(totals.items(), key=lambda item: -item[1][0]):
        yield (name, str(wrong), str(apart) if apart else "")


def report(sets: Iterable[LabelledSet]) -> Iterator[str]:
    """Yield the lines of all tables."""
    measured = [figures(labelled) for labelled in sets]
    yield from ("### Matches under the defaults", "")
    head = ("set", "listings", *RATES, "95 %", *(f"cross-source {name}" for name in RATES), "95 %")
    yield from table((*head, *(f"B-cubed {name}" for name in RATES)), match_rows(measured))
    yield from ("### Candidates, clusters, and what is left to people", "")
    yield from table(RUN_HEAD, run_rows(measured))
    yield from ("### Canonical events", "")
    yield from table(
        ("set", "true events", "title", "days", "days and times", "venue"), truth_rows(measured)
    )
    yield from ("### What each part is worth: change of F1 when it is switched off", "")
    names = (one.run.labelled.name for one in measured)
    yield from table(("switched off", *names), ablation_rows(measured))
    yield from ("### Recall of true pairs by fault, harsh sets", "")
    yield from table(("fault", "true pairs", "recall"), fault_rows(measured))
    yield from ("### Wrongly merged pairs by hard negative, synthetic sets", "")
    yield from table(("kind", "merged", "pairs of two events on one day"), group_rows(measured))


def replaced(page: str, text: str) -> str:
    """Return a page with `text` between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}{END}{after}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, help="page to write to instead of the screen")
    asked, began = parser.parse_args(), time.monotonic()
    text = "\n".join(report(labelled_sets()))
    if asked.into:
        asked.into.write_text(replaced(asked.into.read_text("utf-8"), text), encoding="utf-8")
    else:
        print(text)
    print(f"{time.monotonic() - began:.0f} s, of CPU {time.process_time():.0f} s")


if __name__ == "__main__":
    main()
