"""The real service and a small model of it are told the same, and answer the same at every step."""

import asyncio
import json
import shutil
import tempfile
import threading
import uuid
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from reliability.bad_inputs import Answer, Caller
from reliability.harness import FULL
from reliability.model import HIGH, LISTS, LOW, MAP, SCORES, WEIGHTS, Flat, Model, Refused, changes

from config_service import database, serving, setup
from config_service.cipher import new_key
from config_service.env import Env
from config_service.keyring import Keyring
from config_service.retention import Retention
from config_service.store import Store, utc_now
from dedup_rpc.wire import to_document, to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

KEY, RING = "ai.api_key", new_key()
EXAMPLES, STEPS = (400, 60) if FULL else (8, 40)

BEGINNING: Flat = {
    "geo.neutral_score": 0.2,
    "thresholds.high": 0.9,
    "category_weights.priority": ["konzert"],
    MAP: {"konzert": {"date": 0.5}},
}

numbers = st.sampled_from([0.0, 0.2, 0.35, 0.5, 0.75, 0.9, 1.0, 1.5, -0.5])
weights = st.sampled_from([0.1, 0.3, 0.5, 2.0])
keys = st.sampled_from(["fasnacht", "versammlung", "konzert", "markt"])
entries = st.dictionaries(st.sampled_from(["date", "geo", "title"]), weights, min_size=1)
bodies = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys((*SCORES, *WEIGHTS), numbers)
    | {MAP: st.dictionaries(keys, entries, min_size=1, max_size=2)}
    | {path: st.lists(keys, min_size=1, max_size=3, unique=True) for path in LISTS},
)
entry_paths = keys.map(lambda key: f"{MAP}.{key}")
value_paths = st.builds(
    lambda path, name: f"{path}.{name}", entry_paths, st.sampled_from(["date", "geo"])
)
paths = st.one_of(
    st.sampled_from([*SCORES, *WEIGHTS, *LISTS, MAP, "geo", "thresholds", "category_weights"]),
    entry_paths,
    value_paths,
)  # fmt: skip
masks = st.one_of(st.just([]), st.lists(paths, min_size=1, max_size=3), st.just(["*"]))
clears = st.lists(paths, max_size=2)
etags = st.sampled_from(["none", "none", "head", "head", "stale", "other"])
reasons = st.sampled_from(["", "tuning", "a mistake"])
whole = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not FULL,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


class Running:
    """One service in a thread, on a copy of a database with its first revision."""

    def __init__(self, first: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dedup-"))
        shutil.copyfile(first, self.folder / "c.db")
        url = f"sqlite:///{self.folder / 'c.db'}"
        self.env = Env(
            address=f"unix:{self.folder / 's'}", database_url=url, keyring=RING, poll_seconds=0.01
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(serving.start(self.env))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def store(self) -> Store:
        """Return the store of a process that lives two days from now."""
        engine = database.open_database(database.parse_url(self.env.database_url))
        keyring = Keyring(setup.EnvRing(self.env))
        store = Store(engine, keyring, lambda: utc_now() + timedelta(days=2))
        keyring.look(store)
        return store

    def close(self) -> None:
        """End the service and its thread."""
        self._run(self._server.stop(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self.folder)


def flat(message: Message) -> Flat:
    """Return a config as the path and value of each leaf."""
    return dict(_leaves(to_document(message), ""))


def on_the_wire(settings: Flat) -> Flat:
    """Return settings as a message tells them: without lists and maps that are empty."""
    return {path: value for path, value in settings.items() if value not in ([], {})}


def _leaves(document: dict[str, Any], prefix: str) -> Any:
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and path != MAP:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def config_of(body: Flat) -> MatchingConfig:
    """Return the message of flat settings."""
    document: dict[str, Any] = {}
    for path, value in body.items():
        section, _, name = path.partition(".")
        document.setdefault(section, {})[name] = value
    return to_message(document, MatchingConfig())


def value_of(value: Any) -> Any:
    """Return what a typed value holds."""
    kind = value.WhichOneof("kind")
    held = getattr(value, kind) if kind else None
    return json.loads(held) if kind == "json_value" else held


def pairs(answer: Any) -> dict[str, tuple[Any, Any]]:
    """Return the changes of an answer."""
    return {change.path: (value_of(change.old), value_of(change.new)) for change in answer.changes}


class ConfigServiceMachine(RuleBasedStateMachine):
    """Every rule asks both, and compares."""

    dropped: ClassVar[str] = ""
    """A field of requests that a planted service does not look at."""
    first: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.running = Running(self.first)
        self.caller = Caller(self.running.env.address)
        self.kept: list[tuple[str, Message, Message, int]] = []

    @initialize()
    def begin(self) -> None:
        """Learn what is inherited."""
        shown = self.caller("GetConfig").message
        self.model, self.epoch = Model(flat(shown.effective)), shown.epoch
        self.update(BEGINNING, [], [], "none", "", False, False)

    def teardown(self) -> None:
        """End the service."""
        self.caller.close()
        self.running.close()

    def ask(self, method: str, request: Message) -> Answer:
        """Ask the service."""
        if self.dropped in request.DESCRIPTOR.fields_by_name:
            request = type(request).FromString(request.SerializeToString())
            request.ClearField(self.dropped)  # type: ignore[arg-type]
        return self.caller(method, request)

    def both(self, method: str, request: Message, told: Any) -> Any:
        """Tell both; returns the service's message and the model's word, or None when refused."""
        number = getattr(request, "request_id", "")
        answer = self.ask(method, request)
        word, seen = None, ("OK", "")
        try:
            word = told()
        except Refused as refused:
            seen = refused.seen
        assert (answer.code.name, answer.reason) == seen
        if answer.message is None:
            return None
        if number:
            self.kept.append((method, request, answer.message, self.model.head))
        return answer.message, word

    def etag(self, kind: str) -> tuple[str, int | None]:
        """Return an etag as it is sent, and what the model knows of it; -1 is never the head."""
        head = self.model.head
        return {
            "none": ("", None),
            "head": (f"{self.epoch}:{head}", head),
            "stale": (f"{self.epoch}:{head - 1 or head + 1}", -1),
            "other": (f"{uuid.UUID(int=1)}:{head}", -1),
        }[kind]

    @rule(
        body=bodies, mask=masks, clear=clears, etag=etags, reason=reasons,
        dry=st.booleans(), repeatable=st.booleans(),
    )  # fmt: skip
    def update(self, body: Flat, mask: list[str], clear: list[str], etag: str, reason: str,
               dry: bool, repeatable: bool) -> None:  # fmt: skip
        sent, known = self.etag(etag)
        request = pb.UpdateConfigRequest(
            config=config_of(body), etag=sent, reason=reason, validate_only=dry,
            request_id=str(uuid.uuid4()) if repeatable and not dry else "",
        )  # fmt: skip
        request.update_mask.paths.extend(mask)
        request.clear_mask.paths.extend(clear)
        before, inherited = self.model.overrides(), self.model.inherited
        model = self.model.copy() if dry else self.model
        words = {"etag": known, "reason": reason}
        told = self.both("UpdateConfig", request, lambda: model.update(body, mask, clear, **words))
        if told:
            self.edited(told, model, changes(inherited, before, model.overrides()))

    def edited(self, told: Any, model: Model, expected: dict[str, tuple[Any, Any]]) -> None:
        """Compare the answer to an update or a rollback."""
        answer, changed = told
        assert answer.changed == changed
        assert flat(answer.overrides) == on_the_wire(model.overrides())
        assert flat(answer.effective) == on_the_wire(model.effective())
        assert pairs(answer) == expected
        assert answer.revision.revision == self.model.head

    @rule(back=st.integers(-2, 8), etag=etags, reason=reasons, repeatable=st.booleans())
    def rollback(self, back: int, etag: str, reason: str, repeatable: bool) -> None:
        sent, known = self.etag(etag)
        number = self.model.head - back
        request = pb.RollbackConfigRequest(
            revision=number, etag=sent, reason=reason,
            request_id=str(uuid.uuid4()) if repeatable else "",
        )  # fmt: skip
        before, inherited = self.model.overrides(), self.model.inherited
        told = self.both(
            "RollbackConfig", request,
            lambda: self.model.rollback(number, etag=known, reason=reason),
        )  # fmt: skip
        if told:
            self.edited(told, self.model, changes(inherited, before, self.model.overrides()))

    @rule(value=st.sampled_from([None, "one", " two \n"]), etag=etags, repeatable=st.booleans())
    def secret(self, value: str | None, etag: str, repeatable: bool) -> None:
        sent, known = self.etag(etag)
        more = {"etag": sent, "request_id": str(uuid.uuid4()) if repeatable else ""}
        method = "ClearSecret" if value is None else "SetSecret"
        kind: Any = pb.ClearSecretRequest if value is None else pb.SetSecretRequest
        request = kind(name=KEY, **({} if value is None else {"value": value}), **more)
        stripped = value.strip() if value else None
        told = self.both(
            method, request, lambda: self.model.set_secret(stripped, etag=known, reason="")
        )
        if told:
            answer, changed = told
            assert answer.revision.revision == self.model.head
            status = answer.secret
            assert (status.is_set, status.version) == (bool(stripped), self.model.secret_version)
            assert getattr(answer, "changed", True) == changed

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def repeat(self, data: Any) -> None:
        method, request, first, _ = data.draw(st.sampled_from(self.kept))
        answer = self.ask(method, request)
        assert (answer.code.name, answer.message) == ("OK", first)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def reuse(self, data: Any) -> None:
        method, request, _, _ = data.draw(st.sampled_from(self.kept))
        other = type(request).FromString(request.SerializeToString())
        other.reason = other.reason + " again"  # type: ignore[attr-defined]
        answer = self.ask(method, other)
        assert (answer.code.name, answer.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")

    @rule(size=st.integers(1, 4), prefix=st.sampled_from(["", "geo", "thresholds.high", MAP,
          f"{MAP}.konzert", "secrets", "thresh", "%"]))  # fmt: skip
    def history(self, size: int, prefix: str) -> None:
        seen, token = [], ""
        while True:
            request = pb.ListRevisionsRequest(page_size=size, path_prefix=prefix, page_token=token)
            page = self.ask("ListRevisions", request).message
            seen += page.revisions
            token = page.next_page_token
            assert len(page.revisions) == size or (len(page.revisions) < size and not token)
            if not token:
                break
        assert [revision.revision for revision in seen] == self.model.history(prefix)
        for revision in seen:
            step = self.model.step(revision.revision)
            assert pb.Origin.Name(revision.origin) == f"ORIGIN_{step.origin}"
            assert (revision.reason, revision.author == "dev") == (step.reason, step.number > 1)
            assert set(revision.changed_paths) == set(step.changed)
            assert revision.etag == f"{self.epoch}:{revision.revision}"

    @rule(left=st.integers(-1, 9), right=st.integers(-1, 9))
    def difference(self, left: int, right: int) -> None:
        a, b = self.model.head - left, self.model.head - right
        request = pb.DiffRevisionsRequest(from_revision=a, to_revision=b)

        def told() -> Any:
            self.model.step(b), self.model.step(a)
            return self.model.difference(a, b)

        if answered := self.both("DiffRevisions", request, told):
            assert pairs(answered[0]) == answered[1]

    @rule(back=st.integers(-1, 9))
    def old(self, back: int) -> None:
        number = self.model.head - back
        request = pb.GetConfigRequest(revision=number)
        if told := self.both("GetConfig", request, lambda: self.model.effective(number)):
            assert flat(told[0].effective) == on_the_wire(told[1])
            assert flat(told[0].overrides) == on_the_wire(self.model.overrides(number))
        pinned = pb.GetSnapshotRequest(revision=number)
        if told := self.both("GetSnapshot", pinned, lambda: self.model.effective(number)):
            assert flat(told[0].config) == on_the_wire(told[1])

    @rule(known=st.sampled_from(["nothing", "head", "old", "other"]), behind=st.integers(0, 2))
    def snapshot(self, known: str, behind: int) -> None:
        head = self.model.head
        epoch, number = {
            "nothing": ("", 0),
            "head": (self.epoch, head),
            "old": (self.epoch, head - 1),
            "other": (str(uuid.UUID(int=1)), head),
        }[known]
        request = pb.GetSnapshotRequest(
            known_epoch=epoch, known_revision=number, min_revision=max(head - behind, 0)
        )
        answer = self.ask("GetSnapshot", request).message
        assert (answer.epoch, answer.revision) == (self.epoch, head)
        assert answer.not_modified == (known == "head")
        assert flat(answer.config) == (
            {} if known == "head" else on_the_wire(self.model.effective())
        )

    @rule()
    def new_epoch(self) -> None:
        with closing(self.running.store()) as store:
            self.epoch = store.new_epoch("tester")
        for _ in range(2000):
            if self.caller("GetConfig").message.epoch == self.epoch:
                break
        assert self.caller("GetConfig").message.epoch == self.epoch

    @rule(kept=st.integers(1, 6))
    def compact(self, kept: int) -> None:
        assume(self.model.head > kept)
        with closing(self.running.store()) as store:
            store.compact(Retention(kept, timedelta(0)), "tester")
        self.model.compact(kept)
        self.kept = [one for one in self.kept if one[3] - 1 > self.model.compacted]

    @invariant()
    def the_head_is_the_models(self) -> None:
        shown = self.caller("GetConfig").message
        assert (shown.epoch, shown.revision.revision) == (self.epoch, self.model.head)
        assert flat(shown.overrides) == on_the_wire(self.model.overrides())
        assert flat(shown.effective) == on_the_wire(self.model.effective())
        over = {p.path for p in shown.provenance if p.provenance == pb.PROVENANCE_OVERRIDE}
        assert over == set(self.model.overrides())
        (secret,) = shown.secrets
        assert (secret.is_set, secret.version) == (
            self.model.secret is not None, self.model.secret_version,
        )  # fmt: skip

    @invariant()
    def the_secret_is_the_models(self) -> None:
        answer = self.caller("AccessSecret", pb.AccessSecretRequest(name=KEY))
        value = answer.message.value if answer.message else None
        assert value == self.model.secret
        assert answer.reason == ("SECRET_NOT_SET" if value is None else "")


@pytest.fixture(scope="module", autouse=True)
def _first(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make the database that every example begins with."""
    path = tmp_path_factory.mktemp("first") / "c.db"
    setup.migrate(Env(database_url=f"sqlite:///{path}", keyring=RING)).close()
    ConfigServiceMachine.first = path


def test_the_service_and_its_model_answer_alike() -> None:
    run_state_machine_as_test(ConfigServiceMachine, settings=whole)


PLANTED = ["clear_mask", "etag", "update_mask", "request_id", "path_prefix", "known_revision",
           "validate_only", "page_size", "reason"]  # fmt: skip


@pytest.mark.parametrize("field", PLANTED if FULL else PLANTED[:2])
def test_a_service_that_does_not_look_at_a_field_is_noticed(field: str) -> None:
    planted = type("Planted", (ConfigServiceMachine,), {"dropped": field})
    bounded = settings(whole, max_examples=60, report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(planted, settings=bounded)


def test_the_model_knows_the_fields_that_depend_on_each_other() -> None:
    assert {HIGH, LOW} <= set(SCORES)
