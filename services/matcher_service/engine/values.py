"""The lenient reading of one JSON value: texts, days, times and coordinates."""

import math
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from matcher_service.engine.listing import MIDNIGHT

MAX_TEXT_BYTES = 64 * 1024
MAX_ID_LENGTH = 200
MAX_ITEMS = 1000
YEARS = range(1900, 2201)

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_ISO_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(T.*)?", re.ASCII)
_GERMAN_DAY = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})", re.ASCII)
_TIME = re.compile(
    r"(\d{1,2})(?:[:.](\d{1,2})(?::(\d{1,2})(?:\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?\s*(uhr|h)?",
    re.ASCII | re.IGNORECASE,
)
_TWELVE_HOURS = re.compile(
    r"(0?[1-9]|1[0-2])(?:[:.](\d{2}))?\s*([ap])\.?\s?m\.?", re.ASCII | re.IGNORECASE
)
_PLAIN_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_PLAIN_TIME = re.compile(r"\d\d:\d\d(?::\d\d)?", re.ASCII)
_MINUTES = {f"{n // 60:02}:{n % 60:02}": n * 60 for n in range(24 * 60)}
"""Seconds after midnight of every time of day as it should be written."""

Note = Callable[[str, str], None]
"""Takes the field and the reason of a repair."""


class UnreadableError(Exception):
    """A listing cannot be read: which field, and why, without the value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def text(value: Any, field: str, note: Note) -> str | None:
    """Return a text without control characters, or None for null, blank and other types.

    Numbers become text and other types are dropped, both recorded. Raises `UnreadableError` above
    64 KiB of UTF-8.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if len(value) * 4 > MAX_TEXT_BYTES < len(value.encode(errors="replace")):
            raise UnreadableError(field, "longer than 64 KiB")
        return clean(value, field, note)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        note(field, "number read as text")
        return str(value)
    note(field, "dropped: not a text")
    return None


def clean(value: str, field: str, note: Note) -> str | None:
    """Return a text of any length without control characters, which are recorded; None for blank."""
    if value.isprintable():
        return None if value.isspace() or not value else value
    kept = _CONTROL.sub("", value)
    if kept != value:
        note(field, "control characters removed")
    return kept if any(c.isprintable() and not c.isspace() for c in kept) else None


def required(value: Any, field: str, note: Note) -> str:
    """Return a trimmed text; raises `UnreadableError` when it is missing, blank or no text."""
    found = text(value, field, note)
    if found is None:
        raise UnreadableError(field, "missing, blank or not a text")
    return found.strip()


def texts(value: Any, field: str, note: Note) -> tuple[str, ...]:
    """Return the texts of a list; other items, and anything that is no list, are dropped."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        note(field, "dropped: not a list")
        return ()
    found = (text(item, field, note) for item in bounded(value, field))
    return tuple(item for item in found if item is not None)


def bounded(value: list[Any] | tuple[Any, ...], field: str) -> list[Any]:
    """Return the items of a list; raises `UnreadableError` above 1,000 of them."""
    if len(value) > MAX_ITEMS:
        raise UnreadableError(field, "more than 1,000 items")
    return list(value)


def truth(value: Any, field: str, note: Note) -> bool | None:
    """Return a boolean, or None for null; anything else is dropped and recorded."""
    if value is None or isinstance(value, bool):
        return value
    note(field, "dropped: not a boolean")
    return None


def number(value: Any, field: str, note: Note, low: float, high: float) -> float | None:
    """Return a finite number inside an inclusive range, or None; what is dropped is recorded."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        note(field, "dropped: not a number")
        return None
    if not (low <= value <= high) or math.isnan(value):
        note(field, "dropped: out of range")
        return None
    return float(value) + 0.0


def day(value: Any, field: str, note: Note) -> date | None:
    """Return a calendar day of the years 1900 to 2200, or None for null and blank.

    `07.03.2026` and a day with a time of day are repaired; raises `UnreadableError` otherwise.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    is_plain = isinstance(value, str) and _PLAIN_DAY.fullmatch(value)
    try:
        found = date.fromisoformat(value) if is_plain else _rewritten_day(value, field)
    except ValueError:
        raise UnreadableError(field, "no such day") from None
    if found.year not in YEARS:
        raise UnreadableError(field, "outside the years 1900 to 2200")
    if not is_plain:
        note(field, "date rewritten as YYYY-MM-DD")
    return found


def _rewritten_day(value: Any, field: str) -> date:
    parts = _day_parts(value.strip()) if isinstance(value, str) else None
    if parts is None:
        raise UnreadableError(field, "not a date")
    return date(*parts)


def _day_parts(value: str) -> tuple[int, int, int] | None:
    if found := _ISO_DAY.fullmatch(value):
        return int(found[1]), int(found[2]), int(found[3])
    if found := _GERMAN_DAY.fullmatch(value):
        return int(found[3]), int(found[2]), int(found[1])
    return None


def time_of_day(value: Any, field: str, note: Note) -> int | None:
    """Return seconds after midnight, or None for null and blank; `24:00` gives 86,400.

    `19.30`, `19:30 Uhr`, `19 Uhr`, `9:05`, `7.30pm` and `7 p.m.` are repaired; raises
    `UnreadableError` otherwise.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and value in _MINUTES:
        return _MINUTES[value]
    found = _TIME.fullmatch(_in_24_hours(value.strip())) if isinstance(value, str) else None
    if found is None or (found[2] is None and found[5] is None):
        raise UnreadableError(field, "not a time of day")
    hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3))
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or seconds > MIDNIGHT:
        raise UnreadableError(field, "no such time of day")
    if not _PLAIN_TIME.fullmatch(value) or seconds == MIDNIGHT:
        note(field, "time rewritten as HH:MM")
    return seconds


def _in_24_hours(text: str) -> str:
    """Return a time with a.m. or p.m. as HH:MM, any other text as it is."""
    found = _TWELVE_HOURS.fullmatch(text)
    if found is None:
        return text
    half = 12 if found[3] in "pP" else 0
    return f"{int(found[1]) % 12 + half}:{found[2] or '00'}"


def after(first: date, days: int, field: str) -> date:
    """Return the day some days later; raises `UnreadableError` outside the readable years."""
    found = first + timedelta(days=days)
    if found.year not in YEARS:
        raise UnreadableError(field, "outside the years 1900 to 2200")
    return found
