"""`event-dedup dedup`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dedup_cli import batch_client, outputs
from dedup_cli.console import OUT, explained
from dedup_cli.constraints_file import read_constraints
from dedup_cli.credentials import with_credentials
from dedup_cli.progress_bar import bar, stages
from dedup_cli.reading import read_files
from dedup_cli.receipt import Began, facts
from dedup_cli.sources import Matcher, People, Settings, pair_at
from dedup_rpc.channel import Credentials
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

APP = typer.Typer(add_completion=False)

Files = Annotated[
    list[Path], typer.Argument(exists=True, dir_okay=False, help=".json, .jsonl or .parquet")
]
Out = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]


@APP.command()
@with_credentials
def dedup(
    files: Files,
    output: Out,
    matcher: Matcher = "",
    config: Settings = None,
    floor: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest combined score of decisions.jsonl.")
    ] = 0.65,
    constraints: People = None,
    *,
    credentials: Credentials,
) -> None:
    """Find which listings are the same event and write the canonical events."""
    with explained(matcher or "the private pair"):
        people = read_constraints(constraints) if constraints else []
        records, problems = batch_client.split(read_files(files))
        began = Began()
        with outputs.staged(output) as folder:
            with pair_at(matcher, "", config, credentials) as pair, bar() as shown:
                answer = batch_client.run(
                    pair.matcher, records, floor, stages(shown), pair.credentials, people
                )
            outputs.write(folder, answer, records, problems, facts(began, files, constraints))
    _print_summary(answer.summary, len(problems), output)


def _print_summary(summary: pb.Summary, unreadable: int, output: Path) -> None:
    run = summary.run
    source = pb.ConfigSource.Name(run.source).removeprefix("CONFIG_SOURCE_").lower()
    OUT.print(
        f"{summary.read} listings -> {summary.events} events, {summary.merged_events} of them from"
        f" several listings (largest {summary.largest_cluster}), {summary.needs_review} for review"
    )
    OUT.print(
        f"{summary.candidate_pairs} pairs compared: {summary.matches} match,"
        f" {summary.ambiguous} ambiguous"
    )
    OUT.print(
        f"{summary.quarantined + unreadable} quarantined, {summary.repaired} repaired,"
        f" {summary.collapsed} equal copies dropped"
    )
    if decided := summary.constraints_obeyed:
        OUT.print(f"{decided} pairs decided by people")
    OUT.print(f"config: revision {run.revision} ({source}), digest {run.digest[:12]}")
    for warning in summary.warnings:
        OUT.print(f"[yellow]{escape(f'warning: {warning}')}[/yellow]")
    OUT.print(escape(f"results in {output}"))
