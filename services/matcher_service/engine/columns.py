"""The columnar table of a batch: every listing prepared once, strings as codes."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.common_titles import repeated, widespread
from matcher_service.engine.listing import Listing
from matcher_service.engine.named_times import NamedTimes
from matcher_service.engine.normalise import city_head, fold
from matcher_service.engine.prepare import Forms, Parts, Prepared, districts, parts_of
from matcher_service.engine.series import parts_of_series
from matcher_service.engine.shows import Shows, shows_of
from matcher_service.engine.towns import Towns
from matcher_service.engine.words import (
    Matrix,
    Words,
    index_of,
    matrix_of,
    shares_of,
    stem,
    words_in,
)

Ints: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.int32 | np.int64]
"""Rows of a table; pairs of a whole batch are many, and their rows take 4 bytes."""
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

NO_DAY = 0
"""The day of a listing without any date: it shares it with other dateless listings only."""


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

    def text(self, row: int) -> str:
        """Return the text of a row."""
        return str(self.values[self.codes[row]])


@dataclass(frozen=True, slots=True)
class Table:
    """A batch in columns; row i is the listing with the i-th smallest id."""

    ids: tuple[str, ...]
    shows: Shows
    nights: Shows
    city: Texts
    city_head: Texts
    city_share: Floats
    is_short_city: Bools
    district: Texts
    """The part of the city, stated, or named by the venue as another listing states it."""
    towns: Texts
    """What a row names as its town: its city, else towns of the batch in its venue or title."""
    is_common_title: Bools
    """Whether the row's title stands at several venues of its city."""
    venue: Texts
    venue_words: Words
    street: Texts
    point: Floats
    """Latitude, longitude and confidence a row; NaN is unknown."""
    title: Texts
    title_joined: Texts
    title_words: Words
    series: Texts
    """The series or festival that a row is part of."""
    part: Texts
    part_words: Words
    """The title without the name of the series."""
    title_vocabulary: tuple[str, ...]
    title_marks: Texts
    """What tells titles of one kind apart."""
    found_words: Matrix
    """Presence of the title vocabulary in title, texts and place."""
    text: Texts
    text_plain: Texts
    """Descriptions in reading order; `text` and `title` have sorted words."""
    text_titles: Ints
    """How many titles of the batch carry a row's text."""
    text_words: Words
    source: Texts
    is_article: Bools
    is_entry: Bools
    is_long_text: Bools
    """Whether a text is long enough that another one hardly has it by chance."""
    categories: Bools
    """Whether each row carries each of `weighed_categories`."""


def weighed_categories(config: MatchingConfig) -> list[str]:
    """Return the categories that have weights of their own, by priority."""
    section = config.category_weights
    return [name for name in section.priority if name in section.overrides]


def table_of(
    listings: Sequence[Listing], config: MatchingConfig, progress: Callable[[int], None]
) -> Table:
    """Prepare the listings, which are sorted by id; `progress` hears how many are done.

    It hears it again while their columns are made, so that it may end that too.
    """
    forms = Forms(config.text)
    prepared = []
    for done, listing in enumerate(listings):
        if done % 1000 == 0:
            progress(done)
        prepared.append(forms.prepared(listing))
    synonyms = forms.synonyms
    weighed = [synonyms.text(fold(name)) for name in weighed_categories(config)]
    rows = _Heard(prepared, lambda: progress(len(prepared)))
    named = parts_of_series(listings, config.title.series_parts)
    series = [(name, forms.title(part)) for name, part in named]
    return _table(listings, rows, series, weighed, config)


class _Heard(list[Prepared]):
    """Rows that tell whenever a thousand of them were gone through."""

    def __init__(self, rows: list[Prepared], heard: Callable[[], None]) -> None:
        super().__init__(rows)
        self._heard = heard

    def __iter__(self) -> Iterator[Prepared]:
        """Yield the rows."""
        for start in range(0, len(self), 1000):
            self._heard()
            yield from self[start : start + 1000]


def _table(
    listings: Sequence[Listing],
    rows: list[Prepared],
    series: list[tuple[str, str]],
    weighed: list[str],
    config: MatchingConfig,
) -> Table:
    parts = parts_of(rows, [part for _, part in series], config.text)
    title, text = (
        _texts(_sorted_words(value) for value in column)
        for column in ([row.title for row in rows], [row.text for row in rows])
    )
    heads = _texts(city_head(row.city) for row in rows)
    venue, source = _texts(_sorted_words(row.venue) for row in rows), _sources(listings)
    title_index, venue_index = index_of(parts.title), index_of(parts.venue)
    factor, long = config.title.own_place_factor, config.description.long_characters
    times = NamedTimes(config.text.time_words, config.date.named_time_minutes)
    entries = [times.entries(listing) for listing in listings]
    return Table(
        ids=tuple(listing.id for listing in listings),
        shows=shows_of(entries, 0),
        nights=shows_of(entries, config.date.night_minutes * 60),
        city=_texts(row.city for row in rows),
        city_head=heads,
        city_share=shares_of(heads.codes),
        is_short_city=np.array([row.city == city_head(row.city) for row in rows], bool),
        district=_texts(districts(rows) if config.geo.use_districts else [""] * len(rows)),
        towns=_texts(_towns(listings, config)),
        is_common_title=repeated(title.codes, heads.codes, source.codes, venue.codes)
        | widespread(parts, heads.codes, config.geo.common_title_venues),
        venue=venue,
        venue_words=words_in(parts.venue, venue_index, _own_city(rows, parts.venue, factor)),
        street=_texts(row.street for row in rows),
        point=_points(listings),
        title=title,
        title_joined=_texts(row.title.replace(" ", "") for row in rows),
        title_words=words_in(parts.title, title_index, _own_places(parts, factor)),
        series=_texts(name for name, _ in series),
        part=_texts(_sorted_words(part) for _, part in series),
        part_words=words_in(
            [[word for word in part if word in title_index] for part in parts.part], title_index
        ),
        title_vocabulary=tuple(title_index),
        title_marks=_texts(row.marks for row in rows),
        found_words=matrix_of(
            (filter(title_index.__contains__, words) for words in parts.found()), title_index
        ),
        text=text,
        text_plain=_texts(row.text for row in rows),
        text_titles=_carriers(text, title),
        text_words=words_in(parts.text, index_of(parts.text)),
        source=source,
        is_article=np.array([listing.source_type == "artikel" for listing in listings], bool),
        is_entry=np.array([listing.source_type == "terminliste" for listing in listings], bool),
        is_long_text=np.array([len(row.text) >= long for row in rows], bool),
        categories=_flags([row.categories for row in rows], weighed),
    )


def _flags(rows: Sequence[frozenset[str]], names: list[str]) -> Bools:
    """Return a row a listing, and in it for each name whether the listing has it."""
    flags = np.array([[name in row for name in names] for row in rows], bool)
    return flags.reshape(len(rows), len(names))


def _sorted_words(text: str) -> str:
    return " ".join(sorted(text.split()))


def _texts(values: Iterable[str]) -> Texts:
    """Return a column whose codes follow the order of the rows."""
    codes = {"": 0}
    rows = np.fromiter((codes.setdefault(value, len(codes)) for value in values), np.int64)
    distinct = np.empty(len(codes), object)
    distinct[:] = list(codes)
    return Texts(distinct, rows)


def _carriers(texts: Texts, titles: Texts) -> Ints:
    """Return how many distinct titles stand beside a row's text."""
    both = np.unique(np.stack([texts.codes, titles.codes]), axis=1)
    counts = np.bincount(both[0], minlength=len(texts.values)).astype(np.int64)
    return counts[texts.codes]


def _sources(listings: Sequence[Listing]) -> Texts:
    """Return the sources; unknown in a batch of a single one, where they tell nothing."""
    codes = [listing.source_code or "" for listing in listings]
    return _texts(codes if len({code for code in codes if code}) > 1 else [""] * len(codes))


def _towns(listings: Sequence[Listing], config: MatchingConfig) -> Iterable[str]:
    if not config.geo.use_towns:
        return [""] * len(listings)
    return map(Towns(listings, config.text).of, listings)


def _own_places(parts: Parts, factor: float) -> Floats:
    """Return a factor a title word: low where it repeats the listing's own city or venue."""
    return _lowered(zip(parts.title, parts.place(), strict=True), factor)


def _own_city(rows: list[Prepared], venues: list[list[str]], factor: float) -> Floats:
    """Return a factor a venue word: low where it repeats the listing's own city."""
    cities = [[stem(word) for word in row.city.split()] for row in rows]
    return _lowered(zip(venues, cities, strict=True), factor)


def _lowered(rows: Iterable[tuple[list[str], Container[str]]], factor: float) -> Floats:
    factors = (factor if word in own else 1.0 for words, own in rows for word in words)
    return np.fromiter(factors, np.float64)


def _points(listings: Sequence[Listing]) -> Floats:
    points = np.full((len(listings), 3), np.nan)
    for row, listing in enumerate(listings):
        if geo := listing.location.geo:
            confidence = np.nan if geo.confidence is None else geo.confidence
            points[row] = geo.latitude, geo.longitude, confidence
    return points
