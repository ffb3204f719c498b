"""A writer that waits for its turn seals with the key that is in use when its turn has come."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from config_service import setup
from config_service.cipher import new_key, parse_ring
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from config_service.idempotency import Claim
from config_service.store import Store
from dedup_model.change import Change
from dedup_model.reports import StatusReport

WAITED_SECONDS = 20.0
CLAIM = Claim("ann", "11111111-2222-4333-8444-555555555555", b"content")
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name"
Write = Callable[[Store], object]


def update(claim: Claim | None) -> Write:
    edit = Update(Change({"geo": {"neutral_score": 0.25}}), Meta("ann"))
    return lambda store: store.apply(edit, claim=claim)


WRITES: dict[str, Write] = {
    "an update": update(None),
    "an update that may be repeated": update(CLAIM),
    "a secret": lambda store: store.apply(SetSecret("ai.api_key", "new", Meta("ann"))),
    "a report": lambda store: store.report("matcher", StatusReport("pod-1", applied_revision=1)),
    "an access": lambda store: store.access_secret("ai.api_key", "matcher"),
}


@contextmanager
def head_locked(env: Env) -> Iterator[Callable[[], int]]:
    """Hold the head row; yields a function that counts who waits for it."""
    engine = create_engine(env.database_url)
    name = engine.url.database
    try:
        with engine.connect() as holder, engine.connect() as observer:
            holder.execute(text("SELECT 1 FROM config_settings FOR UPDATE"))
            observer = observer.execution_options(isolation_level="AUTOCOMMIT")
            yield lambda: observer.execute(text(WAITING), {"name": name}).scalar_one()
    finally:
        engine.dispose()


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAITED_SECONDS
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    path = tmp_path / "ring"
    path.write_text(new_key())
    return path


@pytest.fixture
def store(env: Env, ring: Path) -> Iterator[Store]:
    made = setup.migrate(replace(env, keyring="", keyring_file=ring))
    made.apply(SetSecret("ai.api_key", "old", Meta("ann")))
    yield made
    made.close()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_key_promoted_while_a_writer_waits_is_the_one_that_seals(
    env: Env, store: Store, ring: Path, write: Write
) -> None:
    old, new, before = ring.read_text(), new_key(), store.cells()
    writer = threading.Thread(target=write, args=(store,))
    with head_locked(env) as waiting:
        writer.start()
        until(lambda: waiting() == 1)
        ring.write_text(f"{new}\n{old}")
        store.keyring.look(store)
    writer.join()
    after, first = store.cells(), parse_ring([new]).primary
    assert after[first] > 0
    assert after[parse_ring([old]).primary] <= sum(before.values())


def test_a_key_is_retired_after_all_that_is_being_written_under_it(
    env: Env, store: Store, ring: Path
) -> None:
    old, new = ring.read_text(), new_key()
    ring.write_text(f"{new}\n{old}")
    store.keyring.look(store)
    store.rewrap("ann")
    ring.write_text(new)
    looking = threading.Thread(target=store.keyring.look, args=(store,))
    with head_locked(env) as waiting:
        looking.start()
        until(lambda: waiting() == 1)
        assert len(store.keyring.key_ids) == 2
    looking.join()
    assert store.keyring.key_ids == (parse_ring([new]).primary,)
