"""Making a store ready to serve: its key ring, its schema, its first revision, new defaults."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from config_service import database
from config_service.cipher import KeyRing, KeyRingError, development_ring, parse_ring, read_ring
from config_service.env import Env
from config_service.revision import Draft, Layers, Origin
from config_service.state import State
from config_service.store import Store
from config_service.transaction import Transaction, has_head
from dedup_model import strict_yaml, tree
from dedup_model.tree import Document

LOG = logging.getLogger("event_dedup.config")
AUTHOR = "config-service migrate"


def key_ring(env: Env) -> KeyRing:
    """Return the ring of the file, else of the environment, else of the development key file."""
    if env.keyring_file:
        return read_ring(env.keyring_file)
    if env.keyring:
        return parse_ring(env.keyring.splitlines())
    beside = database.sqlite_path(database.parse_url(env.database_url))
    if beside is None:
        raise KeyRingError("PostgreSQL needs CONFIG_KEYRING_FILE or CONFIG_KEYRING")
    path = beside.with_suffix(".key")
    LOG.warning("no key ring is configured: using the development key file %s", path)
    return development_ring(path)


def open_store(env: Env) -> Store:
    """Return the store of a migrated database; raises `DatabaseError` when it is not migrated.

    A SQLite file that does not exist yet is made.
    """
    url = database.parse_url(env.database_url)
    path = database.sqlite_path(url)
    if path and not path.exists():
        return migrate(env)
    engine = database.open_database(url)
    try:
        with database.usable():
            _require_current(engine)
        return Store(engine, key_ring(env))
    except Exception:
        engine.dispose()
        raise


def migrate(env: Env) -> Store:
    """Bring schema, first revision, defaults and bootstrap file up to this release."""
    url = database.parse_url(env.database_url)
    bootstrap = strict_yaml.load(env.bootstrap_file) if env.bootstrap_file else {}
    layers = Layers.of(bootstrap, {})
    if path := database.sqlite_path(url):
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = database.open_database(url)
    with database.usable():
        _require_ours(engine)
        _upgrade(engine)
    store = Store(engine, key_ring(env))
    store.create(layers, AUTHOR)
    _inherit(store, bootstrap)
    return store


def _inherit(store: Store, bootstrap: Document) -> None:
    """Append a revision when what is inherited is no longer what the head inherits."""

    def edit(_: Transaction, head: State) -> Draft | None:
        old = head.revision.layers
        new = Layers.of(bootstrap, old.overrides)
        if (new.inherited, new.bootstrap) == (old.inherited, old.bootstrap):
            return None
        origin = Origin.UPGRADE if new.bootstrap == old.bootstrap else Origin.BOOTSTRAP
        return Draft(new, origin, AUTHOR, "")

    store.apply(edit)


def take_over(store: Store, document: Document, author: str) -> tuple[State, State]:
    """Make overrides of the leaves of an earlier system's document that differ from ours.

    Returns the states before and after. Raises `InvalidRequest` with the path of every value that
    is not valid here; nothing is stored then.
    """

    def edit(_: Transaction, head: State) -> Draft | None:
        layers = head.revision.layers
        checked = layers.with_overrides(tree.layer(layers.overrides, document))
        taken = tree.picked(checked.effective, document)
        overrides = layers.overrides
        for path in tree.present_paths(taken):
            value = tree.find(taken, path)
            same = value == tree.find(layers.inherited, path)
            overrides = tree.put(overrides, path, None if same else value)
        new = layers.with_overrides(overrides)
        return None if new == layers else Draft(new, Origin.IMPORT, author, "import-legacy")

    return store.apply(edit)


def _scripts() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(engine: Engine) -> None:
    config = _scripts()
    with database.transaction(engine, writes=True) as connection:
        database.lock_store(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _require_current(engine: Engine) -> None:
    scripts = ScriptDirectory.from_config(_scripts())
    with engine.connect() as connection:
        _require_known(connection)
        present = MigrationContext.configure(connection).get_current_revision()
        served = present == scripts.get_current_head() and has_head(connection)
    if not served:
        raise database.DatabaseError("the database is not up to date: run `config-service migrate`")


def _require_ours(engine: Engine) -> None:
    """Refuse to migrate a newer release's database and the tables of another system."""
    with engine.connect() as connection:
        _require_known(connection)
        versioned = MigrationContext.configure(connection).get_current_revision() is not None
        if not versioned and inspect(connection).get_table_names():
            raise database.DatabaseError("the database holds the tables of another system")


def _require_known(connection: Connection) -> None:
    scripts = ScriptDirectory.from_config(_scripts()).walk_revisions()
    present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and present not in {script.revision for script in scripts}:
        raise database.DatabaseError("the database was migrated by a newer release: start that one")
