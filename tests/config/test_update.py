"""UpdateConfig over the wire: the mask table, etags, and what makes a revision."""

from typing import Any

import grpc
import pytest

from dedup_model import tree
from dedup_rpc.wire import to_document
from eventdedup.config.v1 import config_service_pb2 as pb

OVERRIDES = "category_weights.overrides"
FASNACHT = tree.find(tree.DEFAULTS, ("category_weights", "overrides", "fasnacht"))
VERSAMMLUNG = tree.find(tree.DEFAULTS, ("category_weights", "overrides", "versammlung"))
MAP_SECTION = {"category_weights": {"overrides": {"markt": {"date": 1.0}}}}


async def test_with_nothing_stored_the_defaults_are_served(client: Any) -> None:
    found = await client.get()
    assert to_document(found.effective) == tree.DEFAULTS
    assert to_document(found.overrides) == {}
    assert found.HasField("has_api_key")
    assert found.has_api_key is False
    assert {leaf.provenance for leaf in found.provenance} == {pb.PROVENANCE_DEFAULT}
    assert {leaf.path for leaf in found.provenance} == {".".join(p) for p in tree.leaf_paths()}


async def test_a_partial_update_keeps_what_it_does_not_name(client: Any) -> None:
    await client.update({"thresholds": {"high": 0.9}})
    await client.update({"thresholds": {"low": 0.2}, "ai": {"model": "gemini-x"}})
    assert await client.overrides() == {
        "thresholds": {"high": 0.9, "low": 0.2},
        "ai": {"model": "gemini-x"},
    }
    assert (await client.effective())["thresholds"]["title_veto"] == 0.45


async def test_a_nested_section_merges_leaf_by_leaf(client: Any) -> None:
    await client.update({"title": {"cross_source_type": {"blend_lower": 0.3}}})
    await client.update({"title": {"cross_source_type": {"blend_upper": 0.9}}})
    title = (await client.effective())["title"]
    wanted = {**tree.DEFAULTS["title"]["cross_source_type"], "blend_lower": 0.3, "blend_upper": 0.9}
    assert title["cross_source_type"] == wanted
    assert title["primary_weight"] == 0.7


async def test_an_explicit_false_and_an_explicit_zero_count(client: Any) -> None:
    await client.update({"ai": {"enabled": True}})
    await client.update({"ai": {"enabled": False, "temperature": 0.0}})
    assert await client.overrides() == {"ai": {"enabled": False, "temperature": 0.0}}
    effective = (await client.get()).effective
    assert effective.ai.HasField("enabled")
    assert not effective.ai.enabled


async def test_what_was_read_can_be_written_back(client: Any) -> None:
    whole = tree.layer(tree.DEFAULTS, {"thresholds": {"high": 0.8}, "ai": {"enabled": True}})
    await client.update(whole)
    assert await client.effective() == whole
    again = await client.update(whole)
    assert not again.changed
    assert not again.changes


MASKED: list[tuple[str, dict[str, Any], list[str], dict[str, Any]]] = [
    ("a scalar present is set", {"thresholds": {"high": 0.8}}, ["thresholds.high"],
     {"thresholds": {"high": 0.8}}),
    ("a scalar absent is cleared", {}, ["geo.neutral_score"],
     {"geo": {"max_distance_km": 20.0}}),
    ("a section present replaces", {"geo": {"min_confidence": 0.5}}, ["geo"],
     {"geo": {"min_confidence": 0.5}}),
    ("a section absent is cleared", {}, ["geo"], {}),
    ("a map entry present is upserted", MAP_SECTION, [f"{OVERRIDES}.markt"],
     {"category_weights": {"overrides": {
         "fasnacht": FASNACHT, "versammlung": VERSAMMLUNG, "markt": {"date": 1.0}}}}),
    ("a map entry absent is deleted", {}, [f"{OVERRIDES}.fasnacht"],
     {"category_weights": {"overrides": {"versammlung": VERSAMMLUNG}}}),
    ("a value of a map entry is set", {"category_weights": {"overrides": {
        "fasnacht": {"geo": 0.5}}}}, [f"{OVERRIDES}.fasnacht.geo"],
     {"category_weights": {"overrides": {
         "fasnacht": {**FASNACHT, "geo": 0.5}, "versammlung": VERSAMMLUNG}}}),
    ("a map present is replaced", MAP_SECTION, [OVERRIDES], MAP_SECTION),
    ("a map absent shows the inherited one", {}, [OVERRIDES], {}),
    ("a list present is replaced", {"category_weights": {"priority": ["versammlung"]}},
     ["category_weights.priority"], {"category_weights": {"priority": ["versammlung"]}}),
    ("the parent wins over its child", {"geo": {"min_confidence": 0.5}},
     ["geo.min_confidence", "geo", "geo.neutral_score"], {"geo": {"min_confidence": 0.5}}),
    ("an empty mask merges like none", {"thresholds": {"high": 0.8}}, [],
     {"thresholds": {"high": 0.8}}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "mask", "wanted"), [r[1:] for r in MASKED], ids=lambda v: "")
async def test_a_mask_does_what_its_table_says(
    client: Any, body: dict[str, Any], mask: list[str], wanted: dict[str, Any]
) -> None:
    begin = {"geo": {"max_distance_km": 20.0, "neutral_score": 0.4}}
    await client.update(begin)
    answer = await client.update(body, mask)
    kept = {} if any(path.startswith("geo") for path in mask) else begin
    assert to_document(answer.overrides) == {**kept, **wanted}
    assert await client.overrides() == {**kept, **wanted}


async def test_deleting_every_entry_leaves_an_empty_map_not_the_inherited_one(client: Any) -> None:
    await client.update({}, [f"{OVERRIDES}.fasnacht", f"{OVERRIDES}.versammlung"])
    found = await client.get()
    assert not found.effective.category_weights.overrides
    sources = {leaf.path: leaf.provenance for leaf in found.provenance}
    assert sources[OVERRIDES] == pb.PROVENANCE_OVERRIDE


async def test_a_list_in_the_mask_but_not_in_the_body_becomes_empty_and_can_be_cleared(
    client: Any,
) -> None:
    await client.update({}, ["category_weights.priority"])
    assert not (await client.get()).effective.category_weights.priority
    await client.update({}, [], ["category_weights.priority"])
    priority = (await client.get()).effective.category_weights.priority
    assert list(priority) == ["fasnacht", "versammlung"]


async def test_everything_is_replaced_with_an_etag_only_and_secrets_stay(client: Any) -> None:
    await client.set_key("key-1")
    await client.update({"geo": {"neutral_score": 0.1}})
    refused = await client.update_refused({"thresholds": {"high": 0.8}}, ["*"])
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [(v.path, v.rule) for v in refused.violations] == [("etag", "REQUIRED")]
    etag = (await client.get()).revision.etag
    await client.update({"thresholds": {"high": 0.8}}, ["*"], etag=etag)
    assert await client.overrides() == {"thresholds": {"high": 0.8}}
    assert (await client.key()).value == "key-1"


async def test_clearing_a_map_entry_shows_the_inherited_entry_again(client: Any) -> None:
    """clear_mask: "the override is dropped so that the inherited value shows through"."""
    await client.update({"category_weights": {"overrides": {"fasnacht": {"date": 0.9}}}})
    await client.update({}, [], [f"{OVERRIDES}.fasnacht"])
    overrides = (await client.effective())["category_weights"]["overrides"]
    assert overrides.get("fasnacht") == FASNACHT


@pytest.mark.parametrize("path", [f"{OVERRIDES}.nosuch", f"{OVERRIDES}.nosuch.date"])
async def test_deleting_what_is_not_there_changes_nothing(client: Any, path: str) -> None:
    answer = await client.update({}, [path])
    assert (answer.changed, answer.revision.revision) == (False, 1)
    assert await client.overrides() == {}


async def test_a_category_of_digits_can_be_deleted_again(client: Any) -> None:
    await client.update({"category_weights": {"overrides": {"2024": {"date": 0.9}}}})
    await client.update({}, [f"{OVERRIDES}.2024"])
    assert "2024" not in (await client.effective())["category_weights"]["overrides"]


async def test_category_names_are_folded(client: Any) -> None:
    await client.update({"category_weights": {"overrides": {"Märkte & Messen": {"date": 1.0}}}})
    overrides = (await client.effective())["category_weights"]["overrides"]
    assert overrides["maerkte_messen"] == {"date": 1.0}
    assert overrides["fasnacht"] == FASNACHT


async def test_validate_only_shows_the_result_and_stores_nothing(client: Any) -> None:
    answer = await client.update({"thresholds": {"high": 0.9}}, validate_only=True)
    assert answer.changed
    assert answer.effective.thresholds.high == 0.9
    assert [(c.path, c.old.double_value, c.new.double_value) for c in answer.changes] == [
        ("thresholds.high", 0.75, 0.9)
    ]
    assert answer.revision.revision == 1
    assert await client.stored() == 1
    assert await client.effective() == tree.DEFAULTS


async def test_an_update_that_changes_nothing_makes_no_revision(client: Any) -> None:
    await client.update({"thresholds": {"high": 0.9}})
    for request in ({}, {"thresholds": {"high": 0.9}}):
        answer = await client.update(request)
        assert (answer.changed, answer.revision.revision) == (False, 2)
    assert await client.stored() == 2


async def test_an_override_equal_to_the_inherited_value_is_still_an_override(client: Any) -> None:
    answer = await client.update({"thresholds": {"high": 0.75}})
    assert answer.changed
    sources = {leaf.path: leaf.provenance for leaf in (await client.get()).provenance}
    assert sources["thresholds.high"] == pb.PROVENANCE_OVERRIDE
    assert sources["thresholds.low"] == pb.PROVENANCE_DEFAULT
    assert list(answer.revision.changed_paths) == ["thresholds.high"]


async def test_the_reason_and_the_author_are_stored(client: Any) -> None:
    await client.update({"thresholds": {"high": 0.9}}, reason="läuft besser")
    shown = (await client.get()).revision
    assert (shown.reason, shown.author, shown.origin) == (
        "läuft besser", "dev", pb.ORIGIN_UPDATE,
    )  # fmt: skip
    assert shown.created_at.seconds > 0


async def test_body_fields_outside_the_mask_are_ignored_and_named(client: Any) -> None:
    body = {"thresholds": {"high": 0.9, "low": 0.1}, "ai": {"enabled": True}}
    answer = await client.update(body, ["thresholds.high"])
    assert to_document(answer.overrides) == {"thresholds": {"high": 0.9}}
    named = {w.partition(":")[0] for w in answer.warnings if "update_mask" in w}
    assert named == {"thresholds.low", "ai.enabled"}


async def test_of_many_body_fields_outside_the_mask_a_hundred_are_named(client: Any) -> None:
    entries = {f"k{number:03}": {"date": 0.1, "geo": 0.2} for number in range(60)}
    body = {"category_weights": {"overrides": entries}, "geo": {"neutral_score": 0.25}}
    answer = await client.update(body, ["geo"])
    named = [w for w in answer.warnings if "update_mask" in w]
    assert len(named) == 100
    assert named[0].startswith("category_weights.overrides.k000.date: ")
    assert answer.warnings[-1] == "and 20 more"
    assert answer.changed


async def test_a_map_outside_the_mask_that_is_too_large_is_refused(client: Any) -> None:
    """Its answer would be: tens of thousands of names are more than a client takes."""
    entries = {f"k{number}": {} for number in range(30_000)}
    refused = await client.update_refused({"category_weights": {"overrides": entries}}, ["geo"])
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")
    assert [v.path for v in refused.violations] == ["category_weights.overrides"]
    assert await client.stored() == 1


async def test_a_map_value_outside_the_mask_is_named_too(client: Any) -> None:
    body = {"category_weights": {"overrides": {"fasnacht": {"date": 0.4, "geo": 0.5}}}}
    answer = await client.update(body, [f"{OVERRIDES}.fasnacht.date"])
    assert answer.effective.category_weights.overrides["fasnacht"].geo == 0.3
    assert any("fasnacht.geo" in warning for warning in answer.warnings)


async def test_weights_that_do_not_sum_to_one_are_a_warning(client: Any) -> None:
    answer = await client.update({"scoring": {"date": 0.9}})
    assert any("scoring: weights sum to 1.6" in warning for warning in answer.warnings)
    assert any("scoring" in warning for warning in (await client.get()).warnings)
    fixed = await client.update({}, ["scoring.date"])
    assert not any("scoring: weights" in warning for warning in fixed.warnings)
