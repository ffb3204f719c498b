"""`event-dedup config`: read and change the settings of a running ConfigService."""

import itertools
import json
import sys
from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask
from rich.markup import escape
from rich.table import Table

from dedup_cli import settings
from dedup_cli.console import OUT, explained
from dedup_cli.credentials import with_credentials
from dedup_cli.following import follow
from dedup_rpc.channel import Credentials, connect
from dedup_rpc.wire import enum_name, moment, to_document
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

APP = typer.Typer(help="Read and change the settings.", no_args_is_help=True)
SECRET = "ai.api_key"

Address = Annotated[
    str, typer.Option("--address", envvar="EVENT_DEDUP_CONFIG", help="ConfigService, host:port.")
]
Reason = Annotated[str, typer.Option(help="Why; stored with the revision.")]
Etag = Annotated[str, typer.Option(help="Refuse when this is not the current etag.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Judge and show, store nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT = "127.0.0.1:50051"
TIMEOUT_SECONDS = 10


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
    with explained(address):
        if path:
            settings.require_known([path])
        answer = _stub(address, credentials).GetConfig(
            pb.GetConfigRequest(revision=revision), timeout=TIMEOUT_SECONDS
        )
        leaves = settings.leaves(to_document(answer.effective), path)
        if as_json:
            sys.stdout.write(json.dumps(dict(leaves), ensure_ascii=False, indent=1) + "\n")
            return
        OUT.print(f"etag {answer.revision.etag}")
        sources = {leaf.path: _name(pb.Provenance, leaf.provenance) for leaf in answer.provenance}
        table = Table("setting", "value", "from", box=None)
        for name, value in leaves:
            table.add_row(name, escape(_short(settings.shown(value))), sources.get(name, ""))
        OUT.print(table)
        OUT.print(f"{SECRET}: {'set' if answer.has_api_key else 'not set'}")
        _print_warnings(answer.warnings)


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
    with explained(address):
        body, paths = settings.parse(assignments)
        _update(
            address,
            credentials,
            pb.UpdateConfigRequest(
                config=body,
                update_mask=FieldMask(paths=paths),
                reason=reason,
                etag=etag,
                validate_only=dry_run,
            ),
        )


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
    with explained(address):
        settings.require_known(paths)
        _update(
            address,
            credentials,
            pb.UpdateConfigRequest(
                clear_mask=FieldMask(paths=paths), reason=reason, etag=etag, validate_only=dry_run
            ),
        )


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
    with explained(address):
        request = pb.DiffRevisionsRequest(from_revision=left, to_revision=right)
        answer = _stub(address, credentials).DiffRevisions(request, timeout=TIMEOUT_SECONDS)
        OUT.print(f"{answer.from_revision.revision} -> {answer.to_revision.revision}")
        _print_changes(answer.changes)


@APP.command()
@with_credentials
def history(
    address: Address = DEFAULT,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Newest revisions to show.")] = 20,
    *,
    credentials: Credentials,
) -> None:
    """List revisions, newest first."""
    with explained(address):
        request = pb.ListRevisionsRequest(page_size=limit)
        answer = _stub(address, credentials).ListRevisions(request, timeout=TIMEOUT_SECONDS)
        table = Table("revision", "when (UTC)", "who", "what", "changed", "why", box=None)
        for row in answer.revisions:
            table.add_row(
                str(row.revision),
                moment(row.created_at).strftime("%Y-%m-%d %H:%M:%S"),
                escape(row.author),
                _name(pb.Origin, row.origin),
                escape(_short(", ".join(row.changed_paths))),
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
    with explained(address):
        request = pb.RollbackConfigRequest(
            revision=revision, reason=reason, etag=etag, validate_only=dry_run
        )
        answer = _stub(address, credentials).RollbackConfig(request, timeout=TIMEOUT_SECONDS)
        _print_edit(answer, dry_run=dry_run)


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
    mode = pb.WATCH_MODE_EVERY if every else pb.WATCH_MODE_LATEST
    with explained(address):
        for state in itertools.islice(follow(_stub(address, credentials), mode), count or None):
            _print_state(state)


@APP.command("set-secret")
@with_credentials
def set_secret(
    name: Annotated[str, typer.Argument(help="Name of the secret.")] = SECRET,
    address: Address = DEFAULT,
    reason: Reason = "",
    *,
    credentials: Credentials,
) -> None:
    """Store a secret, read from standard input or a hidden prompt."""
    with explained(address):
        is_terminal = sys.stdin.isatty()
        value = typer.prompt(name, hide_input=True) if is_terminal else sys.stdin.read()
        request = pb.SetSecretRequest(name=name, value=value, reason=reason)
        answer = _stub(address, credentials).SetSecret(request, timeout=TIMEOUT_SECONDS)
        OUT.print(
            f"{name} set: version {answer.secret.version}, fingerprint {answer.secret.fingerprint},"
            f" revision {answer.revision.revision}"
        )


@APP.command("clear-secret")
@with_credentials
def clear_secret(
    name: Annotated[str, typer.Argument(help="Name of the secret.")] = SECRET,
    address: Address = DEFAULT,
    reason: Reason = "",
    *,
    credentials: Credentials,
) -> None:
    """Remove a secret."""
    with explained(address):
        request = pb.ClearSecretRequest(name=name, reason=reason)
        answer = _stub(address, credentials).ClearSecret(request, timeout=TIMEOUT_SECONDS)
        state = "cleared" if answer.changed else "was not set"
        OUT.print(f"{name} {state}, revision {answer.revision.revision}")


def _stub(address: str, credentials: Credentials) -> ConfigServiceStub:
    return ConfigServiceStub(connect(address, credentials))


def _update(address: str, credentials: Credentials, request: pb.UpdateConfigRequest) -> None:
    answer = _stub(address, credentials).UpdateConfig(request, timeout=TIMEOUT_SECONDS)
    _print_edit(answer, dry_run=request.validate_only)


def _print_edit(
    answer: pb.UpdateConfigResponse | pb.RollbackConfigResponse, *, dry_run: bool
) -> None:
    if not answer.changed:
        OUT.print(f"nothing changes; revision {answer.revision.revision}")
    elif dry_run:
        OUT.print("would change:")
    else:
        OUT.print(f"revision {answer.revision.revision}")
    _print_changes(answer.changes)
    _print_warnings(answer.warnings)


def _print_changes(changes: object) -> None:
    for change in changes:  # type: ignore[attr-defined]
        old, new = settings.shown_setting(change.old), settings.shown_setting(change.new)
        OUT.print(escape(f"  {change.path}: {_short(old)} -> {_short(new)}"))


def _print_warnings(warnings: object) -> None:
    for warning in warnings:  # type: ignore[attr-defined]
        OUT.print(f"[yellow]{escape(f'warning: {warning}')}[/yellow]")


def _print_state(state: pb.ConfigState) -> None:
    skipped = f", {state.skipped_revisions} skipped" if state.skipped_revisions else ""
    resync = ", resync" if state.resync else ""
    paths = ", ".join(state.changed_paths)
    OUT.print(escape(f"revision {state.revision.revision}{skipped}{resync}: {paths or '-'}"))


def _short(text: str, width: int = 120) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _name(enum: object, number: int) -> str:
    return str(enum_name(enum.DESCRIPTOR, number))  # type: ignore[attr-defined]
