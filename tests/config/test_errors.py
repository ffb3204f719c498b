"""What is refused, with which status, and that nothing of it is stored or echoed."""

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from dedup_rpc.status import DOMAIN
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

UNKNOWN_99 = bytes([0x9A, 0x06, 0x01, 0x41])
"""Field 99, length-delimited, `A`."""
INVALID = grpc.StatusCode.INVALID_ARGUMENT

VALUES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"thresholds": {"high": float("nan")}}, [("thresholds.high", "NOT_FINITE")]),
    ({"thresholds": {"high": float("inf")}}, [("thresholds.high", "NOT_FINITE")]),
    ({"thresholds": {"high": -0.1}}, [("thresholds.high", "RANGE")]),
    ({"thresholds": {"high": 1.0000001}}, [("thresholds.high", "RANGE")]),
    ({"geo": {"max_distance_km": 1e308}}, [("geo.max_distance_km", "RANGE")]),
    ({"ai": {"max_concurrent_requests": 0}}, [("ai.max_concurrent_requests", "RANGE")]),
    ({"scoring": {"date": -1.0}}, [("scoring.date", "RANGE")]),
    ({"thresholds": {"low": 0.75}}, [("thresholds.low", "CROSS_FIELD")]),
    ({"thresholds": {"high": 0.3}}, [("thresholds.low", "CROSS_FIELD")]),
    ({"scoring": dict.fromkeys(("date", "geo", "title", "description"), 0.0)},
     [("scoring.date", "CROSS_FIELD")]),
    ({"ai": {"model": "../../x"}}, [("ai.model", "PATTERN")]),
    ({"ai": {"model": "sk-" + "a1" * 12}}, [("ai.model", "SECRET_IN_CONFIG")]),
    ({"ai": {"model": "a" * 201}}, [("ai.model", "TOO_LARGE")]),
    ({"ai": {"model": "a\x00b"}}, [("ai.model", "CONTROL_CHARACTER")]),
    ({"text": {"prefixes": [{"text": "AIza" + "b" * 30}]}},
     [("text.prefixes.0.text", "SECRET_IN_CONFIG")]),
    ({"text": {"synonyms": [{"variants": ["a"]}]}},
     [("text.synonyms.0.canonical", "REQUIRED")]),
    ({"category_weights": {"overrides": {"тест": {"date": 0.1}}}},
     [("category_weights.overrides.тест", "KEY_CHARSET")]),
    ({"category_weights": {"overrides": {"fasnacht": dict.fromkeys(
        ("date", "geo", "title", "description"), 0.0)}}},
     [("category_weights.overrides.fasnacht", "CROSS_FIELD")]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "wanted"), VALUES)
async def test_a_bad_value_is_refused_by_path_and_rule(
    client: Any, document: dict[str, Any], wanted: list[tuple[str, str]]
) -> None:
    refused = await client.update_refused(document)
    assert refused.code is INVALID
    assert [(v.path, v.rule) for v in refused.violations] == wanted
    assert await client.stored() == 1


async def test_all_violations_come_at_once(client: Any) -> None:
    document = {
        "thresholds": {"high": 0.2, "low": 0.4},
        "scoring": {"date": -1.0},
        "ai": {"model": "../x", "temperature": 9.0},
    }
    refused = await client.update_refused(document)
    paths = {v.path for v in refused.violations}
    assert paths == {"thresholds.low", "scoring.date", "ai.model", "ai.temperature"}
    assert refused.reason == "INVALID_REQUEST"


async def test_no_value_is_in_an_error(client: Any) -> None:
    canary = "canary-4711!"
    document = {
        "ai": {"model": canary, "temperature": 47.114711},
        "text": {"prefixes": [{"text": canary + "\n"}], "synonyms": [{"canonical": canary * 30}]},
    }
    refused = await client.update_refused(document, reason="r" * 10)
    assert len(refused.violations) == 4
    assert "canary" not in repr(refused)
    assert "4711" not in repr(refused)


async def test_every_error_carries_an_error_info_of_the_domain(client: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.get(77)
    status = rpc_status.from_call(caught.value)
    assert status is not None
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == (DOMAIN, "FUTURE_REVISION")


@pytest.mark.parametrize("count", [100, 400])
async def test_many_violations_still_arrive_as_invalid_argument(client: Any, count: int) -> None:
    """The details travel in trailing metadata, of which a client takes 8 to 16 KiB."""
    bad = {"date": -1.0, "geo": -1.0, "title": -1.0, "description": -1.0}
    document = {
        "category_weights": {"overrides": {f"category_{i}": bad for i in range(count // 4)}}
    }
    refused = await client.update_refused(document)
    assert (refused.code, refused.reason) == (INVALID, "RANGE")


async def test_a_huge_category_key_is_refused_as_invalid(client: Any) -> None:
    document = {"category_weights": {"overrides": {"k" * 100_000: {"date": 0.1}}}}
    refused = await client.update_refused(document)
    assert (refused.code, refused.reason) == (INVALID, "KEY_CHARSET")


async def test_a_key_that_looks_like_a_secret_is_not_echoed(client: Any) -> None:
    canary = "AIza" + "Canary7" * 5
    document = {"category_weights": {"overrides": {canary + "!": {"date": 0.1}}}}
    refused = await client.update_refused(document)
    assert refused.code is INVALID
    assert canary.lower() not in repr(refused).lower()


@pytest.mark.parametrize(
    ("document", "size"),
    [
        ({"category_weights": {"overrides": {f"k{i}": {} for i in range(60_000)}}}, 60_000),
        ({"text": {"synonyms": [{"canonical": "a", "variants": ["b" * 190] * 100}] * 20}}, 20),
        ({"text": {"prefixes": [{"text": "a"}] * 1001}}, 1001),
    ],
    ids=["keys", "bytes", "items"],
)
async def test_too_much_is_refused_as_too_large(client: Any, document: Any, size: int) -> None:
    refused = await client.update_refused(document)
    assert (refused.code, "TOO_LARGE") == (INVALID, refused.reason), size
    assert await client.stored() == 1


PATHS = [
    ("treshold.high", "did you mean thresholds"),
    ("thresholds.hihg", "high?"),
    ("text.prefixes.0", "names no setting"),
    ("category_weights.overrides.Fasnacht", "names no category"),
    ("category_weights.overrides.x.dtae", "date?"),
    ("thresholds.high.x", "names no setting"),
    ("", "names no setting"),
    ("ai.api_key", "names no setting"),
    ("__class__", "names no setting"),
]


async def test_unknown_paths_are_named_by_their_index(client: Any) -> None:
    mask = ["thresholds.high", *(path for path, _ in PATHS)]
    refused = await client.update_refused({"thresholds": {"high": 0.9}}, mask)
    assert (refused.code, refused.reason) == (INVALID, "UNKNOWN_PATH")
    places = [f"update_mask.paths[{i}]" for i in range(1, len(mask))]
    assert [v.path for v in refused.violations] == places
    for violation, (_, text) in zip(refused.violations, PATHS, strict=True):
        assert text in violation.description
    assert await client.stored() == 1


async def test_a_clear_mask_of_everything_is_refused(client: Any) -> None:
    refused = await client.update_refused({}, [], ["*", "nosuch"])
    assert [v.path for v in refused.violations] == ["clear_mask.paths[0]", "clear_mask.paths[1]"]


@pytest.mark.parametrize(
    "etag", ["x", "1", ":1", "null:1", f"{'a' * 36}:0", f"{'a' * 36}:01", f"{'a' * 36}:1 "]
)
async def test_a_malformed_etag_is_refused(client: Any, etag: str) -> None:
    refused = await client.update_refused({"thresholds": {"high": 0.9}}, etag=etag)
    assert (refused.code, refused.reason) == (INVALID, "ETAG_FORMAT")


async def test_a_stale_writer_loses_and_learns_what_changed(client: Any) -> None:
    etag = (await client.get()).revision.etag
    await client.update({"geo": {"neutral_score": 0.4}})
    await client.update({"ai": {"enabled": True}})
    refused = await client.update_refused({"thresholds": {"high": 0.9}}, etag=etag)
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "REVISION_CONFLICT")
    assert refused.facts["current_etag"] == (await client.get()).revision.etag
    assert refused.facts["changed_paths"] == "ai.enabled,geo.neutral_score"
    assert (await client.effective())["thresholds"]["high"] == 0.75


async def test_an_etag_of_the_future_or_of_another_epoch_loses(client: Any) -> None:
    epoch = (await client.get()).epoch
    for etag in (f"{epoch}:9", f"{epoch[::-1]}:1"):
        refused = await client.update_refused({"ai": {"enabled": True}}, etag=etag)
        assert refused.code is grpc.StatusCode.ABORTED
    assert await client.stored() == 1


async def test_a_reason_is_bounded_and_holds_no_control_characters(client: Any) -> None:
    too_long = await client.update_refused({"ai": {"enabled": True}}, reason="r" * 1001)
    assert [(v.path, v.rule) for v in too_long.violations] == [("reason", "TOO_LARGE")]
    odd = await client.update_refused({"ai": {"enabled": True}}, reason="a\x00b")
    assert [(v.path, v.rule) for v in odd.violations] == [("reason", "CONTROL_CHARACTER")]


def _bytes_with_unknown_fields() -> list[tuple[str, bytes, str]]:
    section = MatchingConfig(thresholds={"high": 0.9}).thresholds.SerializeToString() + UNKNOWN_99
    config = bytes([0x12, len(section)]) + section
    entry = bytes([0x0A, 1]) + b"x" + bytes([0x12, len(UNKNOWN_99)]) + UNKNOWN_99
    overrides = bytes([0x12, len(entry)]) + entry
    weights = bytes([0x62, len(overrides)]) + overrides
    return [
        ("UpdateConfig", UNKNOWN_99, "99"),
        ("UpdateConfig", bytes([0x0A, len(config)]) + config, "config.thresholds.99"),
        ("UpdateConfig", bytes([0x0A, len(weights)]) + weights,
         "config.category_weights.overrides.x.99"),
        ("UpdateConfig", bytes([0x2A, 0x01, 0x01]), "5"),
        ("RollbackConfig", bytes([0x08, 0x01]) + UNKNOWN_99, "99"),
        ("SetSecret", UNKNOWN_99, "99"),
        ("ClearSecret", UNKNOWN_99, "99"),
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "request_bytes", "place"), _bytes_with_unknown_fields())
async def test_fields_of_a_newer_client_are_not_lost_in_silence(
    client: Any, method: str, request_bytes: bytes, place: str
) -> None:
    refused = await client.refused(client.raw(method, request_bytes))
    assert (refused.code, refused.reason) == (INVALID, "UNKNOWN_FIELD")
    assert [v.path for v in refused.violations] == [place]
    assert await client.stored() == 1


@pytest.mark.parametrize("method", ["GetConfig", "GetSnapshot", "ListRevisions", "DiffRevisions"])
async def test_reads_ignore_fields_of_a_newer_client(client: Any, method: str) -> None:
    assert await client.raw(method, UNKNOWN_99)


@pytest.mark.parametrize("number", [0, 99, -1])
async def test_an_unknown_enum_value_is_refused(client: Any, number: int) -> None:
    request = pb.UpdateConfigRequest()
    request.config.canonical.field_strategies.title = number  # type: ignore[assignment]
    refused = await client.refused(client.stub.UpdateConfig(request))
    assert (refused.code, refused.reason) == (INVALID, "UNKNOWN_VALUE")
    assert refused.violations[0].path == "canonical.field_strategies.title"


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x0a\xff", b"\x00\x01", b"\xff" * 11, b"\x22\x02\xc0\x80", b"\x32\x01\xff", b"\x0a" * 40],
    ids=["truncated", "field-0", "varint", "overlong", "utf-8", "nested"],
)
async def test_malformed_bytes_are_invalid(client: Any, request_bytes: bytes) -> None:
    refused = await client.refused(client.raw("UpdateConfig", request_bytes))
    assert (refused.code, refused.reason) == (INVALID, "MALFORMED_REQUEST")


@pytest.mark.parametrize(
    ("revision", "code", "reason"),
    [
        (0, grpc.StatusCode.NOT_FOUND, "REVISION_NOT_FOUND"),
        (-(2**63), grpc.StatusCode.NOT_FOUND, "REVISION_NOT_FOUND"),
        (2, grpc.StatusCode.OUT_OF_RANGE, "FUTURE_REVISION"),
        (2**63 - 1, grpc.StatusCode.OUT_OF_RANGE, "FUTURE_REVISION"),
    ],
)
async def test_a_revision_that_is_not_there_has_its_status_everywhere(
    client: Any, revision: int, code: grpc.StatusCode, reason: str
) -> None:
    calls = (
        client.stub.GetConfig(pb.GetConfigRequest(revision=revision)),
        client.stub.GetSnapshot(pb.GetSnapshotRequest(revision=revision)),
        client.stub.DiffRevisions(pb.DiffRevisionsRequest(from_revision=revision)),
        client.stub.DiffRevisions(pb.DiffRevisionsRequest(to_revision=revision)),
        client.stub.RollbackConfig(pb.RollbackConfigRequest(revision=revision)),
    )
    for call in calls:
        refused = await client.refused(call)
        assert (refused.code, refused.reason) == (code, reason)
