"""ConfigAdminService beside its neighbours: what it answers while others write, and what it refuses."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest

from eventdedup.config.v1 import config_admin_service_pb2 as pb
from eventdedup.config.v1 import config_service_pb2 as config_pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_the_state_of_a_development_ring(client: Any, admin: Any) -> None:
    found = await admin.GetKeyringStatus(pb.GetKeyringStatusRequest())
    (key,) = found.keys
    assert (key.in_ring, key.writes, key.cells) == (True, True, 3)
    assert (found.sealed, found.sealed_reason, found.note) == (False, "", "")


async def test_the_log_can_be_checked_while_writers_write(client: Any, admin: Any) -> None:
    """Each check sees one moment of the store: never an event without its revision."""
    done = asyncio.Event()

    async def write() -> None:
        for number in range(40):
            await client.update({"geo": {"neutral_score": (number % 9 + 1) / 10}})
            await client.set_key(f"key-{number}")
        done.set()

    writing = asyncio.create_task(write())
    checks = 0
    while not done.is_set():
        verdict = await admin.VerifyAudit(pb.VerifyAuditRequest())
        assert (verdict.intact, list(verdict.findings)) == (True, [])
        checks += 1
    await writing
    assert checks > 3
    assert (await admin.VerifyAudit(pb.VerifyAuditRequest())).events == 81


async def test_pages_of_the_log_neither_repeat_nor_skip_while_it_grows(
    client: Any, admin: Any
) -> None:
    for number in range(5):
        await client.set_key(f"key-{number}")
    first = await admin.ListAuditEvents(pb.ListAuditEventsRequest(page_size=2))
    await client.set_key("key-9")
    request = pb.ListAuditEventsRequest(page_size=10, page_token=first.next_page_token)
    second = await admin.ListAuditEvents(request)
    shown = [event.sequence for page in (first, second) for event in page.events]
    assert shown == [6, 5, 4, 3, 2, 1]


BAD: list[tuple[str, Any, str]] = [
    ("ImportConfig", pb.ImportConfigRequest(yaml="{}", reason="x" * 1001), "TOO_LARGE"),
    ("ImportConfig", pb.ImportConfigRequest(yaml="{}", reason="a\0b"), "CONTROL_CHARACTER"),
    ("ImportConfig", pb.ImportConfigRequest(yaml="{}", etag="7"), "ETAG_FORMAT"),
    ("ImportConfig", pb.ImportConfigRequest(yaml="{}", request_id="7"), "REQUEST_ID_FORMAT"),
    ("ExportConfig", pb.ExportConfigRequest(scope=99), "UNKNOWN_VALUE"),
    ("ListAuditEvents", pb.ListAuditEventsRequest(page_size=-1), "RANGE"),
    ("VerifyAudit", pb.VerifyAuditRequest(known_sequence=-2), "RANGE"),
    ("VerifyAudit", pb.VerifyAuditRequest(known_sequence=1), "REQUIRED"),
    ("VerifyAudit", pb.VerifyAuditRequest(known_mac="0" * 64), "REQUIRED"),
    ("Rewrap", pb.RewrapRequest(max_cells=-1), "RANGE"),
]


@pytest.mark.parametrize(("method", "request_", "rule"), BAD)
async def test_a_bad_request_is_refused_by_its_rule(
    client: Any, admin: Any, method: str, request_: Any, rule: str
) -> None:
    refused = await client.refused(getattr(admin, method)(request_))
    assert (refused.code, refused.reason) == (INVALID, rule)


async def test_fields_of_a_newer_client_are_not_lost_in_silence(client: Any, admin: Any) -> None:
    request = pb.ImportConfigRequest(yaml="ai: {enabled: true}")
    request.MergeFromString(b"\x92\x03\x01x")
    refused = await client.refused(admin.ImportConfig(request))
    assert (refused.code, refused.reason) == (INVALID, "UNKNOWN_FIELD")
    assert await client.stored() == 1


async def test_an_import_wakes_watchers(client: Any, admin: Any) -> None:
    call = client.stub.WatchConfig(config_pb.WatchConfigRequest())
    await call.read()
    await admin.ImportConfig(pb.ImportConfigRequest(yaml="ai: {enabled: true}"))
    state = (await asyncio.wait_for(call.read(), 20)).state
    assert list(state.changed_paths) == ["ai.enabled"]


async def test_eight_imports_at_once_are_one_after_the_other(client: Any, admin: Any) -> None:
    async def take(number: int) -> Any:
        text = f"geo: {{neutral_score: 0.{number + 1}}}"
        request = pb.ImportConfigRequest(yaml=text, request_id=str(uuid.uuid4()))
        return await admin.ImportConfig(request)

    answers = await asyncio.gather(*(take(number) for number in range(8)))
    changed = sorted(a.revision.revision for a in answers if a.changed)
    assert changed == list(range(2, 2 + len(changed)))
    assert await client.head() == await client.stored() == 1 + len(changed)
    assert (await admin.VerifyAudit(pb.VerifyAuditRequest())).intact


async def test_of_importers_with_one_etag_one_wins(client: Any, admin: Any) -> None:
    etag = (await client.get()).revision.etag

    async def take(number: int) -> grpc.StatusCode:
        text = f"geo: {{neutral_score: 0.{number + 1}}}"
        try:
            await admin.ImportConfig(pb.ImportConfigRequest(yaml=text, etag=etag))
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    codes = await asyncio.gather(*(take(number) for number in range(6)))
    assert sorted(code.name for code in codes) == ["ABORTED"] * 5 + ["OK"]


async def test_long_texts_that_are_read_leave_threads_to_others(client: Any, admin: Any) -> None:
    slow = pb.ImportConfigRequest(yaml=f"[{'1,' * 25_000}]", validate_only=True)
    assert (await client.refused(admin.ImportConfig(slow))).reason == "YAML_TOP"
    for _ in range(16):
        with pytest.raises(grpc.aio.AioRpcError):
            await admin.ImportConfig(slow, timeout=0.05)
    page = await client.stub.ListRevisions(config_pb.ListRevisionsRequest(), timeout=30)
    assert [shown.revision for shown in page.revisions] == [1]
