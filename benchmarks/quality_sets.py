"""The labelled sets that quality is measured on."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from synthetic import Spec, generate, truth
from synthetic_regular import ONE_TOWN, TWO_PAPERS, regular

from dedup_cli.batch_client import split
from dedup_cli.clusters_file import read_clusters
from dedup_cli.reading import read_files
from matcher_service.convert import raw_listings
from matcher_service.engine.blocked import Pair

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared/data"
SYNTHETIC_LISTINGS = 3000


@dataclass(frozen=True)
class LabelledSet:
    """Listings with their truth.

    `gold` is the true cluster of a listing; where only some pairs are labelled it is empty and
    `pairs` holds them. `marks` are a listing's faults and `groups` the hard negative it is part of.
    """

    name: str
    raw: list[dict[str, Any]]
    gold: dict[str, str]
    truths: list[dict[str, Any]] = field(default_factory=list)
    pairs: dict[Pair, bool] = field(default_factory=dict)
    marks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)


def labelled_sets() -> Iterator[LabelledSet]:
    """Yield the sets that are there: real ones outside the project, samples, synthetic ones."""
    for name, load in REAL_SETS.items():
        if (REAL / name.partition(",")[0]).exists():
            yield load(name)
    listings = sorted((ROOT / "examples/listings").iterdir())
    yield LabelledSet("examples", _listings(listings), read_clusters(ROOT / "examples/labels.csv"))
    for name, spec in SYNTHETIC_SETS.items():
        yield synthetic(name, spec)
    for name, region in REGULAR_SETS.items():
        yield LabelledSet(name, *regular(region, seed=1))


def _listings(paths: list[Path]) -> list[dict[str, Any]]:
    records, _ = split(read_files(paths))
    return raw_listings(record.listing for record in records)


def _clustered(name: str) -> LabelledSet:
    folder = REAL / name
    return LabelledSet(
        name, _listings([folder / "events.jsonl"]), read_clusters(folder / "gold_clusters.csv")
    )


def _paired(name: str) -> LabelledSet:
    folder = REAL / name
    with (folder / "gold_pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["id_a"], row["id_b"], row["label"] == "1") for row in csv.DictReader(file)]
    pairs = {(min(a, b), max(a, b)): same for a, b, same in rows}
    return LabelledSet(name, _listings([folder / "events.jsonl"]), {}, pairs=pairs)


def _without_cities(name: str) -> LabelledSet:
    """Return a clustered set with 97 % of its cities taken.

    A source puts its town behind the names of half of its venues.
    """
    whole, random = _clustered(name.partition(",")[0]), Random(1)
    raw = [_without_city(one, random) for one in whole.raw]
    return LabelledSet(name, raw, whole.gold)


def _without_city(one: dict[str, Any], random: Random) -> dict[str, Any]:
    place = dict(one.get("location") or {})
    if random.random() > 0.97 or not place.get("city"):
        return one
    city, venue = place.pop("city"), place.get("name")
    if venue and Random(f"{one.get('source_code')} {venue}").random() < 0.5:
        place["name"] = f"{venue}, {city}"
    return {**one, "location": place}


REAL_SETS: dict[str, Callable[[str], LabelledSet]] = {
    "muensterland_de": _clustered,
    "muensterland_de, few cities": _without_cities,
    "fodors_zagats": _clustered,
    "itunes_amazon": _paired,
}
SYNTHETIC_SETS = {
    "light": Spec(harsh=False, listings=SYNTHETIC_LISTINGS),
    "harsh German": Spec(harsh=True, listings=SYNTHETIC_LISTINGS, language="de"),
    "harsh English": Spec(harsh=True, listings=SYNTHETIC_LISTINGS, language="en"),
    "harsh, no city": Spec(harsh=True, listings=SYNTHETIC_LISTINGS, no_city=True),
}
REGULAR_SETS = {"one town": ONE_TOWN, "two papers": TWO_PAPERS}


def synthetic(name: str, spec: Spec) -> LabelledSet:
    """Return a synthetic set."""
    days = list(generate(spec))
    items = [item for day in days for item in day.items]
    return LabelledSet(
        name,
        [item.listing for item in items],
        {item.listing["id"]: item.cluster for item in items if item.cluster},
        [truth(*pair) for day in days for pair in day.events.items() if pair[1].labelled],
        marks={item.listing["id"]: item.faults for item in items},
        groups={item.listing["id"]: item.group for item in items},
    )
