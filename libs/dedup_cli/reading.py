"""Reading listing files: the earlier system's JSON, JSON Lines and Parquet."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from dedup_model.errors import invalid
from dedup_rpc.wire import to_message
from eventdedup.matcher.v1.matcher_service_pb2 import Listing

MAX_LISTING_BYTES = 512 * 1024
_FIELDS = frozenset(Listing.DESCRIPTOR.fields_by_name) - {"source_code", "extra_json"}


@dataclass(frozen=True)
class Problem:
    """A record that cannot be sent; never its content."""

    listing_id: str
    source_code: str
    file: str
    position: int
    field: str
    reason: str


@dataclass(frozen=True)
class Record:
    """One listing with the place it was read from; positions count from 0 in its file."""

    listing: Listing
    file: str
    position: int


@dataclass(frozen=True)
class _Unread:
    reason: str


_NOT_UTF_8 = _Unread("not UTF-8")


def read_files(paths: Sequence[Path]) -> Iterator[Record | Problem]:
    """Yield the records of all files; raises `InvalidRequest` for a file that is none of these."""
    for path in paths:
        yield from _read_file(path)


def _read_file(path: Path) -> Iterator[Record | Problem]:
    fallback = path.name.partition("_")[0] if "_" in path.name else path.name
    for position, record in enumerate(_records(path)):
        if not isinstance(record, dict):
            reason = record.reason if isinstance(record, _Unread) else "not a JSON object"
            yield Problem("", fallback, str(path), position, "record", reason)
            continue
        try:
            listing = _listing(record, fallback)
        except RecursionError:
            yield Problem("", fallback, str(path), position, "record", "nested too deeply")
            continue
        if listing.ByteSize() <= MAX_LISTING_BYTES:
            yield Record(listing, str(path), position)
        else:
            reason = f"larger than {MAX_LISTING_BYTES} bytes"
            name, source = listing.id[:200], listing.source_code[:200]
            yield Problem(name, source, str(path), position, "listing", reason)


def _records(path: Path) -> Iterator[Any]:
    match path.suffix.lower():
        case ".json":
            yield from _json_events(path)
        case ".jsonl" | ".ndjson":
            yield from _json_lines(path)
        case ".parquet":
            yield from _parquet_rows(path)
        case _:
            raise invalid(str(path), "FILE_TYPE", "must end in .json, .jsonl or .parquet")


def _json_events(path: Path) -> list[Any]:
    document = _document(path.read_bytes())
    if isinstance(document, _Unread):
        raise invalid(str(path), "FILE_FORMAT", f"is {document.reason}")
    events = document.get("events") if isinstance(document, dict) else document
    if not isinstance(events, list):
        raise invalid(str(path), "FILE_FORMAT", 'must hold {"events": [...]}')
    metadata = document.get("metadata") if isinstance(document, dict) else None
    source = metadata.get("sourceKey") if isinstance(metadata, dict) else None
    return [
        {"sourceKey": source, **event} if source and isinstance(event, dict) else event
        for event in events
    ]


def _document(text: bytes) -> Any:
    """Return a JSON value, or why there is none; parts that are not UTF-8 become `_Unread`."""
    whole = _parsed(text)
    if whole != _NOT_UTF_8:
        return whole
    parts = _loaded(text.decode("utf-8-sig", "surrogateescape"))
    if isinstance(parts, dict) and isinstance(parts.get("events"), list):
        return {**parts, "events": list(map(_sound, parts["events"]))}
    return list(map(_sound, parts)) if isinstance(parts, list) else whole


def _sound(record: Any) -> Any:
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _NOT_UTF_8
    return record


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield _parsed(line)


def _parsed(text: bytes) -> Any:
    """Return a JSON value, or why there is none."""
    try:
        return _loaded(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _NOT_UTF_8


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        return _Unread("not JSON")


def _integer(digits: str) -> int | float:
    """Return an integer, or infinity for one with more digits than Python reads."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from map(_json_form, _rows(batch))
    except (pyarrow.ArrowException, OSError):
        raise invalid(str(path), "FILE_FORMAT", "is no readable Parquet file") from None


def _rows(batch: Any) -> list[Any]:
    """Return the rows of a batch; those with a value that Python has no type for are `_Unread`."""
    import pyarrow

    schema = pyarrow.schema([one.with_type(_readable(one.type)) for one in batch.schema])
    table = pyarrow.Table.from_batches([batch]).cast(schema, safe=False)
    try:
        return list(table.to_pylist())
    except (ValueError, OverflowError):
        return [_row(table.slice(position, 1)) for position in range(len(table))]


def _row(table: Any) -> Any:
    try:
        return table.to_pylist()[0]
    except (ValueError, OverflowError):
        return _Unread("a day or a time that no calendar has")


def _readable(kind: Any) -> Any:
    """Return an Arrow type in which nanoseconds are microseconds, at any depth."""
    import pyarrow

    if pyarrow.types.is_timestamp(kind) and kind.unit == "ns":
        return pyarrow.timestamp("us", kind.tz)
    if pyarrow.types.is_time64(kind) or pyarrow.types.is_duration(kind):
        return pyarrow.time64("us") if pyarrow.types.is_time64(kind) else pyarrow.duration("us")
    if pyarrow.types.is_struct(kind):
        return pyarrow.struct([one.with_type(_readable(one.type)) for one in kind])
    if pyarrow.types.is_list(kind):
        return pyarrow.list_(kind.value_field.with_type(_readable(kind.value_type)))
    return kind


def _json_form(value: Any) -> Any:
    """Return a Parquet value as JSON would hold it."""
    match value:
        case dict():
            return {str(name): _json_form(item) for name, item in value.items()}
        case list():
            return [_json_form(item) for item in value]
        case datetime():
            return value.date().isoformat() if value.time() == time() else value.isoformat()
        case date():
            return value.isoformat()
        case time():
            return value.isoformat(timespec="seconds").removesuffix(":00")
        case Decimal():
            return float(value)
        case str() | int() | float() | None | _Unread():
            return value
    return None


def _listing(record: dict[str, Any], fallback: str) -> Listing:
    """Return a record as a message; what does not fit the message goes to `extra_json`."""
    listing, extra = Listing(), {}
    for name, given in record.items():
        value = _cleaned_place(given) if name == "location" else given
        part = _part(name, value)
        if part is None:
            extra[name] = value
        else:
            listing.MergeFrom(part)
    listing.source_code = _encodable(_source(record, fallback))
    if extra:
        listing.extra_json = json.dumps(_encodable(extra), sort_keys=True, ensure_ascii=False)
    return listing


def _source(record: dict[str, Any], fallback: str) -> str:
    named = record.get("source_code") or record.get("sourceKey")
    return named if isinstance(named, str) and named else fallback


def _part(name: str, value: Any) -> Listing | None:
    """Return a message with one field, or None when the field is unknown or of another type."""
    if value is None or name in ("source_code", "sourceKey"):
        return Listing()
    if name not in _FIELDS:
        return None
    try:
        return to_message({name: _encodable(value)}, Listing())
    except (TypeError, ValueError, AttributeError):
        return None


def _cleaned_place(value: Any) -> Any:
    """Return a place in which the earlier system's cleaned city stands for the raw one."""
    cleaned = value.get("_sanitizeResult") if isinstance(value, dict) else None
    city = cleaned.get("city") if isinstance(cleaned, dict) else None
    return {**value, "city": city} if isinstance(city, str) and city else value


def _encodable(value: Any) -> Any:
    """Return a value whose texts are valid Unicode: a lone surrogate becomes `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
