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


def read_files(paths: Sequence[Path]) -> Iterator[Record | Problem]:
    """Yield the records of all files; raises `InvalidRequest` for a file that is none of these."""
    for path in paths:
        yield from _read_file(path)


def _read_file(path: Path) -> Iterator[Record | Problem]:
    fallback = path.name.partition("_")[0] if "_" in path.name else path.name
    for position, record in enumerate(_records(path)):
        if not isinstance(record, dict):
            reason = record.reason if isinstance(record, _Unread) else "not a JSON object"
            yield Problem("", fallback, path.name, position, "record", reason)
            continue
        try:
            listing = _listing(record, fallback)
        except RecursionError:
            yield Problem("", fallback, path.name, position, "record", "nested too deeply")
            continue
        if listing.ByteSize() <= MAX_LISTING_BYTES:
            yield Record(listing, path.name, position)
        else:
            reason = f"larger than {MAX_LISTING_BYTES} bytes"
            name, source = listing.id[:200], listing.source_code[:200]
            yield Problem(name, source, path.name, position, "listing", reason)


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
    document = _parsed(path.read_bytes())
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


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield _parsed(line)


def _parsed(text: bytes) -> Any:
    """Return a JSON value, or why there is none."""
    try:
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _Unread("not UTF-8")
    except (ValueError, RecursionError):
        return _Unread("not JSON")


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from map(_json_form, batch.to_pylist())
    except (pyarrow.ArrowException, OSError):
        raise invalid(str(path), "FILE_FORMAT", "is no readable Parquet file") from None


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
        case bytes():
            return None
    return value


def _listing(record: dict[str, Any], fallback: str) -> Listing:
    """Return a record as a message; what does not fit the message goes to `extra_json`."""
    listing, extra = Listing(), {}
    for name, value in record.items():
        part = _part(name, value)
        if part is None:
            extra[name] = value
        else:
            listing.MergeFrom(part)
    listing.source_code = _encodable(_source(record, fallback))
    if extra:
        listing.extra_json = json.dumps(extra, sort_keys=True)
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
    if name == "location" and isinstance(value, dict):
        value = _cleaned_place(value)
    try:
        return to_message({name: _encodable(value)}, Listing())
    except (TypeError, ValueError, AttributeError):
        return None


def _cleaned_place(value: dict[str, Any]) -> dict[str, Any]:
    """Return a place in which the earlier system's cleaned city stands for the raw one."""
    cleaned = value.get("_sanitizeResult")
    city = cleaned.get("city") if isinstance(cleaned, dict) else None
    return {**value, "city": city} if isinstance(city, str) and city else value


def _encodable(value: Any) -> Any:
    """Return a value whose texts are valid Unicode: a lone surrogate becomes `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _encodable(item) for name, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
