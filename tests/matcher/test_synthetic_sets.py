"""The synthetic sets: reproducible, readable, truthful, and as hard as they say."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from synthetic import LANGUAGES, Spec, generate, write
from synthetic_odds import FAULTS

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.records import read

COMMAND = Path(__file__).parents[2] / "benchmarks/synthetic.py"
HARD_NEGATIVES = {
    "cinema", "weekly series", "generic name", "festival part", "groups of a club", "run",
    "evenings", "two shows", "matinee",
}  # fmt: skip
OFTEN_IN_LIGHT = [fault for fault in FAULTS if fault.light >= 0.005]


@pytest.fixture(scope="module")
def light():
    return [item for day in generate(Spec(harsh=False, listings=6000)) for item in day.items]


@pytest.fixture(scope="module")
def harsh():
    return [item for day in generate(Spec(harsh=True, listings=6000)) for item in day.items]


def test_the_same_arguments_give_the_same_bytes_under_any_hash_seed(tmp_path):
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        command = [sys.executable, COMMAND, "--set", "harsh", "--events", "500", "-o", folder]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
    for name in ("events.jsonl", "gold_clusters.csv", "gold_events.jsonl"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_another_seed_gives_other_listings():
    first, second = (list(generate(Spec(harsh=False, listings=100, seed=seed))) for seed in (1, 2))
    assert [item.listing["title"] for item in first[0].items] != [
        item.listing["title"] for item in second[0].items
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("listings", [1, 7, 1000])
def test_a_set_has_the_asked_number_of_listings_with_distinct_ids(listings, language):
    spec = Spec(harsh=True, listings=listings, language=language)
    ids = [item.listing["id"] for day in generate(spec) for item in day.items]
    assert len(set(ids)) == len(ids) == listings


@pytest.mark.parametrize("kind", ["light", "harsh"])
def test_nothing_of_a_set_is_quarantined(kind, request):
    items = request.getfixturevalue(kind)
    reading = read([item.listing for item in items], MatchingConfig())
    assert reading.quarantined == ()
    assert len(reading.listings) == len(items)
    assert reading.repairs, "no odd spelling of a time was met"


def test_the_files_label_every_listing_but_whole_runs_and_shows_without_time(tmp_path):
    write(Spec(harsh=False, listings=3000), tmp_path)
    with (tmp_path / "gold_clusters.csv").open(encoding="utf-8") as file:
        gold = {row["event_id"]: row["cluster_id"] for row in csv.DictReader(file)}
    lines = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    listings = {one["id"]: one for one in map(json.loads, lines)}
    assert gold.keys() <= listings.keys()
    unlabelled = [one for name, one in listings.items() if name not in gold]
    assert len(unlabelled) < 0.02 * len(listings)
    assert unlabelled
    assert all(
        len(one["event_dates"]) == 3 or one["event_dates"][0]["start_time"] is None
        for one in unlabelled
    )
    truths = (tmp_path / "gold_events.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(gold.values()) <= {json.loads(line)["cluster_id"] for line in truths}


def test_listings_of_one_cluster_share_days_and_those_of_hard_negatives_are_apart(light):
    clusters = defaultdict(list)
    for item in light:
        if item.cluster:
            clusters[item.cluster].append(item)
    assert {len(items) for items in clusters.values()} >= {1, 2, 3, 4, 5, 6}
    for items in clusters.values():
        days = [frozenset(d["date"] for d in item.listing["event_dates"]) for item in items]
        assert len(set(days)) == 1
        assert len({item.group for item in items}) == 1


def test_most_listings_of_a_cluster_come_from_different_sources(harsh):
    sources = defaultdict(list)
    for item in harsh:
        sources[item.cluster].append(item.listing["source_code"])
    repeated = sum(len(found) - len(set(found)) for found in sources.values())
    assert 0 < repeated < 0.1 * len(harsh)


@pytest.mark.parametrize("fault", OFTEN_IN_LIGHT, ids=lambda fault: fault.name)
def test_every_fault_occurs_in_the_light_set(fault, light):
    assert any(fault.name in item.faults for item in light)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_occurs_in_the_harsh_set_and_more_often(fault, light, harsh):
    times = Counter(name for item in harsh for name in item.faults)[fault.name]
    assert times > Counter(name for item in light for name in item.faults)[fault.name]


@pytest.mark.parametrize("kind", ["light", "harsh"])
def test_every_hard_negative_occurs(kind, request):
    items = request.getfixturevalue(kind)
    assert {item.group for item in items} - {""} == HARD_NEGATIVES


def test_the_harsh_set_has_several_faults_at_once_and_half_the_towns_and_places(light, harsh):
    def mean(items):
        return sum(len(item.faults) for item in items) / len(items)

    assert mean(light) < 2.5
    assert mean(harsh) > 4
    cities = sum(item.listing["location"]["city"] is not None for item in harsh)
    assert 0.45 < cities / len(harsh) < 0.55
    points = sum(item.listing["location"]["geo"] is not None for item in harsh)
    assert points / len(harsh) < 0.5


def test_without_city_no_listing_names_one():
    days = generate(Spec(harsh=True, listings=300, no_city=True))
    places = [item.listing["location"] for day in days for item in day.items]
    assert not any(place["city"] or place["zipcode"] for place in places)


def test_skew_puts_its_share_of_each_day_into_one_town():
    days = list(generate(Spec(harsh=False, listings=4000, skew=0.3, language="de")))
    towns = Counter(event.town.name for day in days for event in day.events.values())
    assert 0.25 < towns.most_common(1)[0][1] / towns.total() < 0.4


@pytest.mark.parametrize("listings", [2_000, 50_000, 1_000_000])
def test_a_town_has_the_same_number_of_listings_a_day_at_any_size(listings):
    spec = Spec(harsh=False, listings=listings)
    first = next(iter(generate(spec)))
    assert len(first.items) == spec.listings_a_day == 4 * spec.towns


def test_a_town_has_no_two_events_of_one_generic_name_on_a_day():
    names = Counter(
        (event.town.name, event.name, event.shows[0].day)
        for day in generate(Spec(harsh=False, listings=6000))
        for event in day.events.values()
        if event.group in ("generic name", "weekly series")
    )
    assert max(names.values()) == 1
