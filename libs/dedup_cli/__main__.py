"""The `event-dedup` command."""

import io
import pkgutil
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "dedup": "dedup_commands:APP",
    "evaluate": "evaluate_command:APP",
    "explain": "explain_command:APP",
    "preview": "preview_command:APP",
    "tune": "tune_command:APP",
    "replay": "replay_command:APP",
    "demo": "demo:APP",
    "config": "admin_commands:APP",
    "audit": "admin_commands:AUDIT",
}


class _Group(TyperGroup):
    """Loads a command when it is asked for: settings are read without the engine's libraries."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = dict.fromkeys(COMMANDS, TyperCommand(name=None))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        app = pkgutil.resolve_name(f"dedup_cli.{COMMANDS[cmd_name]}")
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command


APP = typer.Typer(cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False)


@APP.callback()
def _about() -> None:
    """Find which event listings are the same event; change how they are matched."""


def main() -> None:
    """Run the command line; a letter that the terminal cannot show is written as its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    APP()


if __name__ == "__main__":
    main()
