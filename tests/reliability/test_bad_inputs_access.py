"""Bad credentials and missing roles, row by row of the bad-input table."""

import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from reliability.bad_inputs import RPCS, UNARY, Caller, row
from reliability.guarded import Metadata, Principals, guarded
from reliability.harness import FULL

from dedup_model.errors import Unauthenticated
from dedup_rpc.authz import AuthzFile, Peer, new_token
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_service_pb2 as pb

Code = grpc.StatusCode
WORDS = "valid credentials are required"
STRANGER = f"Bearer {new_token()}"
TRIES = 1000 if FULL else 200


@pytest.fixture(scope="module")
def principals() -> Iterator[Principals]:
    with guarded() as (running, made), closing(Caller(running.address)) as caller:
        made.caller = caller  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def caller(principals: Principals) -> Caller:
    return principals.caller  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def unsuspecting() -> Iterator[Caller]:
    """Yield a caller of a service that sees fewer wrong credentials than it limits."""
    with guarded() as (running, _), closing(Caller(running.address)) as caller:
        yield caller


@pytest.fixture
def patient() -> Iterator[tuple[Caller, Principals]]:
    """Yield a service of its own: what it refuses counts for its address."""
    with guarded() as (running, made), closing(Caller(running.address)) as caller:
        yield caller, made


REFUSED: dict[str, Metadata] = {
    "none": [],
    "Basic": [("authorization", "Basic YTpi")],
    "an empty header": [("authorization", "")],
    "no token": [("authorization", "Bearer")],
    "two words": [("authorization", f"{STRANGER} y")],
    "another case": [("authorization", STRANGER.replace("Bearer", "bearer"))],
    "two spaces": [("authorization", STRANGER.replace(" ", "  "))],
    "an unknown token": [("authorization", STRANGER)],
    "7 KB": [("authorization", "Bearer " + "a" * 7000)],
    "another header": [("x-authorization", STRANGER)],
    "text that is not ASCII": [("authorization-bin", b"\xff\xfe")],  # type: ignore[list-item]
}


@row("A1", "A2", "A3")
@pytest.mark.parametrize("shown", REFUSED.values(), ids=list(REFUSED))
def test_bad_credentials_are_refused_in_the_same_words(
    unsuspecting: Caller, shown: Metadata
) -> None:
    answer = unsuspecting("GetConfig", metadata=shown)
    expected = (Code.UNAUTHENTICATED, "UNAUTHENTICATED", WORDS)
    assert (answer.code, answer.reason, answer.text) == expected


@row("A1")
@pytest.mark.parametrize("body", [b"", b"\xff", b"\x0a"], ids=repr)
def test_who_shows_nothing_learns_nothing_of_any_rpc(
    patient: tuple[Caller, Principals], body: bytes
) -> None:
    caller, _ = patient
    answers = [caller(method, body) for method in UNARY[:8]] + [caller.watch(body)]
    assert {answer.code for answer in answers} == {Code.UNAUTHENTICATED}


@row("A3")
def test_an_expired_token_is_refused(caller: Caller, principals: Principals) -> None:
    answer = caller("GetConfig", metadata=principals.of("late"))
    assert (answer.code, answer.text) == (Code.UNAUTHENTICATED, WORDS)


@row("A2")
def test_a_10_kilobyte_token_is_refused_for_its_size(caller: Caller) -> None:
    answer = caller("GetConfig", metadata=[("authorization", "Bearer " + "a" * 10_000)])
    assert answer.code is Code.RESOURCE_EXHAUSTED


@row("A2")
def test_a_wrong_token_takes_as_long_as_none(principals: Principals) -> None:
    policy = AuthzFile(principals.file, lambda: datetime.now(UTC))
    right = principals.of("late")[0][1]
    shown = {"unknown": STRANGER, "near": right[:-1] + "AB"[right[-1] == "A"], "short": "Bearer a"}
    spent = {name: median(policy, Peer((), (value,))) for name, value in shown.items()}
    assert max(spent.values()) - min(spent.values()) < 0.0005


def median(policy: AuthzFile, peer: Peer) -> float:
    times = []
    for _ in range(500):
        began = time.thread_time()
        with suppress(Unauthenticated):
            policy.principal(peer)
        times.append(time.thread_time() - began)
    return statistics.median(times)


@row("A4")
def test_two_headers_are_refused_even_when_both_are_right(
    caller: Caller, principals: Principals
) -> None:
    for shown in (principals.of("admin") * 2, principals.of("admin") + principals.of("reader")):
        answer = caller("GetConfig", metadata=shown)
        assert (answer.code, answer.reason) == (Code.UNAUTHENTICATED, "AMBIGUOUS_CREDENTIAL")


@row("A5", "A6", "A7")
@pytest.mark.parametrize(
    ("who", "method", "needed"),
    [("reader", "UpdateConfig", "admin, editor"), ("admin", "AccessSecret", "matcher"),
     ("matcher", "GetConfig", "admin, auditor, editor, reader"),
     ("editor", "SetSecret", "admin"), ("auditor", "Rewrap", "admin"),
     ("caller", "GetConfig", "admin, auditor, editor, reader")],
)  # fmt: skip
def test_a_role_that_is_missing_is_named(
    caller: Caller, principals: Principals, who: str, method: str, needed: str
) -> None:
    for body in (b"", b"\xff"):
        answer = caller(method, body, principals.of(who))
        assert (answer.code, answer.reason) == (Code.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert answer.facts == {"required_role": needed}


@row("A9")
@pytest.mark.parametrize(
    ("who", "code"), [("matcher", Code.PERMISSION_DENIED), (None, Code.UNAUTHENTICATED)]
)
def test_reflection_needs_a_role(
    patient: tuple[Caller, Principals], who: str | None, code: grpc.StatusCode
) -> None:
    caller, principals = patient
    stub = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    calls = stub.ServerReflectionInfo(
        iter([request]), metadata=principals.of(who) if who else (), timeout=30
    )
    with pytest.raises(grpc.RpcError) as refused:
        next(calls)
    assert remote_error(refused.value).code is code


@row("A9")
def test_nobody_is_told_which_methods_there_are(caller: Caller, principals: Principals) -> None:
    for path in ("/grpc.channelz.v1.Channelz/GetServers", "/eventdedup.config.v1.X/Y"):
        with pytest.raises(grpc.RpcError) as refused:
            caller.channel.unary_unary(path)(b"", metadata=principals.of("admin"), timeout=30)
        assert remote_error(refused.value).code is Code.UNIMPLEMENTED


@row("A12")
def test_a_flood_of_wrong_tokens_is_limited_and_good_principals_notice_nothing(
    patient: tuple[Caller, Principals],
) -> None:
    caller, principals = patient

    def guess(_: int) -> grpc.StatusCode:
        wrong = [("authorization", f"Bearer {new_token()}")]
        return caller("GetConfig", metadata=wrong).code

    with ThreadPoolExecutor(8) as pool:
        guessed = pool.map(guess, range(TRIES))
        good = {caller("GetConfig", metadata=principals.of("reader")).code for _ in range(50)}
        codes = list(guessed)
    assert set(codes) == {Code.UNAUTHENTICATED, Code.RESOURCE_EXHAUSTED}
    assert codes.count(Code.UNAUTHENTICATED) < TRIES / 2
    assert good == {Code.OK}


@row("U24")
def test_one_request_id_of_two_principals_is_two_requests(
    caller: Caller, principals: Principals
) -> None:
    request_id = str(uuid.uuid4())
    answers = [
        caller("UpdateConfig", _score(value, request_id), principals.of(who))
        for who, value in (("editor", 0.11), ("second", 0.12))
    ]
    assert [answer.code for answer in answers] == [Code.OK, Code.OK]
    first, second = (answer.message.revision for answer in answers)
    assert (second.revision, first.author, second.author) == (
        first.revision + 1, "editor", "second",
    )  # fmt: skip


def _score(value: float, request_id: str) -> Message:
    request = pb.UpdateConfigRequest(request_id=request_id)
    request.config.geo.neutral_score = value
    return request


def test_the_rows_speak_of_rpcs_that_there_are() -> None:
    assert {"UpdateConfig", "AccessSecret", "SetSecret", "Rewrap"} <= set(RPCS)
