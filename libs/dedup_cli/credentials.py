"""The options by which every command that calls a service is told what to trust and to show."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dedup_rpc.channel import Credentials

_FILES = {
    "tls_ca": "CA of the server's certificate; turns TLS on.",
    "tls_cert": "Own certificate.",
    "tls_key": "Its key.",
    "token_file": "File with a bearer token.",
}
_NAME = "tls_server_name"
_NAME_HELP = "Name in the server's certificate, when it is not the address's host."


def with_credentials(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the five options; it receives them as one argument, `credentials`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        files = [given.pop(option) for option in _FILES]
        command(credentials=_credentials(files, given.pop(_NAME)), **given)

    shown = inspect.signature(command)
    own = [one for one in shown.parameters.values() if one.name != "credentials"]
    run.__signature__ = shown.replace(parameters=[*own, *_parameters()])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in [*own, *_parameters()]}
    return run


def _parameters() -> list[inspect.Parameter]:
    files = [_parameter(option, Path, text) for option, text in _FILES.items()]
    return [*files, _parameter(_NAME, str, _NAME_HELP)]


def _parameter(name: str, kind: Any, text: str) -> inspect.Parameter:
    variable = f"EVENT_DEDUP_{name.upper()}"
    is_file = kind is Path
    option = typer.Option(envvar=variable, help=text, exists=is_file, dir_okay=not is_file)
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _credentials(files: Sequence[Path], server_name: str | None) -> Credentials:
    try:
        return Credentials(*files, server_name=server_name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
