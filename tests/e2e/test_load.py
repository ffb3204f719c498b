"""Many batches at once: a fair queue with limits, and refusals that say when to come back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from e2e.batches import OPTIONS, listings, matcher, progress_of, requests, soon, stub_of, until

from dedup_cli import batch_client
from dedup_cli.reading import Record
from dedup_rpc.authz import new_token, token_digest
from dedup_rpc.status import RemoteError, remote_error
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service.env import Env
from matcher_service.serving import MatcherServer

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
SMALL, LARGE = 2, 2001


@asynccontextmanager
async def busy(server: MatcherServer, listings: int) -> AsyncIterator[None]:
    """Hold a place as a batch of somebody else does."""
    async with server.workers.turn(listings, lambda *_: None):
        yield


async def refused(call: Any) -> RemoteError:
    """Return how a call, unary or a stream, is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await (call if isinstance(call, Awaitable) else drained(call))
    return remote_error(refusal.value)


async def drained(call: Any) -> None:
    """Read a stream to its end."""
    async for _ in call:
        pass


def small_batch() -> pb.DeduplicateBatchRequest:
    return pb.DeduplicateBatchRequest(listings=listings(SMALL))


async def test_a_batch_that_waits_says_how_many_go_first_and_is_done_in_its_turn() -> None:
    async with matcher(MAX_BATCHES=1) as server, stub_of(server) as stub:
        async with busy(server, SMALL):
            first = stub.Deduplicate(requests(SMALL))
            assert (await until(first, "queued")).total == 0
            second = stub.Deduplicate(requests(SMALL))
            waiting = await until(second, "queued")
            assert (waiting.done, waiting.total) == (0, 1)
            assert server.workers.small.waiting == 2
        assert [message async for message in first][-1].summary.read == SMALL
        stages = [step.stage async for step in progress_of(second)]
        assert "queued" not in stages[1:]
        assert (await second.code()) is grpc.StatusCode.OK


async def test_a_batch_that_finds_a_place_is_never_queued() -> None:
    async with matcher(MAX_BATCHES=1) as server, stub_of(server) as stub:
        stages = [step.stage async for step in progress_of(stub.Deduplicate(requests(SMALL)))]
        assert "queued" not in stages


async def test_one_batch_more_than_may_wait_is_told_when_to_come_back() -> None:
    async with matcher(MAX_BATCHES=1, MAX_QUEUED=1) as server, stub_of(server) as stub:
        async with busy(server, SMALL):
            waiting = stub.DeduplicateBatch(small_batch())
            await soon(lambda: server.workers.small.waiting == 1)
            pair = pb.ExplainPairOptions(listing_a="id-000000", listing_b="id-000001")
            explain = [
                pb.ExplainPairRequest(options=pair),
                pb.ExplainPairRequest(listings=pb.ListingChunk(listings=listings(SMALL))),
            ]
            for call in (
                stub.DeduplicateBatch(small_batch()),
                stub.Deduplicate(requests(SMALL)),
                stub.ExplainPair(iter(explain)),
            ):
                error = await refused(call)
                assert (error.code, error.reason) == (EXHAUSTED, "BATCH_LIMIT")
                assert error.retry_seconds is not None
                assert 1 <= error.retry_seconds <= 60
        assert (await waiting).summary.read == SMALL
        assert (await stub.DeduplicateBatch(small_batch())).summary.read == SMALL
        assert server.intake.held == 0


async def test_a_small_batch_does_not_wait_for_a_large_one() -> None:
    async with matcher(MAX_BATCHES=1) as server, stub_of(server) as stub, busy(server, LARGE):
        assert (await stub.DeduplicateBatch(small_batch())).summary.read == SMALL
        large = stub.Deduplicate(requests(LARGE, days=300))
        await until(large, "queued")
        large.cancel()


async def test_a_caller_with_many_batches_does_not_keep_another_one_waiting(tmp_path: Path) -> None:
    file, tokens = tmp_path / "authz.yaml", {name: new_token() for name in ("anna", "bert")}
    file.write_text(
        "principals:\n"
        + "".join(
            f"  - name: {name}\n    roles: [caller]\n"
            f"    tokens: [{{sha256: '{token_digest(token)}', expires: '2099-01-01T00:00:00Z'}}]\n"
            for name, token in tokens.items()
        )
    )
    limits: dict[str, Any] = {"AUTHZ_FILE": file, "MAX_BATCHES": 1, "MAX_QUEUED": 3}
    async with matcher(**limits) as server, stub_of(server) as stub:

        def sent(name: str) -> Any:
            shown = [("authorization", f"Bearer {tokens[name]}")]
            return stub.DeduplicateBatch(small_batch(), metadata=shown)

        order = list[str]()
        async with busy(server, SMALL):
            annas = []
            for number in range(3):
                annas.append(sent("anna"))
                await soon(lambda number=number: server.workers.small.waiting == number + 1)
            bert = sent("bert")
            error = await refused(annas.pop())
            assert (error.code, error.reason) == (EXHAUSTED, "BATCH_LIMIT")
            for name, call in (("anna 1", annas[0]), ("anna 2", annas[1]), ("bert", bert)):
                call.add_done_callback(lambda _, name=name: order.append(name))
        await asyncio.gather(*annas, bert)
        await soon(lambda: len(order) == 3)
        assert order == ["anna 1", "bert", "anna 2"]


async def test_all_batches_together_hold_no_more_input_than_the_server_takes() -> None:
    text = "x" * 6000
    async with matcher(MAX_INPUT_MIB=1) as server, stub_of(server) as stub:
        held = stub.Deduplicate()
        await held.write(OPTIONS)
        for message in list(requests(100, text=text))[1:]:
            await held.write(message)
        await soon(lambda: server.intake.held > 600_000)
        error = await refused(stub.Deduplicate(requests(100, text=text)))
        assert (error.code, error.reason) == (EXHAUSTED, "BATCH_LIMIT")
        assert error.retry_seconds
        held.cancel()
        await soon(lambda: server.intake.held == 0)
        done = [message async for message in stub.Deduplicate(requests(100, text=text))]
        assert done[-1].summary.read == 100
        assert server.intake.held == 0


async def test_a_batch_that_can_never_fit_is_told_to_come_in_parts() -> None:
    text = "x" * 6000
    async with matcher(MAX_INPUT_MIB=1) as server, stub_of(server) as stub:
        every = list(requests(100, text=text))
        error = await refused(stub.Deduplicate(iter([*every, *every[1:]])))
        assert (error.code, error.reason) == (EXHAUSTED, "LIMIT_EXCEEDED")
        assert error.facts == {"limit_mib": "1"}
        assert "parts" in error.message


async def test_load_is_measured() -> None:
    async with matcher(MAX_BATCHES=1) as server, stub_of(server) as stub:

        def read(size: str, state: str) -> float | None:
            labels = {"size": size, "state": state}
            registry = server.telemetry.metrics.registry
            return registry.get_sample_value("eventdedup_matcher_batches", labels)

        async with busy(server, LARGE), busy(server, SMALL):
            waiting = stub.Deduplicate(requests(SMALL))
            await until(waiting, "queued")
            counts = [read(*row) for row in (("small", "running"), ("small", "queued"))]
            assert [*counts, read("large", "running"), read("large", "queued")] == [1, 1, 1, 0]
            registry = server.telemetry.metrics.registry
            assert registry.get_sample_value("eventdedup_matcher_held_bytes") == server.intake.held
            assert server.intake.held > 0
        await drained(waiting)


async def test_the_command_line_comes_back_to_a_full_matcher_when_it_is_told() -> None:
    records = [Record(one, "file", position) for position, one in enumerate(listings(SMALL))]
    heard = list[str]()

    def run(address: str) -> batch_client.Answer:
        return batch_client.run(address, records, 0.0, lambda stage, *_: heard.append(stage))

    async with matcher(MAX_BATCHES=1, MAX_QUEUED=0) as server:
        async with busy(server, SMALL):
            answering = asyncio.create_task(asyncio.to_thread(run, server.address))
            await soon(lambda: heard == ["receive", "queued"])
        answer = await answering
    assert answer.summary.read == SMALL
    assert len(answer.events) == answer.summary.events
    assert heard[:3] == ["receive", "queued", "receive"]


async def test_the_command_line_gives_up_on_a_matcher_that_stays_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_client, "TRIES", 2)
    async with matcher(MAX_BATCHES=1, MAX_QUEUED=0) as server, busy(server, SMALL):
        with pytest.raises(grpc.RpcError) as refusal:
            await asyncio.to_thread(batch_client.run, server.address, [], 0.0, lambda *_: None)
    assert remote_error(refusal.value).reason == "BATCH_LIMIT"


async def test_a_batch_of_more_pairs_than_allowed_is_refused_and_the_next_one_runs() -> None:
    async with matcher(MAX_PAIRS=1000) as server, stub_of(server) as stub:
        for dense in (requests(100, days=1), requests(60, days=2)):
            error = await refused(stub.Deduplicate(dense))
            assert (error.code, error.reason) == (EXHAUSTED, "LIMIT_EXCEEDED")
        assert [one async for one in stub.Deduplicate(requests(20))][-1].summary.read == 20


@pytest.mark.parametrize(
    ("name", "field", "good", "bad"),
    [
        ("MAX_BATCHES", "max_batches", "7", "0"),
        ("MAX_QUEUED", "max_queued", "0", "-1"),
        ("MAX_INPUT_MIB", "max_input_mib", "64", "many"),
        ("MAX_PAIRS", "max_pairs", "10000", "9"),
        ("STALL_SECONDS", "stall_seconds", "5", "0"),
    ],
)
def test_the_limits_are_read_and_checked(name: str, field: str, good: str, bad: str) -> None:
    assert getattr(Env.read({f"MATCHER_{name}": good}), field) == float(good)
    with pytest.raises(ValueError, match=f"MATCHER_{name}"):
        Env.read({f"MATCHER_{name}": bad})
