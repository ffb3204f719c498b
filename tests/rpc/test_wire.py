"""The converter between the settings tree and its message, over both trees."""

from typing import Any, get_args

import pytest
from google.protobuf.descriptor import Descriptor

from dedup_model import tree
from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import MatchingConfig
from dedup_model.setting import Section
from dedup_rpc.wire import refuse_unknown_fields, to_document, to_message, unknown_fields
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1 import matching_config_pb2 as settings


def model_paths(schema: type[Section], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, annotation in tree.fields(schema).items():
        nested = tree.section_of(annotation) or tree.entry_of(annotation)
        if tree.is_list(annotation):
            nested = tree.section_of(get_args(annotation)[0])
        path = f"{prefix}{name}"
        found |= model_paths(nested, f"{path}.") if nested else {path}
    return found


def message_paths(descriptor: Descriptor, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for field in descriptor.fields:
        nested = field.message_type
        if nested and nested.GetOptions().map_entry:
            nested = nested.fields_by_name["value"].message_type
        path = f"{prefix}{field.name}"
        found |= message_paths(nested, f"{path}.") if nested else {path}
    return found


def test_every_field_stands_on_both_sides() -> None:
    assert model_paths(MatchingConfig) == message_paths(settings.MatchingConfig.DESCRIPTOR)


def test_every_scalar_of_the_message_carries_presence() -> None:
    def scalars(descriptor: Descriptor) -> Any:
        for field in descriptor.fields:
            if field.message_type and not field.message_type.GetOptions().map_entry:
                yield from scalars(field.message_type)
            elif not field.message_type and not field.is_repeated:
                yield field

    found = list(scalars(settings.MatchingConfig.DESCRIPTOR))
    assert found
    assert all(field.has_presence for field in found)


def test_every_choice_of_the_model_is_a_value_of_its_enum() -> None:
    values = {v.name for v in settings.FieldStrategy.DESCRIPTOR.values}
    strategies = tree.fields(MatchingConfig)["canonical"].model_fields["field_strategies"]
    choice = next(iter(tree.fields(strategies.annotation).values()))
    assert values == {"FIELD_STRATEGY_UNSPECIFIED"} | {
        f"FIELD_STRATEGY_{member.name}" for member in choice
    }


def test_the_defaults_survive_the_round_trip() -> None:
    message = to_message(tree.DEFAULTS, settings.MatchingConfig())
    again = settings.MatchingConfig.FromString(message.SerializeToString())
    assert to_document(again) == tree.DEFAULTS


def test_an_explicit_zero_and_false_are_present() -> None:
    document = {"thresholds": {"title_veto": 0.0}, "ai": {"enabled": False}}
    assert to_document(to_message(document, settings.MatchingConfig())) == document


def test_names_that_the_message_lacks_are_skipped() -> None:
    document = {"thresholds": {"high": 0.8, "newer": 1.0}, "newer": {"x": 1}}
    message = to_message(document, settings.MatchingConfig())
    assert to_document(message) == {"thresholds": {"high": 0.8}}


def test_an_unknown_enum_value_comes_as_its_number() -> None:
    strategies = settings.FieldStrategies(title=settings.FieldStrategy.ValueType(99))
    assert to_document(strategies) == {"title": 99}


@pytest.mark.parametrize(
    ("tail", "place"),
    [(b"\xa8\x7d\x01", "2005"), (b"\x0a\x05\x12\x03\xa8\x7d\x01", "config.thresholds.2005")],
)
def test_a_field_of_a_newer_client_is_refused_with_its_place(tail: bytes, place: str) -> None:
    request = pb.UpdateConfigRequest.FromString(tail)
    assert unknown_fields(request) == [place]
    with pytest.raises(InvalidRequest) as caught:
        refuse_unknown_fields(request)
    assert [(v.path, v.rule) for v in caught.value.violations] == [(place, "UNKNOWN_FIELD")]


def test_unknown_fields_in_map_entries_are_found() -> None:
    entry = b"\x0a\x01a\x12\x03\xa8\x7d\x01"
    overrides = b"\x12" + bytes([len(entry)]) + entry
    request = settings.MatchingConfig.FromString(b"\x62" + bytes([len(overrides)]) + overrides)
    assert unknown_fields(request) == ["category_weights.overrides.a.2005"]
