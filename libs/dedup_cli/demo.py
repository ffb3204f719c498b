"""`event-dedup demo`: the main job on sample listings, with a change of settings in between."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from rich.markup import escape

from dedup_cli import batch_client, outputs
from dedup_cli.batch_client import Answer
from dedup_cli.clusters_file import read_clusters
from dedup_cli.console import OUT, explained, fail
from dedup_cli.reading import Record, read_files
from dedup_cli.settings import shown_side
from dedup_rpc.channel import connect
from dedup_rpc.client import ConfigClient
from matcher_service.engine.evaluation import evaluate

APP = typer.Typer(add_completion=False)

START_SECONDS = 30
SHOWN = 8
NEW_HIGH = 0.65


@APP.command()
def demo(
    examples: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder with listings/.")
    ] = Path("examples"),
) -> None:
    """Start both services, run the sample listings, change a threshold, run them again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    files = sorted((examples / "listings").glob("*.json*"))
    if not files:
        fail(f"there are no listings in {examples / 'listings'}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="event-dedup-")))
        config, matcher = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
        OUT.print(f"starting ConfigService on {config} and MatcherService on {matcher}")
        stack.enter_context(_service(folder, "config_service", config, _config_options(folder)))
        stack.enter_context(
            _service(folder, "matcher_service", matcher, [], ["--config-address", config])
        )
        with explained(matcher):
            _story(files, examples / "labels.csv", config, matcher, folder)
    OUT.print("\nboth services have stopped; nothing is left running.")
    _print_recipes()


def _story(files: list[Path], labels: Path, config: str, matcher: str, folder: Path) -> None:
    OUT.print(f"\n[bold]First batch[/bold]: {len(files)} files")
    records, problems = batch_client.split(read_files(files))
    first = batch_client.run(matcher, records, 0.65, lambda *_: None)
    outputs.write(folder / "first", first, records, problems, {})
    _print_batch(first, records)
    _print_quality(folder / "first", labels)
    OUT.print(f"\n[bold]A change of settings[/bold]: thresholds.high becomes {NEW_HIGH}")
    _change_threshold(config)
    OUT.print("\n[bold]Second batch[/bold]: the same files")
    second = batch_client.run(matcher, records, 0.65, lambda *_: None)
    outputs.write(folder / "second", second, records, problems, {})
    _print_change(first, second, records)
    _print_quality(folder / "second", labels)


def _config_options(folder: Path) -> list[str]:
    return ["--database-url", f"sqlite:///{folder / 'config.db'}"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _service(
    folder: Path, package: str, address: str, before: list[str], after: list[str] | None = None
) -> Iterator[None]:
    """Run one service until the block ends; its log goes to a file that is shown when it fails."""
    command = [sys.executable, "-m", package, *before, "serve", "--address", address]
    with (folder / f"{package}.log").open("w+") as log:
        process = subprocess.Popen([*command, *(after or [])], stderr=log, cwd=folder)  # noqa: S603
        try:
            _wait(process, address, log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=15)


def _wait(process: subprocess.Popen[bytes], address: str, log: Any) -> None:
    ends = time.monotonic() + START_SECONDS
    with connect(address) as channel:
        while time.monotonic() < ends and process.poll() is None:
            try:
                grpc.channel_ready_future(channel).result(timeout=0.2)
            except grpc.FutureTimeoutError:
                continue
            return
    log.seek(0)
    fail(f"the service at {address} did not start:", log.read())


def _change_threshold(address: str) -> None:
    with ConfigClient(address) as client:
        edit = client.update({"thresholds.high": NEW_HIGH}, reason="demo: ask for less evidence")
    for change in edit.changes:
        old, new = shown_side(change.old), shown_side(change.new)
        OUT.print(f"  revision {edit.revision.number}: {change.path} {old} -> {new}")


def _print_batch(answer: Answer, records: list[Record]) -> None:
    summary = answer.summary
    OUT.print(
        f"  ran under revision {summary.run.revision}: {summary.read} listings ->"
        f" {summary.events} events, {summary.merged_events} merged from several listings"
    )
    titles = {record.listing.id: record.listing for record in records}
    merged = sorted(
        (event for event in answer.events if len(event.listing_ids) > 1),
        key=lambda event: (-len(event.listing_ids), event.id),
    )
    for event in merged[:SHOWN]:
        OUT.print(f"  [bold]{escape(event.event.title)}[/bold]")
        for listing in (titles[listing_id] for listing_id in event.listing_ids):
            OUT.print(escape(f"      {listing.source_code}: {listing.title}"))
    OUT.print(f"  ... and {max(len(merged) - SHOWN, 0)} more merged events")
    for kind, issues in (("quarantined", answer.quarantined), ("repaired", answer.repairs)):
        for issue in issues:
            name = issue.listing_id or "a listing without id"
            OUT.print(
                escape(f"  {kind}: {name} ({issue.source_code}): {issue.field} {issue.reason}")
            )


def _print_quality(folder: Path, labels: Path) -> None:
    if not labels.exists():
        return
    figures = evaluate(read_clusters(folder / "clusters.csv"), read_clusters(labels)).pairwise
    OUT.print(
        f"  against {labels}: precision {figures.precision:.3f}, recall {figures.recall:.3f},"
        f" F1 {figures.f1:.3f}"
    )


def _print_change(first: Answer, second: Answer, records: list[Record]) -> None:
    _require_other_revision(first, second)
    before, after = first.summary, second.summary
    OUT.print(
        f"  ran under revision {after.run.revision} (the first under {before.run.revision}):"
        f" {before.events} -> {after.events} events, {before.matches} -> {after.matches} matches"
    )
    titles = {record.listing.id: record.listing.title for record in records}
    _print_only_in("now one event", second, first, titles)
    _print_only_in("no longer one event", first, second, titles)


def _print_only_in(words: str, here: Answer, there: Answer, titles: dict[str, str]) -> None:
    place = {listing: event.id for event in there.events for listing in event.listing_ids}
    only = [e for e in here.events if len({place.get(listing) for listing in e.listing_ids}) > 1]
    for event in only[:SHOWN]:
        names = " | ".join(titles[listing_id] for listing_id in event.listing_ids)
        OUT.print(escape(f"  {words}: {names}"))
    if len(only) > SHOWN:
        OUT.print(f"  {words}: {len(only) - SHOWN} more")


def _require_other_revision(first: Answer, second: Answer) -> None:
    if first.summary.run.revision == second.summary.run.revision:
        fail("the second batch did not run under the new revision")


def _print_recipes() -> None:
    recipes = json.dumps(
        {"config": {"thresholds": {"high": 0.8}}, "update_mask": {"paths": ["thresholds.high"]}}
    )
    OUT.print("\nTo try it yourself, start the pair in two terminals:")
    OUT.print("  config-service serve\n  matcher-service serve")
    OUT.print("and in a third one:")
    service = "eventdedup.config.v1.ConfigService"
    for line in (
        "grpcurl -plaintext 127.0.0.1:50051 list",
        f"grpcurl -plaintext 127.0.0.1:50051 {service}/GetConfig",
        f"grpcurl -plaintext -d '{recipes}' 127.0.0.1:50051 {service}/UpdateConfig",
        f"grpcurl -plaintext 127.0.0.1:50051 {service}/WatchConfig",
        "event-dedup config set thresholds.high=0.8 --reason 'more evidence'",
        "event-dedup dedup examples/listings/* -o out --matcher 127.0.0.1:50052",
        "event-dedup evaluate out --labels examples/labels.csv",
    ):
        OUT.print(escape(f"  {line}"))
