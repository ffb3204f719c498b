"""The options by which every command that calls a service is told what to trust and to show."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dedup_rpc.channel import Credentials

_HELP = {
    "tls_ca": "CA of the server's certificate; turns TLS on.",
    "tls_cert": "Own certificate.",
    "tls_key": "Its key.",
    "token_file": "File with a bearer token.",
}


def with_credentials(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the four options; it receives them as one argument, `credentials`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        files = [given.pop(option) for option in _HELP]
        command(credentials=_credentials(*files), **given)

    shown = inspect.signature(command)
    own = [one for one in shown.parameters.values() if one.name != "credentials"]
    run.__signature__ = shown.replace(parameters=[*own, *_parameters()])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in [*own, *_parameters()]}
    return run


def _parameters() -> list[inspect.Parameter]:
    return [_parameter(option, text) for option, text in _HELP.items()]


def _parameter(name: str, text: str) -> inspect.Parameter:
    variable = f"EVENT_DEDUP_{name.upper()}"
    option = typer.Option(envvar=variable, help=text, exists=True, dir_okay=False)
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[Path | None, option])


def _credentials(*files: Path) -> Credentials:
    try:
        return Credentials(*files)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
