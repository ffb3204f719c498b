"""`event-dedup config`: read and change the settings of a running ConfigService."""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dedup_cli import settings
from dedup_cli.console import OUT, explained, utf8
from dedup_cli.credentials import with_credentials
from dedup_rpc.client import (
    API_KEY,
    ConfigClient,
    ConfigView,
    Credentials,
    Edit,
    PathChange,
    Retry,
    WatchMode,
    WatchState,
)

APP = typer.Typer(help="Read and change the settings.", no_args_is_help=True, add_completion=False)

Address = Annotated[
    str, typer.Option("--address", envvar="EVENT_DEDUP_CONFIG", help="ConfigService, host:port.")
]
Reason = Annotated[str, typer.Option(help="Why; stored with the revision.")]
Etag = Annotated[str, typer.Option(help="Refuse when this is not the current etag.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Judge and show, store nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT = "127.0.0.1:50051"
DEADLINE_SECONDS = 10.0
RETRY = Retry(tries=4)
"""Somebody waits at the keyboard: a service that is not there is told of within a second."""


@contextmanager
def connected(address: str, credentials: Credentials) -> Iterator[ConfigClient]:
    """Yield a client; its errors become sentences."""
    with (
        explained(address),
        ConfigClient(address, credentials, deadline=DEADLINE_SECONDS, retry=RETRY) as client,
    ):
        yield client


@APP.command()
@with_credentials
def get(
    path: Annotated[str, typer.Argument(help="A section or a setting; empty for all.")] = "",
    address: Address = DEFAULT,
    revision: Annotated[int | None, typer.Option(help="An old revision.")] = None,
    as_json: AsJson = False,
    *,
    credentials: Credentials,
) -> None:
    """Show what holds and where it comes from."""
    with connected(address, credentials) as client:
        if path:
            settings.require_known([path])
        view = client.get(revision)
        leaves = settings.leaves(view.settings.document, path)
        if as_json:
            sys.stdout.write(json.dumps(dict(leaves), ensure_ascii=False, indent=1) + "\n")
        else:
            _print_view(view, leaves)


@APP.command("set")
@with_credentials
def set_(
    assignments: Annotated[list[str], typer.Argument(help="path=value ...")],
    address: Address = DEFAULT,
    reason: Reason = "",
    etag: Etag = "",
    dry_run: Dry = False,
    *,
    credentials: Credentials,
) -> None:
    """Set overrides."""
    with connected(address, credentials) as client:
        values = settings.parse(assignments)
        edit = client.update(values, etag=etag, reason=reason, validate_only=dry_run)
        print_edit(edit, dry_run=dry_run)


@APP.command()
@with_credentials
def unset(
    paths: Annotated[list[str], typer.Argument(help="Settings to inherit again.")],
    address: Address = DEFAULT,
    reason: Reason = "",
    etag: Etag = "",
    dry_run: Dry = False,
    *,
    credentials: Credentials,
) -> None:
    """Drop overrides, so that the inherited values show through; delete map entries."""
    with connected(address, credentials) as client:
        settings.require_known(paths)
        edit = client.update(clear=paths, etag=etag, reason=reason, validate_only=dry_run)
        print_edit(edit, dry_run=dry_run)


@APP.command()
@with_credentials
def diff(
    left: Annotated[int | None, typer.Argument(help="Old revision; the one before.")] = None,
    right: Annotated[int | None, typer.Argument(help="New revision; the current one.")] = None,
    address: Address = DEFAULT,
    *,
    credentials: Credentials,
) -> None:
    """Compare two revisions."""
    with connected(address, credentials) as client:
        found = client.diff(left, right)
        OUT.print(f"{found.left.number} -> {found.right.number}")
        _print_changes(found.changes)


@APP.command()
@with_credentials
def history(
    address: Address = DEFAULT,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Newest revisions to show.")] = 20,
    *,
    credentials: Credentials,
) -> None:
    """List revisions, newest first."""
    with connected(address, credentials) as client:
        table = Table("revision", "when (UTC)", "who", "what", "changed", "why", box=None)
        for row in itertools.islice(client.history(page_size=limit), limit):
            table.add_row(
                str(row.number),
                f"{row.created_at:%Y-%m-%d %H:%M:%S}",
                escape(row.author),
                row.origin,
                escape(short(", ".join(row.changed_paths))),
                escape(row.reason),
            )
        OUT.print(table)


@APP.command()
@with_credentials
def rollback(
    revision: Annotated[int, typer.Argument(help="Revision whose overrides come back.")],
    address: Address = DEFAULT,
    reason: Reason = "",
    etag: Etag = "",
    dry_run: Dry = False,
    *,
    credentials: Credentials,
) -> None:
    """Return to the overrides of an old revision."""
    with connected(address, credentials) as client:
        edit = client.rollback(revision, etag=etag, reason=reason, validate_only=dry_run)
        print_edit(edit, dry_run=dry_run)


@APP.command()
@with_credentials
def watch(
    address: Address = DEFAULT,
    every: Annotated[bool, typer.Option("--every", help="Every revision, none skipped.")] = False,
    count: Annotated[int, typer.Option(help="Stop after so many states; 0: never.")] = 0,
    *,
    credentials: Credentials,
) -> None:
    """Follow changes; goes on over the end of a stream until interrupted."""
    mode = WatchMode.EVERY if every else WatchMode.LATEST
    with connected(address, credentials) as client, client.watch(mode, connect_within=0) as states:
        for state in itertools.islice(states, count or None):
            _print_state(state)


@APP.command("set-secret")
@with_credentials
def set_secret(
    name: Annotated[str, typer.Argument(help="Name of the secret.")] = API_KEY,
    address: Address = DEFAULT,
    reason: Reason = "",
    *,
    credentials: Credentials,
) -> None:
    """Store a secret, read from standard input or a hidden prompt."""
    with connected(address, credentials) as client:
        edit = client.set_secret(_secret(name), name=name, reason=reason)
        OUT.print(
            f"{name} set: version {edit.secret.version}, fingerprint {edit.secret.fingerprint},"
            f" revision {edit.revision.number}"
        )


def _secret(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True))
    return utf8(sys.stdin.buffer.read(), "standard input")


@APP.command("clear-secret")
@with_credentials
def clear_secret(
    name: Annotated[str, typer.Argument(help="Name of the secret.")] = API_KEY,
    address: Address = DEFAULT,
    reason: Reason = "",
    *,
    credentials: Credentials,
) -> None:
    """Remove a secret."""
    with connected(address, credentials) as client:
        edit = client.clear_secret(name=name, reason=reason)
        state = "cleared" if edit.changed else "was not set"
        OUT.print(f"{name} {state}, revision {edit.revision.number}")


def _print_view(view: ConfigView, leaves: list[tuple[str, object]]) -> None:
    OUT.print(f"etag {view.etag}")
    table = Table("setting", "value", "from", box=None)
    for name, value in leaves:
        shown = escape(short(settings.shown(value)))
        table.add_row(name, shown, view.provenance.get(name, ""))
    OUT.print(table)
    OUT.print(f"{API_KEY}: {'set' if view.has_api_key else 'not set'}")
    _print_warnings(view.warnings)


def print_edit(edit: Edit, *, dry_run: bool) -> None:
    """Print what an edit changed, or would change."""
    if not edit.changed:
        OUT.print(f"nothing changes; revision {edit.revision.number}")
    elif dry_run:
        OUT.print("would change:")
    else:
        OUT.print(f"revision {edit.revision.number}")
    _print_changes(edit.changes)
    _print_warnings(edit.warnings)


def _print_changes(changes: Iterable[PathChange]) -> None:
    for change in changes:
        old, new = settings.shown_side(change.old), settings.shown_side(change.new)
        OUT.print(escape(f"  {change.path}: {short(old)} -> {short(new)}"))


def _print_warnings(warnings: Iterable[str]) -> None:
    for warning in warnings:
        OUT.print(f"[yellow]{escape(f'warning: {warning}')}[/yellow]")


def _print_state(state: WatchState) -> None:
    skipped = f", {state.skipped} skipped" if state.skipped else ""
    resync = ", resync" if state.resync else ""
    paths = ", ".join(state.changed_paths)
    OUT.print(escape(f"revision {state.revision.number}{skipped}{resync}: {paths or '-'}"))


def short(text: str, width: int = 120) -> str:
    """Return a text cut to a width."""
    return text if len(text) <= width else text[: width - 3] + "..."
