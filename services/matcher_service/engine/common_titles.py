"""Titles that tell the kind of an event and not which one: *Gottesdienst*, *Quiz night*."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from matcher_service.engine.prepare import Parts

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
_Words: TypeAlias = frozenset[str]
_Titles: TypeAlias = Mapping[tuple[int, _Words], set[_Words]]
"""The venues at which each title of a city stands."""


def repeated(titles: Ints, cities: Ints, sources: Ints, venues: Ints) -> Bools:
    """Tell which titles a source has at several venues of one city, a row each; 0 is unknown.

    Within one source: two may call one venue by two names.
    """
    here = _grouped(titles, cities)
    known = np.flatnonzero((sources > 0) & (venues > 0) & (titles > 0))
    source = _grouped(here[known], sources[known])
    first = np.unique(_grouped(source, venues[known]), return_index=True)[1]
    several = np.bincount(source[first], minlength=1)[source] > 1
    return np.isin(here, here[known[several]])


def _grouped(one: Ints, other: Ints) -> Ints:
    """Return a number for each distinct pair of values."""
    groups: Ints = np.unique(one * (other.max(initial=0) + 1) + other, return_inverse=True)[1]
    return groups


def widespread(parts: Parts, cities: Ints, least: int) -> Bools:
    """Tell which titles stand, whole or inside longer ones, at `least` venues of a city; 0: none.

    Whatever their sources: so many names are not those of one venue.
    """
    if not least:
        return np.zeros(len(cities), bool)
    keys = list(zip(cities.tolist(), _titles(parts), strict=True))
    venues: dict[tuple[int, _Words], set[_Words]] = defaultdict(set)
    for key, venue in zip(keys, parts.venue, strict=True):
        venues[key].update([frozenset(venue)] if venue else ())
    posted: dict[tuple[int, str], list[_Words]] = defaultdict(list)
    for city, title in venues:
        for word in title:
            posted[city, word].append(title)
    common = {key: _places(_around(*key, venues, posted), least) >= least for key in venues}
    return np.array([common[key] for key in keys], bool)


def _titles(parts: Parts) -> Iterable[_Words]:
    """Yield the title words of each row that are not of its own place, equal ones as one object."""
    seen: dict[_Words, _Words] = {}
    for words, own in zip(parts.title, parts.place(), strict=True):
        title = frozenset(words) - own
        yield seen.setdefault(title, title)


def _around(
    city: int, title: _Words, venues: _Titles, posted: Mapping[tuple[int, str], list[_Words]]
) -> set[_Words]:
    """Return the venues of all titles of a city that hold the words of one."""
    longer = min((posted[city, word] for word in title), key=len, default=[])
    return set().union(*(venues[city, other] for other in longer if title <= other))


def _places(venues: set[_Words], most: int) -> int:
    """Count venues, up to `most`; one that has all words of another is the same."""
    kept: list[_Words] = []
    for words in sorted(venues, key=lambda one: (len(one), sorted(one))):
        if len(kept) < most and not any(one <= words for one in kept):
            kept.append(words)
    return len(kept)
