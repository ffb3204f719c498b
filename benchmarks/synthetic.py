"""Synthetic listings with their truth: a region's events as several sources would print them.

`python benchmarks/synthetic.py --set harsh --events 10000 --seed 1 -o DIR` writes

- `events.jsonl`: listings in the form of the input, by day and shuffled inside a day,
- `gold_clusters.csv`: `event_id,cluster_id,group,faults`, a row a listing; `group` is the kind of
  hard negative that the event belongs to, `faults` what was done to the listing, joined by `+`,
- `gold_events.jsonl`: the true title, dates, venue and town a cluster.

Every text is made from word lists. The same arguments give the same bytes anywhere. Each day of each
town holds about four listings at any size; the numbers of towns and of days grow with the square root of
the number of listings, or, with `--towns`, that of days alone. Towns lie about 6.7 km apart.
"""

import argparse
import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from synthetic_english import ENGLISH
from synthetic_feeds import SOURCES, Draft, Source, drafted, entry, listing
from synthetic_german import GERMAN
from synthetic_happenings import happening
from synthetic_odds import FAULTS
from synthetic_world import Event, Scene, Town, region

LISTINGS_A_TOWN_DAY = 4
TOWNS_OF_TEN_THOUSAND = 50
FIRST_DAY = date(2026, 3, 1).toordinal()
SIZES = (1, 2, 3, 4, 5, 6)
SIZE_ODDS = (45, 28, 14, 7, 4, 2)
"""How many sources print an event."""
EDITED = 0.05
"""Share of events that one source prints twice, the second time changed."""
GENERIC_DAYS = 0.4
"""Share of days on which towns agree on the name of their generic event."""
ENCODER = json.JSONEncoder(ensure_ascii=False)
SHARED_NAMES = ("", "generic name", "weekly series")
"""Groups whose events, where they have no genre, draw from few names."""
LANGUAGES = {"de": (GERMAN,), "en": (ENGLISH,), "both": (GERMAN, ENGLISH)}

Taken: TypeAlias = dict[int, set[tuple[str, str]]]
"""The towns and names of a day that are in use."""


@dataclass(frozen=True)
class Spec:
    """What to make: a set (`light` or `harsh`), a size, a seed.

    `skew` is the share of happenings of each day that take place in one town; `no_city` leaves the
    town out of every listing; `fixed_towns` is the number of towns, if it is not to grow.
    """

    harsh: bool
    listings: int
    seed: int = 1
    language: str = "both"
    skew: float = 0.0
    no_city: bool = False
    fixed_towns: int = field(default=0, repr=False)

    @property
    def towns(self) -> int:
        """Return the number of towns of the region."""
        return self.fixed_towns or max(
            4, round(TOWNS_OF_TEN_THOUSAND * math.sqrt(self.listings / 10_000))
        )

    @property
    def listings_a_day(self) -> int:
        """Return how many listings are published for one day."""
        return self.towns * LISTINGS_A_TOWN_DAY


@dataclass(frozen=True, slots=True)
class Item:
    """A listing with its truth; `cluster` is empty where people would disagree.

    That is a whole run beside its evenings, and one of two shows of a day without its time.
    """

    listing: dict[str, Any]
    cluster: str
    group: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """What is published for one day: listings, and the true events that begin on it by cluster."""

    items: list[Item]
    events: dict[str, Event]


def generate(spec: Spec) -> Iterator[Day]:
    """Yield the set day by day; `spec.listings` listings in all."""
    languages = LANGUAGES[spec.language]
    share = math.ceil(spec.towns / len(languages))
    towns = [town for language in languages for town in region(language, share, spec.seed)]
    left, number = spec.listings, 0
    taken: Taken = defaultdict(set)
    while left:
        day = _day(spec, towns, number, min(left, spec.listings_a_day), taken)
        taken.pop(FIRST_DAY + number, None)
        left, number = left - len(day.items), number + 1
        yield _numbered(day, spec.listings - left - len(day.items))


def _day(spec: Spec, towns: list[Town], number: int, wanted: int, taken: Taken) -> Day:
    random = Random(f"day {spec} {number}")
    generic = random.random() < GENERIC_DAYS
    names = {
        town.language.code: random.choice(town.language.generic)
        for town in towns[:: len(towns) - 1]
    }
    items: list[Item] = []
    events: dict[str, Event] = {}
    while len(items) < wanted:
        town = towns[0] if random.random() < spec.skew else random.choice(towns)
        scene = Scene(
            town, FIRST_DAY + number, random, names[town.language.code] if generic else ""
        )
        for event in happening(scene):
            if _is_taken(event, taken):
                continue
            cluster = f"c{number:04d}-{len(events):05d}"
            events[cluster] = event
            items += _printed(event, cluster, spec, random)
    random.shuffle(items)
    kept = items[:wanted]
    present = {item.cluster for item in kept}
    return Day(kept, {name: event for name, event in events.items() if name in present})


def _is_taken(event: Event, taken: Taken) -> bool:
    """Tell whether the town has an event of this name on that day: it would be the same one.

    Asked of generic names and weekly series, whose names are few; `taken` learns the name.
    """
    if event.group not in SHARED_NAMES or event.genre:
        return False
    names = taken[event.shows[0].day]
    known = (event.town.name, event.name) in names
    names.add((event.town.name, event.name))
    return known


def _printed(event: Event, cluster: str, spec: Spec, random: Random) -> Iterator[Item]:
    size = random.choices(SIZES, SIZE_ODDS)[0] if event.labelled else 1
    sources = random.sample(SOURCES, size)
    if random.random() < EDITED:
        sources.append(sources[0])
    for source in sources:
        draft, faults = _faulty(event, source, spec, random)
        if spec.no_city:
            draft.city = draft.zipcode = ""
        known = cluster if _is_clear(event, draft) else ""
        yield Item(listing(draft, ""), known, event.group, faults)


def _is_clear(event: Event, draft: Draft) -> bool:
    """Tell whether people would agree on what the listing is of."""
    timeless = any(show.start is None for show in draft.shows)
    return event.labelled and not (event.group == "matinee" and timeless)


def _faulty(
    event: Event, source: Source, spec: Spec, random: Random
) -> tuple[Draft, tuple[str, ...]]:
    draft = drafted(event, source, random, spec.harsh)
    names = []
    for fault in FAULTS:
        odds = fault.harsh if spec.harsh else fault.light
        if random.random() < odds and fault.change(draft, event, random):
            names.append(fault.name)
    return draft, tuple(names)


def _numbered(day: Day, first: int) -> Day:
    for number, item in enumerate(day.items, first):
        item.listing["id"] = f"s{number:07d}"
    return day


def truth(cluster: str, event: Event) -> dict[str, Any]:
    """Return a true event: title, dates, venue and town."""
    venue = event.venue
    return {
        "cluster_id": cluster,
        "title": event.name,
        "event_dates": [entry(show) for show in event.shows],
        "location": {
            "name": venue.name,
            "city": event.town.name,
            "street": venue.street,
            "street_no": venue.number,
        },
    }


def write(spec: Spec, folder: Path) -> None:
    """Write the three files of a set into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "events.jsonl").open("w", encoding="utf-8") as listings,
        (folder / "gold_events.jsonl").open("w", encoding="utf-8") as events,
        (folder / "gold_clusters.csv").open("w", encoding="utf-8", newline="") as clusters,
    ):
        rows = csv.writer(clusters, lineterminator="\n")
        rows.writerow(("event_id", "cluster_id", "group", "faults"))
        for day in generate(spec):
            listings.writelines(_line(item.listing) for item in day.items)
            events.writelines(_line(truth(*pair)) for pair in day.events.items())
            rows.writerows(
                (item.listing["id"], item.cluster, item.group, "+".join(item.faults))
                for item in day.items
                if item.cluster
            )


def _line(document: dict[str, Any]) -> str:
    return ENCODER.encode(document) + "\n"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", choices=("light", "harsh"), default="light", dest="kind")
    parser.add_argument("--events", type=int, default=10_000, help="number of listings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--language", choices=tuple(LANGUAGES), default="both")
    parser.add_argument("--skew", type=float, default=0.0, help="share of each day in one town")
    parser.add_argument("--no-city", action="store_true", help="leave the town out everywhere")
    parser.add_argument("--towns", type=int, default=0, help="a region that does not grow")
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    spec = Spec(
        asked.kind == "harsh",
        asked.events,
        asked.seed,
        asked.language,
        asked.skew,
        asked.no_city,
        asked.towns,
    )
    write(spec, asked.output)


if __name__ == "__main__":
    main()
