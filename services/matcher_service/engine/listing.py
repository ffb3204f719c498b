"""What a source published, as frozen values, and their JSON form."""

import datetime
from dataclasses import dataclass, replace
from typing import Any

MIDNIGHT = 24 * 3600
"""Seconds of a day."""


@dataclass(frozen=True, slots=True)
class EventDate:
    """One calendar entry; `start` and `end` are seconds after midnight, None when unknown.

    A `start` of `MIDNIGHT` is the end of the day: nobody means the whole of the next one by it, as by
    00:00. An `end` at or before `start` lies on the following day. `end_date` is the last day of a range.
    """

    date: datetime.date
    start: int | None = None
    end: int | None = None
    end_date: datetime.date | None = None


@dataclass(frozen=True, slots=True)
class Geo:
    """Coordinates in degrees; `confidence` is 0 to 1, None when the source states none."""

    latitude: float
    longitude: float
    confidence: float | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """Where a listing takes place; None is unknown."""

    name: str | None = None
    city: str | None = None
    district: str | None = None
    street: str | None = None
    street_no: str | None = None
    zipcode: str | None = None
    geo: Geo | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source published, readable and clean; None is unknown."""

    id: str
    title: str
    source_type: str | None = None
    source_code: str | None = None
    short_description: str | None = None
    description: str | None = None
    highlights: tuple[str, ...] = ()
    event_dates: tuple[EventDate, ...] = ()
    location: Location = Location()
    categories: tuple[str, ...] = ()
    is_family_event: bool | None = None
    is_child_focused: bool | None = None
    admission_free: bool | None = None
    extra_json: str | None = None


def to_json(listing: Listing) -> dict[str, Any]:
    """Return a listing in the form of the input, unknown values as None, times as `HH:MM[:SS]`."""
    plain = {name: getattr(listing, name) for name in Listing.__slots__}
    return plain | {
        "highlights": list(listing.highlights),
        "categories": list(listing.categories),
        "event_dates": [date_to_json(entry) for entry in listing.event_dates],
        "location": location_to_json(listing.location),
    }


def location_to_json(location: Location) -> dict[str, Any]:
    """Return a location in the form of the input."""
    plain = {name: getattr(location, name) for name in Location.__slots__}
    geo = location.geo
    return plain | {"geo": geo and {name: getattr(geo, name) for name in Geo.__slots__}}


def date_to_json(entry: EventDate) -> dict[str, str | None]:
    """Return a calendar entry in the form of the input; midnight is 00:00 of the next day."""
    if entry.start == MIDNIGHT:
        entry = replace(entry, date=entry.date + datetime.timedelta(days=1), start=0)
    return {
        "date": entry.date.isoformat(),
        "start_time": _clock(entry.start),
        "end_time": _clock(entry.end),
        "end_date": entry.end_date.isoformat() if entry.end_date else None,
    }


def _clock(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    minutes, second = divmod(seconds, 60)
    printed = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{printed}:{second:02d}" if second else printed
