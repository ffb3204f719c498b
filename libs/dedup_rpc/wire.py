"""The only converter between documents of the model and protobuf messages, generic over both."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from dedup_model.errors import InvalidRequest, Violation

M = TypeVar("M", bound=Message)


def to_message(document: Mapping[str, Any], message: M) -> M:
    """Fill `message` from a document of the same shape; what the message has no name for is skipped.

    Enum values are the lower-case names without the enum's prefix. Returns `message`; raises
    TypeError, ValueError or AttributeError for a value of another type, booleans for numbers
    included.
    """
    known = message.DESCRIPTOR.fields_by_name
    for name, value in document.items():
        if name in known and value is not None:
            _fill_within(message, known[name], value)
    return message


def _fill_within(message: Message, field: Any, value: Any) -> None:
    try:
        _fill(message, field, value)
    except OverflowError:
        raise ValueError(f"{field.name} is too large") from None


def _fill(message: Message, field: Any, value: Any) -> None:
    target = getattr(message, field.name)
    if _is_map(field):
        for key, entry in value.items():
            to_message(entry, target[key])
    elif field.is_repeated:
        _extend(target, field, value)
    elif field.message_type:
        target.SetInParent()
        to_message(value, target)
    elif (scalar := _scalar(field, value)) is not None:
        setattr(message, field.name, scalar)


def _extend(target: Any, field: Any, values: Any) -> None:
    if not isinstance(values, list | tuple):
        raise TypeError(f"{field.name} takes a list")
    if field.message_type:
        for value in values:
            to_message(value, target.add())
    else:
        target.extend(_scalar(field, value) for value in values)


def _scalar(field: Any, value: Any) -> Any:
    if isinstance(value, bool) != (field.cpp_type == FieldDescriptor.CPPTYPE_BOOL):
        raise TypeError(f"{field.name} and its value differ in type")
    return enum_number(field.enum_type, value) if field.enum_type else value


def enum_number(enum: EnumDescriptor, value: str) -> int | None:
    """Return the number of an enum value by its lower-case name without prefix, None if unknown."""
    found = enum.values_by_name.get(_prefix(enum) + str(value).upper())
    return found.number if found else None


def enum_name(enum: EnumDescriptor, number: int) -> str | int:
    """Return the lower-case name without prefix, or the number itself when it is unknown."""
    value = enum.values_by_number.get(number)
    return value.name.removeprefix(_prefix(enum)).lower() if value else number


def _prefix(enum: EnumDescriptor) -> str:
    first = enum.values[0].name
    return first.removesuffix("UNSPECIFIED")


def to_document(message: Message) -> dict[str, Any]:
    """Return what a message holds as a document; absent fields, empty lists and maps are left out."""
    document = {}
    for field, value in message.ListFields():
        name, read = _reader(field)
        document[name] = read(value) if read else value
    return document


@cache
def _reader(field: Any) -> tuple[str, Callable[[Any], Any] | None]:
    """Return a field's name and what turns its value into a document's; None where it is the same.

    Asking descriptors anew for each value took half of the time in which batches are received.
    """
    if _is_map(field):
        return field.name, lambda value: {key: to_document(value[key]) for key in sorted(value)}
    if field.message_type:
        return field.name, _each(to_document) if field.is_repeated else to_document
    if field.enum_type:
        name = partial(enum_name, field.enum_type)
        return field.name, _each(name) if field.is_repeated else name
    return field.name, list if field.is_repeated else None


def _each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: [read(value) for value in values]


def _is_map(field: Any) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def refuse_unknown_fields(message: Message) -> None:
    """Raise `InvalidRequest` when a newer client sent fields that this release would lose."""
    places = unknown_fields(message)
    if places:
        text = "this server does not know this field; upgrade it first"
        raise InvalidRequest([Violation(place, "UNKNOWN_FIELD", text) for place in places])


def unknown_fields(message: Message) -> list[str]:
    """Return the places of fields that this release does not know, by number, at any depth."""
    return list(_unknown(message, ""))


def _unknown(message: Message, prefix: str) -> Iterator[str]:
    found: Any = UnknownFieldSet(message)
    numbers = {unknown.field_number for unknown in found}
    yield from (f"{prefix}{number}" for number in sorted(numbers))
    for field, value in message.ListFields():
        for name, child in _children(field, value):
            yield from _unknown(child, f"{prefix}{name}.")


def _children(field: Any, value: Any) -> list[tuple[str, Message]]:
    if not field.message_type:
        return []
    if _is_map(field):
        return [(f"{field.name}.{key}", value[key]) for key in sorted(value)]
    if field.is_repeated:
        return [(f"{field.name}.{i}", item) for i, item in enumerate(value)]
    return [(field.name, value)]


def timestamp(moment: datetime) -> Timestamp:
    """Return a protobuf timestamp of an aware datetime."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def moment(stamp: Timestamp) -> datetime:
    """Return an aware datetime (UTC) of a protobuf timestamp."""
    return stamp.ToDatetime(UTC)
