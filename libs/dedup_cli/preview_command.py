"""`event-dedup preview`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from rich.markup import escape
from rich.table import Table

from dedup_cli import settings
from dedup_cli.clusters_file import read_clusters
from dedup_cli.config_commands import connected
from dedup_cli.console import OUT, explained
from dedup_cli.constraints_file import read_constraints
from dedup_cli.credentials import with_credentials
from dedup_cli.preview_client import Batch, Preview, previewed
from dedup_cli.progress_bar import bar, stages
from dedup_cli.sources import (
    Matcher,
    On,
    People,
    Settings,
    Titles,
    pair_at,
    records_of,
    told_apart,
)
from dedup_cli.waterfall import short
from dedup_model.errors import invalid
from dedup_rpc.channel import Credentials
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

APP = typer.Typer(add_completion=False)

COUNTS = ("events", "merged_events", "largest_cluster", "needs_review", "matches", "ambiguous")
MAX_EXAMPLES = 10_000


@APP.command()
@with_credentials
def preview(
    assignments: Annotated[list[str] | None, typer.Argument(help="path=value ...")] = None,
    on: On = [],  # noqa: B006
    unset: Annotated[
        list[str], typer.Option(help="A setting to inherit again; may be repeated.")
    ] = [],  # noqa: B006
    labels: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="CSV: event_id,cluster_id")
    ] = None,
    matcher: Matcher = "",
    address: Annotated[
        str, typer.Option(envvar="EVENT_DEDUP_CONFIG", help="ConfigService, host:port.")
    ] = "",
    config: Settings = None,
    constraints: People = None,
    show: Annotated[int, typer.Option(min=0, max=MAX_EXAMPLES, help="Flips to show.")] = 10,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the whole answer, as JSON.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Apply the change, with the figures as evidence.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; stored with the revision.")] = "",
    *,
    credentials: Credentials,
) -> None:
    """Tell what a change of settings would do to these listings; nothing is stored."""
    with explained(matcher or "the private pair"):
        words, files = told_apart(assignments or [], on)
        values = _values(words, unset)
        gold = read_clusters(labels) if labels else {}
        people = read_constraints(constraints) if constraints else []
        batch = Batch(records_of(files), gold, people)
        with pair_at(matcher, address, config, credentials) as pair:
            if apply and pair.is_private:
                raise invalid("--apply", "PRIVATE", "needs the --matcher and --address of a pair")
            with connected(pair.config, pair.credentials) as client, bar() as shown:
                edit = client.update(values, clear=unset, validate_only=True)
                examples = MAX_EXAMPLES if output else show
                found = previewed(pair, edit, batch, examples, stages(shown))
                if apply:
                    evidence = json_format.MessageToDict(found.summary.evidence)
                    done = client.update(
                        values, clear=unset, etag=edit.etag, reason=reason, evidence=evidence
                    )
        if output:
            output.write_text(_document(found), encoding="utf-8")
    _print(found, Titles(batch.records), show)
    if apply:
        OUT.print(f"applied: revision {done.revision.number}")


def _values(words: list[str], unset: list[str]) -> dict[str, Any]:
    if not words and not unset:
        raise invalid("assignments", "REQUIRED", "name a change, such as thresholds.high=0.8")
    settings.require_known(unset)
    return settings.parse(words)


def _document(found: Preview) -> str:
    whole = pb.PreviewConfigResponse(summary=found.summary), found.changes
    parts = [json_format.MessageToJson(one, preserving_proto_field_name=True) for one in whole]
    return f'{{"answer": {parts[0]}, "changes": {parts[1]}}}\n'


def _print(found: Preview, titles: Titles, show: int) -> None:
    summary = found.summary
    for one in summary.changed:
        OUT.print(escape(f"{one.path}: {one.default_value} -> {one.value}"))
    OUT.print(_table(summary))
    flips = [f"{one.pairs} {_name(one.before)} -> {_name(one.after)}" for one in summary.flips]
    OUT.print(f"decisions: {', '.join(flips) or 'none changes'}")
    OUT.print(
        f"pairs of listings: {summary.pairs_joined} come into one event,"
        f" {summary.pairs_parted} leave one; {summary.regroupings} groups of listings change"
    )
    for line in (*_people(summary, found.changes), *_flips(found.changes, titles, show)):
        OUT.print(escape(line))
    run = summary.before.counts.run
    OUT.print(f"base: revision {run.revision}, digest {run.digest[:12]}; without language model")


def _table(summary: pb.PreviewSummary) -> Table:
    table = Table("", "before", "after", box=None)
    sides = (summary.before, summary.after)
    for name in COUNTS:
        table.add_row(name.replace("_", " "), *(str(getattr(one.counts, name)) for one in sides))
    if summary.before.HasField("figures"):
        for kind in ("pairwise", "b_cubed", "cross_source"):
            rates = [getattr(one.figures, kind) for one in sides]
            for rate in ("precision", "recall", "f1"):
                shown = [f"{getattr(one, rate):.3f}" for one in rates]
                table.add_row(f"{kind.replace('_', '-')} {rate}", *shown)
    return table


def _people(summary: pb.PreviewSummary, changes: pb.PreviewChunk) -> Iterator[str]:
    if summary.disagreements:
        yield (
            f"people's decisions that the scores contradict: {summary.disagreements},"
            f" {summary.new_disagreements} of them by this change"
        )
    for one in changes.disagreements:
        if one.is_new:
            kind = pb.ConstraintKind.Name(one.constraint.kind).removeprefix("CONSTRAINT_KIND_")
            a, b = one.constraint.listing_a, one.constraint.listing_b
            by = one.constraint.reviewer or "a person"
            yield f"  {kind} of {by}: {a.id} | {b.id} would be {_name(one.after)}"


def _flips(changes: pb.PreviewChunk, titles: Titles, show: int) -> Iterator[str]:
    for one in changes.flips[:show]:
        before, after = (_side(side) for side in (_told(one, "before"), _told(one, "after")))
        yield f"{one.listing_a} | {one.listing_b}: {before} -> {after}{_move(one)}{_label(one)}"
        yield f"  {short(titles[one.listing_a])} | {short(titles[one.listing_b])}"


def _told(one: pb.Flip, side: str) -> pb.PairDecision | None:
    return getattr(one, side) if one.HasField(side) else None  # type: ignore[arg-type]


def _side(one: pb.PairDecision | None) -> str:
    return f"{_name(one.decision)} {one.combined:.3f}" if one else "not compared"


def _move(one: pb.Flip) -> str:
    if one.together_before == one.together_after:
        return ""
    return ", joined" if one.together_after else ", parted"


def _label(one: pb.Flip) -> str:
    if not one.HasField("same"):
        return ""
    return "; labels: one event" if one.same else "; labels: two events"


def _name(decision: "pb.Decision.ValueType") -> str:
    return pb.Decision.Name(decision).removeprefix("DECISION_").lower()
