"""A synthetic region: towns on a grid, their venues, and the true events of one town on one day."""

import math
from dataclasses import dataclass, field
from random import Random

from synthetic_language import Fact, Kind, Language

DAY_MINUTES = 1440
SPACING_DEGREES = (0.06, 0.09)
"""Distance of neighbouring towns, about 6.7 km, in latitude and longitude."""
SOUTH_WEST = {"de": (47.6, 7.6), "en": (51.2, -2.4)}
"""Where the region of a language begins."""
VENUES_A_TOWN = 12


@dataclass(frozen=True, slots=True)
class Show:
    """A day (proleptic ordinal), start and end in minutes, and the last day of a range."""

    day: int
    start: int | None
    end: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Venue:
    """A place where things happen; `own` names need no town to be found."""

    name: str
    own: bool
    street: str
    number: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Town:
    """A town with its name, the form people shorten it to, and its centre."""

    name: str
    short: str
    zipcode: str
    latitude: float
    longitude: float
    venues: tuple[Venue, ...]
    language: Language


@dataclass(slots=True)
class Event:
    """One real-world event, as nobody ever prints it whole.

    `group` names the hard negative that it belongs to, if any; `facts` are told in two wordings;
    `compound` holds the halves of a compound in the name; an event without `labelled` has no truth
    because people disagree on it (a whole series beside its single evenings).
    """

    group: str
    town: Town
    venue: Venue
    name: str
    genre: str
    performer: str
    subtitle: str
    headline: str
    facts: tuple[Fact, ...]
    shows: tuple[Show, ...]
    categories: tuple[str, ...]
    compound: tuple[str, str] | None = None
    labelled: bool = True


def region(language: Language, count: int, seed: int) -> list[Town]:
    """Return `count` towns with distinct names on a square grid."""
    random = Random(f"region {language.code} {count} {seed}")
    names = [a + b for a in language.town_starts for b in language.town_ends]
    random.shuffle(names)
    side = math.ceil(math.sqrt(count))
    return [_town(language, _name(names, i), divmod(i, side), random) for i in range(count)]


def _name(names: list[str], index: int) -> str:
    """Return a name; a region larger than the list numbers them by compass points."""
    turn, place = divmod(index, len(names))
    return names[place] + ("", " Nord", " Ost", " West")[turn % 4]


def _town(language: Language, name: str, cell: tuple[int, int], random: Random) -> Town:
    long, short = random.choice(language.town_tails) if random.random() < 0.3 else ("", "")
    south, west = SOUTH_WEST[language.code]
    latitude = south + (cell[0] + random.uniform(-0.3, 0.3)) * SPACING_DEGREES[0]
    longitude = west + (cell[1] + random.uniform(-0.3, 0.3)) * SPACING_DEGREES[1]
    town = Town(
        name + long, name + short, f"{random.randrange(10000, 99999)}", latitude, longitude, (), language
    )  # fmt: skip
    venues = tuple(_venue(town, place, random) for place in range(VENUES_A_TOWN))
    return Town(town.name, town.short, town.zipcode, latitude, longitude, venues, language)


def _venue(town: Town, place: int, random: Random) -> Venue:
    language = town.language
    own = place >= VENUES_A_TOWN // 2
    if own:
        name = random.choice(language.own_venues).format(
            n=random.choice(language.nouns), a=random.choice(language.adjectives)
        )
    else:
        name = language.venues[(place * 5 + random.randrange(5)) % len(language.venues)]
        name = f"{name} {town.short.split()[0]}" if random.random() < 0.4 else name
    return Venue(
        name,
        own,
        random.choice(language.nouns) + random.choice(language.street_ends)[0],
        str(random.randrange(1, 90)),
        town.latitude + random.uniform(-0.01, 0.01),
        town.longitude + random.uniform(-0.015, 0.015),
    )


@dataclass(slots=True)
class Scene:
    """One town on one day; makes what happens there."""

    town: Town
    day: int
    random: Random
    generic: str
    """The name that many towns give to their event of this day."""
    slots: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the first words."""
        self.draw()

    def draw(self) -> None:
        """Draw the words that the next event is made of."""
        choice, language = self.random.choice, self.town.language
        noun, other = self.random.sample(language.nouns, 2)
        self.slots = {"n": noun, "m": other, "a": choice(language.adjectives)}
        self.slots |= {"tail": choice(language.tails), "town": self.town.short}
        self.slots["ens"] = self.slots["club"] = ""
        self.slots["ens"] = capital(choice(language.ensembles).format(**self.slots))
        self.slots["club"] = choice(language.clubs).format(**self.slots)

    def venue(self) -> Venue:
        """Return a venue of the town."""
        return self.random.choice(self.town.venues)

    def show(self, hours: tuple[float, ...], later: int = 0) -> Show:
        """Return one show `later` days after this one."""
        start = int(self.random.choice(hours) * 60)
        end = start + self.random.choice((60, 90, 120, 180)) if self.random.random() < 0.5 else None
        return Show(self.day + later, start, end)

    def event(
        self, kind: Kind, name: str, venue: Venue, shows: tuple[Show, ...], group: str = ""
    ) -> Event:
        """Return an event of a kind; `name` is a pattern."""
        choice, language, slots = self.random.choice, self.town.language, self.slots
        slots["venue"], slots["genre"] = venue.name, choice(kind.genres) if kind.genres else ""
        slots["name"] = title = capital(name.format(**slots))
        compound = (slots["n"], slots["tail"]) if "{tail}" in name else None
        facts = (choice(language.openings), *kind.facts) if kind.genres else kind.facts
        return Event(
            group=group,
            town=self.town,
            venue=venue,
            name=title,
            genre=slots["genre"],
            performer=slots["ens"] if kind.performers else "",
            subtitle=capital(choice(language.subtitles).format(**slots)) if kind.genres else "",
            headline=choice(language.headlines).format(**slots) if kind.genres else "",
            facts=tuple((a.format(**slots), capital(b.format(**slots))) for a, b in facts),
            shows=shows,
            categories=kind.categories,
            compound=compound,
        )


def capital(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]
