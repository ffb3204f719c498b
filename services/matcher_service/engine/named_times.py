"""Doors and starts that a listing's text names beside the time it states."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from matcher_service.engine.listing import EventDate, Listing


class NamedTimes:
    """Finds a word for doors or a start with a time behind it: `Einlass: 19 Uhr`, `doors 7.30pm`."""

    def __init__(self, words: Iterable[str], most_minutes: int) -> None:
        either = "|".join(re.escape(word.lower()) for word in words)
        self._most = most_minutes * 60 if either else 0
        self._named = re.compile(
            rf"\b(?:{either})\b(?: opens?)?(?: is| ist)?(?: um| ab| at| from)?[ :|]{{0,3}}"
            r"(\d{1,2})(?:[:.](\d\d))? ?(uhr|pm|p\.m\.|h\b)?"
        )

    def entries(self, listing: Listing) -> tuple[EventDate, ...]:
        """Return the listing's entries, and those again with each time that its text names.

        One source states the doors where another states the start. A named time counts up to the
        most minutes away from the one that is stated; a listing with several shows, or none, has
        no one time that its text could speak of.
        """
        stated = listing.event_dates
        if not self._most or len({entry.start for entry in stated}) != 1 or not stated[0].start:
            return stated
        return (*stated, *self._again(listing, stated[0].start))

    def _again(self, listing: Listing, start: int) -> Iterator[EventDate]:
        text = f"{listing.short_description or ''} {listing.description or ''}".lower()
        named = {_seconds(*found.groups()) for found in self._named.finditer(text)}
        for other in sorted(named):
            if other and 0 < abs(other - start) <= self._most:
                yield from (replace(entry, start=other) for entry in listing.event_dates)


def _seconds(hour: str, minute: str | None, unit: str | None) -> int:
    """Return seconds after midnight; 0 where it is no sure time of a day."""
    hours, minutes = int(hour), int(minute or 0)
    if unit in ("pm", "p.m.") and hours < 12:
        hours += 12
    sure = (minute or unit) and hours < 24 and minutes < 60
    return hours * 3600 + minutes * 60 if sure else 0
