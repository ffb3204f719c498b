"""Towns that listings without a city name elsewhere, as far as the batch itself knows towns."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from dedup_model.text_tables import TextTables
from matcher_service.engine.listing import Listing, Location
from matcher_service.engine.normalise import fold

MAX_WORDS = 3
"""Words of a town's name at most: Bishop's Castle, Newcastle on Clun."""
MIN_LETTERS = 3
MAX_TEXT = 300
TAILS = 2
"""Venues before a town behind a comma, where none of their names is of a kind alone."""
_SAINT = re.compile(r"\b(?:st|sankt|saint|ss) \w+( the \w+)?")


class Towns:
    """The towns of a batch: its cities, and what stands where venues name their town."""

    def __init__(self, listings: Sequence[Listing], tables: TextTables) -> None:
        self._kinds = frozenset(word for name in tables.venue_kinds for word in fold(name).split())
        self._streets = frozenset(map(fold, tables.street_words))
        self._beginnings = frozenset(map(fold, tables.town_beginnings))
        halls = "|".join(re.escape(fold(name)) for name in tables.town_venues)
        self._hall = re.compile(rf"^(.+?) (?:{halls})\b") if halls else None
        places = [listing.location for listing in listings]
        stated = {name for place in places for name in (place.city, place.district) if name}
        venues = {place.name for place in places if place.name and not place.city}
        found = {*map(fold, stated), *self._named_by(map(_split, venues))}
        shared = self._shared_by(map(_split, venues), found)
        self._shared = frozenset(shared)
        found = found.union(*shared.values())
        self._names = frozenset(name for name in found if len(name) >= MIN_LETTERS)

    def _named_by(self, venues: Iterable[list[str]]) -> Iterator[str]:
        """Yield the towns that venues name: `Hall, Clun`, `Clun Village Hall`."""
        tails: Counter[str] = Counter()
        for *heads, last in venues:
            if heads and self._is_name(last):
                tails[last] += TAILS if self._is_kind(" ".join(heads)) else 1
            whole = " ".join([*heads, last])
            hall = self._hall.match(whole) if self._hall else None
            if hall and self._is_name(hall[1]):
                yield hall[1]
        yield from (tail for tail, count in tails.items() if count >= TAILS)

    def _shared_by(self, venues: Iterable[list[str]], towns: set[str]) -> dict[str, set[str]]:
        """Return the names before the commas of venues in several towns, with what stands behind.

        `The Crown, Clun` and `The Crown, Wem` make *The Crown* as vague as a *Village Hall*.
        """
        behind: dict[str, set[str]] = defaultdict(set)
        for *heads, last in venues:
            if heads and self._is_name(last):
                behind[self._own(" ".join(heads))].add(last)
        return {name: them for name, them in behind.items() if len(them) > 1 and name not in towns}

    def of(self, listing: Listing) -> str:
        """Return the towns that a listing names, joined by `|`: its city, else those of its venue.

        Where the venue is of a kind alone (*Village Hall*), or has a name that venues of several towns
        have, those of its title, else of its text.
        """
        place = listing.location
        if place.city:
            return "|".join(sorted({fold(place.city), fold(place.district)} - {""}))
        return next(
            (named for text in self._texts(listing, place) if (named := self._in(text))), ""
        )

    def _texts(self, listing: Listing, place: Location) -> Iterator[str]:
        venue = fold(place.name)
        yield f"{venue} {fold(place.street)} {fold(place.district)}"
        if self._is_kind(venue) or self._own(venue) in self._shared:
            yield fold(listing.title)
            yield fold((listing.description or listing.short_description or "")[:MAX_TEXT])

    def _in(self, text: str) -> str:
        words, found, start = text.split(), set(), 0
        while start < len(words):
            name, size = self._longest(words[start : start + MAX_WORDS])
            found.add(name)
            start += size
        return "|".join(sorted(found - {""}))

    def _longest(self, words: list[str]) -> tuple[str, int]:
        """Return the town that these words begin with and its number of words; else "" and 1."""
        for size in range(len(words), 0, -1):
            if name := self._known(" ".join(words[:size])):
                return name, size
        return "", 1

    def _known(self, text: str) -> str:
        """Return the town of this name or of this adjective or genitive: Dülmener, Ludlow's."""
        names = (text, text.removesuffix("er"), text.removesuffix("s"))
        return next((name for name in names if name in self._names), "")

    def _is_name(self, text: str) -> bool:
        words = text.split()
        return (
            0 < len(words) <= MAX_WORDS
            and not any(map(str.isdigit, text))
            and not self._streets.intersection(words[-1:])
            and not self._kinds.intersection(words[self._begins(words) :])
        )

    def _begins(self, words: list[str]) -> bool:
        """Tell whether a word of venues may begin a town: Church Stretton, Market Drayton."""
        return len(words) > 1 and words[0] in self._beginnings

    def _own(self, venue: str) -> str:
        """Return the words of a venue that do not say its kind: `crown` of The Crown Inn."""
        return " ".join(word for word in venue.split() if word not in self._kinds)

    def _is_kind(self, venue: str) -> bool:
        words = _SAINT.sub(" ", venue).split()
        return self._kinds.issuperset(word for word in words if len(word) > 1)


def _split(venue: str) -> list[str]:
    return [fold(part) for part in venue.split(",")]


def apart(one: str, other: str) -> bool:
    """Tell whether two listings' towns have none in common, long or short: Haltern am See, Haltern."""
    left, right = ([_long(name) for name in names.split("|")] for names in (one, other))
    return not any(a <= b or b <= a for a in left for b in right)


def _long(name: str) -> set[str]:
    """Return the words of a town's name without those that sources shorten: a. d. Weide, i. W."""
    return {word for word in name.split() if len(word) > 2 and not word.isdigit()}
