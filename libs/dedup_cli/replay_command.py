"""`event-dedup replay`."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dedup_cli import batch_client, outputs
from dedup_cli.batch_client import Answer
from dedup_cli.config_commands import connected
from dedup_cli.console import OUT, explained, fail
from dedup_cli.constraints_file import read_constraints
from dedup_cli.credentials import with_credentials
from dedup_cli.progress_bar import bar, stages
from dedup_cli.reading import read_files
from dedup_cli.receipt import Began, Receipt, facts, read_receipt
from dedup_cli.sources import Matcher, Settings, pair_at
from dedup_model.release import release
from dedup_rpc.channel import Credentials
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

APP = typer.Typer(add_completion=False)

NO_REASON = "yet settings, engine, release and verdicts are those of the receipt"


@APP.command()
@with_credentials
def replay(
    receipt: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="summary.json of a batch.")
    ],
    matcher: Matcher = "",
    config: Settings = None,
    address: Annotated[
        str,
        typer.Option(
            envvar="EVENT_DEDUP_CONFIG", help="ConfigService that has the batch's revision."
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to keep the results in.")
    ] = None,
    *,
    credentials: Credentials,
) -> None:
    """Run a batch again and tell whether its results are the same, byte by byte, or what differs.

    It runs under the settings of its revision (--address), of a matcher (--matcher), of a file
    (--config), or under the defaults. Exits with 1 when anything differs.
    """
    if output and output.resolve() == receipt.parent.resolve():
        raise typer.BadParameter("--output must be another folder than the receipt's")
    with explained(matcher or address or "the private pair"), ExitStack() as stack:
        told = read_receipt(receipt)
        changed = list(told.changed_files())
        if changed:
            fail("the batch cannot be run again:", *(f"  {one}" for one in changed))
        if address and not matcher and not config:
            config = stack.enter_context(_settings_then(told, address, credentials))
        pair = stack.enter_context(pair_at(matcher, address, config, credentials))
        folder = stack.enter_context(_folder(output))
        with bar() as shown:
            answer = _again(told, pair.matcher, pair.credentials, folder, stages(shown))
        differences = list(_differences(told, answer, folder))
    if differences:
        fail("the results differ:", *(f"  {one}" for one in differences))
    OUT.print(f"identical: {len(told.outputs)} files, byte by byte")


@contextmanager
def _folder(output: Path | None) -> Iterator[Path]:
    """Yield the folder to write to; what is in it is kept in `output`, if there is one."""
    with outputs.staged(output) if output else tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def _settings_then(told: Receipt, address: str, credentials: Credentials) -> Iterator[Path]:
    """Yield a file with the settings of the batch's revision."""
    if not told.run.revision:
        fail("the batch ran under a bootstrap file or the defaults: replay without --address")
    with connected(address, credentials) as client:
        view = client.get(told.run.revision)
    if view.epoch != told.run.epoch:
        fail("this ConfigService has another epoch than the batch ran under: another store")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        json.dump(view.settings.document, file)
        file.flush()
        yield Path(file.name)


def _again(
    told: Receipt,
    address: str,
    credentials: Credentials,
    folder: Path,
    progress: batch_client.Progress,
) -> Answer:
    """Run the batch, write its files, and return the answer.

    The page of a batch names its revision: it is written with that of the receipt, when it ran
    under the same settings and engine.
    """
    began, people = Began(), read_constraints(told.people) if told.people else []
    records, problems = batch_client.split(read_files(told.files))
    answer = batch_client.run(address, records, told.floor, progress, credentials, people)
    run = answer.summary.run
    if (run.digest, run.engine_version) == (told.run.digest, told.run.engine_version):
        run.CopyFrom(told.run)
    outputs.write(folder, answer, records, problems, facts(began, told.files, told.people))
    return answer


def _differences(told: Receipt, answer: Answer, folder: Path) -> Iterator[str]:
    files = list(told.changed_outputs(folder))
    if files:
        yield f"files: {', '.join(files)}"
        reasons = [*_settings(told, answer.summary), *_versions(told, answer), *_said(told, answer)]
        yield from reasons or [NO_REASON]


def _settings(told: Receipt, summary: pb.Summary) -> Iterator[str]:
    changed = list(told.changed_settings(summary))
    yield from changed
    if not changed and told.run.digest != summary.run.digest:
        yield "the settings differ in a default, or where a long value was cut"


def _versions(told: Receipt, answer: Answer) -> Iterator[str]:
    """Yield a sentence for the engine and for the command line, where it is another one now."""
    engine = answer.summary.run.engine_version
    if told.run.engine_version != engine:
        yield f"engine: {told.run.engine_version} then, {engine} now"
    if told.release != release():
        yield f"release of event-dedup: {told.release or 'unknown'} then, {release()} now"


def _said(told: Receipt, answer: Answer) -> Iterator[str]:
    """Yield what differs in the language model's verdicts, and what the matcher says of them."""
    if not told.verdicts:
        yield "the language model was asked then; it need not answer the same twice"
    elif told.verdicts != outputs.verdicts(answer.decisions):
        yield "the language model's verdicts differ; it need not answer the same twice"
        yield from (f"the matcher says: {one}" for one in answer.summary.warnings)
