"""The engine gives what its formulas give for one pair at a time, in plain Python."""

from typing import Any

import numpy as np
import pytest
from plain import compared, plain_listings, weights_in
from synthetic import Spec, generate

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocking import candidates
from matcher_service.engine.columns import table_of
from matcher_service.engine.partitions import verdicts_of
from matcher_service.engine.records import read

WEIGHTS = {"date": 3.0, "geo": 1.0, "title": 0.5, "description": 2.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "others": {
        "title": {"coverage_share": 0.2, "contrast_score": 0.6, "same_text_score": 0.9},
        "date": {
            "close_factor": 0.4,
            "far_factor": 0.3,
            "night_minutes": 0,
            "time_gap_penalty_factor": 0.2,
        },
        "geo": {
            "min_confidence": 0.3,
            "venue_mismatch_factor": 0.1,
            "neutral_score": 0.4,
            "venue_floor": 0.2,
            "street_floor": 0.3,
            "same_city_score": 0.6,
            "unknown_city_alike_score": 0.7,
            "other_city_unlike_score": 0.1,
        },
        "description": {"letters_floor": 0.2, "words_ceiling": 0.5, "long_characters": 90},
        "scoring": {"same_source_odds": 0.5, "other_city_odds": 0.3},
        "category_weights": {"priority": ["musik", "concert"], "overrides": {"musik": WEIGHTS}},
    },
}


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_signal_and_score_is_that_of_the_plain_loop(
    settings: dict[str, Any], language: str
) -> None:
    config = MatchingConfig.model_validate(settings)
    spec = Spec(harsh=True, listings=900, seed=7, language=language)
    raw = [item.listing for day in generate(spec) for item in day.items]
    table = table_of(read(raw, config).listings, config, lambda _: None)
    pairs = candidates(table, config.blocking, lambda *_: None)
    found = verdicts_of(table, pairs, config, 0.0, lambda *_: None)
    plain, weights = plain_listings(table), weights_in(config)
    rows = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    wanted = np.array([compared(plain[a], plain[b], config, weights) for a, b in rows])
    signals = found.signals
    scores = (signals.date, signals.geo, signals.title, signals.description)
    np.testing.assert_allclose(
        np.stack([*scores, found.verdicts.combined], axis=1), wanted, atol=5e-9
    )
    assert len(pairs) > 1000
    assert (wanted.std(axis=0) > 0.05).all()
