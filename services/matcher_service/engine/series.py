"""Names of series and festivals that stand before or behind the titles of their parts."""

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from matcher_service.engine.listing import Listing, Location
from matcher_service.engine.normalise import fold

MAX_DAYS = 31
"""Days of a listing that are looked at; what runs longer is a run and not a day's programme."""
MIN_WORD = 3

_BREAK = re.compile(r"(?<=\w)[\"\u201c\u00bb]?: | [-\u2013\u2014|\u00b7\u2022]{1,2} ")
_Words: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Split:
    """A title in two: a folded name, and the rest with its words that are not of the own place."""

    name: str
    rest: str
    words: _Words


@dataclass(frozen=True, slots=True)
class _Show:
    """A part of a day's programme: what, when and where."""

    words: _Words
    start: int | None
    venue: _Words

    def unlike(self, other: "_Show") -> bool:
        """Tell whether two shows have no word in common and begin at another time or place."""
        if self.words & other.words:
            return False
        one_place = self.venue <= other.venue or other.venue <= self.venue
        return self.start != other.start or not one_place


def parts_of_series(listings: Sequence[Listing], least: int) -> list[tuple[str, str]]:
    """Return each listing's series and the title of its part; both empty where there is none.

    A name is a series where one source has `least` unlike titles beside it on one day: *Culture
    night: organ and light*, *Culture night: by torchlight*. What tells such parts apart stands
    beside the name. The part of a listing that is the series itself is empty. 0 finds none.
    """
    splits = [list(_splits(listing)) for listing in listings]
    names = _names(listings, splits, least) if least else set()
    if not names:
        return [("", "")] * len(listings)
    return [_part(one, found, names) for one, found in zip(listings, splits, strict=True)]


def _names(listings: Sequence[Listing], splits: Iterable[list[_Split]], least: int) -> set[str]:
    shows: dict[tuple[datetime.date, str | None, str], list[_Show]] = defaultdict(list)
    for listing, found in zip(listings, splits, strict=True):
        venue = frozenset(fold(listing.location.name).split() if found else ())
        for split in found:
            for entry in listing.event_dates[:MAX_DAYS]:
                known = shows[entry.date, listing.source_code, split.name]
                show = _Show(split.words, entry.start, venue)
                if len(known) < least and all(map(show.unlike, known)):
                    known.append(show)
    return {name for (_, _, name), known in shows.items() if len(known) >= least}


def _part(listing: Listing, splits: Iterable[_Split], names: set[str]) -> tuple[str, str]:
    for split in splits:
        if split.name in names:
            return split.name, split.rest
    words = _without(listing.title, _own(listing.location))
    bare = " ".join(word for word in words if not word.isdigit())
    return (bare, "") if bare in names else ("", "")


def _splits(listing: Listing) -> Iterator[_Split]:
    """Yield the first part of a title and the rest, then the last part and the rest.

    A rest has at least one word that is not of the listing's own place.
    """
    title, breaks = listing.title, list(_BREAK.finditer(listing.title))
    if not breaks:
        return
    own, first, last = _own(listing.location), breaks[0], breaks[-1]
    for name, rest in (
        (title[: first.start()], title[first.end() :]),
        (title[last.end() :], title[: last.start()]),
    ):
        words = frozenset(word for word in _without(rest, own) if len(word) >= MIN_WORD)
        if words and (folded := fold(name)):
            yield _Split(folded, rest, words)


def _without(text: str, own: set[str]) -> list[str]:
    return [word for word in fold(text).split() if word not in own]


def _own(place: Location) -> set[str]:
    own = set(fold(f"{place.name or ''} {place.city or ''} {place.district or ''}").split())
    return own | {f"{word}{ending}" for word in own for ending in ("er", "s")}
