"""`event-dedup replay`."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format

from dedup_cli import batch_client, outputs
from dedup_cli.batch_client import Answer
from dedup_cli.config_commands import connected
from dedup_cli.console import OUT, explained, fail
from dedup_cli.constraints_file import read_constraints
from dedup_cli.credentials import with_credentials
from dedup_cli.progress_bar import bar, stages
from dedup_cli.reading import read_files
from dedup_cli.receipt import Receipt, read_receipt
from dedup_cli.sources import Matcher, Settings, pair_at
from dedup_rpc.channel import Credentials
from eventdedup.matcher.v1 import matcher_service_pb2 as pb


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
    with explained(matcher or address or "the private pair"), ExitStack() as stack:
        told = read_receipt(receipt)
        changed = list(told.changed_files())
        if changed:
            fail("the batch cannot be run again:", *(f"  {one}" for one in changed))
        if address and not matcher and not config:
            config = stack.enter_context(_settings_then(told, address, credentials))
        pair = stack.enter_context(pair_at(matcher, address, config, credentials))
        folder = output or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with bar() as shown:
            answer = _again(told, pair.matcher, pair.credentials, folder, stages(shown))
        differences = list(_differences(told, answer, folder))
    if differences:
        fail("the results differ:", *(f"  {one}" for one in differences))
    OUT.print(f"identical: {len(told.outputs)} files, byte by byte")


@contextmanager
def _settings_then(told: Receipt, address: str, credentials: Credentials) -> Iterator[Path]:
    """Yield a file with the settings of the batch's revision."""
    with connected(address, credentials) as client:
        view = client.get(int(told.run["revision"]))
    if view.epoch != told.run.get("epoch"):
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
    records, problems = batch_client.split(read_files([Path(name) for name in told.inputs]))
    people = [one for name in told.constraints for one in read_constraints(Path(name))]
    answer = batch_client.run(address, records, told.floor, progress, credentials, people)
    run = answer.summary.run
    if (run.digest, run.engine_version) == (told.run["digest"], told.run["engine_version"]):
        source = f"CONFIG_SOURCE_{told.run.get('source', 'unspecified').upper()}"
        json_format.ParseDict({**told.run, "source": source}, run)
    outputs.write(folder, answer, records, problems, {})
    return answer


def _differences(told: Receipt, answer: Answer, folder: Path) -> Iterator[str]:
    files = list(told.changed_outputs(folder))
    if not files:
        return
    yield f"files: {', '.join(files)}"
    summary = answer.summary
    yield from _reasons(told, summary)
    if told.asked_model or summary.HasField("ai"):
        yield "the language model was asked, then or now; it need not answer the same twice"


def _reasons(told: Receipt, summary: pb.Summary) -> Iterator[str]:
    settings = list(told.changed_settings(summary))
    yield from settings
    if not settings and told.run["digest"] != summary.run.digest:
        yield "the settings differ in a default, or where a long value was cut"
    if told.run["engine_version"] != summary.run.engine_version:
        yield f"engine: {told.run['engine_version']} then, {summary.run.engine_version} now"
