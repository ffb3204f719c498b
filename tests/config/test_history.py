"""The history: pages, differences, rollback."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from config_service import setup
from config_service.env import Env
from dedup_rpc.wire import to_document
from eventdedup.config.v1 import config_service_pb2 as pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def _pages(client: Any, size: int) -> list[list[int]]:
    pages, token = [], ""
    while True:
        request = pb.ListRevisionsRequest(page_size=size, page_token=token)
        page = await client.stub.ListRevisions(request)
        pages.append([revision.revision for revision in page.revisions])
        token = page.next_page_token
        if not token:
            return pages


async def _scores(client: Any, count: int) -> None:
    """Write `count` revisions, 2 and up; revision n has the neutral score n/100."""
    for number in range(2, count + 2):
        await client.update({"geo": {"neutral_score": number / 100}}, reason=f"to {number}")


async def _rollback(client: Any, revision: int, **more: Any) -> pb.RollbackConfigResponse:
    request = pb.RollbackConfigRequest(revision=revision, **more)
    return await client.stub.RollbackConfig(request)


async def test_pages_run_from_the_newest_to_the_oldest_without_gaps(client: Any) -> None:
    await _scores(client, 6)
    assert await _pages(client, 3) == [[7, 6, 5], [4, 3, 2], [1]]
    assert await _pages(client, 7) == [[7, 6, 5, 4, 3, 2, 1]]
    assert await _pages(client, 0) == [[7, 6, 5, 4, 3, 2, 1]]
    assert [len(page) for page in await _pages(client, 1)] == [1] * 7


async def test_a_page_ends_before_it_is_too_large_to_be_read(
    client: Any, sql: Callable[..., Any]
) -> None:
    await _scores(client, 9)
    sql("UPDATE config_revisions SET reason = ? WHERE revision <> 4", "ü" * 150_000)
    sql("UPDATE config_revisions SET reason = ? WHERE revision = 4", "ü" * 1_000_000)
    assert await _pages(client, 500) == [[10, 9, 8], [7, 6, 5], [4], [3, 2, 1]]
    assert await _pages(client, 2) == [[10, 9], [8, 7], [6, 5], [4], [3, 2], [1]]


async def test_a_write_between_two_pages_shifts_nothing(client: Any) -> None:
    await _scores(client, 3)
    first = await client.stub.ListRevisions(pb.ListRevisionsRequest(page_size=2))
    await client.update({"ai": {"enabled": True}})
    request = pb.ListRevisionsRequest(page_size=2, page_token=first.next_page_token)
    second = await client.stub.ListRevisions(request)
    assert [r.revision for r in (*first.revisions, *second.revisions)] == [4, 3, 2, 1]


async def test_a_revision_tells_its_story(client: Any) -> None:
    await client.update({"geo": {"neutral_score": 0.2}, "ai": {"enabled": True}}, reason="because")
    await client.set_key("key-1", reason="new key")
    page = await client.stub.ListRevisions(pb.ListRevisionsRequest())
    told = [(r.origin, list(r.changed_paths), r.reason, r.author) for r in page.revisions]
    assert told == [
        (pb.ORIGIN_SECRET, ["secrets.ai.api_key"], "new key", "dev"),
        (pb.ORIGIN_UPDATE, ["geo.neutral_score", "ai.enabled"], "because", "dev"),
        (pb.ORIGIN_INITIAL, [], "", "config-service migrate"),
    ]
    assert [r.etag for r in page.revisions] == [f"{page.epoch}:{n}" for n in (3, 2, 1)]
    assert page.revisions[0].digest == page.revisions[1].digest != page.revisions[2].digest


@pytest.mark.parametrize("size", [-1, 501, 2**31 - 1])
async def test_a_page_size_out_of_range_is_refused(client: Any, size: int) -> None:
    refused = await client.refused(
        client.stub.ListRevisions(pb.ListRevisionsRequest(page_size=size))
    )
    assert (refused.code, [v.path for v in refused.violations]) == (INVALID, ["page_size"])


async def test_a_page_token_of_another_store_is_refused(
    client: Any,
    env: Env,
    tmp_path: Path,
    serve: Callable[[Env], Awaitable[Any]],
    connect: Callable[[str], Any],
) -> None:
    other = connect(
        (await serve(replace(env, database_url=f"sqlite:///{tmp_path / 'o.db'}"))).address
    )
    await _scores(other, 2)
    token = (await other.stub.ListRevisions(pb.ListRevisionsRequest(page_size=1))).next_page_token
    request = pb.ListRevisionsRequest(page_token=token)
    assert (await other.stub.ListRevisions(request)).revisions
    refused = await client.refused(client.stub.ListRevisions(request))
    assert (refused.code, refused.reason) == (INVALID, "PAGE_TOKEN")


@pytest.mark.parametrize(
    "number", ["", "x", "-", "1.5", "9" * 30, "-" + "9" * 30, "9" * 5000], ids=lambda n: n[:8]
)
async def test_a_forged_page_token_is_refused(client: Any, number: str) -> None:
    epoch = (await client.get()).epoch
    for token in (f"{epoch}:{number}", f"{number}:1"):
        forged = base64.urlsafe_b64encode(token.encode()).decode()
        request = pb.ListRevisionsRequest(page_token=forged)
        refused = await client.refused(client.stub.ListRevisions(request))
        assert (refused.code, refused.reason) == (INVALID, "PAGE_TOKEN")


@pytest.mark.parametrize("token", ["x", "%%%", "ä", "====", base64.b64encode(b"\xff\xfe").decode()])
async def test_a_page_token_of_garbage_is_refused(client: Any, token: str) -> None:
    request = pb.ListRevisionsRequest(page_token=token)
    refused = await client.refused(client.stub.ListRevisions(request))
    assert (refused.code, refused.reason) == (INVALID, "PAGE_TOKEN")


async def test_a_difference_shows_old_and_new_in_their_own_types(client: Any) -> None:
    await client.update(
        {
            "geo": {"neutral_score": 0.25},
            "ai": {"enabled": True, "model": "gemini-x", "max_output_tokens": 10},
            "category_weights": {"priority": ["fasnacht"], "overrides": {"markt": {"date": 1.0}}},
        }
    )
    found = await client.stub.DiffRevisions(pb.DiffRevisionsRequest(from_revision=1, to_revision=2))
    shown = {c.path: (c.old, c.new) for c in found.changes}
    assert (found.from_revision.revision, found.to_revision.revision) == (1, 2)
    assert (shown["geo.neutral_score"][0].double_value, shown["geo.neutral_score"][1].double_value) == (
        0.5, 0.25,
    )  # fmt: skip
    assert shown["ai.enabled"][0].WhichOneof("kind") == "bool_value"
    assert shown["ai.max_output_tokens"][1].int_value == 10
    assert shown["ai.model"][1].string_value == "gemini-x"
    assert shown["category_weights.priority"][1].json_value == '["fasnacht"]'
    assert shown["category_weights.overrides.markt"][0].WhichOneof("kind") is None
    assert shown["category_weights.overrides.markt"][1].json_value == '{"date":1.0}'
    assert len(shown) == 6


async def test_a_difference_without_numbers_is_the_last_step(client: Any) -> None:
    only = await client.stub.DiffRevisions(pb.DiffRevisionsRequest())
    assert (only.from_revision.revision, only.to_revision.revision) == (1, 1)
    await _scores(client, 3)
    last = await client.stub.DiffRevisions(pb.DiffRevisionsRequest())
    assert (last.from_revision.revision, last.to_revision.revision) == (3, 4)
    back = await client.stub.DiffRevisions(pb.DiffRevisionsRequest(from_revision=4, to_revision=2))
    assert [(c.old.double_value, c.new.double_value) for c in back.changes] == [(0.04, 0.02)]


async def test_an_old_revision_reads_as_it_was(client: Any) -> None:
    await client.update({"geo": {"neutral_score": 0.2}})
    then = await client.get()
    await client.update({"geo": {"neutral_score": 0.9}})
    assert (await client.get(2)).effective == then.effective
    assert (await client.get(2)).revision == then.revision
    assert to_document((await client.get(1)).overrides) == {}


async def test_a_rollback_is_a_new_revision_with_the_old_overrides(client: Any) -> None:
    await _scores(client, 3)
    answer = await _rollback(client, 2, reason="was better")
    assert (answer.revision.revision, answer.revision.origin) == (5, pb.ORIGIN_ROLLBACK)
    assert (answer.changed, answer.revision.reason) == (True, "was better")
    assert to_document(answer.overrides) == {"geo": {"neutral_score": 0.02}}
    assert await client.overrides() == {"geo": {"neutral_score": 0.02}}
    assert not any("inherited" in warning for warning in answer.warnings)
    assert (await client.get()).revision.digest == (await client.get(2)).revision.digest


async def test_a_rollback_can_be_tried_first_and_takes_an_etag(client: Any) -> None:
    await _scores(client, 2)
    tried = await _rollback(client, 1, validate_only=True)
    assert [(c.path, c.new.double_value) for c in tried.changes] == [("geo.neutral_score", 0.5)]
    assert (tried.changed, tried.revision.revision) == (True, 3)
    stale = (await client.get(2)).revision.etag
    refused = await client.refused(_rollback(client, 1, etag=stale))
    assert refused.code is grpc.StatusCode.ABORTED
    assert await client.stored() == 3


async def test_a_rollback_to_the_present_changes_nothing(client: Any) -> None:
    await _scores(client, 2)
    answer = await _rollback(client, 3)
    assert (answer.changed, answer.revision.revision) == (False, 3)
    assert await client.stored() == 3


async def test_a_rollback_leaves_secrets_alone(client: Any) -> None:
    await _scores(client, 1)
    await client.set_key("key-1")
    await _rollback(client, 1)
    found = await client.key()
    assert (found.value, found.version) == ("key-1", 1)
    assert (await client.get()).has_api_key


async def test_a_rollback_warns_when_the_inherited_values_have_changed(
    with_bootstrap: Callable[[str], Env],
    serve: Callable[[Env], Awaitable[Any]],
    connect: Callable[[str], Any],
) -> None:
    env = with_bootstrap("thresholds: {high: 0.8}\n")
    setup.migrate(env)
    server = await serve(env)
    first = connect(server.address)
    await first.update({"ai": {"enabled": True}})
    await first.update({"ai": {"enabled": False}})
    await server.stop(0)
    setup.migrate(with_bootstrap("thresholds: {high: 0.7}\n"))
    client = connect((await serve(env)).address)
    answer = await _rollback(client, 2)
    assert (answer.effective.thresholds.high, answer.effective.ai.enabled) == (0.7, True)
    warned = [w for w in answer.warnings if "inherited values have changed" in w]
    assert warned == ["thresholds.high: inherited values have changed since revision 2"]
    assert to_document((await client.get(2)).effective)["thresholds"]["high"] == 0.8
