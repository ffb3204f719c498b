"""The `event-dedup` command."""

import io
import sys

import typer

from dedup_cli import (
    admin_commands,
    config_commands,
    dedup_commands,
    demo,
    evaluate_command,
    explain_command,
    preview_command,
    replay_command,
    tune_command,
)

APP = typer.Typer(
    help="Find which event listings are the same event; change how they are matched.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
APP.add_typer(config_commands.APP, name="config")
APP.add_typer(admin_commands.AUDIT, name="audit")
APP.command("dedup")(dedup_commands.dedup)
APP.command("evaluate")(evaluate_command.evaluate)
APP.command("explain")(explain_command.explain)
APP.command("preview")(preview_command.preview)
APP.command("tune")(tune_command.tune)
APP.command("replay")(replay_command.replay)
APP.command("demo")(demo.demo)


def main() -> None:
    """Run the command line; a letter that the terminal cannot show is written as its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    APP()


if __name__ == "__main__":
    main()
