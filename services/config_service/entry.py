"""The `config-service` command as it is installed."""

from dedup_rpc import door


def main() -> None:
    """Run the command, or say which extra it lacks."""
    door.enter("config-service", "config_service.__main__", "config", "CONFIG")
