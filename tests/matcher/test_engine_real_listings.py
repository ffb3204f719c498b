"""Quality on real listings that stay outside the project: skipped where they are absent."""

import csv
import json
from itertools import combinations
from pathlib import Path

import pytest

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.pipeline import deduplicate

DATA = Path(__file__).parents[2].parent / "shared/data/muensterland_de"


@pytest.mark.skipif(not DATA.exists(), reason="the real listings are not on this machine")
def test_german_regional_listings_are_matched_with_the_defaults() -> None:
    raw = [json.loads(line) for line in (DATA / "events.jsonl").read_text().splitlines()]
    found = deduplicate(raw, MatchingConfig(), 0.65, lambda *_: None)
    gold: dict[str, list[str]] = {}
    with (DATA / "gold_clusters.csv").open() as rows:
        for row in csv.DictReader(rows):
            gold.setdefault(row["cluster_id"], []).append(row["event_id"])
    true = {pair for group in gold.values() for pair in combinations(sorted(group), 2)}
    merged = {pair for event in found.events for pair in combinations(event.listing_ids, 2)}
    precision = len(true & merged) / len(merged)
    recall = len(true & merged) / len(true)
    assert precision > 0.95
    assert 2 * precision * recall / (precision + recall) > 0.92
