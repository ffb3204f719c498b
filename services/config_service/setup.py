"""Making a store ready to serve: its key ring, its schema, its first revision, new defaults."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, inspect

from config_service import database
from config_service.cipher import KeyRing, Legacy, development_ring, parse_ring, read_ring
from config_service.env import Env
from config_service.keyring import Keyring
from config_service.revision import Draft, Layers, Origin
from config_service.state import State
from config_service.store import Store
from config_service.transaction import Transaction, has_head, is_empty
from dedup_model import strict_yaml, tree
from dedup_model.tree import Document
from dedup_rpc.changing import stamp

LOG = logging.getLogger("event_dedup.config")
AUTHOR = "config-service migrate"


@dataclass(frozen=True)
class EnvRing:
    """The ring of the file, else of the environment, else of the development key file."""

    env: Env

    def stamp(self) -> object:
        """Return what differs after the file was replaced."""
        return stamp(self.env.keyring_file) if self.env.keyring_file else None

    def read(self) -> KeyRing | None:
        """Return the ring, None when none is configured; raises `KeyRingError`."""
        ring = self._ring()
        legacy = Legacy(self.env.legacy_key, self.env.allow_plain)
        return replace(ring, legacy=legacy) if ring else None

    def _ring(self) -> KeyRing | None:
        if self.env.keyring_file:
            return read_ring(self.env.keyring_file)
        if self.env.keyring:
            return parse_ring(self.env.keyring.splitlines())
        beside = database.sqlite_path(database.parse_url(self.env.database_url))
        if beside is None or self.env.access.production:
            return None
        path = beside.with_suffix(".key")
        if not path.exists():
            LOG.warning("no key ring is configured: making the development key file %s", path)
        return development_ring(path)


def open_store(env: Env) -> Store:
    """Return the store of a migrated database, sealed when the ring does not open it.

    A SQLite file that does not exist yet, or holds nothing, is made. Raises `DatabaseError` when the
    database is not migrated.
    """
    url = database.parse_url(env.database_url)
    layers, path = bootstrap_layers(env), database.sqlite_path(url)
    engine = _opened(url)
    try:
        with database.usable():
            if path and _is_blank(engine):
                _upgrade(engine)
            _require_current(engine)
        store = Store(engine, Keyring(EnvRing(env)))
        store.keyring.look(store)
        if not store.keyring.problem:
            fill(store, layers)
        return store
    except Exception:
        engine.dispose()
        raise


def _is_blank(engine: Engine) -> bool:
    """Tell whether a database holds nothing, as a server leaves it that is killed while making it."""
    with engine.connect() as connection:
        return not inspect(connection).get_table_names()


def fill(store: Store, layers: Layers) -> None:
    """Write what waited for a key: a new store's first revision, an older one's audit log.

    Another server may have been faster: the service is sealed when its key is not in this one's ring.
    """
    if not store.is_ready():
        store.create(layers, AUTHOR)
    store.keyring.look(store, lost=True)


def bootstrap_layers(env: Env) -> Layers:
    """Return the defaults under the bootstrap file; raises `InvalidRequest`."""
    bootstrap = strict_yaml.load(env.bootstrap_file) if env.bootstrap_file else {}
    return Layers.of(bootstrap, {})


def migrate(env: Env) -> Store:
    """Bring schema, first revision, defaults and bootstrap file up to this release.

    When the ring does not open the store, a production store is returned sealed, with its schema alone
    brought up, since a server starts sealed then, too; else `KeyRingError` is raised.
    """
    layers = bootstrap_layers(env)
    store = Store(_migrated(database.parse_url(env.database_url)), Keyring(EnvRing(env)))
    try:
        store.keyring.look(store)
        if not store.keyring.problem:
            fill(store, layers)
        if not env.access.production:
            store.keyring.require()
        if not store.keyring.problem:
            _inherit(store, layers.bootstrap)
    except Exception:
        store.close()
        raise
    return store


def _opened(url: URL) -> Engine:
    if path := database.sqlite_path(url):
        path.parent.mkdir(parents=True, exist_ok=True)
    return database.open_database(url)


def _migrated(url: URL) -> Engine:
    engine = _opened(url)
    try:
        with database.usable():
            _require_ours(engine)
            _upgrade(engine)
    except Exception:
        engine.dispose()
        raise
    return engine


def _inherit(store: Store, bootstrap: Document) -> None:
    """Append a revision when what is inherited is no longer what the head inherits."""

    def edit(_: Transaction, head: State) -> Draft | None:
        old = head.revision.layers
        new = Layers.of(bootstrap, old.overrides)
        if (new.inherited, new.bootstrap) == (old.inherited, old.bootstrap):
            return None
        origin = Origin.UPGRADE if new.bootstrap == old.bootstrap else Origin.BOOTSTRAP
        return Draft(new, origin, AUTHOR, "", "migrate")

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
        return (
            None
            if new == layers
            else Draft(new, Origin.IMPORT, author, "import-legacy", "import-legacy")
        )

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
    with engine.connect() as connection:
        _require_known(connection)
        if not _is_current(connection):
            text = "the database is not up to date: run `config-service migrate`"
            raise database.DatabaseError(text)


def _is_current(connection: Connection) -> bool:
    """Tell whether the schema is there, and no history without its settings; `fill` does the rest."""
    newest = ScriptDirectory.from_config(_scripts()).get_current_head()
    if MigrationContext.configure(connection).get_current_revision() != newest:
        return False
    return has_head(connection) or is_empty(connection)


def _require_ours(engine: Engine) -> None:
    """Refuse to migrate a newer release's database and the tables of another system."""
    with engine.connect() as connection:
        # before the version is read: another replica may make store and version in between
        tables = inspect(connection).get_table_names()
        _require_known(connection)
        if tables and MigrationContext.configure(connection).get_current_revision() is None:
            raise database.DatabaseError("the database holds the tables of another system")


def _require_known(connection: Connection) -> None:
    scripts = ScriptDirectory.from_config(_scripts()).walk_revisions()
    present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and present not in {script.revision for script in scripts}:
        raise database.DatabaseError("the database was migrated by a newer release: start that one")
