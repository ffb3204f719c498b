"""`event-dedup config clients|export|import` and `event-dedup audit`: keeping a ConfigService."""

import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dedup_cli.config_commands import (
    APP,
    DEADLINE_SECONDS,
    DEFAULT,
    RETRY,
    Address,
    Dry,
    Etag,
    Reason,
    connected,
    print_edit,
    short,
)
from dedup_cli.console import FAILED, OUT, explained, utf8
from dedup_cli.credentials import with_credentials
from dedup_rpc.client import AdminClient, AuditEvent, BatchStats, Clients, Credentials

AUDIT = typer.Typer(help="Read and check who did what.", no_args_is_help=True, add_completion=False)
AUDIT_SECONDS = 60.0
STDIN = Path("-")


@contextmanager
def _keeping(
    address: str, credentials: Credentials, seconds: float = DEADLINE_SECONDS
) -> Iterator[AdminClient]:
    with (
        explained(address),
        AdminClient(address, credentials, deadline=seconds, retry=RETRY) as client,
    ):
        yield client


@APP.command()
@with_credentials
def clients(address: Address = DEFAULT, *, credentials: Credentials) -> None:
    """Show which matchers run which revision, and revisions that look like mistakes."""
    with connected(address, credentials) as client:
        found = client.clients()
        OUT.print(f"head {found.head}")
        OUT.print(_clients_table(found))
        _print_oddities(found)


def _clients_table(found: Clients) -> Table:
    table = Table("matcher", "as", "runs", "behind", "from", "batches", "reported", box=None)
    for one in found.clients:
        report = one.report
        table.add_row(
            escape(report.instance_id),
            escape(one.principal),
            str(report.applied_revision),
            "another epoch" if one.lag < 0 else str(one.lag),
            report.source,
            escape(_figures(report.stats)),
            f"{one.reported_at:%Y-%m-%d %H:%M:%S}",
        )
    return table


def _figures(stats: tuple[BatchStats, ...]) -> str:
    if not stats:
        return "-"
    one = stats[0]
    return f"{one.batches}, {one.merge_rate:.1%} merged, {one.ambiguous_rate:.1%} ambiguous"


def _print_oddities(found: Clients) -> None:
    for one in found.clients:
        if refused := one.report.rejection:
            text = f"{one.report.instance_id} rejected revision {refused.revision}: {refused.why}"
            OUT.print(f"[yellow]{escape(text)}[/yellow]")
    for revision, reasons in found.suspects.items():
        text = f"revision {revision} looks like a mistake: {'; '.join(reasons)}"
        OUT.print(f"[yellow]{escape(text)}[/yellow]")


@APP.command("export")
@with_credentials
def export_(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; else standard output.")
    ] = None,
    address: Address = DEFAULT,
    revision: Annotated[int | None, typer.Option(help="An old revision.")] = None,
    effective: Annotated[
        bool, typer.Option("--effective", help="Everything that holds, not the overrides alone.")
    ] = False,
    *,
    credentials: Credentials,
) -> None:
    """Write the overrides as YAML, for `config import` and for a bootstrap file; never a secret."""
    with _keeping(address, credentials) as client:
        text = client.export_config(revision, effective=effective).yaml
        if output:
            output.write_text(text, encoding="utf-8")
        else:
            sys.stdout.write(text)


@APP.command("import")
@with_credentials
def import_(
    file: Annotated[Path, typer.Argument(help="YAML file; - reads standard input.")],
    address: Address = DEFAULT,
    reason: Reason = "",
    etag: Etag = "",
    dry_run: Dry = False,
    *,
    credentials: Credentials,
) -> None:
    """Make the overrides those of a YAML file, all of them: what it does not name is inherited."""
    with _keeping(address, credentials) as client:
        edit = client.import_config(_text(file), etag=etag, reason=reason, validate_only=dry_run)
        print_edit(edit, dry_run=dry_run)


def _text(file: Path) -> str:
    return utf8(sys.stdin.buffer.read() if file == STDIN else file.read_bytes(), str(file))


@AUDIT.command("list")
@with_credentials
def list_(
    address: Address = DEFAULT,
    principal: Annotated[str, typer.Option(help="Only what this principal did.")] = "",
    action: Annotated[str, typer.Option(help="Only this action, such as AccessSecret.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Newest events to show.")] = 50,
    *,
    credentials: Credentials,
) -> None:
    """List who did what, newest first."""
    with _keeping(address, credentials) as client:
        found = client.audit_events(principal=principal, action=action, page_size=min(limit, 500))
        OUT.print(_audit_table(itertools.islice(found, limit)))


def _audit_table(events: Iterable[AuditEvent]) -> Table:
    table = Table("number", "when (UTC)", "who", "what", "revision", "facts", box=None)
    for event in events:
        table.add_row(
            str(event.sequence),
            f"{event.at:%Y-%m-%d %H:%M:%S}",
            escape(event.principal),
            escape(event.action),
            str(event.revision or "-"),
            escape(_facts(event)),
        )
    return table


def _facts(event: AuditEvent) -> str:
    """Return an event's facts; the hashes that `verify` checks are left out."""
    shown = {name: value for name, value in event.facts.items() if not name.endswith("record")}
    return short(", ".join(f"{name}={value}" for name, value in sorted(shown.items()) if value), 60)


@AUDIT.command()
@with_credentials
def verify(
    address: Address = DEFAULT,
    known: Annotated[
        str, typer.Option(help="NUMBER:MAC that an earlier check printed and you kept elsewhere.")
    ] = "",
    *,
    credentials: Credentials,
) -> None:
    """Check that no event was changed, removed or added; exits with 1 when one was."""
    number, mac = _known(known)
    with _keeping(address, credentials, AUDIT_SECONDS) as client:
        verdict = client.verify_audit(known_sequence=number, known_mac=mac)
        for finding in verdict.findings:
            OUT.print(escape(f"  {finding}"))
        OUT.print(f"{'intact' if verdict.intact else 'NOT INTACT'}, {verdict.events} events")
        OUT.print(f"keep elsewhere, for --known: {verdict.events}:{verdict.head_mac}")
        if not verdict.intact:
            raise typer.Exit(FAILED)


def _known(text: str) -> tuple[int, str]:
    given = re.fullmatch("([1-9][0-9]{0,17}):(.+)", text)
    if text and not given:
        raise typer.BadParameter("--known takes NUMBER:MAC, as `audit verify` prints it")
    return (int(given[1]), given[2]) if given else (0, "")
