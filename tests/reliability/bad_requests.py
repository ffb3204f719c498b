"""Bad requests of the bad-input table, each with the status and the reason that it must get."""

import math
import struct
import uuid
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from reliability.bad_inputs import Case, request_type

from dedup_rpc.wire import to_message
from eventdedup.config.v1 import config_admin_service_pb2 as admin
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1 import matching_config_pb2 as settings

Code = grpc.StatusCode
KEY = "ai.api_key"
MUTATING = ("UpdateConfig", "RollbackConfig", "SetSecret", "ClearSecret", "ImportConfig")
CONTROL = "a\x00b"
SOME_ID = "5b1d1c0e-8f6a-4c64-9a51-0c9a6f1f1a11"


def update(document: Any = None, *mask: str, **more: Any) -> pb.UpdateConfigRequest:
    config = to_message(document or {}, settings.MatchingConfig())
    request = pb.UpdateConfigRequest(config=config, **more)
    request.update_mask.paths.extend(mask)
    return request


def category(key: str, **weights: float) -> pb.UpdateConfigRequest:
    return update({"category_weights": {"overrides": {key: weights or {"date": 0.5}}}})


def imported(yaml: str) -> admin.ImportConfigRequest:
    return admin.ImportConfigRequest(yaml=yaml, validate_only=True)


def secret(value: str, name: str = KEY, **more: Any) -> pb.SetSecretRequest:
    return pb.SetSecretRequest(name=name, value=value, **more)


def evidence(value: Value) -> pb.UpdateConfigRequest:
    return pb.UpdateConfigRequest(evidence=Struct(fields={"figure": value}))


def tagged(number: int, wire: int, payload: bytes = b"") -> bytes:
    tag, key = number << 3 | wire, b""
    while tag >= 128:
        key, tag = key + bytes([tag % 128 + 128]), tag // 128
    return key + bytes([tag]) + payload


def delimited(number: int, payload: bytes) -> bytes:
    size, prefix = len(payload), b""
    while size >= 128:
        prefix, size = prefix + bytes([size % 128 + 128]), size // 128
    return tagged(number, 2, prefix + bytes([size]) + payload)


def deep(levels: int) -> bytes:
    body = number(1.0)
    for _ in range(levels):
        body = delimited(6, delimited(1, body))
    return delimited(8, delimited(1, delimited(1, b"a") + delimited(2, body)))


def number(value: float, field: int = 2) -> bytes:
    return tagged(field, 1, struct.pack("<d", value))


MALFORMED = {
    "truncated": delimited(4, b"abc")[:-1],
    "random bytes": bytes(range(255, 200, -1)),
    "field number 0": tagged(0, 0, b"\x01"),
    "an 11-byte varint": tagged(1, 0, b"\xff" * 10 + b"\x01"),
    "an end without a group": tagged(1, 4),
    "a length past the end": tagged(4, 2, b"\xff\xff\xff\xff\x07"),
}
NO_TEXT = {
    "invalid UTF-8": b"\xff\xfe",
    "an overlong form": b"\xc0\xaf",
    "a surrogate pair in UTF-8": b"\xed\xa0\xbd\xed\xb8\x80",
    "a lone surrogate": b"\xed\xa0\x80",
}
HUGE = 2**63 - 1

MESSAGES = [
    *(Case("B1", name, "UpdateConfig", body, reason="MALFORMED_REQUEST")
      for name, body in MALFORMED.items()),
    *(Case("B2", name, "UpdateConfig", delimited(6, body), reason="MALFORMED_REQUEST")
      for name, body in NO_TEXT.items()),
    Case("B2", "invalid UTF-8 as a map key", "UpdateConfig",
         delimited(1, delimited(12, delimited(2, delimited(1, b"\xff")))),
         reason="MALFORMED_REQUEST"),
    Case("B3", "101 levels", "UpdateConfig", deep(101), reason="MALFORMED_REQUEST"),
    Case("B4", "10,000 levels", "UpdateConfig", deep(10_000), reason="MALFORMED_REQUEST"),
    *(Case("B5", f"an unknown field in {method}", method, tagged(999, 0, b"\x01"),
           reason="UNKNOWN_FIELD") for method in MUTATING),
    Case("B5", "an unknown field deep inside", "UpdateConfig",
         delimited(1, delimited(2, tagged(999, 0, b"\x01"))), reason="UNKNOWN_FIELD"),
    Case("B6", "an unknown strategy", "UpdateConfig", pb.UpdateConfigRequest(
        config=settings.MatchingConfig(canonical=settings.Canonical(
            field_strategies=settings.FieldStrategies(title=99)))), reason="UNKNOWN_VALUE"),
    Case("B6", "an unknown watch mode", "WatchConfig", pb.WatchConfigRequest(mode=99),
         reason="UNKNOWN_VALUE"),
    Case("B6", "an unknown scope", "ExportConfig", admin.ExportConfigRequest(scope=99),
         reason="UNKNOWN_VALUE"),
    Case("B7", "a number where a message is", "UpdateConfig", tagged(1, 0, b"\x05"),
         reason="UNKNOWN_FIELD"),
    Case("B7", "a group where a text is", "UpdateConfig", tagged(6, 3) + tagged(6, 4),
         reason="UNKNOWN_FIELD"),
    Case("B7", "a required field of the wrong type", "RollbackConfig", delimited(1, b"5"),
         reason="UNKNOWN_FIELD"),
    Case("B10", "60,000 entries", "UpdateConfig", pb.UpdateConfigRequest(
        config=settings.MatchingConfig(category_weights=settings.CategoryWeights(
            overrides={f"k{i}": settings.CategoryWeight() for i in range(60_000)}))),
        reason="TOO_LARGE"),
    Case("B12", "NUL in a reason", "UpdateConfig", update({"geo": {"neutral_score": 0.1}},
         reason=CONTROL), reason="CONTROL_CHARACTER"),
    Case("B12", "NUL in a secret", "SetSecret", secret(CONTROL), reason="SECRET_FORMAT"),
    Case("B12", "NUL in a setting", "UpdateConfig", update({"ai": {"model": CONTROL}})),
    Case("B12", "NUL in evidence", "UpdateConfig", evidence(Value(string_value=CONTROL)),
         reason="CONTROL_CHARACTER"),
    Case("B12", "NUL in a mask", "UpdateConfig", update({}, CONTROL), reason="UNKNOWN_PATH"),
    Case("B12", "NUL in an etag", "UpdateConfig", update({}, etag=CONTROL), reason="ETAG_FORMAT"),
    Case("B12", "NUL in a page token", "ListRevisions",
         pb.ListRevisionsRequest(page_token=CONTROL), reason="PAGE_TOKEN"),
    Case("B12", "NUL in a report", "ReportStatus",
         pb.ReportStatusRequest(instance_id="a", version=CONTROL), reason="CONTROL_CHARACTER"),
    Case("B12", "NUL in an instance id", "ReportStatus",
         pb.ReportStatusRequest(instance_id=CONTROL), reason="FORMAT"),
    Case("B12", "NUL in a secret's name", "AccessSecret", pb.AccessSecretRequest(name=CONTROL),
         Code.NOT_FOUND, "SECRET_UNKNOWN"),
    Case("B12", "NUL in YAML", "ImportConfig", imported("geo:\n  a: \x00"), reason="YAML_SYNTAX"),
]  # fmt: skip

SECRETS = {
    "a Google key": "AIza" + "Sy" * 16,
    "an OpenAI key": "sk-" + "a1" * 16,
    "a PEM block": "-----BEGIN PRIVATE KEY-----",
    "a sealed token": "cse2.abcdef.AAAA",
    "a plain cell": "plain:hunter2",
    "a Fernet token": "gAAAA" + "B" * 30,
}
CONFUSABLE = {
    "a Cyrillic letter": "тhreshold",
    "a zero-width space": "thres\u200bhold",
    "a bidi override": "\u202ethreshold",
    "a combining form": "fa\u0308snacht",
    "no character": "",
    "129 characters": "a" * 129,
    "an emoji": "🎭",
}

VALUES = [
    *(Case("U1", f"{value} as a score", "UpdateConfig", update({"geo": {"neutral_score": value}}),
           reason="NOT_FINITE") for value in (math.nan, math.inf, -math.inf)),
    Case("U1", "NaN in a category", "UpdateConfig", category("konzert", date=math.nan),
         reason="NOT_FINITE"),
    Case("U1", "NaN in evidence", "UpdateConfig", evidence(Value(number_value=math.nan)),
         reason="NOT_FINITE"),
    Case("U1", "NaN as a rate", "ReportStatus", pb.ReportStatusRequest(
        instance_id="a", stats=[pb.BatchStats(revision=1, merge_rate=math.nan)]), reason="RANGE"),
    Case("U3", "minutes above a day", "UpdateConfig",
         update({"date": {"time_tolerance_minutes": 2000}}), reason="RANGE"),
    Case("U3", "minutes below 0", "UpdateConfig",
         update({"date": {"time_tolerance_minutes": -1}}), reason="RANGE"),
    Case("U4", "a fraction for a whole number", "ImportConfig",
         imported("date: {time_tolerance_minutes: 5.5}"), reason="TYPE"),
    Case("U6", "a text for a number", "ImportConfig", imported('geo: {neutral_score: "0.8"}'),
         reason="TYPE"),
    Case("U6", "a text for a flag", "ImportConfig", imported('ai: {enabled: "true"}'),
         reason="TYPE"),
    Case("U6", "1 for a flag", "ImportConfig", imported("ai: {enabled: 1}"), reason="TYPE"),
    Case("U6", "a flag for a number", "ImportConfig", imported("geo: {neutral_score: true}"),
         reason="TYPE"),
    *(Case("U7", f"a threshold of {value}", "UpdateConfig",
           update({"thresholds": {"high": value}}), reason="RANGE")
      for value in (-0.1, 1.0000001, 1e308)),
    Case("U8", "low above the high that holds", "UpdateConfig",
         update({"thresholds": {"low": 0.9}}), reason="CROSS_FIELD"),
    Case("U9", "weights all 0", "UpdateConfig",
         update({"scoring": dict.fromkeys(("date", "geo", "title", "description"), 0.0)}),
         reason="CROSS_FIELD"),
    Case("U9", "weights of a category all 0", "UpdateConfig",
         category("konzert", date=0.0, geo=0.0, title=0.0, description=0.0),
         reason="CROSS_FIELD"),
    Case("U10", "an unknown section", "ImportConfig", imported("tresholds: {high: 0.5}"),
         reason="UNKNOWN_KEY"),
    Case("U10", "an unknown key", "ImportConfig", imported("thresholds: {hihg: 0.5}"),
         reason="UNKNOWN_KEY"),
    *(Case("U11", f"{name} in a key", "UpdateConfig", category(key), reason="KEY_CHARSET")
      for name, key in CONFUSABLE.items()),
    *(Case("U12", f"the key {key!r} in a mask", "UpdateConfig",
           update({}, f"category_weights.overrides.{key}"), reason="UNKNOWN_PATH")
      for key in ("__proto__", "__class__", "", "a.b.c", "a" * 129)),
    Case("U13", "a key twice", "ImportConfig", imported("geo: {}\ngeo: {}"),
         reason="DUPLICATE_KEY"),
    Case("U13", "two keys that fold to one", "UpdateConfig",
         update({"category_weights": {"overrides": {"A-B": {"date": 1.0}, "a_b": {"date": 1.0}}}}),
         reason="DUPLICATE_KEY"),
    Case("U14", "a lone surrogate", "ImportConfig", imported('ai: {model: "\\ud800"}'),
         reason="YAML_SYNTAX"),
    Case("U14", "an escaped NUL", "ImportConfig", imported('ai: {model: "\\0"}')),
    Case("U15", "100,000 brackets", "ImportConfig", imported("[" * 100_000),
         reason="YAML_TOO_DEEP"),
    Case("U15", "a number of 5,000 digits", "ImportConfig",
         imported("geo: {neutral_score: " + "9" * 5000 + "}"), reason="YAML_SYNTAX"),
    *(Case("U16", f"{name} at the top", "ImportConfig", imported(yaml), reason="YAML_TOP")
      for name, yaml in {"a list": "[1]", "a text": "geo", "a number": "5"}.items()),
    Case("U17", "an item without its text", "ImportConfig",
         imported("text: {synonyms: [{variants: [a]}]}"), reason="REQUIRED"),
    Case("U17", "null for a required text", "ImportConfig",
         imported("text: {synonyms: [{canonical: null}]}"), reason="TYPE"),
    *(Case("U19", f"the path {path}", "UpdateConfig", update({}, path), reason="UNKNOWN_PATH")
      for path in ("text.synonyms.0", "text.synonyms[0]", "category_weights.priority.1")),
    Case("U19", "an entry of a list as a map", "ImportConfig",
         imported('text: {synonyms: {"0": {canonical: a}}}'), reason="TYPE"),
    *(Case("U20", name, "UpdateConfig", update({"ai": {"model": value}}))
      for name, value in SECRETS.items()),
    *(Case("U20", f"{name} in a list", "UpdateConfig",
           update({"text": {"synonyms": [{"canonical": value}]}}), reason="SECRET_IN_CONFIG")
      for name, value in SECRETS.items()),
    *(Case("U20", f"{name} as a reason", "UpdateConfig",
           update({"geo": {"neutral_score": 0.2}}, reason=value), reason="SECRET_IN_CONFIG")
      for name, value in SECRETS.items()),
    *(Case("U20", f"{name} as evidence", "UpdateConfig", evidence(Value(string_value=value)),
           reason="SECRET_IN_CONFIG") for name, value in SECRETS.items()),
    *(Case("U20", f"{name} in YAML", "ImportConfig", imported(f'ai: {{model: "{value}"}}'))
      for name, value in SECRETS.items()),
    Case("U20", "the secret itself in YAML", "ImportConfig", imported("ai: {api_key: abc}"),
         reason="UNKNOWN_KEY"),
    Case("U20", "the secret's name in a mask", "UpdateConfig", update({}, KEY),
         reason="UNKNOWN_PATH"),
    Case("U21", "a text of 20,000 characters", "UpdateConfig",
         update({"text": {"synonyms": [{"canonical": "a" * 20_000}]}}), reason="TOO_LARGE"),
    Case("U21", "1,001 items", "UpdateConfig",
         update({"text": {"synonyms": [{"canonical": f"w{i}"} for i in range(1001)]}}),
         reason="TOO_LARGE"),
    Case("U21", "more than 256 KiB in all", "UpdateConfig", update({"text": {"synonyms": [
        {"canonical": f"w{i}", "variants": ["v" * 190] * 3} for i in range(900)]}}),
        reason="TOO_LARGE"),
    Case("U21", "a reason of 1,001 characters", "UpdateConfig", update({}, reason="a" * 1001),
         reason="TOO_LARGE"),
    Case("U21", "1,001 paths", "UpdateConfig", update({}, *["geo"] * 1001), reason="TOO_LARGE"),
    Case("U21", "YAML above 256 KiB", "ImportConfig", imported("#" * 300_000),
         reason="YAML_TOO_LARGE"),
    *(Case("U22", f"the etag {etag!r}", "UpdateConfig", update({}, etag=etag),
           reason="ETAG_FORMAT")
      for etag in ("5", "x:5", f"{SOME_ID}:", f"{SOME_ID}:0", f"{SOME_ID}:-1",
                   f"{SOME_ID}:" + "9" * 30, "a" * 10_000)),
    *(Case("U23", f"the id {name}", "UpdateConfig",
           update({"geo": {"neutral_score": 0.3}}, request_id=value), reason="REQUEST_ID_FORMAT")
      for name, value in {"that is none": "abc", "of zeros": str(uuid.UUID(int=0)),
                          "in braces": f"{{{SOME_ID}}}",
                          "that is too long": "a" * 10_000}.items()),
    Case("U25", "an unknown path", "UpdateConfig", update({}, "geo.nowhere"),
         reason="UNKNOWN_PATH"),
    Case("U25", "everything without an etag", "UpdateConfig", update({}, "*"), reason="REQUIRED"),
    *(Case("U27", f"the model {model}", "UpdateConfig", update({"ai": {"model": model}}),
           reason="PATTERN")
      for model in ("../../x", "file:///etc/passwd", "http://169.254.169.254", "a b")),
    *(Case("U28", name, "SetSecret", secret(value), reason="SECRET_FORMAT")
      for name, value in {"an empty one": "", "white space": " \t\n", "5 KB": "a" * 5000,
                          "a line break inside": "a\nb", "an escape": "a\x1bb"}.items()),
    Case("U29", "another name", "SetSecret", secret("abc", "db.password"), Code.NOT_FOUND,
         "SECRET_UNKNOWN"),
    Case("U29", "another name to clear", "ClearSecret", pb.ClearSecretRequest(name="x"),
         Code.NOT_FOUND, "SECRET_UNKNOWN"),
]  # fmt: skip

NUMBERS = [
    Case("U3", "a revision of the far future", "GetConfig", pb.GetConfigRequest(revision=HUGE),
         Code.OUT_OF_RANGE, "FUTURE_REVISION"),
    *(Case("U3", f"the revision {value}", "GetConfig", pb.GetConfigRequest(revision=value),
           Code.NOT_FOUND, "REVISION_NOT_FOUND") for value in (0, -1, -HUGE - 1)),
    Case("U3", "a rollback to nothing", "RollbackConfig", b"", Code.NOT_FOUND,
         "REVISION_NOT_FOUND"),
    *(Case("U3", f"pages of {size}", method, request_type(method)(page_size=size), reason="RANGE")
      for method in ("ListRevisions", "ListAuditEvents") for size in (-1, 501, 2**31 - 1)),
    *(Case("U3", f"the time {seconds}", "ListRevisions",
           pb.ListRevisionsRequest(created_from=Timestamp(seconds=seconds)), reason="RANGE")
      for seconds in (HUGE, -HUGE, 253_402_300_800)),
    *(Case("U3", f"{cells} cells", "Rewrap", admin.RewrapRequest(max_cells=cells), reason="RANGE")
      for cells in (-1, 2**31 - 1)),
    *(Case("U3", f"a client at {value}", "ReportStatus",
           pb.ReportStatusRequest(instance_id="a", applied_revision=value), reason="RANGE")
      for value in (-1, -HUGE - 1)),
]  # fmt: skip
