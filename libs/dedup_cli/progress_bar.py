"""How far a batch is, on the standard error."""

from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dedup_cli.console import ERR


def bar() -> Progress:
    """Return a progress bar on the standard error."""
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=ERR, transient=True)


def stages(bar: Progress) -> Callable[[str, int, int], None]:
    """Return what shows the stages of a batch on a bar."""
    task = bar.add_task("send", total=None)

    def show(stage: str, done: int, total: int) -> None:
        bar.update(task, description=stage, completed=done, total=total or None)

    return show
