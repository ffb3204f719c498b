"""Another epoch, as after a restored database: everybody notices, nobody waits for the old one."""

import asyncio
from typing import Any

import grpc
import pytest

from config_service.store import Store
from eventdedup.config.v1 import config_service_pb2 as pb

HIGH = {"thresholds": {"high": 0.8}}


async def test_watchers_of_both_modes_get_one_whole_state_to_resync(
    client: Any, store: Store
) -> None:
    await client.update(HIGH)
    old = (await client.get()).epoch
    watches = [
        client.stub.WatchConfig(pb.WatchConfigRequest(mode=mode), timeout=10)
        for mode in (pb.WATCH_MODE_LATEST, pb.WATCH_MODE_EVERY)
    ]
    for watch in watches:
        await watch.read()
    new = await asyncio.to_thread(store.new_epoch, "test")
    for watch in watches:
        state = (await watch.read()).state
        assert (state.epoch, state.resync, state.revision.revision) == (new, True, 2)
        assert state.effective.thresholds.high == 0.8
    assert new != old


async def test_a_store_put_back_without_a_new_epoch_is_served_as_it_is_and_told_loudly(
    client: Any, sql: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Else an update would be acknowledged and not be seen until the old number is passed."""
    await client.update(HIGH)
    (head,) = sql("SELECT revision, audit_head, updated_at, updated_by FROM config_settings")
    (events,) = sql("SELECT max(sequence) FROM audit_events")
    for value in (0.81, 0.82):
        await client.update({"thresholds": {"high": value}})
    watches = [
        client.stub.WatchConfig(pb.WatchConfigRequest(mode=mode), timeout=10)
        for mode in (pb.WATCH_MODE_LATEST, pb.WATCH_MODE_EVERY)
    ]
    assert [(await watch.read()).WhichOneof("event") for watch in watches] == ["state", "bookmark"]
    assert (await client.effective())["thresholds"]["high"] == 0.82
    sql("UPDATE config_settings SET (revision, audit_head, updated_at, updated_by) = (?, ?, ?, ?)",
        *head)  # fmt: skip
    sql("DELETE FROM config_revisions WHERE revision > 2")
    sql("DELETE FROM audit_events WHERE sequence > ?", *events)
    for watch in watches:
        state = (await watch.read()).state
        assert (state.resync, state.revision.revision) == (True, 2)
    assert any("went back from revision 4 to 2" in said for said in caplog.messages)
    for number, value in ((3, 0.83), (4, 0.84)):
        assert (await client.update({"thresholds": {"high": value}})).revision.revision == number
        assert (await client.effective())["thresholds"]["high"] == value
        for watch in watches:
            state = (await watch.read()).state
            shown = state.revision.revision, state.effective.thresholds.high
            assert (state.resync, *shown) == (False, number, value)


async def test_an_etag_of_the_old_epoch_is_stale(client: Any, store: Store) -> None:
    etag = (await client.get()).revision.etag
    await asyncio.to_thread(store.new_epoch, "test")
    refused = await client.update_refused(HIGH, etag=etag)
    assert refused.code is grpc.StatusCode.ABORTED
    await client.update(HIGH, etag=refused.facts["current_etag"])


async def test_a_matcher_that_knows_the_old_epoch_gets_the_new_state_at_once(
    client: Any, store: Store
) -> None:
    old = (await client.get()).epoch
    new = await asyncio.to_thread(store.new_epoch, "test")
    await asyncio.sleep(0.3)
    request = pb.GetSnapshotRequest(known_epoch=old, known_revision=1, min_revision=99)
    answer = await client.stub.GetSnapshot(request, timeout=30)
    assert (answer.epoch, answer.revision, answer.not_modified) == (new, 1, False)


async def test_a_page_token_of_the_old_epoch_is_refused(client: Any, store: Store) -> None:
    await client.update(HIGH)
    first = await client.stub.ListRevisions(pb.ListRevisionsRequest(page_size=1))
    await asyncio.to_thread(store.new_epoch, "test")
    await asyncio.sleep(0.3)
    again = pb.ListRevisionsRequest(page_size=1, page_token=first.next_page_token)
    assert (await client.refused(client.stub.ListRevisions(again))).reason == "PAGE_TOKEN"


async def test_revisions_and_secrets_still_open(client: Any, store: Store) -> None:
    await client.set_key("key-1")
    await asyncio.to_thread(store.new_epoch, "test")
    assert (await client.key()).value == "key-1"
    assert (await client.get(1)).revision.revision == 1
