"""Keys, stores and clocks that are not as they should be, row by row of the bad-input table."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.fernet import Fernet
from reliability.bad_inputs import RPCS, UNARY, Answer, Caller, row
from reliability.guarded import Told, told
from reliability.harness import FULL, Service, service
from reliability.planted_inputs import full_disk
from sqlalchemy import create_engine, text

from config_service import database, setup
from config_service.cipher import new_key, parse_ring
from config_service.edits import Meta, Update
from config_service.env import Env
from config_service.idempotency import Claim
from config_service.keyring import Keyring
from config_service.rows import revision_cell
from config_service.store import Store, utc_now
from dedup_model.change import Change
from eventdedup.config.v1 import config_admin_service_pb2 as admin
from eventdedup.config.v1 import config_service_pb2 as pb

Code = grpc.StatusCode
KEY = "ai.api_key"
CANNOT_RUN = 78
FOLLOWED_SECONDS = 5.0


@contextmanager
def answering(made: Service) -> Iterator[Caller]:
    """Start a service and yield a caller of it."""
    made.start()
    with closing(Caller(made.address)) as caller:
        yield caller


def update(value: float) -> pb.UpdateConfigRequest:
    request = pb.UpdateConfigRequest()
    request.config.geo.neutral_score = value
    return request


def access() -> pb.AccessSecretRequest:
    return pb.AccessSecretRequest(name=KEY)


def execute(env: Env, statement: str, **values: Any) -> None:
    """Run one statement on the database, past the service."""
    engine = create_engine(env.database_url)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
    engine.dispose()


def dumped(env: Env) -> list[str]:
    """Return everything that a SQLite file holds but what replicas say of their keys."""
    engine = create_engine(env.database_url)
    with engine.connect() as connection:
        lines = list(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    engine.dispose()
    return [line for line in lines if "replica" not in line]


@row("K1", "K2")
@pytest.mark.parametrize(
    ("content", "cause"),
    [(None, "KEYRING_BAD"), ("", "KEYRING_BAD"), ("short", "KEYRING_BAD"),
     ("a" * 43 + "\n", "KEYRING_BAD"), (new_key(), "KEYRING_WRONG")],
    ids=["no file", "an empty file", "a short key", "a weak key", "another key"],
)  # fmt: skip
def test_without_the_right_ring_the_service_is_sealed_and_writes_nothing(
    content: str | None, cause: str
) -> None:
    with told() as made:
        setup.migrate(made.env).close()
        before = dumped(made.env)
        ring = made.folder / "ring"
        if content is not None:
            ring.write_text(content)
        made.more = {"CONFIG_KEYRING_FILE": str(ring)}
        with answering(made) as caller:
            sealed(caller, cause)
            assert made.process
            assert made.process.is_alive()
        assert made.stop() == 0
        assert dumped(made.env) == before


def sealed(caller: Caller, cause: str) -> None:
    """Check that every RPC says that the service is sealed, but the one that says why."""
    asked = {name: caller(name, _sensible(name)) for name in UNARY if name != "GetKeyringStatus"}
    asked["WatchConfig"] = caller.watch()
    for name, answer in asked.items():
        expected = (Code.FAILED_PRECONDITION, "KEYRING_UNAVAILABLE", {"cause": cause})
        assert (answer.code, answer.reason, answer.facts) == expected, name
    status = caller("GetKeyringStatus").message
    assert (status.sealed, status.sealed_reason) == (True, cause)


def _sensible(name: str) -> Any:
    requests = {
        "SetSecret": pb.SetSecretRequest(name=KEY, value="abc"),
        "ClearSecret": pb.ClearSecretRequest(name=KEY),
        "AccessSecret": access(),
        "RollbackConfig": pb.RollbackConfigRequest(revision=1),
        "ReportStatus": pb.ReportStatusRequest(instance_id="a"),
        "UpdateConfig": update(0.2),
        "ImportConfig": admin.ImportConfigRequest(yaml="geo: {neutral_score: 0.3}"),
    }
    return requests.get(name, b"")


@row("K3")
def test_a_cell_under_a_key_that_is_not_in_the_ring_hides_itself_alone() -> None:
    with service() as made:
        store = setup.migrate(made.env)
        store.apply(Update(Change({"geo": {"neutral_score": 0.2}}), Meta("tester")))
        store.close()
        other = parse_ring([new_key()])
        engine = create_engine(made.env.database_url)
        with engine.connect() as connection:
            store_id = connection.execute(text("SELECT store_id FROM config_settings")).scalar()
        engine.dispose()
        token = other.seal(b"{}", revision_cell(str(store_id), 1))
        execute(made.env, "UPDATE config_revisions SET document = :t WHERE revision = 1", t=token)
        with answering(made) as caller:
            answer = caller("GetConfig", pb.GetConfigRequest(revision=1))
            assert (answer.code, answer.reason) == (Code.FAILED_PRECONDITION, "KEY_NOT_IN_RING")
            assert answer.facts == {"key_id": other.primary}
            assert caller.head() == 2


PLAIN, FERNET = "plain:legacy-secret", Fernet.generate_key().decode()


def legacy_cell(made: Told, value: str) -> None:
    """Leave a secret as the earlier system would have left it."""
    with answering(made) as caller:
        assert (
            caller("SetSecret", pb.SetSecretRequest(name=KEY, value="legacy-secret")).code
            is Code.OK
        )
    made.stop()
    execute(made.env, "UPDATE config_secrets SET value = :v", v=value)


@row("K5")
@pytest.mark.parametrize(
    ("allowed", "code", "reason", "value"),
    [("", Code.FAILED_PRECONDITION, "PLAINTEXT_REFUSED", None),
     ("1", Code.OK, "", "legacy-secret")],
)  # fmt: skip
def test_a_plain_cell_is_read_only_when_that_is_allowed(
    allowed: str, code: grpc.StatusCode, reason: str, value: str | None
) -> None:
    with told() as made:
        legacy_cell(made, PLAIN)
        made.more = {"CONFIG_ALLOW_PLAIN": allowed}
        with answering(made) as caller:
            answer = caller("AccessSecret", access())
            assert (answer.code, answer.reason) == (code, reason)
            assert value in (None, answer.message and answer.message.value)
            assert caller("GetSnapshot").code is Code.OK


@row("K6")
@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [("", Code.FAILED_PRECONDITION, "KEY_NOT_IN_RING"),
     (Fernet.generate_key().decode(), Code.FAILED_PRECONDITION, "KEY_NOT_IN_RING"),
     (FERNET, Code.OK, "")],
    ids=["no key", "another key", "the key"],
)  # fmt: skip
def test_a_fernet_cell_is_read_with_its_key_alone(
    key: str, code: grpc.StatusCode, reason: str
) -> None:
    with told() as made:
        legacy_cell(made, Fernet(FERNET).encrypt(b"legacy-secret").decode())
        made.more = {"EVENT_DEDUP_ENCRYPTION_KEY": key}
        with answering(made) as caller:
            answer = caller("AccessSecret", access())
            assert (answer.code, answer.reason) == (code, reason)
            assert answer.message is None or answer.message.value == "legacy-secret"


@row("K7")
def test_a_secret_that_is_not_set_is_said_to_be_so() -> None:
    with service() as made, answering(made) as caller:
        for prepare in (None, "SetSecret", "ClearSecret"):
            if prepare:
                assert caller(prepare, _sensible(prepare)).code is Code.OK
            if prepare == "SetSecret":
                continue
            (shown,) = caller("GetSnapshot").message.secrets
            assert not shown.is_set
            answer = caller("AccessSecret", access())
            assert (answer.code, answer.reason) == (Code.FAILED_PRECONDITION, "SECRET_NOT_SET")


BAD_RINGS = {
    "empty": "",
    "half-written": new_key()[:20],
    "17 keys": "\n".join(new_key() for _ in range(17)),
    "another store's": new_key(),
    "not ASCII": "ключ",
}


@row("K8")
def test_a_bad_ring_is_not_taken_and_the_old_one_goes_on() -> None:
    with told() as made:
        ring = made.folder / "ring"
        ring.write_text(str(made.env.keyring))
        made.more = {"CONFIG_KEYRING_FILE": str(ring)}
        with answering(made) as caller:
            for i, content in enumerate(BAD_RINGS.values() if FULL else [new_key()[:20]]):
                ring.write_text(content)
                until(lambda: caller("GetKeyringStatus"), lambda s: "refused" in s.message.note)
                assert caller("UpdateConfig", update(0.1 + i / 100)).code is Code.OK
                ring.write_text(str(made.env.keyring))
                until(lambda: caller("GetKeyringStatus"), lambda s: not s.message.note)
            ring.write_text(f"{made.env.keyring}\n{made.env.keyring}\n")
            until(lambda: caller("GetKeyringStatus"), lambda s: "refused" in s.message.note)


def until(ask: Callable[[], Answer], holds: Callable[[Answer], bool]) -> None:
    """Ask until the answer is the right one; fails after a while."""
    ends = time.monotonic() + FOLLOWED_SECONDS
    while not holds(ask()):
        assert time.monotonic() < ends, ask()
        time.sleep(0.1)


@row("K10")
def test_a_second_server_on_a_sqlite_file_does_not_start() -> None:
    with service() as made, service(made.env.database_url) as second, answering(made) as caller:
        second.env = made.env.__class__(
            address=second.env.address,
            database_url=made.env.database_url,
            keyring=made.env.keyring,
        )
        second.launch()
        assert second.reap() == CANNOT_RUN
        assert "another server runs on this SQLite file" in second.log.read_text()
        assert caller("UpdateConfig", update(0.3)).code is Code.OK


@row("K11")
def test_where_nothing_more_can_be_written_reads_go_on() -> None:
    with service() as usual:
        setup.migrate(usual.env).close()
        with service(usual.env.database_url, full_disk) as made:
            made.env = Env(made.env.address, usual.env.database_url, None, usual.env.keyring)
            with answering(made) as caller:
                codes = {}
                for i in range(200):
                    answer = caller("UpdateConfig", update(0.1 + i / 1000))
                    codes[answer.code] = answer
                    if answer.code is not Code.OK:
                        break
                assert codes[Code.UNAVAILABLE].reason == "STORE_UNAVAILABLE"
                shown = caller.head()
        store = setup.open_store(usual.env)
        assert store.stamp()[1] == shown
        assert not store.verify_audit().findings
        store.close()


@row("K12")
def test_clocks_that_jump_disturb_neither_order_nor_numbers(tmp_path: Path) -> None:
    env = Env(database_url=f"sqlite:///{tmp_path / 'c.db'}", keyring=new_key())
    setup.migrate(env).close()
    clock = [utc_now()]
    engine = database.open_database(database.parse_url(env.database_url))
    store = Store(engine, Keyring(setup.EnvRing(env)), lambda: clock[0])
    store.keyring.look(store)
    for i, days in enumerate((0, -1, 1, -3650, 3650, 0)):
        clock[0] = utc_now() + timedelta(days=days)
        claim = Claim("tester", f"00000000-0000-0000-0000-{i + 1:012}", b"content")
        edit = Update(Change({"geo": {"neutral_score": 0.1 + i / 10}}), Meta("tester"))
        _, after = store.apply(edit, claim=claim)
        _, again = store.apply(edit, claim=claim)
        assert (after.revision.number, again.revision.number) == (i + 2, i + 2)
    assert [story.number for story in store.page(None, 100)] == [7, 6, 5, 4, 3, 2, 1]
    assert not store.verify_audit().findings
    store.close()


def test_the_sealed_rpcs_are_all_there_are() -> None:
    assert {*UNARY, "WatchConfig"} == set(RPCS)
