"""`event-dedup evaluate`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dedup_cli import canonical_truth, outputs
from dedup_cli.batch_client import split
from dedup_cli.clusters_file import read_clusters
from dedup_cli.console import OUT, explained
from dedup_cli.reading import read_files
from dedup_cli.receipt import Receipt, read_receipt
from dedup_cli.worst_errors import explained as explained_error
from dedup_cli.worst_errors import pairs_of, worst
from dedup_model import rules, strict_yaml, tree
from dedup_model.errors import invalid
from matcher_service.convert import raw_listings
from matcher_service.engine import evaluation
from matcher_service.engine.blocked import Blocked, blocked, silent
from matcher_service.engine.evaluation import Rates

APP = typer.Typer(add_completion=False)

Clusters = dict[str, str]


@APP.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Results.")],
    labels: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="CSV: event_id,cluster_id")
    ],
    truth: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="True events, a JSON object a line."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Settings that the run had, as YAML."),
    ] = None,
    errors: Annotated[
        int, typer.Option(min=0, help="Worst missed and wrong pairs to explain, of each kind.")
    ] = 0,
) -> None:
    """Compare the clusters of a run with labelled clusters.

    The figures about compared pairs, about sources and the explained errors need the listings of
    the run, which are read from where they were, and its settings: the defaults or --config.
    """
    with explained("the labels"):
        found = read_clusters(folder / "clusters.csv")
        gold = read_clusters(labels)
        if not gold.keys() & found.keys():
            raise invalid(str(labels), "LABELS", "names no listing of these results")
        summary = folder / "summary.json"
        receipt = read_receipt(summary) if summary.exists() else None
        batch = _batch(receipt, config)
        _print_clusters(found, gold, batch)
        if receipt:
            _print_run(receipt.counts)
        if truth:
            _print_truth(folder, truth, gold)
        if isinstance(batch, Blocked):
            _print_blocking(gold, batch)
            for error in worst(found, gold, batch, errors):
                OUT.print(escape("\n".join(["", *explained_error(error, batch)])))
        else:
            OUT.print(escape(f"no figures about compared pairs and sources: {batch}"))


def _batch(receipt: Receipt | None, settings: Path | None) -> Blocked | str:
    """Return the run's listings under its settings, or why they are not to be had."""
    if receipt is None:
        return "the folder has no summary.json"
    document = rules.complete(strict_yaml.load(settings) if settings else {})
    if tree.digest(document) != receipt.run.digest:
        return "the run had other settings; give them with --config"
    if changed := next(_changed(receipt.inputs), None):
        return f"{changed} is no longer what the run has read"
    records, _ = split(read_files([Path(path) for path in receipt.inputs]))
    raw = raw_listings([record.listing for record in records])
    return blocked(raw, rules.validated(document), silent)


def _changed(inputs: Mapping[str, str]) -> Iterator[str]:
    for path, digest in inputs.items():
        if not Path(path).is_file() or outputs.digest(Path(path)) != digest:
            yield path


def _print_clusters(found: Clusters, gold: Clusters, batch: Blocked | str) -> None:
    figures = evaluation.evaluate(found, gold)
    table = Table("", "precision", "recall", "F1", box=None)
    rows = [("pairwise", figures.pairwise), ("B-cubed", figures.b_cubed)]
    if isinstance(batch, Blocked):
        sources = {name: one.source_code or "" for name, one in batch.listings.items()}
        rows.append(("cross-source", evaluation.cross_source(found, gold, sources)))
    for name, rates in rows:
        table.add_row(name, *_shown(rates))
    OUT.print(table)
    OUT.print(
        f"{figures.labelled} labelled listings, {figures.missing} of them not in the results;"
        f" pairs: {figures.right_pairs} right of {figures.found_pairs} found,"
        f" {figures.true_pairs} true; {figures.unlabelled} listings without a label"
    )
    OUT.print(
        f"merge distance {figures.splits + figures.merges}: {figures.splits} splits and"
        f" {figures.merges} merges; {figures.pairs_a_listing:.3f} found pairs a listing,"
        f" largest cluster {figures.largest}"
    )


def _shown(rates: Rates) -> tuple[str, ...]:
    return tuple(f"{rate:.3f}" for rate in (rates.precision, rates.recall, rates.f1))


def _print_run(counts: Mapping[str, int]) -> None:
    if read := counts["read"]:
        lost = counts["quarantined"] + counts["unreadable_records"]
        OUT.print(
            f"a thousand listings: {1000 * lost / read:.1f} quarantined,"
            f" {1000 * counts['ambiguous'] / read:.1f} ambiguous pairs,"
            f" {1000 * counts['needs_review'] / read:.1f} events for review"
        )


def _print_truth(folder: Path, truth: Path, gold: Clusters) -> None:
    canonical = canonical_truth.read_lines(folder / "canonical.jsonl")
    right = canonical_truth.accuracy(canonical, canonical_truth.read_lines(truth), gold)
    OUT.print(
        f"canonical events, of {right.events} true ones: title {right.title:.3f},"
        f" days {right.days:.3f}, days and times {right.dates:.3f}, venue {right.venue:.3f}"
    )


def _print_blocking(gold: Clusters, batch: Blocked) -> None:
    true = list(pairs_of(gold))
    compared = batch.compared(true)
    share = compared.mean() if true else 1.0
    OUT.print(
        f"blocking: completeness {share:.4f} ({int(compared.sum())} of {len(true)} true pairs"
        f" compared), reduction ratio {batch.reduction:.5f} ({len(batch.pairs)} pairs compared)"
    )
