"""Both clients against a real ConfigService."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from dedup_model.errors import (
    FutureRevision,
    InvalidRequest,
    PermissionDenied,
    RevisionConflict,
    SecretNotSet,
    SecretUnknown,
    Unauthenticated,
)
from dedup_model.matching_config import MatchingConfig
from dedup_model.snapshot import SecretState
from dedup_rpc.access import Access
from dedup_rpc.authz import new_token, token_digest
from dedup_rpc.client import (
    BatchStats,
    Credentials,
    Rejection,
    ServiceError,
    StatusReport,
    UnusableCredentials,
)


@pytest.fixture
def client(service, connect):
    return connect(service.address)


async def test_a_config_comes_typed_with_where_each_setting_comes_from(client):
    view = await client.get()
    assert view.config == MatchingConfig()
    assert view.etag == f"{view.epoch}:1"
    assert view.revision.origin == "initial"
    assert datetime.now(UTC) - view.revision.created_at < timedelta(minutes=1)
    assert set(view.provenance.values()) == {"default"}
    assert (view.has_api_key, view.overrides, view.evidence) == (False, {}, None)


async def test_an_update_sets_values_and_says_what_changed_and_why(client):
    edit = await client.update(
        {"thresholds.high": 0.8, "ai.model": "m-2"}, reason="more", evidence={"f1": 0.93}
    )
    view = await client.get()
    assert edit.changed
    assert [(c.path, c.old, c.new) for c in edit.changes] == [
        ("thresholds.high", 0.75, 0.8),
        ("ai.model", "gemini-2.5-flash", "m-2"),
    ]
    assert view.etag == edit.etag
    assert view.config.thresholds.high == 0.8
    assert view.provenance["thresholds.high"] == "override"
    assert (view.revision.reason, view.evidence) == ("more", {"f1": 0.93})
    assert view.revision.changed_paths == ("thresholds.high", "ai.model")


async def test_what_already_holds_makes_no_revision(client):
    edit = await client.update({"thresholds.high": 0.75, "ai.enabled": False})
    again = await client.update({"thresholds.high": 0.75})
    assert edit.changed
    assert not again.changed
    assert again.revision == edit.revision


async def test_an_update_that_is_only_judged_stores_nothing(client):
    edit = await client.update({"thresholds.high": 0.8}, validate_only=True)
    assert (edit.changed, edit.revision.number) == (True, 1)
    assert (await client.get()).revision.number == 1


async def test_none_lets_the_inherited_value_show_through_for_lists_too(client):
    await client.update({"thresholds.high": 0.8, "category_weights.priority": ["versammlung"]})
    await client.update({"thresholds.high": None, "category_weights.priority": None})
    view = await client.get()
    assert view.config == MatchingConfig()
    assert view.overrides == {}


async def test_none_deletes_a_map_entry_and_clear_brings_the_map_back(client):
    path = "category_weights.overrides"
    await client.update({f"{path}.konzert.title": 0.5, f"{path}.fasnacht": None})
    weights = (await client.get()).config.category_weights.overrides
    assert weights["konzert"].title == 0.5
    assert "fasnacht" not in weights
    await client.update(clear=[path])
    assert (await client.get()).config == MatchingConfig()


async def test_a_list_that_was_emptied_reads_as_empty_everywhere(client):
    await client.update({"text.synonyms": [], "category_weights.priority": []})
    view = await client.get()
    assert view.config.text.synonyms == []
    assert view.overrides == {"text": {"synonyms": []}, "category_weights": {"priority": []}}
    assert (await client.snapshot()).config == view.config


async def test_all_overrides_are_replaced_under_a_star_with_an_etag(client):
    edit = await client.update({"thresholds.high": 0.8})
    with pytest.raises(InvalidRequest):
        await client.update({"*": {"geo": {"max_distance_km": 3}}})
    await client.update({"*": {"geo": {"max_distance_km": 3}}}, etag=edit.etag)
    assert (await client.get()).overrides == {"geo": {"max_distance_km": 3}}


async def test_every_path_and_value_that_does_not_fit_is_named_before_anything_is_sent(connect):
    client = connect("127.0.0.1:1")
    with pytest.raises(InvalidRequest) as caught:
        await client.update(
            {
                "thresholds.hihg": 0.8,
                "thresholds.low": "0.2",
                "blocking.use_city": 1,
                "canonical.field_strategies.title": "nope",
                "text.synonyms": [1],
                "ai.api_key": "k",
            },
            clear=["geo.nothing"],
        )
    assert {(v.path, v.rule) for v in caught.value.violations} == {
        ("thresholds.hihg", "UNKNOWN_PATH"),
        ("thresholds.low", "TYPE"),
        ("blocking.use_city", "TYPE"),
        ("canonical.field_strategies.title", "TYPE"),
        ("text.synonyms", "TYPE"),
        ("ai.api_key", "SECRET"),
        ("geo.nothing", "UNKNOWN_PATH"),
    }


@pytest.mark.parametrize(
    "values", [{"*": {"thresholds": {"hihg": 1}}}, {"*": 5}, {"*": {}, "thresholds.high": 0.8}]
)
async def test_a_star_takes_a_document_of_known_settings_alone(connect, values):
    with pytest.raises(InvalidRequest):
        await connect("127.0.0.1:1").update(values, etag="e:1")


async def test_broken_rules_come_back_with_all_violations(client):
    with pytest.raises(InvalidRequest) as caught:
        await client.update({"thresholds.high": 0.1, "geo.min_confidence": 2.0})
    assert {(v.path, v.rule) for v in caught.value.violations} == {
        ("thresholds.low", "CROSS_FIELD"),
        ("geo.min_confidence", "RANGE"),
    }
    assert (await client.get()).revision.number == 1


async def test_a_stale_etag_is_a_conflict_that_names_the_present_one(client):
    stale = (await client.get()).etag
    edit = await client.update({"thresholds.high": 0.8})
    with pytest.raises(RevisionConflict) as caught:
        await client.update({"thresholds.high": 0.7}, etag=stale)
    assert caught.value.facts["current_etag"] == edit.etag
    assert (await client.get()).config.thresholds.high == 0.8


async def test_history_runs_over_pages_and_filters(client):
    for value in (0.71, 0.72, 0.73, 0.74):
        await client.update({"thresholds.high": value}, reason=str(value))
    await client.update({"geo.max_distance_km": 5})
    everything = await client.listed("history", page_size=2)
    assert [revision.number for revision in everything] == [6, 5, 4, 3, 2, 1]
    some = await client.listed("history", page_size=1, path_prefix="thresholds")
    assert [revision.reason for revision in some] == ["0.74", "0.73", "0.72", "0.71"]
    later = datetime.now(UTC) + timedelta(days=1)
    assert await client.listed("history", created_from=later) == []
    assert len(await client.listed("history", created_until=later, author="dev")) == 5


async def test_two_revisions_are_compared_and_an_old_one_comes_back(client):
    await client.update({"thresholds.high": 0.8})
    await client.update({"geo.max_distance_km": 5})
    last = await client.diff()
    assert (last.left.number, last.right.number) == (2, 3)
    assert [change.path for change in last.changes] == ["geo.max_distance_km"]
    assert len((await client.diff(1, 3)).changes) == 2
    edit = await client.rollback(1, reason="back")
    assert edit.revision.origin == "rollback"
    assert (await client.get()).config == MatchingConfig()
    assert (await client.get(2)).config.thresholds.high == 0.8
    with pytest.raises(FutureRevision):
        await client.get(99)


async def test_a_snapshot_that_still_holds_is_the_same_object(client):
    first = await client.snapshot()
    assert await client.snapshot(first) is first
    await client.update({"thresholds.high": 0.8})
    second = await client.snapshot(first)
    assert (first.config.thresholds.high, second.config.thresholds.high) == (0.75, 0.8)
    assert second.revision == first.revision + 1
    assert (await client.snapshot(revision=1)).digest == first.digest


async def test_a_snapshot_waits_for_a_revision_of_its_epoch(client):
    first = await client.snapshot()
    waiting = asyncio.ensure_future(client.snapshot(first, min_revision=first.revision + 1))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await client.update({"thresholds.high": 0.8})
    assert (await waiting).config.thresholds.high == 0.8
    with pytest.raises(ValueError, match="epoch"):
        await client.snapshot(min_revision=3)


async def test_a_revision_that_never_comes_ends_with_the_deadline(client):
    first = await client.snapshot()
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        await client.within(0.5).snapshot(first, min_revision=99)
    assert time.monotonic() - began < 5
    assert not caught.value.maybe_applied


async def test_a_secret_is_set_read_and_cleared_and_stands_in_no_repr(client):
    edit = await client.set_secret("  canary-4711\n", reason="new key")
    assert (edit.changed, edit.secret.is_set, edit.secret.version) == (True, True, 1)
    secret = await client.access_secret()
    assert (secret.value, secret.version) == ("canary-4711", 1)
    assert "canary" not in repr((secret, edit, await client.get(), await client.snapshot()))
    assert (await client.access_secret(known_version=1)).value is None
    assert (await client.snapshot()).secrets == {"ai.api_key": SecretState(True, 1)}
    assert (await client.clear_secret()).changed
    assert not (await client.clear_secret()).changed
    with pytest.raises(SecretNotSet):
        await client.access_secret()
    with pytest.raises(SecretUnknown):
        await client.set_secret("x", name="other")
    with pytest.raises(InvalidRequest):
        await client.set_secret(" ")


async def test_matchers_report_and_operators_see_who_runs_what(client):
    snapshot = await client.snapshot()
    stats = BatchStats(1, batches=1, listings=60, merge_rate=0.25)
    report = StatusReport(
        "host.1", "0.1.0", snapshot.epoch, 1, 1, "memory", Rejection(1, "odd"), (stats,)
    )
    assert await client.report_status(report) == (snapshot.epoch, 1)
    found = await client.clients()
    (one,) = found.clients
    assert (found.head, found.suspects, one.principal, one.lag) == (1, {}, "dev", 0)
    assert one.report.stats == (stats,)
    assert one.report.rejection.why == "odd"
    assert one.report.rejection.reported_at is not None


async def test_an_export_is_imported_and_the_audit_log_tells_of_it(client):
    await client.update({"thresholds.high": 0.8})
    export = await client.export_config()
    await client.update(clear=["thresholds"])
    plan = await client.import_config(export.yaml, validate_only=True)
    assert [change.path for change in plan.changes] == ["thresholds.high"]
    assert (await client.import_config(export.yaml, reason="back")).revision.origin == "import"
    assert "max_distance_km" in (await client.export_config(effective=True)).yaml
    events = await client.listed("audit_events", page_size=2)
    assert [event.action for event in events][:2] == ["ImportConfig", "UpdateConfig"]
    assert [event.sequence for event in events] == list(range(len(events), 0, -1))
    verdict = await client.verify_audit()
    assert (verdict.intact, verdict.events, verdict.findings) == (True, len(events), ())
    with pytest.raises(InvalidRequest):
        await client.import_config("thresholds: {hihg: 1}")


@pytest.fixture
async def guarded(service, tmp_path):
    """A service that knows a reader and an editor; gives the credentials of a name."""
    tokens = {name: new_token() for name in ("reader", "editor")}
    entries = [
        f"  - name: {name}\n    roles: [{name}]\n    tokens: [{{sha256: '{token_digest(token)}',"
        " expires: '2099-01-01T00:00:00Z'}]\n"
        for name, token in tokens.items()
    ]
    (tmp_path / "authz.yaml").write_text("principals:\n" + "".join(entries))
    await service.stop()
    service.access = Access("CONFIG", authz_file=tmp_path / "authz.yaml")
    await service.start()

    def credentials(name):
        file = tmp_path / f"{name}.token"
        file.write_text(tokens.get(name, new_token()))
        return Credentials(token_file=file)

    return credentials


async def test_a_role_that_is_missing_and_a_token_that_is_wrong_are_errors_of_their_own(
    service, connect, guarded
):
    reader = connect(service.address, guarded("reader"))
    stranger = connect(service.address, guarded("stranger"))
    assert (await reader.get()).revision.number == 1
    with pytest.raises(PermissionDenied):
        await reader.update({"thresholds.high": 0.8})
    with pytest.raises(Unauthenticated):
        await stranger.get()
    with pytest.raises(Unauthenticated):
        await connect(service.address).get()
    assert (await reader.get()).revision.number == 1


async def test_a_watch_with_a_wrong_token_raises_and_one_with_a_right_token_runs(
    service, connect, guarded
):
    with pytest.raises(Unauthenticated):
        await connect(service.address, guarded("stranger")).watched().next()
    editor = connect(service.address, guarded("editor"))
    watched = editor.watched()
    assert (await watched.next()).revision.number == 1
    await editor.update({"thresholds.high": 0.8})
    assert (await watched.next()).config.thresholds.high == 0.8
    await watched.close()
    assert await watched.next() is None


async def test_a_token_that_would_be_overheard_is_refused_when_the_client_is_made(
    connect, tmp_path
):
    (tmp_path / "token").write_text(new_token())
    with pytest.raises(UnusableCredentials):
        connect("config.example:50051", Credentials(token_file=tmp_path / "token"))


async def test_an_unreachable_service_is_told_within_the_deadline(connect):
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        await connect("127.0.0.1:1", deadline=0.5).get()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began < 5
