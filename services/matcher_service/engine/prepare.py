"""What is compared of each listing: its normal forms, and the words that they are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from dedup_model.text_tables import TextTables
from matcher_service.engine.contrasts import Contrasts
from matcher_service.engine.listing import Listing
from matcher_service.engine.normalise import (
    Cities,
    Leading,
    Titles,
    fold,
    street_name,
    venue_name,
    words_of,
)
from matcher_service.engine.words import Compounds

MAX_NAME, MAX_TEXT = 500, 2000
"""Characters of titles, places and descriptions that are compared: similarity is quadratic."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The normal forms of one listing; empty is unknown.

    `text` is the description that is compared, `more` the other one.
    """

    title: str
    marks: str
    text: str
    more: str
    city: str
    district: str
    venue: str
    street: str
    categories: frozenset[str]


class Forms:
    """The normal forms of listings; places and categories repeat, and are normalised once."""

    def __init__(self, tables: TextTables) -> None:
        self._titles, self._cities = Titles(tables), Cities(tables.city_aliases)
        self.synonyms = self._titles.synonyms
        self._contrasts = Contrasts(tables)
        self._vague = frozenset(map(fold, tables.vague_places))
        self._meeting = Leading(tables.meeting_words, tables.function_words)
        self._place = cache(self._named)
        self._district = cache(self._part_of)
        self._street = cache(_street)
        self._categories = cache(self._folded)

    def prepared(self, listing: Listing) -> Prepared:
        """Return what is compared of a listing."""
        place, respell = listing.location, self.synonyms.text
        long, short = (
            respell(fold(text)) for text in (listing.description, listing.short_description)
        )
        city, venue = self._place(place.city, place.name)
        title = self.title(listing.title)
        return Prepared(
            title,
            self._contrasts.marks(title),
            (long or short)[:MAX_TEXT],
            (short if long else "")[:MAX_TEXT],
            city,
            self._district(city, place.district),
            venue,
            self._street(place.street, place.street_no),
            self._categories(listing.categories),
        )

    def title(self, text: str) -> str:
        """Return what is compared of a title."""
        return self._titles.normal(text).text[:MAX_NAME] if text else ""

    def _named(self, city: str | None, venue: str | None) -> tuple[str, str]:
        normal = self._cities.normal(city)[:MAX_NAME]
        name = self._meeting.cut(fold(venue)[:MAX_NAME])
        return normal, venue_name(name, {normal, fold(city)}, self._vague)

    def _part_of(self, city: str, district: str | None) -> str:
        """Return a district without the city's name; empty where it is the city or its centre."""
        words = self._cities.normal(district)[:MAX_NAME].split()
        name = " ".join(word for word in words if word not in city.split())
        return "" if name in self._vague else name

    def _folded(self, categories: tuple[str, ...]) -> frozenset[str]:
        return frozenset(self.synonyms.text(fold(name)) for name in categories)


def _street(street: str | None, number: str | None) -> str:
    return street_name(fold(f"{street or ''} {number or ''}".replace("Str.", "Straße")))[:MAX_NAME]


def districts(rows: list[Prepared]) -> Iterator[str]:
    """Yield each listing's district, or the one district of the batch that its venue names."""
    known = {row.district for row in rows} - {""}
    for row in rows:
        named = known.intersection(row.venue.split()) if not row.district else set()
        yield row.district or (named.pop() if len(named) == 1 else "")


@dataclass(frozen=True, slots=True)
class Parts:
    """The stems and compound parts of every column that is compared word by word."""

    title: list[list[str]]
    part: list[list[str]]
    """Title without the name of a series."""
    text: list[list[str]]
    venue: list[list[str]]
    more: list[list[str]]
    """Street and the text that is not compared."""
    city: list[list[str]]

    def found(self) -> Iterator[list[str]]:
        """Yield what each listing says anywhere."""
        columns = zip(self.title, self.text, self.venue, self.more, self.city, strict=True)
        return (sorted(set().union(*row)) for row in columns)

    def place(self) -> Iterator[set[str]]:
        """Yield the words of each listing's venue and city."""
        return ({*one, *two} for one, two in zip(self.venue, self.city, strict=True))


def parts_of(rows: list[Prepared], of_series: list[str], tables: TextTables) -> Parts:
    """Split the words of all listings by the stems that stand alone in one of them."""
    empty = frozenset(map(fold, tables.function_words))
    named = {name for row in rows for name in (row.title, row.text, row.venue)}
    compounds = Compounds({word for name in named for word in words_of(name, empty)})
    of_words = cache(lambda name: compounds.parts(words_of(name, empty)))
    of_all = cache(lambda name: compounds.parts(name.split()))
    return Parts(
        [of_words(row.title) for row in rows],
        [of_words(name) if name else [] for name in of_series],
        [of_words(row.text) for row in rows],
        [of_words(row.venue) for row in rows],
        [compounds.parts(row.more.split() + row.street.split()) for row in rows],
        [of_all(row.city) for row in rows],
    )
