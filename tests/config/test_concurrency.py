"""Many callers at once over real gRPC: nothing lost, nothing mixed, nothing torn."""

import asyncio
import contextlib
import sqlite3
from typing import Any

import grpc

from config_service.env import Env
from config_service.store import Store
from dedup_model import tree
from dedup_rpc.wire import to_document
from eventdedup.config.v1 import config_service_pb2 as pb

LEAVES = [
    ("geo", "neutral_score"), ("geo", "min_confidence"), ("date", "close_factor"),
    ("date", "unknown_time_factor"), ("ai", "confidence_threshold"), ("cluster",
    "min_internal_similarity"), ("description", "both_missing_score"), ("title", "blend_upper"),
]  # fmt: skip


def _value(number: int) -> float:
    return 0.5 + number / 100


async def test_eight_writers_of_25_disjoint_updates_lose_nothing(
    client: Any, server: Any, connect: Any
) -> None:
    clients = [connect(server.address) for _ in LEAVES]

    async def write(mine: Any, section: str, leaf: str) -> list[int]:
        answers = [
            await mine.update({section: {leaf: _value(number)}}, [f"{section}.{leaf}"])
            for number in range(1, 26)
        ]
        return [answer.revision.revision for answer in answers]

    pairs = zip(clients, LEAVES, strict=True)
    given = await asyncio.gather(*(write(mine, *leaf) for mine, leaf in pairs))
    assert sorted(number for numbers in given for number in numbers) == list(range(2, 202))
    assert all(numbers == sorted(numbers) for numbers in given)
    wanted: dict[str, Any] = {}
    for path in LEAVES:
        wanted = tree.put(wanted, path, _value(25))
    head = await client.get()
    assert head.revision.revision == 201
    assert to_document(head.overrides) == wanted
    assert to_document(head.effective) == tree.layer(tree.DEFAULTS, wanted)


async def test_of_racers_with_one_etag_exactly_one_wins(client: Any) -> None:
    for _ in range(5):
        etag = (await client.get()).revision.etag
        before = await client.head()
        racers = (
            client.update({"geo": {"neutral_score": n / 1000 + before / 10_000}}, etag=etag)
            for n in range(1, 13)
        )
        results = await asyncio.gather(*racers, return_exceptions=True)
        won = [r for r in results if isinstance(r, pb.UpdateConfigResponse)]
        lost = [r.code() for r in results if isinstance(r, grpc.aio.AioRpcError)]
        assert len(won) == 1
        assert lost == [grpc.StatusCode.ABORTED] * 11
        found = await client.get()
        assert found.revision.revision == before + 1
        assert found.effective == won[0].effective


async def test_racers_for_secrets_and_settings_share_one_row_of_revisions(client: Any) -> None:
    keys = (client.set_key(f"key-{n}") for n in range(10))
    updates = (client.update({"geo": {"neutral_score": n / 100}}) for n in range(10))
    answers = await asyncio.gather(*keys, *updates)
    assert sorted(a.revision.revision for a in answers) == list(range(2, 22))
    versions = {a.secret.version: f"key-{n}" for n, a in enumerate(answers[:10])}
    assert sorted(versions) == list(range(1, 11))
    assert (await client.key()).value == versions[10]


async def test_readers_never_see_a_mixture(client: Any) -> None:
    """Twin settings are always written together."""
    done = asyncio.Event()

    def twins(config: Any) -> tuple[float, float]:
        return config.geo.max_distance_km, config.blocking.geo_cell_km

    async def read() -> int:
        count = 0
        while not done.is_set():
            snapshot = await client.stub.GetSnapshot(pb.GetSnapshotRequest())
            found = await client.get()
            for config in (snapshot.config, found.effective):
                first, second = twins(config)
                assert first == second
            assert tree.digest(to_document(snapshot.config)) == snapshot.digest
            count += 1
        return count

    async def watch() -> int:
        call = client.stub.WatchConfig(pb.WatchConfigRequest(heartbeat_seconds=0.1))
        count = 0
        while not done.is_set():
            message = await call.read()
            if message.HasField("state"):
                first, second = twins(message.state.effective)
                assert first == second
                count += 1
        call.cancel()
        return count

    async def write() -> None:
        for number in range(60):
            value = 1.0 + number
            await client.update(
                {"geo": {"max_distance_km": value}, "blocking": {"geo_cell_km": value}}
            )

    readers = [asyncio.create_task(read()) for _ in range(3)] + [asyncio.create_task(watch())]
    await write()
    done.set()
    counts = await asyncio.gather(*readers)
    assert min(counts) > 5


async def test_a_call_cut_off_by_its_deadline_leaves_the_store_whole(
    client: Any, env: Env, store: Store
) -> None:
    path = env.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        calls = [
            client.stub.UpdateConfig(
                client.request({"geo": {"neutral_score": n / 100}}), timeout=0.2
            )
            for n in range(1, 6)
        ]
        for call in calls:
            assert (await client.refused(call)).code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await client.head() == 1
        other.execute("ROLLBACK")
    await client.update({"ai": {"enabled": True}})
    numbers = [revision.number for revision in store.page(None, 500)]
    assert numbers == list(range(numbers[0], 0, -1))
    assert store.state().revision.layers.effective["ai"]["enabled"] is True
    for number in numbers:
        revision = store.revision(number)
        assert tree.digest(revision.layers.effective) == revision.digest


async def test_calls_cancelled_at_random_leave_the_store_whole(client: Any, store: Store) -> None:
    """60 at a time: grpc 1.85 loses calls that wait behind the 100 streams of a connection."""

    async def attempt(number: int) -> None:
        call = client.stub.UpdateConfig(
            client.request({"geo": {"neutral_score": number / 1000}}), timeout=0.001 * (number % 9)
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call

    await asyncio.gather(*(attempt(number) for number in range(1, 60)))
    await asyncio.gather(*(attempt(number) for number in range(60, 120)))
    await client.update({"ai": {"enabled": True}})
    numbers = [revision.number for revision in store.page(None, 500)]
    assert numbers == list(range(numbers[0], 0, -1))
    epoch, newest = store.stamp()
    wanted = pb.GetSnapshotRequest(known_epoch=epoch, min_revision=newest)
    assert (await client.stub.GetSnapshot(wanted, timeout=10)).revision >= newest
