"""The `config-service` command: serve, health, migrate, keys, store, load, tokens, import-legacy."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from config_service import legacy, serving, setup, tokens, upkeep_commands
from config_service.cipher import KeyRingError
from config_service.database import DatabaseError
from config_service.edits import Meta, SetSecret
from config_service.env import VARIABLES, Env
from dedup_model.errors import DedupError, InvalidRequest
from dedup_rpc import collector, logs, probe
from dedup_rpc.authz import new_token
from dedup_rpc.door import CONFIG_ERROR
from dedup_rpc.server import NotAllowed, run_server
from dedup_rpc.variables import misspelt

LOG = logging.getLogger("event_dedup.config")
SCHEMA_ALONE = (
    "only the schema was brought up: no revision was written for this release's defaults and bootstrap"
    " file; run `config-service migrate` again when the key ring opens the store"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits with 78 and one line when it cannot run as told."""
    options = _parser().parse_args(arguments)
    try:
        env = _env(options)
        logs.configure(env.log_level, env.telemetry.log_format)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        for name in misspelt(os.environ, "CONFIG_", VARIABLES):
            LOG.warning("%s is no variable of this service", name)
        COMMANDS[options.command](env, options)
    except InvalidRequest as error:
        for violation in error.violations:
            sys.stderr.write(f"{violation.path}: {violation.description} ({violation.rule})\n")
        sys.exit(CONFIG_ERROR)
    except UnicodeError:
        sys.stderr.write("config-service: an argument or a file is not UTF-8 text\n")
        sys.exit(CONFIG_ERROR)
    except (
        NotAllowed,
        DatabaseError,
        KeyRingError,
        DedupError,
        OSError,
        ValueError,
    ) as error:
        sys.stderr.write(f"config-service: {error}\n")
        sys.exit(CONFIG_ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="config-service", description=__doc__)
    parser.add_argument("--database-url", help="sqlite:///PATH (CONFIG_DATABASE_URL)")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer RPCs until SIGTERM")
    serve.add_argument("--address", help="host:port or unix:path (CONFIG_ADDRESS)")
    commands.add_parser("health", help="exit with 0 when the server serves, else with 1")
    commands.add_parser("migrate", help="bring the database up to this release")
    take = commands.add_parser("import-legacy", help="take an earlier system's settings row over")
    take.add_argument("db_url", help="SQLAlchemy URL of the earlier system's database")
    upkeep_commands.add_parsers(commands)
    token = commands.add_parser("tokens", help="bearer tokens")
    _add_token_options(token.add_subparsers(dest="tokens", required=True))
    return parser


def _add_token_options(tokens: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = tokens.add_parser("new", help="print a new token, and its entry for authz.yaml")
    new.add_argument("name", help="who will call with it")
    new.add_argument("--role", action="append", required=True, help="a role; may be repeated")
    new.add_argument("--days", type=int, default=90, help="days until it expires (90)")


def _env(options: argparse.Namespace) -> Env:
    env = Env.read(os.environ)
    given = {
        "address": getattr(options, "address", None),
        "database_url": options.database_url,
    }
    return replace(env, **{name: value for name, value in given.items() if value})


def _serve(env: Env, _: argparse.Namespace) -> None:
    async def run() -> None:
        server = await serving.start(env)
        # once signals are listened to: it takes a while, and a server that listens must drain
        asyncio.get_running_loop().call_soon(collector.calm)
        await server.serve_until_signal()

    run_server(run())


def _health(_: Env, __: argparse.Namespace) -> None:
    probe.main("config-service", "CONFIG")


def _migrate(env: Env, _: argparse.Namespace) -> None:
    store = setup.migrate(env)
    if store.keyring.problem:
        LOG.warning(SCHEMA_ALONE)
    else:
        LOG.info("the store is at revision %d", store.stamp()[1])


def _import_legacy(env: Env, options: argparse.Namespace) -> None:
    found = legacy.read(options.db_url, env.legacy_key)
    store = setup.open_store(env)
    author = "config-service import-legacy"
    meta = Meta(author, "import-legacy")
    secret = SetSecret("ai.api_key", found.api_key, meta) if found.api_key else None
    _, after = setup.take_over(store, found.document, author)
    if secret:
        _, after = store.apply(secret)
    paths = ", ".join(after.revision.layers.override_paths()) or "none"
    sys.stdout.write(f"revision {after.revision.number}; overrides: {paths}\n")
    sys.stdout.write(f"ai.api_key: {'set' if after.secret('ai.api_key').is_set else 'not set'}\n")


def _tokens(_: Env, options: argparse.Namespace) -> None:
    token = new_token()
    now = datetime.now(UTC)
    entry = tokens.entry(options.name, options.role, token, now, options.days)
    sys.stdout.write(token + "\n")
    sys.stdout.flush()
    sys.stderr.write(
        f"# for the list `principals:` of authz.yaml; the token is not stored\n{entry}"
    )


COMMANDS = {
    "serve": _serve,
    "health": _health,
    "migrate": _migrate,
    "import-legacy": _import_legacy,
    "keys": upkeep_commands.keys,
    "load": upkeep_commands.load,
    "store": upkeep_commands.store,
    "tokens": _tokens,
}

if __name__ == "__main__":
    main()
