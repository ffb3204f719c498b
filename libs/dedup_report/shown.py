"""A listing as a reader sees it: a few short texts."""

import json
import re
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from dedup_rpc.wire import to_document
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

MAX_TEXT = 300
MAX_LINE = 160
MAX_ITEM = 60
MAX_ITEMS = 10
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
EN_DASH = "\u2013"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Shown(NamedTuple):
    """Texts of a listing or an event; empty ones are unknown. Long ones end in `…`."""

    title: str
    when: list[str]
    venue: str
    address: str
    categories: list[str]
    text: str


PLACE = tuple(f"location.{name}" for name in ("street", "street_no", "zipcode", "city", "district"))
FIELDS = (
    ("title",),
    ("event_dates",),
    ("location.name",),
    PLACE,
    ("categories",),
    ("description", "short_description"),
)
"""The fields of a listing that each text of `Shown` is made of."""


def document(listing: pb.Listing) -> dict[str, Any]:
    """Return a listing as plain values, with those that a source spelled in another type."""
    return {**_extra(listing), **to_document(listing)}


def name_of(listing: pb.Listing) -> str:
    """Return the id of a listing as the engine reads it; empty when it has none."""
    return clean(listing.id or _text(_extra(listing).get("id"))).strip()


def clean(text: str) -> str:
    """Return a text without control characters, which the engine removes."""
    return text if text.isprintable() else _CONTROL.sub("", text)


def _extra(listing: pb.Listing) -> dict[str, Any]:
    try:
        found = json.loads(listing.extra_json or "{}")
    except (ValueError, RecursionError):
        found = {}
    return found if isinstance(found, dict) else {}


def shown(one: dict[str, Any]) -> Shown:
    """Return the texts of a listing; what has another type than expected is left out."""
    place = one.get("location")
    place = place if isinstance(place, dict) else {}
    return Shown(
        title=cut(_text(one.get("title"))),
        when=_few([_when(entry) for entry in _items(one.get("event_dates"))]),
        venue=cut(_text(place.get("name"))),
        address=cut(_address({name: _text(value) for name, value in place.items()})),
        categories=_few([cut(_text(item), MAX_ITEM) for item in _items(one.get("categories"))]),
        text=cut(_text(one.get("description")) or _text(one.get("short_description")), MAX_TEXT),
    )


def cut(text: str, longest: int = MAX_LINE) -> str:
    """Return a text in one line, shortened to a number of characters."""
    line = " ".join(text[: longest * 4].split())
    whole = len(line) <= longest and len(text) <= longest * 4
    return line if whole else line[: longest - 1] + "…"


def _few(items: Sequence[str]) -> list[str]:
    found = [item for item in items if item]
    more = [f"… {len(found) - MAX_ITEMS} more"] if len(found) > MAX_ITEMS else []
    return found[:MAX_ITEMS] + more


def _text(value: Any) -> str:
    known = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value).strip() if known else ""


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _address(place: dict[str, str]) -> str:
    street = " ".join(filter(None, (place.get("street"), place.get("street_no"))))
    town = " ".join(filter(None, (place.get("zipcode"), place.get("city"))))
    return ", ".join(filter(None, (street, town, place.get("district"))))


def _when(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    names = ("date", "end_date", "start_time", "end_time")
    first, last, start, end = (_text(entry.get(name)) for name in names)
    days = f"{_day(first)} to {_day(last)}" if last and last != first else _day(first)
    times = f"{_time(start)}{EN_DASH}{_time(end)}" if start and end else _time(start)
    return cut(f"{days} {times}".strip(), MAX_ITEM)


def _day(text: str) -> str:
    try:
        return f"{WEEKDAYS[date.fromisoformat(text).weekday()]} {text}"
    except ValueError:
        return text


def _time(text: str) -> str:
    return text.removesuffix(":00") if text.count(":") == 2 else text
