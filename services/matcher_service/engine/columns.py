"""The columnar table of a batch: every listing prepared once, strings as codes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.normalise import Cities, Titles, city_head, fold, words_of
from matcher_service.engine.records import EventDate, Listing

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Matrix: TypeAlias = Any
"""A scipy CSR matrix with a row a listing and a column a word."""

UNKNOWN_TIME = -1
NO_DAY = 0
"""The day of a listing without any date: it shares it with other dateless listings only."""
NIGHT_MINUTES = 180
"""Shows before 03:00 also count as the evening before."""
OWN_PLACE_WEIGHT = 0.25
"""Weight of a title word that only repeats the listing's city or venue."""
MAX_NAME, MAX_TEXT = 500, 2000
"""Characters of titles, places and descriptions that are compared: similarity is quadratic."""
MIN_HALF = 4
"""Characters of each half of a compound that is read as two words."""
BACKGROUND = 1000
"""Listings, each with other words, that are added to a batch when words are counted.

They keep a word's rarity meaningful in a batch of two listings.
"""


def rounded(values: Any) -> Floats:
    """Return scores rounded to 1e-9, so that float ties do not depend on the order of evaluation."""
    result: Floats = np.round(values, 9).astype(np.float64)
    return result


def stretched(values: Floats, floor: float, ceiling: float) -> Floats:
    """Return values mapped linearly from `floor`..`ceiling` to 0..1, clipped."""
    result: Floats = np.clip((values - floor) / (ceiling - floor), 0.0, 1.0)
    return result


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of strings: distinct values, and a code a row; code 0 is the empty string."""

    values: NDArray[np.object_]
    codes: Ints

    @property
    def known(self) -> Bools:
        """Whether each row has a text."""
        return self.codes > 0


@dataclass(frozen=True, slots=True)
class Shows:
    """Days with start times, a row each, sorted by listing, day and start.

    `owner` is the listing's row, `day` a proleptic ordinal, `start` minutes after midnight or -1.
    """

    owner: Ints
    day: Ints
    start: Floats


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a text column: `weights` holds each word's rarity, `mass` the sum of a row.

    `presence` is 1 where the word stands.
    """

    weights: Matrix
    presence: Matrix
    mass: Floats


@dataclass(frozen=True, slots=True)
class Table:
    """A batch in columns; row i is the listing with the i-th smallest id."""

    ids: tuple[str, ...]
    shows: Shows
    nights: Shows
    city: Texts
    city_head: Texts
    is_short_city: Bools
    venue: Texts
    street: Texts
    point: Floats
    """Latitude, longitude and confidence a row; NaN is unknown."""
    title: Texts
    title_joined: Texts
    title_words: Words
    title_vocabulary: tuple[str, ...]
    found_words: Matrix
    """Presence of the title vocabulary in title, texts and venue."""
    text: Texts
    text_plain: Texts
    """Descriptions in reading order; `text` and `title` have sorted words."""
    text_words: Words
    is_article: Bools
    is_entry: Bools
    categories: tuple[frozenset[str], ...]


def table_of(
    listings: Sequence[Listing], config: MatchingConfig, progress: Callable[[int], None]
) -> Table:
    """Prepare the listings, which are sorted by id; `progress` hears how many are done."""
    titles, cities = Titles(config.text), Cities(config.text.city_aliases)
    prepared = []
    for done, listing in enumerate(listings):
        if done % 1000 == 0:
            progress(done)
        prepared.append(_prepared(listing, titles, cities))
    return _table(listings, prepared)


@dataclass(frozen=True, slots=True)
class _Prepared:
    title: str
    title_words: list[str]
    text: str
    text_words: list[str]
    city: str
    venue: str
    street: str
    categories: frozenset[str]


def _prepared(listing: Listing, titles: Titles, cities: Cities) -> _Prepared:
    place, respell = listing.location, titles.synonyms.text
    title = titles.normal(listing.title).text[:MAX_NAME]
    text = respell(fold(listing.description) or fold(listing.short_description))[:MAX_TEXT]
    city, venue = cities.normal(place.city)[:MAX_NAME], fold(place.name)[:MAX_NAME]
    street = fold(f"{place.street or ''} {place.street_no or ''}".replace("Str.", "Straße"))
    return _Prepared(
        title,
        words_of(title),
        text,
        words_of(text),
        city,
        "" if venue in {city, fold(place.city)} else venue,
        _street(street)[:MAX_NAME],
        frozenset(respell(fold(name)) for name in listing.categories),
    )


def _street(folded: str) -> str:
    words = [word[:-3] + "strasse" if word.endswith("str") else word for word in folded.split()]
    return " ".join(words)


def _table(listings: Sequence[Listing], rows: list[_Prepared]) -> Table:
    title_index = _index(row.title_words for row in rows)
    text_index = _index(row.text_words for row in rows)
    found = (_findable(row, title_index) for row in rows)
    return Table(
        ids=tuple(listing.id for listing in listings),
        shows=_shows(listings, late=False),
        nights=_shows(listings, late=True),
        city=_texts(row.city for row in rows),
        city_head=_texts(city_head(row.city) for row in rows),
        is_short_city=np.array([row.city == city_head(row.city) for row in rows], bool),
        venue=_texts(_sorted_words(row.venue) for row in rows),
        street=_texts(row.street for row in rows),
        point=_points(listings),
        title=_texts(_sorted_words(row.title) for row in rows),
        title_joined=_texts(row.title.replace(" ", "") for row in rows),
        title_words=_words([row.title_words for row in rows], title_index, _own_places(rows)),
        title_vocabulary=tuple(title_index),
        found_words=_matrix([sorted(words) for words in found], title_index),
        text=_texts(_sorted_words(row.text) for row in rows),
        text_plain=_texts(row.text for row in rows),
        text_words=_words([row.text_words for row in rows], text_index, None),
        is_article=np.array([listing.source_type == "artikel" for listing in listings], bool),
        is_entry=np.array([listing.source_type == "terminliste" for listing in listings], bool),
        categories=tuple(row.categories for row in rows),
    )


def _findable(row: _Prepared, vocabulary: dict[str, int]) -> set[str]:
    """Return the title words that a listing holds: whole, as two neighbours, or as two halves."""
    title, words = row.title.split(), {*row.text_words, *row.venue.split()}
    neighbours = {first + second for first, second in pairwise(title)}
    halves = {half for word in title for half in _halves(word, vocabulary)}
    return {*row.title_words, *words, *neighbours, *halves} & vocabulary.keys()


def _halves(word: str, vocabulary: dict[str, int]) -> tuple[str, str] | tuple[()]:
    """Return the two title words that a compound is made of, if any; `RepairCafe`."""
    cuts = range(MIN_HALF, len(word) - MIN_HALF + 1)
    split = ((word[:cut], word[cut:]) for cut in cuts)
    return next((two for two in split if two[0] in vocabulary and two[1] in vocabulary), ())


def _sorted_words(text: str) -> str:
    return " ".join(sorted(text.split()))


def _texts(values: Iterable[str]) -> Texts:
    """Return a column whose codes follow the order of the rows."""
    codes = {"": 0}
    rows = np.array([codes.setdefault(value, len(codes)) for value in values], np.int64)
    distinct = np.empty(len(codes), object)
    distinct[:] = list(codes)
    return Texts(distinct, rows)


def _index(rows: Iterable[list[str]]) -> dict[str, int]:
    """Return a column number a word, in the order of the words."""
    return {word: column for column, word in enumerate(sorted({w for row in rows for w in row}))}


def _matrix(rows: list[list[str]], index: dict[str, int]) -> Matrix:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    columns = np.fromiter((index[word] for row in rows for word in row), np.int64, starts[-1])
    shape = (len(rows), max(len(index), 1))
    return sparse.csr_matrix((np.ones(len(columns)), columns, starts), shape=shape)


def _words(rows: list[list[str]], index: dict[str, int], factor: Floats | None) -> Words:
    """Weigh words by `log((N + B) / (n + 1))`, the inverse document frequency over the batch."""
    presence = _matrix(rows, index)
    counts = np.bincount(presence.indices, minlength=presence.shape[1])
    rarity = np.log((len(rows) + BACKGROUND) / (counts + 1.0))
    weights = presence.copy()
    weights.data = rarity[presence.indices] * (1.0 if factor is None else factor)
    return Words(weights, presence, np.asarray(weights.sum(axis=1)).ravel())


def _own_places(rows: list[_Prepared]) -> Floats:
    """Return a factor a title word: low where it repeats the listing's own city or venue."""
    factors: list[float] = []
    for row in rows:
        place = {*row.city.split(), *row.venue.split()}
        own = [OWN_PLACE_WEIGHT if word in place else 1.0 for word in row.title_words]
        factors += own
    return np.array(factors, np.float64)


def _points(listings: Sequence[Listing]) -> Floats:
    points = np.full((len(listings), 3), np.nan)
    for row, listing in enumerate(listings):
        if geo := listing.location.geo:
            confidence = np.nan if geo.confidence is None else geo.confidence
            points[row] = geo.latitude, geo.longitude, confidence
    return points


def _shows(listings: Sequence[Listing], *, late: bool) -> Shows:
    rows = [
        (owner, *show)
        for owner, listing in enumerate(listings)
        for show in sorted({show for entry in listing.event_dates for show in _days(entry, late)})
    ]
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Shows(columns[:, 0], columns[:, 1], columns[:, 2] / 60.0)


def _days(entry: EventDate, late: bool) -> Iterable[tuple[int, int]]:
    """Yield day and start in seconds of every day of an entry.

    A start of exactly 00:00 is unknown: feeds write it for whole days. With `late`, a start in the
    first hours belongs to the evening before.
    """
    first, last = entry.date.toordinal(), (entry.end_date or entry.date).toordinal()
    start = entry.start or UNKNOWN_TIME * 60
    if late and 0 < start < NIGHT_MINUTES * 60:
        first, last, start = first - 1, last - 1, start + 86400
    return ((day, start) for day in range(first, last + 1))
