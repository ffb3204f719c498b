"""The commands that keep a store: `keys`, `store`, `load`; each works on the database itself."""

import argparse
import getpass
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from config_service import setup
from config_service.cipher import KeyRingError, new_key
from config_service.database import DatabaseError, parse_url, sqlite_path
from config_service.edits import EMPTY, Import, Meta
from config_service.env import Env
from config_service.reset import archive
from config_service.revision import changes
from config_service.store import Store
from dedup_model import strict_yaml
from dedup_model.tree import canonical_json


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three commands with their options."""
    keys = commands.add_parser("keys", help="key ring").add_subparsers(dest="keys", required=True)
    keys.add_parser("generate", help="print a new key, a line of a key ring")
    keys.add_parser("status", help="count the sealed cells of each key")
    keys.add_parser("rewrap", help="seal everything anew under the key that writes")
    verify = keys.add_parser("verify", help="open everything and check the audit log")
    verify.add_argument("--keyring-file", type=Path, help="with this ring alone")
    store = commands.add_parser("store", help="the store as a whole")
    steps = store.add_subparsers(dest="store", required=True)
    steps.add_parser("new-epoch", help="after a restore from a backup: make all clients notice")
    steps.add_parser("compact", help="remove old revisions now (CONFIG_KEEP_REVISIONS, _DAYS)")
    reset = steps.add_parser("reset", help="lost keys: put the store aside and begin a new one")
    reset.add_argument("--i-accept-loss", action="store_true", required=True, help="say so")
    load = commands.add_parser("load", help="make the overrides those of a YAML file")
    load.add_argument("file", type=Path)
    load.add_argument("--dry-run", action="store_true", help="show the plan, store nothing")
    load.add_argument("--reason", default="", help="why; stored with the revision")


def keys(env: Env, options: argparse.Namespace) -> None:
    """Run `keys ...`."""
    if options.keys == "generate":
        sys.stdout.write(new_key() + "\n")
        return
    if getattr(options, "keyring_file", None):
        env = replace(env, keyring_file=options.keyring_file)
    steps = {"status": _status, "rewrap": _rewrap, "verify": _verify}
    _with_store(env, steps[options.keys])


def store(env: Env, options: argparse.Namespace) -> None:
    """Run `store ...`."""
    if options.store == "reset":
        _reset(env)
    elif options.store == "compact":
        _with_store(env, lambda opened: _compact(opened, env))
    else:
        _with_store(env, _new_epoch)


def load(env: Env, options: argparse.Namespace) -> None:
    """Run `load FILE`."""
    document = strict_yaml.load(options.file, EMPTY)
    edit = Import(document, Meta(author("load"), options.reason), "load")
    _with_store(env, lambda opened: _load(opened, edit, dry_run=options.dry_run))


def author(command: str) -> str:
    """Return who runs a command, for history and audit log."""
    try:
        return f"config-service {command} ({getpass.getuser()})"
    except (KeyError, OSError):
        return f"config-service {command}"


def _with_store(env: Env, work: Callable[[Store], None]) -> None:
    path = sqlite_path(parse_url(env.database_url))
    if path and not path.exists():
        # a server makes the file; to check a new one instead of a backup would prove nothing
        raise DatabaseError(f"there is no store at {path}")
    opened = setup.open_store(env)
    try:
        opened.keyring.require()
        work(opened)
    finally:
        opened.close()


def _status(opened: Store) -> None:
    ring, cells, replicas = opened.keyring.ring(), opened.cells(), opened.replicas()
    for key_id in dict.fromkeys((*ring.keys, *sorted(cells))):
        use = "writes" if key_id == ring.primary else "reads"
        use = use if key_id in ring.keys else "NOT IN THE RING"
        held = sum(key_id in keys for keys in replicas)
        sys.stdout.write(f"{key_id}  {use}  cells {cells[key_id]}")
        sys.stdout.write(f"  in {held} of {len(replicas)} running servers\n")
    if opened.keyring.note:
        sys.stdout.write(f"{opened.keyring.note}\n")


def _rewrap(opened: Store) -> None:
    done, remaining = opened.rewrap(author("keys rewrap"))
    writes = opened.keyring.ring().primary
    sys.stdout.write(f"{done} cells sealed anew under {writes}, {remaining} under other keys\n")


def _verify(opened: Store) -> None:
    verdict, unopened = opened.verify_audit(), opened.unopened()
    for finding in (*unopened, *verdict.findings):
        sys.stdout.write(f"{finding}\n")
    if unopened or verdict.findings:
        raise DatabaseError("the store is not whole")
    sys.stdout.write(
        f"everything opens; {verdict.events} audit events, the last {verdict.head_mac}\n"
    )


def _compact(opened: Store, env: Env) -> None:
    sys.stdout.write(
        f"{opened.compact(env.retention, author('store compact'))} revisions removed\n"
    )


def _new_epoch(opened: Store) -> None:
    sys.stdout.write(f"epoch {opened.new_epoch(author('store new-epoch'))}\n")


def _load(opened: Store, edit: Import, *, dry_run: bool) -> None:
    before, after = opened.apply(edit, validate_only=dry_run)
    for path, old, new in changes(before.revision.layers, after.revision.layers):
        shown = (canonical_json(value).decode() for value in (old, new))
        sys.stdout.write(f"  {path}: {' -> '.join(shown)}\n")
    if before.stamp == after.stamp:
        sys.stdout.write(f"nothing changes; revision {before.revision.number}\n")
    else:
        verb = "would become" if dry_run else "became"
        sys.stdout.write(f"{verb} revision {after.revision.number}\n")


def _reset(env: Env) -> None:
    if setup.EnvRing(env).read() is None:
        raise KeyRingError("a new store needs a key ring: set CONFIG_KEYRING_FILE")
    setup.bootstrap_layers(env)
    where = archive(env)
    setup.migrate(env).close()
    sys.stdout.write(
        f"the old store is kept as {where}; lost to this one: the history, the secrets, the audit\n"
        "log. Load the settings from an export (config-service load FILE) and set the secrets.\n"
    )
