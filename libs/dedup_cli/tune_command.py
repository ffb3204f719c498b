"""`event-dedup tune`."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from dedup_cli.clusters_file import read_clusters
from dedup_cli.config_commands import connected
from dedup_cli.console import ERR, OUT, explained
from dedup_cli.constraints_file import read_constraints
from dedup_cli.credentials import with_credentials
from dedup_cli.progress_bar import bar, stages
from dedup_cli.sources import On, People, records_of, told_apart
from dedup_model import rules, strict_yaml, tree
from dedup_model.errors import invalid
from dedup_model.matching_config import MatchingConfig
from dedup_rpc.channel import Credentials
from dedup_rpc.client import ConfigClient, ConfigView
from matcher_service.convert import raw_listings
from matcher_service.convert_options import constraints_of
from matcher_service.engine.blocked import blocked
from matcher_service.engine.evaluation import Rates
from matcher_service.engine.pipeline import ENGINE_VERSION
from matcher_service.engine.tuning import FOLDS, Tuning, proposal, tuned

APP = typer.Typer(add_completion=False)


@APP.command()
@with_credentials
def tune(
    files: Annotated[list[str] | None, typer.Argument(help="Listings.")] = None,
    on: On = [],  # noqa: B006
    labels: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="CSV: event_id,cluster_id")
    ] = ...,  # type: ignore[assignment]
    address: Annotated[
        str, typer.Option(envvar="EVENT_DEDUP_CONFIG", help="ConfigService, host:port.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Settings to start at, as YAML."),
    ] = None,
    constraints: People = None,
    loss: Annotated[
        float, typer.Option(min=0, max=1, help="Most precision that a proposal may lose.")
    ] = 0.01,
    apply: Annotated[
        bool, typer.Option("--apply", help="Apply the proposal, with its figures as evidence.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; stored with the revision.")] = "",
    *,
    credentials: Credentials,
) -> None:
    """Propose settings of the decision that labels speak for, cross-validated."""
    if address and config:
        raise typer.BadParameter("--config is for a start without a ConfigService")
    if apply and not address:
        raise typer.BadParameter("--apply needs the --address of a ConfigService")
    with explained(address or "the files"), _client(address, credentials) as client:
        words, paths = told_apart(files or [], on)
        if words:
            raise invalid(words[0], "FILE", "is no file")
        view = client.get() if client else None
        base = view.settings.config if view else _settings(config)
        people = read_constraints(constraints) if constraints else []
        raw = raw_listings([record.listing for record in records_of(paths)])
        with bar() as shown:
            heard = stages(shown)
            batch = blocked(raw, base, heard, constraints_of(people))
            gold = read_clusters(labels)
            found = tuned(batch, gold, loss, lambda tried: heard("configs", tried, 0))
        values = proposal(base, found)
        _print(base, values, found)
        if apply and client and view and values:
            evidence = _evidence(view, found, values)
            done = client.update(values, etag=view.revision.etag, reason=reason, evidence=evidence)
            OUT.print(f"applied: revision {done.revision.number}")


@contextmanager
def _client(address: str, credentials: Credentials) -> Iterator[ConfigClient | None]:
    with connected(address, credentials) if address else nullcontext() as client:
        yield client


def _settings(file: Path | None) -> MatchingConfig:
    ERR.print(escape(f"standalone: starts at {file or 'the defaults'}"))
    return rules.validated(rules.complete(strict_yaml.load(file) if file else {}))


def _print(base: MatchingConfig, values: dict[str, Any], found: Tuning) -> None:
    table = Table("pairwise", "precision", "recall", "F1", box=None)
    table.add_row("what holds", *_shown(found.held))
    table.add_row("searched, on labels not seen", *_shown(found.validated))
    if values:
        table.add_row("proposal, on all labels", *_shown(found.proposed))
    OUT.print(table)
    OUT.print(
        f"{found.labelled} labelled listings in {FOLDS} folds by week; {found.tried} configs tried"
    )
    if not values:
        OUT.print(f"no change is proposed: {_why(found)}")
        return
    document = tree.dump(base)
    for path, value in values.items():
        OUT.print(f"  {path}: {tree.find(document, tuple(path.split('.')))} -> {value}")
    OUT.print("the middle row is what other listings may be expected to give")
    OUT.print(f"look first: event-dedup preview {' '.join(f'{p}={v}' for p, v in values.items())}")


def _why(found: Tuning) -> str:
    if found.carries_over:
        return "no move brings enough"
    if found.validated.f1 > found.held.f1:
        return "what is gained costs more precision than --loss allows"
    return "what the search finds does not carry over to labels that it did not see"


def _shown(rates: Rates) -> tuple[str, ...]:
    return tuple(f"{rate:.3f}" for rate in (rates.precision, rates.recall, rates.f1))


def _evidence(view: ConfigView, found: Tuning, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "tune",
        "engine_version": ENGINE_VERSION,
        "base": {
            "epoch": view.epoch,
            "revision": view.revision.number,
            "digest": view.revision.digest,
        },
        "changed": values,
        "labelled": found.labelled,
        "folds": FOLDS,
        "tried": found.tried,
        "held": _rates(found.held),
        "cross_validated": _rates(found.validated),
        "on_all_labels": _rates(found.proposed),
    }


def _rates(rates: Rates) -> dict[str, float]:
    names = ("precision", "recall", "f1")
    return {name: round(getattr(rates, name), 6) for name in names}
