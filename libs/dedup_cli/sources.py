"""Where a command that looks into a batch takes its listings and its services from."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dedup_cli.batch_client import split
from dedup_cli.console import ERR
from dedup_cli.reading import Record, read_files
from dedup_model.errors import invalid
from dedup_report.shown import document, name_of, shown
from dedup_rpc.channel import ANONYMOUS, Credentials

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")
DEFAULT_CONFIG = "127.0.0.1:50051"

On = Annotated[
    list[Path],
    typer.Option(exists=True, help="Listings: a file, or a folder with them; may be repeated."),
]
Matcher = Annotated[
    str, typer.Option(envvar="EVENT_DEDUP_MATCHER", help="MatcherService, host:port.")
]
Settings = Annotated[
    Path | None,
    typer.Option("--config", exists=True, dir_okay=False, help="Settings of a private pair."),
]
People = Annotated[
    Path | None,
    typer.Option("--constraints", exists=True, dir_okay=False, help="People's decisions."),
]


@dataclass(frozen=True)
class Pair:
    """The addresses of both services, and what to show them; `is_private` when they end with us."""

    config: str
    matcher: str
    credentials: Credentials
    is_private: bool


@contextmanager
def pair_at(
    matcher: str, config: str, settings: Path | None, credentials: Credentials
) -> Iterator[Pair]:
    """Yield the pair at these addresses; without a matcher a private one, under `settings`.

    Raises `BadParameter` when both are given.
    """
    if matcher and settings:
        raise typer.BadParameter("--config is for a private pair; a matcher has its own settings")
    if matcher:
        yield Pair(config or DEFAULT_CONFIG, matcher, credentials, is_private=False)
        return
    from dedup_cli.private_pair import private_pair

    ERR.print(escape(f"standalone, {settings or 'defaults'}: a private pair in this process"))
    with private_pair(settings) as addresses:
        yield Pair(*addresses, ANONYMOUS, is_private=True)


def told_apart(words: Iterable[str], on: Iterable[Path]) -> tuple[list[str], list[Path]]:
    """Return the words that name no file, and the files: of the words, of `on`, of its folders.

    So a pattern of the shell may stand after `--on`. Raises `InvalidRequest` when there is no file.
    """
    given = list(words)
    others = [word for word in given if not _is_file(word)]
    files = [Path(word) for word in given if _is_file(word)]
    for path in on:
        files.extend(sorted(_listings_in(path)) if path.is_dir() else [path])
    if not files:
        raise invalid("--on", "REQUIRED", f"names no file that ends in {', '.join(SUFFIXES)}")
    return others, files


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # longer than a name can be
        return False


def _listings_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


class Titles:
    """The titles of listings by id, as the engine reads both."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._listings = {name_of(one.listing): one.listing for one in records}

    def __getitem__(self, name: str) -> str:
        """Return a title; empty for a listing that is not there."""
        listing = self._listings.get(name)
        return shown(document(listing)).title if listing else ""


def records_of(files: Sequence[Path]) -> list[Record]:
    """Return the records of files that can be sent; tells how many cannot."""
    records, problems = split(read_files(files))
    if problems:
        ERR.print(f"{len(problems)} records cannot be read; `event-dedup dedup` tells which")
    return records
