"""The `matcher-service` command: serve, health."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from dedup_model.errors import DedupError
from dedup_rpc import logs, probe
from dedup_rpc.door import CONFIG_ERROR
from dedup_rpc.server import NotAllowed, run_server
from dedup_rpc.variables import misspelt
from matcher_service import serving
from matcher_service.env import VARIABLES, Env

LOG = logging.getLogger("event_dedup.matcher")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits with 78 and one line when it cannot run as told."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "health":
            probe.main("matcher-service", "MATCHER")
        env = _env(options)
        logs.configure(env.log_level, env.telemetry.log_format)
        for name in misspelt(os.environ, "MATCHER_", VARIABLES):
            LOG.warning("%s is no variable of this service", name)
        run_server(_serve(env))
    except (NotAllowed, DedupError, OSError, ValueError) as error:
        sys.stderr.write(f"matcher-service: {error}\n")
        sys.exit(CONFIG_ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="matcher-service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer RPCs until SIGTERM")
    serve.add_argument("--address", help="host:port or unix:path (MATCHER_ADDRESS)")
    serve.add_argument("--config-address", help="ConfigService (MATCHER_CONFIG_ADDRESS)")
    commands.add_parser("health", help="exit with 0 when the server serves, else with 1")
    return parser


def _env(options: argparse.Namespace) -> Env:
    given = {"address": options.address, "config_address": options.config_address}
    return replace(Env.read(os.environ), **{name: value for name, value in given.items() if value})


async def _serve(env: Env) -> None:
    server = await serving.start(env)
    await server.serve_until_signal()


if __name__ == "__main__":
    main()
