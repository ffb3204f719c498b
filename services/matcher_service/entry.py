"""The `matcher-service` command as it is installed."""

from dedup_rpc import door


def main() -> None:
    """Run the command, or say which extra it lacks."""
    door.enter("matcher-service", "matcher_service.__main__", "matcher", "MATCHER")
