"""Reading listing files: the earlier system's JSON, JSON Lines and Parquet."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup_model.errors import invalid
from dedup_rpc.wire import to_message
from eventdedup.matcher.v1.matcher_service_pb2 import Listing

MAX_LISTING_BYTES = 512 * 1024
_TEXTS = {"id", "title", "source_type", "source_code", "short_description", "description"}
_LISTS = {"highlights", "categories"}
_FLAGS = {"is_family_event", "is_child_focused", "admission_free"}
_PLACE = {"name", "city", "district", "street", "street_no", "zipcode"}


@dataclass(frozen=True)
class Problem:
    """A record that cannot be sent; never its content."""

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


def read_files(paths: Sequence[Path]) -> Iterator[Record | Problem]:
    """Yield the records of all files; raises `InvalidRequest` for a file that is none of these."""
    for path in paths:
        yield from _read_file(path)


def _read_file(path: Path) -> Iterator[Record | Problem]:
    fallback = path.name.partition("_")[0] if "_" in path.name else path.name
    for position, record in enumerate(_records(path)):
        source = fallback
        if isinstance(record, dict):
            source = _source(record, fallback)
            listing = _listing(record, source)
            if listing.ByteSize() <= MAX_LISTING_BYTES:
                yield Record(listing, path.name, position)
                continue
            problem = "listing", f"larger than {MAX_LISTING_BYTES} bytes"
        else:
            problem = "record", "not a JSON object"
        yield Problem(source, path.name, position, *problem)


def _source(record: dict[str, Any], fallback: str) -> str:
    named = record.get("source_code") or record.get("sourceKey")
    return named if isinstance(named, str) and named else fallback


def _records(path: Path) -> Iterator[Any]:
    match path.suffix:
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
    """Return a JSON value, or None for what is no JSON."""
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid:
        raise invalid(str(path), "FILE_FORMAT", "is no Parquet file") from None


def _listing(record: dict[str, Any], source: str) -> Listing:
    """Return a record as a message; what does not fit the message goes to `extra_json`."""
    fit, extra = _split(record)
    fit["source_code"] = source
    if extra:
        fit["extra_json"] = json.dumps(extra, sort_keys=True, ensure_ascii=False, default=str)
    return to_message(_encodable(fit), Listing())


def _split(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    fit: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in record.items():
        if value is None or name in ("source_code", "sourceKey"):
            continue
        kept = _fitting(name, value)
        if kept is None:
            extra[name] = value
        else:
            fit[name] = kept
    return fit, extra


def _fitting(name: str, value: Any) -> Any:
    if name == "id" and isinstance(value, int):
        return str(value)
    if name in _TEXTS:
        return value if isinstance(value, str) else None
    if name in _FLAGS:
        return value if isinstance(value, bool) else None
    if name in _LISTS:
        return _texts(value)
    if name == "event_dates":
        return [_date(entry) for entry in (value if isinstance(value, list) else [value])]
    if name == "location" and isinstance(value, dict):
        return _location(value)
    return None


def _texts(value: Any) -> list[str] | None:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else None


def _date(entry: Any) -> dict[str, str]:
    names = ("date", "start_time", "end_time", "end_date")
    found = {name: entry.get(name) for name in names} if isinstance(entry, dict) else {}
    return {name: str(value) for name, value in found.items() if value is not None}


def _location(value: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a place; the earlier system's cleaned city stands before the raw one."""
    place: dict[str, Any] = {
        name: value[name] for name in _PLACE if isinstance(value.get(name), str)
    }
    cleaned = value.get("_sanitizeResult")
    if isinstance(cleaned, dict) and isinstance(cleaned.get("city"), str) and cleaned["city"]:
        place["city"] = cleaned["city"]
    geo = value.get("geo")
    if isinstance(geo, dict):
        place["geo"] = _geo(geo)
    return place


def _geo(value: dict[str, Any]) -> dict[str, Any]:
    names = ("latitude", "longitude", "confidence")
    found = {name: _number(value.get(name)) for name in names}
    country = value.get("country")
    if isinstance(country, str):
        found["country"] = country
    return {name: part for name, part in found.items() if part is not None}


def _number(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _encodable(value: Any) -> Any:
    """Return a value whose texts are valid Unicode: a lone surrogate becomes `?`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _encodable(item) for name, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
