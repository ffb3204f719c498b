"""The `event-dedup` command as it is installed."""

from dedup_rpc import door


def main() -> None:
    """Run the command, or say which extra it lacks."""
    door.enter("event-dedup", "dedup_cli.__main__", "cli")
