"""Export and import: what comes out goes in again, and bad YAML is refused by its line."""

import asyncio
import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config_service import setup
from config_service.edits import Import, Meta
from config_service.env import Env
from config_service.revision import Layers
from dedup_model import strict_yaml, tree
from dedup_model.errors import InvalidRequest
from dedup_rpc.wire import to_document
from eventdedup.config.v1 import config_admin_service_pb2 as pb
from eventdedup.config.v1 import config_service_pb2 as config_pb

EFFECTIVE = pb.EXPORT_SCOPE_EFFECTIVE
SOME: dict[str, Any] = {
    "thresholds": {"high": 0.8125},
    "ai": {"enabled": True, "model": "1e5"},
    "text": {"prefixes": [{"text": "am Samstag: "}, {"text": "no: 010 # 'x\" é - ~"}]},
    "category_weights": {"overrides": {"markt": {"date": 1.0}}, "priority": ["markt"]},
}


async def export(admin: Any, **fields: Any) -> str:
    return (await admin.ExportConfig(pb.ExportConfigRequest(**fields))).yaml


async def take(admin: Any, text: str, **fields: Any) -> pb.ImportConfigResponse:
    return await admin.ImportConfig(pb.ImportConfigRequest(yaml=text, **fields))


async def test_an_export_that_is_imported_changes_nothing(client: Any, admin: Any) -> None:
    await client.update(SOME)
    text = await export(admin)
    assert strict_yaml.parse(text) == await client.overrides()
    answer = await take(admin, text)
    assert (answer.changed, list(answer.changes), answer.revision.revision) == (False, [], 2)
    assert await client.stored() == 2


async def test_an_export_brings_the_same_config_back_elsewhere(
    client: Any, admin: Any, env: Env, tmp_path: Path
) -> None:
    await client.update(SOME)
    digest = (await client.get()).revision.digest
    for scope in (pb.EXPORT_SCOPE_OVERRIDES, EFFECTIVE):
        url = f"sqlite:///{tmp_path / f'other{scope}.db'}"
        store = setup.migrate(replace(env, database_url=url))
        document = strict_yaml.parse(await export(admin, scope=scope))
        _, after = store.apply(Import(document, Meta("ann")))
        assert after.revision.digest == digest
        store.close()


async def test_an_effective_export_is_a_bootstrap_file_of_the_same_digest(
    client: Any, admin: Any, with_bootstrap: Callable[[str], Env], tmp_path: Path
) -> None:
    await client.update(SOME)
    text = await export(admin, scope=EFFECTIVE)
    env = replace(with_bootstrap(text), database_url=f"sqlite:///{tmp_path / 'new.db'}")
    fresh = setup.migrate(env).state().revision
    shown = (await client.get()).revision
    assert (fresh.number, fresh.digest) == (1, shown.digest)
    assert fresh.layers.overrides == {}


async def test_an_export_names_its_revision_and_old_ones_can_be_had(
    client: Any, admin: Any
) -> None:
    await client.update({"geo": {"neutral_score": 0.25}})
    await client.update({"geo": {"neutral_score": 0.75}})
    answer = await admin.ExportConfig(pb.ExportConfigRequest(revision=2))
    assert strict_yaml.parse(answer.yaml) == {"geo": {"neutral_score": 0.25}}
    assert answer.revision.revision == 2
    first = answer.yaml.splitlines()[0]
    assert answer.revision.etag in first
    assert answer.revision.digest in first
    for number, code in ((9, "FUTURE_REVISION"), (0, "REVISION_NOT_FOUND")):
        refused = await client.refused(admin.ExportConfig(pb.ExportConfigRequest(revision=number)))
        assert refused.reason == code
    refused = await client.refused(admin.ExportConfig(pb.ExportConfigRequest(scope=7)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_VALUE")


async def test_no_secret_is_in_an_export(client: Any, admin: Any) -> None:
    await client.set_key("Canary-Export-1")
    await client.update(SOME)
    for scope in (pb.EXPORT_SCOPE_OVERRIDES, EFFECTIVE):
        text = await export(admin, scope=scope)
        assert "Canary" not in text
        assert "api_key" not in text


async def test_the_plan_is_the_result(client: Any, admin: Any) -> None:
    await client.update(SOME)
    text = "thresholds: {low: 0.2}\nai: {enabled: true}\n"
    plan = await take(admin, text, validate_only=True)
    assert await client.stored() == 2
    assert (plan.changed, plan.revision.revision) == (True, 2)
    done = await take(admin, text, reason="as planned")
    assert (done.revision.revision, done.revision.origin) == (3, config_pb.ORIGIN_IMPORT)
    assert done.revision.reason == "as planned"
    assert list(plan.changes) == list(done.changes)
    assert list(plan.warnings) == list(done.warnings)
    assert {change.path for change in done.changes} >= {"thresholds.high", "thresholds.low"}
    assert await client.overrides() == {"thresholds": {"low": 0.2}, "ai": {"enabled": True}}


async def test_an_import_replaces_all_overrides_and_keeps_secrets(client: Any, admin: Any) -> None:
    await client.set_key("key-1")
    await client.update(SOME)
    await take(admin, "{}")
    assert await client.overrides() == {}
    assert (await client.key()).value == "key-1"
    again = await take(admin, await export(admin))
    assert (again.changed, again.revision.revision) == (False, 4)


async def test_a_stale_etag_is_refused(client: Any, admin: Any) -> None:
    etag = (await client.get()).revision.etag
    await client.update({"geo": {"neutral_score": 0.25}})
    refused = await client.refused(take(admin, "ai: {enabled: true}", etag=etag))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "REVISION_CONFLICT")
    etag = (await client.get()).revision.etag
    assert (await take(admin, "ai: {enabled: true}", etag=etag)).revision.revision == 3


async def test_a_repeated_import_is_applied_once(client: Any, admin: Any) -> None:
    request_id = str(uuid.uuid4())
    first = await take(admin, "ai: {enabled: true}", request_id=request_id)
    await client.update({"ai": {"enabled": False}})
    assert await take(admin, "ai: {enabled: true}", request_id=request_id) == first
    assert await client.stored() == 3
    refused = await client.refused(take(admin, "ai: {enabled: false}", request_id=request_id))
    assert refused.reason == "REQUEST_ID_REUSED"


BAD = {
    "": ("file", "YAML_EMPTY"),
    "\ufeff \n\n": ("file", "YAML_EMPTY"),
    "# thresholds: {high: 0.8}\n": ("file", "YAML_EMPTY"),
    "null": ("file", "YAML_EMPTY"),
    "---\n...\n": ("file", "YAML_EMPTY"),
    "thresholds:\n": ("thresholds", "REQUIRED"),
    "title:\n  cross_source_type: ~\n": ("title.cross_source_type", "REQUIRED"),
    "thresholds: {high: null}": ("thresholds.high", "REQUIRED"),
    "category_weights: {overrides: }": ("category_weights.overrides", "REQUIRED"),
    "a: &x 1\nb: *x": ("line 1", "YAML_ALIAS"),
    "ai:\n  enabled: *x": ("line 2", "YAML_ALIAS"),
    "ai: !!python/object:os.system {}": ("line 1", "YAML_TAG"),
    "ai:\n  enabled: true\n  enabled: false": ("line 3", "DUPLICATE_KEY"),
    "ai: {}\nai: {}": ("line 2", "DUPLICATE_KEY"),
    "1: 2": ("line 1", "YAML_KEY"),
    "ai: {enabled: ${X}}": ("line 1", "YAML_SYNTAX"),
    "ai:\n  model: ${X}": ("line 2", "SECRET_IN_YAML"),
    "- 1": ("file", "YAML_TOP"),
    "thresholds": ("file", "YAML_TOP"),
    "ai: [": ("line 1", "YAML_SYNTAX"),
    "a: 1\n---\nb: 2": ("line 2", "YAML_SYNTAX"),
    "thresholds: {high: 1e999}": ("line 1", "YAML_SYNTAX"),
    "thresholds: {high: .nan}": ("thresholds.high", "TYPE"),
    "thresholds: {high: .inf}": ("thresholds.high", "TYPE"),
    "thresholds: {high: 7}": ("thresholds.high", "RANGE"),
    "treshold: {high: 0.8}": ("treshold", "UNKNOWN_KEY"),
    "thresholds: {hihg: 0.8}": ("thresholds.hihg", "UNKNOWN_KEY"),
    "ai: {enabled: yes}": ("ai.enabled", "TYPE"),
}


@pytest.mark.parametrize("text", BAD)
async def test_bad_yaml_is_refused_by_its_line_or_path(client: Any, admin: Any, text: str) -> None:
    refused = await client.refused(take(admin, text))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == BAD[text][1]
    assert BAD[text][0] in str(refused)
    assert await client.stored() == 1


@pytest.mark.parametrize(
    "text", ["ai: {api_key: Canary-In-Yaml-7}", "secrets: {ai.api_key: Canary-In-Yaml-7}"]
)
async def test_a_secret_in_the_yaml_is_refused_and_not_shown(
    client: Any, admin: Any, text: str
) -> None:
    refused = await client.refused(take(admin, text))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Canary" not in str(refused)


async def test_a_yaml_that_is_too_large_or_too_deep_is_refused(client: Any, admin: Any) -> None:
    large = "#" * (strict_yaml.MAX_BYTES + 1)
    assert (await client.refused(take(admin, large))).reason == "YAML_TOO_LARGE"
    assert (await client.refused(take(admin, "ai: " + "[" * 90_000))).reason == "YAML_TOO_DEEP"


async def test_other_callers_do_not_wait_while_a_long_yaml_is_read(client: Any, admin: Any) -> None:
    entries = "".join(f"    - {{text: 'prefix {i}'}}\n" for i in range(8000))
    call = take(admin, f"text:\n  prefixes:\n{entries}", validate_only=True)
    answered = 0
    reading = asyncio.ensure_future(call)
    while not reading.done():
        await client.get()
        answered += 1
    assert (await client.refused(reading)).code is grpc.StatusCode.INVALID_ARGUMENT
    assert answered > 3


LEAVES = [".".join(path) for path in tree.leaf_paths()]
SCALARS = {
    path: tree.find(tree.DEFAULTS, tuple(path.split(".")))
    for path in LEAVES
    if isinstance(tree.find(tree.DEFAULTS, tuple(path.split("."))), bool | int | float)
}
TEXTS = st.text(min_size=1, max_size=30)


def _value(path: str) -> st.SearchStrategy[Any]:
    default = SCALARS[path]
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, int):
        return st.integers(0, 500)
    return st.floats(0, 1, allow_nan=False) | st.sampled_from([0.0, 1.0, 1e-7, 5e-324, 0.1])


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw overrides of which many, not all, keep the rules."""
    found: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(sorted(SCALARS)), max_size=6, unique=True)):
        found = tree.put(found, tuple(path.split(".")), draw(_value(path)))
    words = draw(st.lists(TEXTS, max_size=4, unique=True))
    if words:
        found["text"] = {"prefixes": [{"text": word} for word in words]}
    model = draw(st.none() | TEXTS)
    return tree.put(found, ("ai", "model"), model) if model else found


BASE = Layers.of({}, {})


@settings(max_examples=150)
@given(configs())
def test_any_valid_config_comes_back_from_its_yaml(overrides: dict[str, Any]) -> None:
    try:
        layers = BASE.with_overrides(overrides)
    except InvalidRequest:
        return
    for document in (layers.overrides, layers.effective):
        again = strict_yaml.parse(strict_yaml.dump(document))
        assert tree.canonical_json(again) == tree.canonical_json(document)
        assert BASE.with_overrides(again).effective == layers.effective


SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["no", "yes", "010", "1_000", "0x1f", "12:30:45", "2026-01-01", "~", "null",
                       "1e5", "1.", ".5", "+1", "-0", "=", "<<", "*a", "&a", "!a", "%", "@", "`",
                       "\u2028", "\x85", "\ufeff", " a ", "a: b", "a #b", "1e400", ".nan", ""])
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
        st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3), max_leaves=5),
        max_size=4,
    )
)
def test_what_is_dumped_is_read_back_as_it_was(document: dict[str, Any]) -> None:
    """As far as it can be in a config: no variables, no characters that no text may hold."""
    text = strict_yaml.dump(document)
    if "${" in text:
        return
    again = strict_yaml.parse(text)
    assert tree.canonical_json(again) == tree.canonical_json(document)


def test_other_readers_of_yaml_see_the_same_scalars(env: Env) -> None:
    texts = ["no", "010", "12:30:45", "1e5", "~", "null", "2026-01-01", "1_000", "true", "=", "<<"]
    dumped = strict_yaml.dump({"texts": texts})
    assert yaml.safe_load(dumped) == {"texts": texts} == strict_yaml.parse(dumped)


def test_an_export_of_defaults_is_read_by_its_own_reader() -> None:
    again = strict_yaml.parse(strict_yaml.dump(tree.DEFAULTS))
    assert tree.canonical_json(again) == tree.canonical_json(tree.DEFAULTS)
    assert not any(isinstance(v, float) and math.isnan(v) for v in SCALARS.values())


async def test_the_wire_and_the_yaml_say_the_same(client: Any, admin: Any) -> None:
    await client.update(SOME)
    shown = to_document((await client.get()).effective)
    assert strict_yaml.parse(await export(admin, scope=EFFECTIVE)) == shown
