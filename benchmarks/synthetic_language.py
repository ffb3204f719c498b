"""What the synthetic set needs to know of a language: word lists and sentence patterns.

Patterns are `str.format` texts. Their slots: `a` an adjective, `n` `m` two nouns, `tail` the second
half of a compound, `ens` an ensemble, `club` a club, `town`, `venue`, `name`, `genre`, `year`.
"""

from dataclasses import dataclass
from typing import TypeAlias

Fact: TypeAlias = tuple[str, str]
"""One statement in the words of a calendar and in the words of a newspaper."""


@dataclass(frozen=True)
class Kind:
    """A kind of event: how it is named, when it starts (hours of the day) and what is told of it."""

    genres: tuple[str, ...]
    names: tuple[str, ...]
    facts: tuple[Fact, ...]
    categories: tuple[str, ...]
    hours: tuple[float, ...]
    performers: bool = False


@dataclass(frozen=True)
class Language:
    """The words of one language."""

    code: str
    town_starts: tuple[str, ...]
    town_ends: tuple[str, ...]
    town_tails: tuple[tuple[str, str], ...]
    """A qualifier of a town's name with its short form: ` im Breisgau`, ` i. Br.`."""
    street_ends: tuple[tuple[str, str], ...]
    """The last part of a street's name with its short form: `straße`, `str.`."""
    venues: tuple[str, ...]
    """Venues that most towns have; named alone, or with the town."""
    own_venues: tuple[str, ...]
    rooms: tuple[str, ...]
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    tails: tuple[str, ...]
    ensembles: tuple[str, ...]
    clubs: tuple[str, ...]
    kinds: dict[str, Kind]
    openings: tuple[Fact, ...]
    """First sentences that name the event."""
    subtitles: tuple[str, ...]
    headlines: tuple[str, ...]
    generic: tuple[str, ...]
    """Names that many towns give to an event of the same day."""
    weekly: tuple[str, ...]
    films: tuple[str, ...]
    festivals: tuple[str, ...]
    festival_parts: tuple[str, ...]
    courses: tuple[str, ...]
    levels: tuple[tuple[str, str], ...]
    markers: tuple[str, ...]
    synonyms: tuple[tuple[str, str], ...]
    boilerplate: tuple[str, ...]
    cinema_text: str
    course_text: str
    generic_text: Fact
