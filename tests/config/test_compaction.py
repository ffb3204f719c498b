"""Compaction removes only what nobody needs, says so everywhere, and leaves the audit log whole."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest

from config_service import setup
from config_service.edits import Meta, Rollback, Update
from config_service.env import Env
from config_service.idempotency import Claim
from config_service.retention import Retention
from config_service.store import Store, utc_now
from dedup_model.change import Change
from dedup_model.errors import RevisionCompacted
from dedup_model.reports import StatusReport
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as pb

DAY = timedelta(days=1)
LATER = 30 * DAY


def at(store: Store, moved: timedelta) -> Store:
    """Return the store as a process with another time of day sees it."""
    return Store(store._engine, store.keyring, lambda: utc_now() + moved)


def fill(store: Store, count: int, ago: timedelta = timedelta()) -> None:
    past = at(store, -ago)
    for number in range(count):
        value = (store.state().revision.number + number) % 9 / 10 + 0.05
        past.apply(Update(Change({"geo": {"neutral_score": value}}), Meta("ann")))


@pytest.fixture
def aged(env: Env) -> Store:
    """Return a store of 11 revisions, of which 10 were made 30 days ago."""
    store = setup.open_store(env)
    fill(store, 10, LATER)
    return store


def numbers(store: Store) -> list[int]:
    return sorted(story.number for story in store.page(None, 500))


def test_the_newest_stay_by_count(aged: Store) -> None:
    assert aged.compact(Retention(4, DAY), "ann") == 7
    assert numbers(aged) == [8, 9, 10, 11]
    assert aged.compact(Retention(4, DAY), "ann") == 0


def test_the_young_stay_by_age(aged: Store) -> None:
    fill(aged, 3)
    assert aged.compact(Retention(1, DAY), "ann") == 10
    assert numbers(aged) == [11, 12, 13, 14]  # the first of them held in that day, too


def test_nothing_goes_while_everything_is_young(aged: Store) -> None:
    assert aged.compact(Retention(1, 2 * LATER), "ann") == 0
    assert numbers(aged) == list(range(1, 12))


@pytest.mark.parametrize("count", [1, 0, -5])
def test_the_head_always_stays(aged: Store, count: int) -> None:
    aged.compact(Retention(count, timedelta()), "ann")
    assert numbers(aged) == [11]
    assert aged.state().revision.number == 11
    assert aged.verify_audit().findings == ()


def test_what_a_live_client_runs_stays(aged: Store) -> None:
    epoch = aged.stamp()[0]
    aged.report("m", StatusReport("pod-1", epoch=epoch, applied_revision=6))
    aged.report("m", StatusReport("pod-2", epoch=epoch, applied_revision=9))
    aged.report("m", StatusReport("pod-3", epoch=epoch))
    aged.report("m", StatusReport("pod-4", epoch=str(uuid.uuid4()), applied_revision=2))
    assert aged.compact(Retention(1, DAY), "ann") == 5
    assert numbers(aged)[0] == 6
    assert at(aged, timedelta(minutes=11)).compact(Retention(1, DAY), "ann") == 5


def test_what_the_answer_to_a_repeated_request_shows_stays_for_a_day(env: Env) -> None:
    store = setup.open_store(env)
    claim = Claim("ann", str(uuid.uuid4()), b"content")
    edit = Update(Change({"geo": {"neutral_score": 0.33}}), Meta("ann"))
    first = store.apply(edit, claim=claim)
    fill(store, 5)
    almost = at(store, timedelta(hours=23, minutes=59))
    assert almost.compact(Retention(1, timedelta()), "ann") == 0
    assert almost.apply(edit, claim=claim) == first
    assert at(store, timedelta(hours=26)).compact(Retention(1, timedelta()), "ann") == 6


def test_the_revision_that_such_an_answer_begins_from_stays_however_old(aged: Store) -> None:
    claim = Claim("ann", str(uuid.uuid4()), b"content")
    edit = Update(Change({"geo": {"neutral_score": 0.33}}), Meta("ann"))
    first = aged.apply(edit, claim=claim)
    assert aged.compact(Retention(1, timedelta()), "ann") == 10
    assert aged.apply(edit, claim=claim) == first


async def test_what_was_removed_is_out_of_range_everywhere(
    client: Any, admin: Any, store: Store
) -> None:
    fill(store, 6)
    assert at(store, 2 * DAY).compact(Retention(3, DAY), "ann") == 4
    stub = client.stub
    head, epoch = store.state().revision.number, store.state().epoch
    await stub.GetSnapshot(pb.GetSnapshotRequest(known_epoch=epoch, min_revision=head))
    for call in (
        client.get(2),
        stub.GetSnapshot(pb.GetSnapshotRequest(revision=1)),
        stub.DiffRevisions(pb.DiffRevisionsRequest(from_revision=4)),
        stub.DiffRevisions(pb.DiffRevisionsRequest(from_revision=6, to_revision=1)),
        stub.RollbackConfig(pb.RollbackConfigRequest(revision=3)),
        admin.ExportConfig(admin_pb.ExportConfigRequest(revision=4)),
    ):
        refused = await client.refused(call)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.OUT_OF_RANGE, "REVISION_COMPACTED",
        )  # fmt: skip
        assert refused.facts["first"] == "5"
    assert (await client.get(5)).revision.revision == 5
    assert (await client.refused(client.get(0))).reason == "REVISION_NOT_FOUND"
    assert (await client.refused(client.get(99))).reason == "FUTURE_REVISION"
    assert (await stub.RollbackConfig(pb.RollbackConfigRequest(revision=5))).changed
    verdict = await admin.VerifyAudit(admin_pb.VerifyAuditRequest())
    assert (verdict.intact, list(verdict.findings)) == (True, [])


async def test_pages_of_the_history_go_on_to_the_first_that_is_left(
    client: Any, store: Store
) -> None:
    fill(store, 9)
    first = await client.stub.ListRevisions(pb.ListRevisionsRequest(page_size=3))
    at(store, 2 * DAY).compact(Retention(5, DAY), "ann")
    request = pb.ListRevisionsRequest(page_size=3, page_token=first.next_page_token)
    second = await client.stub.ListRevisions(request)
    shown = [r.revision for page in (first, second) for r in page.revisions]
    assert (shown, second.next_page_token) == ([10, 9, 8, 7, 6], "")
    fill(store, 1)
    request = pb.ListRevisionsRequest(page_size=3, page_token=first.next_page_token)
    assert await client.stub.ListRevisions(request) == second


async def test_a_watcher_that_is_behind_a_compaction_is_told(client: Any, store: Store) -> None:
    fill(store, 6)
    epoch = (await client.get()).epoch
    at(store, 2 * DAY).compact(Retention(2, DAY), "ann")
    request = pb.WatchConfigRequest(mode=pb.WATCH_MODE_EVERY, epoch=epoch, after_revision=1)
    call = client.stub.WatchConfig(request)
    messages = [await call.read(), await call.read()]
    state = next(m.state for m in messages if m.HasField("state"))
    assert (state.revision.revision, state.resync, state.skipped_revisions) == (7, True, 5)


def test_revisions_after_a_compaction_follow_the_head(aged: Store) -> None:
    aged.compact(Retention(2, DAY), "ann")
    aged.apply(Rollback(10, Meta("ann")))
    assert numbers(aged) == [10, 11, 12]
    with pytest.raises(RevisionCompacted):
        aged.apply(Rollback(9, Meta("ann")))
    assert aged.verify_audit().findings == ()


def test_a_new_epoch_after_a_compaction_keeps_both_right(aged: Store) -> None:
    aged.compact(Retention(2, DAY), "ann")
    aged.new_epoch("ann")
    assert aged.verify_audit().findings == ()
    fill(aged, 2)
    assert aged.verify_audit().findings == ()


def test_the_variables_give_the_retention(env: Env) -> None:
    found = Env.read({"CONFIG_KEEP_REVISIONS": "7", "CONFIG_KEEP_DAYS": "3"}).retention
    assert found == Retention(7, 3 * DAY) == replace(env, retention=found).retention
    for bad in ("0", "-1", "x", "nan"):
        with pytest.raises(ValueError, match="CONFIG_KEEP_DAYS"):
            Env.read({"CONFIG_KEEP_DAYS": bad})
