"""GetSnapshot: what a matcher runs on, and that a read sees what was acknowledged."""

import asyncio
import hashlib
import itertools
import time
from typing import Any

import grpc

from config_service.edits import Meta, Update
from config_service.store import Store
from dedup_model import tree
from dedup_model.change import Change
from dedup_rpc.wire import to_document
from eventdedup.config.v1 import config_service_pb2 as pb


async def _snapshot(client: Any, **fields: Any) -> pb.GetSnapshotResponse:
    return await client.stub.GetSnapshot(pb.GetSnapshotRequest(**fields))


async def test_a_snapshot_is_whole(client: Any) -> None:
    await client.update({"thresholds": {"high": 0.8}})
    found, config = await _snapshot(client), await client.get()
    assert (found.epoch, found.revision, found.schema_version) == (config.epoch, 2, 1)
    assert found.config == config.effective
    assert found.issued_at == config.revision.created_at
    assert found.digest == config.revision.digest
    assert [(s.name, s.is_set, s.version) for s in found.secrets] == [("ai.api_key", False, 0)]


async def test_the_digest_is_the_sha_256_of_the_canonical_json(client: Any) -> None:
    await client.update({"thresholds": {"high": 0.8}, "text": {"prefixes": [{"text": "Ä"}]}})
    found = await _snapshot(client)
    document = to_document(found.config)
    assert document["text"]["prefixes"] == [{"text": "Ä", "separator": "dash"}]
    assert found.digest == hashlib.sha256(tree.canonical_json(document)).hexdigest()


async def test_the_same_content_has_the_same_digest_and_other_content_another(client: Any) -> None:
    digests = [(await _snapshot(client)).digest]
    for high in (0.8, 0.9, 0.8):
        await client.update({"thresholds": {"high": high}})
        digests.append((await _snapshot(client)).digest)
    assert digests[1] == digests[3]
    assert len(set(digests)) == 3
    pinned = [(await _snapshot(client, revision=n)).digest for n in (1, 2, 3, 4)]
    assert pinned == digests


async def test_a_pinned_snapshot_is_the_old_one(client: Any) -> None:
    first = await _snapshot(client)
    await client.update({"thresholds": {"high": 0.8}})
    pinned = await _snapshot(client, revision=1)
    assert (pinned.revision, pinned.config, pinned.digest) == (1, first.config, first.digest)


async def test_not_modified_has_no_body(client: Any) -> None:
    head = await _snapshot(client)
    same = await _snapshot(client, known_epoch=head.epoch, known_revision=1)
    assert same.not_modified
    assert (same.epoch, same.revision, same.digest) == (head.epoch, 1, head.digest)
    assert not same.HasField("config")
    for known in ({"known_epoch": "other", "known_revision": 1}, {"known_revision": 1}):
        assert (await _snapshot(client, **known)).HasField("config")
    await client.set_key("key-1")
    changed = await _snapshot(client, known_epoch=head.epoch, known_revision=1)
    assert (changed.not_modified, changed.secrets[0].version) == (False, 1)


async def test_a_read_after_an_acknowledgement_sees_the_write(client: Any) -> None:
    for number in range(2, 22):
        await client.update({"geo": {"neutral_score": number / 100}})
        config, snapshot = await client.get(), await _snapshot(client)
        assert (config.revision.revision, snapshot.revision) == (number, number)
        assert config.effective.geo.neutral_score == number / 100
        assert snapshot.config == config.effective


async def test_min_revision_waits_for_another_servers_write(client: Any, store: Store) -> None:
    epoch = (await client.get()).epoch
    waiting = asyncio.create_task(_snapshot(client, known_epoch=epoch, min_revision=2))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    change = Change({"thresholds": {"high": 0.8}})
    await asyncio.to_thread(store.apply, Update(change, Meta("another server")))
    found = await asyncio.wait_for(waiting, 20)
    assert (found.revision, found.config.thresholds.high) == (2, 0.8)


async def test_min_revision_of_the_future_ends_before_the_deadline(client: Any) -> None:
    epoch = (await client.get()).epoch
    request = pb.GetSnapshotRequest(known_epoch=epoch, min_revision=99)
    began = time.monotonic()
    refused = await client.refused(client.stub.GetSnapshot(request, timeout=2))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "REPLICA_BEHIND")
    assert refused.facts == {"head": "1"}
    assert time.monotonic() - began > 1.5


async def test_min_revision_counts_in_its_own_epoch_only(client: Any) -> None:
    for epoch in ("", "another"):
        request = pb.GetSnapshotRequest(known_epoch=epoch, min_revision=99)
        found = await client.stub.GetSnapshot(request, timeout=10)
        assert found.revision == 1


async def test_those_who_wait_for_a_revision_leave_room_for_other_callers(
    client: Any, server: Any, connect: Any
) -> None:
    epoch = (await client.get()).epoch
    request = pb.GetSnapshotRequest(known_epoch=epoch, min_revision=99)
    greedy = connect(server.address)
    crowd = [asyncio.ensure_future(_refusal(greedy, request)) for _ in range(1000)]
    ended = itertools.islice(asyncio.as_completed(crowd, timeout=30), 500)
    assert {await refusal for refusal in ended} == {("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")}
    assert (await client.stub.GetConfig(pb.GetConfigRequest(), timeout=30)).revision.revision == 1
    assert sum(waiting.done() for waiting in crowd) == 500
    await client.update({"thresholds": {"high": 0.8}})
    for waiting in crowd:
        waiting.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert (await _snapshot(client, known_epoch=epoch, min_revision=2)).revision == 2


async def _refusal(client: Any, request: pb.GetSnapshotRequest) -> tuple[str, str]:
    refused = await client.refused(client.stub.GetSnapshot(request, timeout=60))
    return refused.code.name, refused.reason
