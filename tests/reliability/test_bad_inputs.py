"""Bad requests, row by row of the bad-input table: messages, values, masks, secrets."""

import math
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Value
from reliability.bad_inputs import (
    ELSEWHERE,
    NOT_HERE,
    ROWS,
    RPCS,
    UNARY,
    Caller,
    Case,
    as_bytes,
    missing,
    request_type,
    row,
    shown_rows,
)
from reliability.bad_requests import (
    KEY,
    MESSAGES,
    NUMBERS,
    SECRETS,
    VALUES,
    category,
    delimited,
    evidence,
    imported,
    number,
    secret,
    tagged,
    update,
)
from reliability.harness import FULL, Service, service
from sqlalchemy import create_engine, text

from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1 import matching_config_pb2 as settings

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def caller(running: Service) -> Iterator[Caller]:
    with closing(Caller(running.address)) as made:
        yield made


@pytest.mark.parametrize("case", [*MESSAGES, *VALUES, *NUMBERS], ids=str)
def test_a_bad_request_is_refused_for_its_reason_and_changes_nothing(
    caller: Caller, case: Case
) -> None:
    before = caller.head()
    watch = RPCS[case.method].server_streaming
    answer = caller.watch(case.request) if watch else caller(case.method, case.request)
    assert (answer.code, answer.reason) == (case.code, case.reason or answer.reason)
    assert answer.reason.isupper()
    assert caller.head() == before


def test_every_row_has_a_case_or_a_reason_why_not() -> None:
    shown = set(shown_rows(Path(__file__).parent))
    assert shown | set(ELSEWHERE) | set(NOT_HERE) == ROWS
    assert not shown & set(NOT_HERE)
    assert not missing(Path(__file__).parents[1])


@row("B1")
@pytest.mark.parametrize("method", sorted(RPCS))
def test_bytes_that_are_no_message_are_refused_by_every_rpc(caller: Caller, method: str) -> None:
    for body in (b"\xff", b"\x0a", bytes(range(200, 256))):
        answer = caller.watch(body) if method == "WatchConfig" else caller(method, body)
        assert (answer.code, answer.reason) == (Code.INVALID_ARGUMENT, "MALFORMED_REQUEST")


@row("B5", "B11")
@pytest.mark.parametrize(
    "method", ["GetConfig", "GetSnapshot", "ListRevisions", "DiffRevisions", "ListClients",
               "GetKeyringStatus", "ListAuditEvents", "VerifyAudit", "ExportConfig"],
)  # fmt: skip
def test_a_read_answers_an_empty_request_and_ignores_what_it_does_not_know(
    caller: Caller, method: str
) -> None:
    assert caller(method).code is Code.OK
    assert caller(method, tagged(999, 0, b"\x01")).code is Code.OK


@row("B11", "U18")
def test_an_empty_update_is_ok_and_makes_no_revision(caller: Caller) -> None:
    before = caller.head()
    for request in (b"", update({}), update({"geo": {}}), update({}, "geo")):
        answer = caller("UpdateConfig", request)
        assert (answer.code, answer.message.changed) == (Code.OK, False)
    assert caller.head() == before


@row("B8")
def test_of_a_scalar_that_comes_twice_the_last_one_counts(caller: Caller) -> None:
    geo = b"".join(delimited(3, number(value, 3)) for value in (0.1, 0.7))
    answer = caller("UpdateConfig", delimited(1, geo) + tagged(5, 0, b"\x01"))
    assert answer.message.effective.geo.neutral_score == 0.7


@row("B9")
def test_of_a_oneof_that_comes_twice_the_last_one_counts(caller: Caller) -> None:
    both = number(5.0) + delimited(3, b"last")
    fields = delimited(1, delimited(1, b"figure") + delimited(2, both))
    body = delimited(8, fields) + as_bytes(update({"geo": {"neutral_score": 0.41}}))
    assert caller("UpdateConfig", body).code is Code.OK
    assert dict(caller("GetConfig").message.evidence) == {"figure": "last"}


@row("U2")
def test_a_value_without_a_kind_is_refused(caller: Caller) -> None:
    answer = caller("UpdateConfig", evidence(Value()))
    assert (answer.code, answer.reason) == (Code.INVALID_ARGUMENT, "NOT_FINITE")


@row("U4", "U5")
def test_a_whole_number_may_be_written_with_a_point_and_minus_zero_is_zero(caller: Caller) -> None:
    answer = caller("ImportConfig", imported("date: {time_tolerance_minutes: 5.0}"))
    (change,) = [c for c in answer.message.changes if c.path == "date.time_tolerance_minutes"]
    assert change.new.int_value == 5
    stored = caller("UpdateConfig", update({"geo": {"neutral_score": -0.0}}))
    assert math.copysign(1, stored.message.effective.geo.neutral_score) == 1


@row("U9")
def test_weights_that_do_not_sum_to_one_are_stored_with_a_warning(caller: Caller) -> None:
    answer = caller("UpdateConfig", update({"scoring": {"date": 0.9}}, validate_only=True))
    assert answer.code is Code.OK
    assert any("sum" in warning for warning in answer.message.warnings)


@row("U12")
@pytest.mark.parametrize(("key", "folded"), [("__proto__", "proto"), ("a.b", "a_b"), ("Ä", "ae")])
def test_a_key_that_folds_to_a_name_is_stored_as_that_name(
    caller: Caller, key: str, folded: str
) -> None:
    answer = caller("UpdateConfig", category(key))
    assert folded in answer.message.overrides.category_weights.overrides
    assert key not in answer.message.overrides.category_weights.overrides


@row("U14", "U16")
def test_a_byte_order_mark_is_no_mistake_and_a_text_of_nothing_clears_nothing(
    caller: Caller,
) -> None:
    marked = caller("ImportConfig", imported("\ufeffgeo: {neutral_score: 0.25}"))
    assert any(c.path == "geo.neutral_score" for c in marked.message.changes)
    for yaml in ("", "null", "# nothing\n", "geo: null"):
        assert caller("ImportConfig", imported(yaml)).code is Code.INVALID_ARGUMENT
    assert caller("ImportConfig", imported("{}")).code is Code.OK


@row("U20")
@pytest.mark.parametrize("value", SECRETS.values(), ids=list(SECRETS))
def test_what_looks_like_a_secret_is_not_echoed(caller: Caller, value: str) -> None:
    for request in (
        update({"ai": {"model": value}}),
        update({"text": {"synonyms": [{"canonical": value}]}}),
        update({}, reason=value),
        update({}, f"geo.{value}"),
        evidence(Value(string_value=value)),
    ):
        answer = caller("UpdateConfig", request)
        shown = f"{answer.text} {answer.violations} {answer.facts}".lower()
        assert answer.code is Code.INVALID_ARGUMENT
        assert value.lower() not in shown


@row("U20")
@pytest.mark.parametrize("name", ["a Google key", "an OpenAI key", "a Fernet token"])
def test_a_category_is_not_named_like_a_key(caller: Caller, name: str) -> None:
    answer = caller("UpdateConfig", category(SECRETS[name]))
    assert answer.code is Code.INVALID_ARGUMENT
    assert SECRETS[name].lower() not in f"{answer.text} {answer.violations}".lower()


@row("U22")
def test_etags_of_the_past_and_of_the_future_lose(caller: Caller) -> None:
    epoch, _, head = caller.etag().partition(":")
    for wrong in (f"{epoch}:{int(head) + 5}", f"{epoch}:{'9' * 18}", f"{uuid.uuid4()}:{head}"):
        answer = caller("UpdateConfig", update({"geo": {"neutral_score": 0.9}}, etag=wrong))
        assert (answer.code, answer.reason) == (Code.ABORTED, "REVISION_CONFLICT")
        assert answer.facts["current_etag"] == f"{epoch}:{head}"


@row("U24")
def test_a_request_id_answers_the_same_request_again_and_no_other(caller: Caller) -> None:
    request = update({"geo": {"neutral_score": 0.55}}, request_id=str(uuid.uuid4()))
    first, again = caller("UpdateConfig", request), caller("UpdateConfig", request)
    assert first.message == again.message
    other = update({"geo": {"neutral_score": 0.56}}, request_id=request.request_id)
    answer = caller("UpdateConfig", other)
    assert (answer.code, answer.reason) == (Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


@row("U25")
def test_of_overlapping_paths_the_parent_wins(caller: Caller) -> None:
    caller("UpdateConfig", update({"geo": {"neutral_score": 0.61, "min_confidence": 0.62}}))
    request = pb.UpdateConfigRequest(
        config=settings.MatchingConfig(geo=settings.Geo(neutral_score=0.63)),
        update_mask=FieldMask(paths=["geo.min_confidence", "geo", "geo.neutral_score"]),
    )
    overrides = caller("UpdateConfig", request).message.overrides
    assert overrides.geo.neutral_score == 0.63
    assert not overrides.geo.HasField("min_confidence")


@row("U28")
@pytest.mark.parametrize("value", ["plain:x", "cse2.x", "gAAAAx", "ä€🎭", "a" * 4096, "a b"])
def test_a_secret_comes_back_as_it_was_set(caller: Caller, value: str) -> None:
    assert caller("SetSecret", secret(f"  {value}\n")).code is Code.OK
    answer = caller("AccessSecret", pb.AccessSecretRequest(name=KEY))
    assert answer.message.value == value


@row("U30")
def test_fifty_updates_at_once_and_a_locked_database_end_in_deliberate_statuses(
    running: Service, caller: Caller
) -> None:
    before = caller.head()
    engine = create_engine(running.env.database_url)
    with engine.connect() as connection, ThreadPoolExecutor(50) as pool:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        requests = [update({"geo": {"neutral_score": 0.1 + i / 1000}}) for i in range(50)]
        calls = [pool.submit(caller, "UpdateConfig", request) for request in requests]
        time.sleep(3 if FULL else 0.5)
        connection.rollback()
        codes = [call.result().code for call in calls]
    engine.dispose()
    assert set(codes) == {Code.OK}
    assert caller.head() == before + 50


@row("U30")
@pytest.mark.skipif(not FULL, reason="waits until the database gives the lock up")
def test_a_database_that_stays_locked_is_unavailable_with_a_time_to_retry(
    running: Service, caller: Caller
) -> None:
    engine = create_engine(running.env.database_url)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        answer = caller("UpdateConfig", update({"geo": {"neutral_score": 0.9}}))
        shown = caller("GetConfig")
        connection.rollback()
    engine.dispose()
    assert (answer.code, answer.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert shown.code is Code.OK


HOSTILE = ["'; DROP TABLE config_revisions; --", "%", "_", '"', "\\", "\x00", "a" * 900_000, "🎭"]


@row("B12", "U11")
@pytest.mark.parametrize("word", HOSTILE, ids=[repr(word[:8]) for word in HOSTILE])
@pytest.mark.parametrize(
    ("method", "field"),
    [("ListRevisions", "author"), ("ListAuditEvents", "principal"), ("ListAuditEvents", "action")],
)
def test_any_text_may_be_looked_for_and_finds_nothing(
    caller: Caller, method: str, field: str, word: str
) -> None:
    answer = caller(method, request_type(method)(**{field: word}))
    assert answer.code in (Code.OK, Code.INVALID_ARGUMENT)
    if answer.code is Code.OK:
        assert not getattr(answer.message, "revisions", None)
        assert not getattr(answer.message, "events", None)


@row("B12", "U12")
@pytest.mark.parametrize("prefix", HOSTILE[:6], ids=repr)
def test_any_prefix_of_paths_may_be_looked_for_and_finds_nothing(
    caller: Caller, prefix: str
) -> None:
    answer = caller("ListRevisions", pb.ListRevisionsRequest(path_prefix=prefix))
    assert answer.code in (Code.OK, Code.INVALID_ARGUMENT)
    assert answer.code is not Code.OK or not answer.message.revisions


@row("U21")
def test_a_long_prefix_of_paths_is_the_callers_mistake(caller: Caller) -> None:
    answer = caller("ListRevisions", pb.ListRevisionsRequest(path_prefix="a" * 60_000))
    assert answer.code is Code.INVALID_ARGUMENT


@row("U15", "Y2")
def test_a_large_yaml_text_holds_nobody_else_up(caller: Caller) -> None:
    yaml = "a: [" + "1," * 30_000 + "1]"
    with ThreadPoolExecutor(1) as pool:
        first = time.monotonic()
        importing = pool.submit(caller, "ImportConfig", imported(yaml))
        waits = []
        while not importing.done():
            began = time.monotonic()
            assert caller("GetConfig").code is Code.OK
            waits.append(time.monotonic() - began)
    assert importing.result().reason == "UNKNOWN_KEY"
    assert max(waits) < (time.monotonic() - first) / 2


def test_the_experiment_covers_every_unary_rpc() -> None:
    assert {*UNARY} == {name for name in RPCS if name != "WatchConfig"}
