"""The seven ways to choose a field's value from several listings.

| strategy | text | list | yes or no | coordinates, address |
|---|---|---|---|---|
| longest | most characters | most entries | majority | most parts known |
| longest_non_generic | longest that is not generic, if any | most entries | majority | most parts known |
| union | all distinct ones, joined by ` / ` | all entries | any yes | most parts known |
| most_complete | most words | most entries | majority | most parts known |
| most_frequent | majority | entries that most listings hold | majority | majority |
| highest_confidence | see below | see below | see below | see below |
| any_true | most characters | all entries | any yes | most parts known |

`highest_confidence` takes the value of the listing whose coordinates have the highest confidence;
where no listing states one it does what `most_complete` does for places, else what `longest` does.

Joined texts and lists end where one listing's limits end: 64 KiB, 1,000 entries.
Spellings and entries are the same when their folded texts are. All ties go to the smaller id, a tie
of yes and no to yes.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, TypeAlias

from dedup_model.matching_config import FieldStrategy
from matcher_service.engine.listing import Geo, Listing
from matcher_service.engine.normalise import fold
from matcher_service.engine.values import MAX_ITEMS, MAX_TEXT_BYTES

Kind: TypeAlias = Literal["text", "list", "flag", "place"]
Known: TypeAlias = list[tuple[Listing, Any]]
"""The listings that know a field, by id, each with its value."""

_ALL_OF_THEM = (FieldStrategy.UNION, FieldStrategy.ANY_TRUE)


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen value (None: unknown) and the ids of the listings it is from."""

    value: Any
    sources: tuple[str, ...]


UNKNOWN = Choice(None, ())


@dataclass(frozen=True, slots=True)
class Field:
    """A field of listings that are sorted by id, what it holds and how to read it."""

    listings: Sequence[Listing]
    kind: Kind
    read: Callable[[Listing], Any]

    def known(self) -> Known:
        """Return the listings that know the field; None and empty lists are unknown."""
        found = ((listing, self.read(listing)) for listing in self.listings)
        return [(listing, value) for listing, value in found if value is not None and value != ()]


def choose(field: Field, strategy: FieldStrategy, shortest: int) -> Choice:
    """Return a field's value by a strategy; a generic text has fewer than `shortest` characters."""
    known = field.known()
    if not known:
        return UNKNOWN
    if len(known) == 1 and field.kind != "list":
        return _single(*known[0])
    if strategy is FieldStrategy.HIGHEST_CONFIDENCE and (located := _best_located(known)):
        return _single(*located)
    if field.kind == "text":
        return _text(known, strategy, shortest)
    chosen = {"list": _list, "flag": _flag, "place": _place}[field.kind]
    return chosen(known, strategy)


def _single(listing: Listing, value: Any) -> Choice:
    return Choice(value, (listing.id,))


def _best_located(known: Known) -> tuple[Listing, Any] | None:
    """Return what the listing with the highest stated coordinate confidence says."""
    located = [one for one in known if _confidence(one[0]) >= 0]
    return max(located, key=lambda one: _confidence(one[0])) if located else None


def _confidence(listing: Listing) -> float:
    geo = listing.location.geo
    return -1.0 if geo is None or geo.confidence is None else geo.confidence


def _text(known: Known, strategy: FieldStrategy, shortest: int) -> Choice:
    if strategy is FieldStrategy.UNION:
        return _joined(known)
    if strategy is FieldStrategy.MOST_FREQUENT:
        return _most_frequent(known, fold)
    if strategy is FieldStrategy.MOST_COMPLETE:
        return _single(*max(known, key=lambda one: (len(one[1].split()), len(one[1]))))
    if strategy is FieldStrategy.LONGEST_NON_GENERIC:
        known = [one for one in known if len(one[1]) >= shortest] or known
    return _single(*max(known, key=lambda one: len(one[1])))


def _joined(known: Known) -> Choice:
    distinct: dict[str, tuple[Listing, str]] = {}
    for listing, value in known:
        distinct.setdefault(_form(value), (listing, value))
    texts = _within_limits([value for _, value in distinct.values()], len(" / "))
    sources = list(distinct.values())[: len(texts)]
    return Choice(" / ".join(texts), tuple(dict.fromkeys(listing.id for listing, _ in sources)))


def _within_limits(entries: list[str], between: int = 0) -> list[str]:
    """Return the first entries that together stay within what one listing may hold."""
    sizes = accumulate(len(entry.encode()) + between for entry in entries)
    kept = sum(size <= MAX_TEXT_BYTES for size in sizes)
    return entries[: min(kept, MAX_ITEMS)]


def _most_frequent(known: Known, form: Callable[[Any], Hashable]) -> Choice:
    """Return the first value, by id, of the most frequent form, with all who say so."""
    counts = Counter(form(value) for _, value in known)
    listing, value = max(known, key=lambda one: counts[form(one[1])])
    agreeing = tuple(one.id for one, other in known if form(other) == form(value))
    return Choice(value, agreeing or (listing.id,))


def _list(known: Known, strategy: FieldStrategy) -> Choice:
    if strategy not in (*_ALL_OF_THEM, FieldStrategy.MOST_FREQUENT):
        return _single(*max(known, key=lambda one: len(one[1])))
    holders = Counter(form for _, value in known for form in set(map(_form, value)))
    least = max(holders.values()) if strategy is FieldStrategy.MOST_FREQUENT else 1
    entries: dict[str, str] = {}
    sources: dict[str, None] = {}
    for listing, value in known:
        for entry in value:
            if holders[_form(entry)] >= least:
                entries.setdefault(_form(entry), entry)
                sources.setdefault(listing.id)
    return Choice(tuple(_within_limits(list(entries.values()))), tuple(sources))


def _form(entry: str) -> str:
    """Return what spellings of one entry share; of signs alone, the entry."""
    return fold(entry) or entry


def _flag(known: Known, strategy: FieldStrategy) -> Choice:
    yes = [listing.id for listing, value in known if value]
    no = [listing.id for listing, value in known if not value]
    wins = bool(yes) if strategy in _ALL_OF_THEM else len(yes) >= len(no)
    return Choice(wins, tuple(yes if wins else no))


def _place(known: Known, strategy: FieldStrategy) -> Choice:
    if strategy is FieldStrategy.MOST_FREQUENT:
        return _most_frequent(known, _rounded)
    return _single(*max(known, key=lambda one: _completeness(one[1])))


def _rounded(value: Any) -> Hashable:
    """Return coordinates to about 10 m, and address parts folded."""
    if isinstance(value, Geo):
        return round(value.latitude, 4), round(value.longitude, 4)
    return tuple(fold(part) for part in value)


def _completeness(value: Any) -> tuple[int, float]:
    """Return how many parts are known, then the confidence or the length of the address."""
    if isinstance(value, Geo):
        known = (value.confidence is not None) + (value.country is not None)
        return known, value.confidence or 0.0
    return sum(part is not None for part in value), float(sum(len(part or "") for part in value))
