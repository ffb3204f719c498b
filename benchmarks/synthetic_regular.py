"""Synthetic hard negatives of one region: regular happenings whose titles name their kind alone.

On one day several churches hold a *Gottesdienst* at ten, several pubs a *Quiz night* at eight: title, day
and time agree, and the place alone tells them apart. `ONE_TOWN` is a town with forty sources, `TWO_PAPERS`
a county whose two newspapers name no town. Every text is made here; the same seed gives the same listings
anywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any, TypeAlias

FIRST_DAY = date(2026, 5, 1)
TAKES_PLACE = 0.7
"""Share of days on which a kind of happening takes place at all."""
MOST_VENUES = 4
"""Venues at which a kind takes place on one day, at most."""
SIZES, SIZE_ODDS = (1, 2, 3), (60, 30, 10)
"""How many sources print a happening."""
NO_PLACE, NO_TIME, NO_CITY, VAGUE = 0.1, 0.1, 0.1, 0.05
"""Shares of listings without a venue, a time, a town, and with a vague place for a venue."""

Made: TypeAlias = tuple[list[dict[str, Any]], dict[str, str]]
"""Listings in the form of the input, and the true cluster of each."""


@dataclass(frozen=True)
class Region:
    """What happens in a region: kinds with their start times and venues, and how sources print it.

    `spellings` are other names of a venue; `city` is empty where no listing names a town.
    """

    days: int
    sources: int
    city: str
    kinds: Sequence[tuple[str, str, Sequence[str]]]
    spellings: Mapping[str, Sequence[str]]
    tails: Sequence[str]
    texts: Sequence[str]
    vague: Sequence[str]


CHURCHES = (
    "St. Martin",
    "Christuskirche",
    "St. Elisabeth",
    "Lutherkirche",
    "Herz Jesu",
    "Johanneskirche",
)
HALLS = ("Bürgerhaus", "Turnhalle Nord", "Mehrzweckhalle Süd", "Gemeindesaal West", "Kulturscheune", "Feuerwehrhaus")  # fmt: skip
PUBS = tuple(
    f"The {first} {last}"
    for first in ("Kings", "Queens", "Red", "Golden", "White", "Railway", "Crown")
    for last in ("Head", "Lion", "Inn", "Arms", "Swan", "Tavern")
)
VILLAGE_HALLS = tuple(f"{name} Village Hall" for name in ("Ashby", "Marlow", "Thornby", "Eastleigh", "Winford"))  # fmt: skip

ONE_TOWN = Region(
    days=40,
    sources=40,
    city="Neustadt",
    kinds=(
        ("Gottesdienst", "10:00", CHURCHES),
        ("Eucharistiefeier", "18:00", CHURCHES),
        ("Kirchenkonzert", "19:30", CHURCHES),
        ("Krabbelgruppe", "09:30", HALLS),
        ("Seniorennachmittag", "15:00", HALLS),
        ("Yoga", "18:00", HALLS),
        ("Flohmarkt", "10:00", HALLS),
        ("Blutspende", "14:30", HALLS),
    ),
    spellings={
        "St. Martin": ("Kirche St. Martin", "Pfarrkirche Sankt Martin"),
        "St. Elisabeth": ("Elisabethkirche", "Sankt Elisabeth"),
        "Herz Jesu": ("Herz-Jesu-Kirche",),
        "Bürgerhaus": ("Bürgerhaus, großer Saal",),
    },
    tails=("", "", " 2026", " in der Gemeinde", " für alle"),
    texts=("", "Herzliche Einladung.", "Alle sind willkommen.", "Eintritt frei, um Spenden wird gebeten."),
    vague=("Stadtmitte", "Innenstadt"),
)  # fmt: skip
TWO_PAPERS = Region(
    days=40,
    sources=2,
    city="",
    kinds=(
        ("Quiz night", "20:00", PUBS),
        ("Live music", "21:00", PUBS),
        ("Open mic night", "19:30", PUBS),
        ("Bingo", "19:00", PUBS),
        ("Coffee morning", "10:00", VILLAGE_HALLS),
        ("Jumble sale", "11:00", VILLAGE_HALLS),
    ),
    spellings={pub: (pub.removeprefix("The "),) for pub in PUBS},
    tails=("", "", "", " for charity"),
    texts=("", "All welcome.", "Free entry.", "Teams of up to six."),
    vague=("town centre",),
)


def regular(region: Region, seed: int) -> Made:
    """Return the listings of a region and their truth."""
    random = Random(f"regular {region.city} {seed}")
    printed = list(_printed(region, random))
    listings = [{"id": f"r{n:05}", **listing} for n, (listing, _) in enumerate(printed)]
    return listings, {f"r{n:05}": cluster for n, (_, cluster) in enumerate(printed)}


def _printed(region: Region, random: Random) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each listing with its cluster."""
    for day in range(region.days):
        for kind, start, venues in region.kinds:
            count = random.randint(1, MOST_VENUES) if random.random() < TAKES_PLACE else 0
            for venue in random.sample(venues, count):
                size = min(random.choices(SIZES, SIZE_ODDS)[0], region.sources)
                for source in random.sample(range(region.sources), size):
                    listing = _listing(region, random, day, kind, start, venue)
                    yield listing | {"source_code": f"paper{source}"}, f"{kind} {venue} {day}"


def _listing(
    region: Region, random: Random, day: int, kind: str, start: str, venue: str
) -> dict[str, Any]:
    named = random.choice((venue, venue, *region.spellings.get(venue, ())))
    place = random.choices(
        (named, None, random.choice(region.vague)), (1 - NO_PLACE - VAGUE, NO_PLACE, VAGUE)
    )[0]
    time = start if random.random() >= NO_TIME else None
    city = region.city if random.random() >= NO_CITY else ""
    return {
        "title": kind + random.choice(region.tails),
        "event_dates": [{"date": str(FIRST_DAY + timedelta(days=day)), "start_time": time}],
        "location": {"name": place, "city": city or None},
        "description": random.choice(region.texts) or None,
    }
