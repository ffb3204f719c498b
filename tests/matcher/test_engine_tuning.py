"""Tuning: what labels speak for is proposed, what chance or one week speaks for is not."""

import random
from typing import Any

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocked import Blocked, blocked, silent
from matcher_service.engine.constraints import Constraint, Key, Kind
from matcher_service.engine.evaluation import evaluate
from matcher_service.engine.pipeline import deduplicate
from matcher_service.engine.tuning import FOLDS, STEPS, Tuning, _Bench, _folds, proposal, tuned

TITLES = ("Orgelabend", "Weinprobe", "Flohmarkt", "Lesung im Park", "Kinderfest")
STRICT = MatchingConfig.model_validate({"thresholds": {"high": 0.95}})
Labels = dict[str, str]


def town(weeks: int = 15) -> tuple[list[dict[str, Any]], Labels]:
    """Return events in two sources, one of which adds a word to each title, and true events."""
    raw, gold = [], {}
    for week in range(weeks):
        for number, title in enumerate(TITLES):
            day = f"2027-{1 + week // 4:02}-{1 + 7 * (week % 4):02}"
            for source, text in (("blatt", title), ("portal", f"{title} in Lahr {week}")):
                name = f"{source}-{week:02}-{number}"
                gold[name] = f"{week}-{number}"
                raw.append(
                    {
                        "id": name,
                        "title": text,
                        "source_code": source,
                        "location": {"city": "Lahr"},
                        "event_dates": [{"date": day, "start_time": f"{15 + number}:00"}],
                    }
                )
    return raw, gold


RAW, GOLD = town()


def batch(config: MatchingConfig, raw: list[dict[str, Any]] = RAW) -> Blocked:
    return blocked(raw, config, silent)


def found(config: MatchingConfig, gold: Labels = GOLD, loss: float = 0.01) -> Tuning:
    return tuned(batch(config), gold, loss, lambda tried: None)


def test_a_threshold_that_is_too_strict_is_lowered_and_the_gain_is_real() -> None:
    one = found(STRICT)
    assert one.carries_over
    assert one.held.f1 < 0.5
    assert one.validated.f1 > one.held.f1 + 0.3
    values = proposal(STRICT, one)
    assert values["thresholds.high"] < 0.95
    result = deduplicate(RAW, one.config, 1.0, silent)
    events = {name: event.id for event in result.events for name in event.listing_ids}
    assert evaluate(events, GOLD).pairwise == one.proposed


def test_the_rates_of_what_holds_are_those_of_a_run_of_it() -> None:
    result = deduplicate(RAW, STRICT, 1.0, silent)
    events = {name: event.id for event in result.events for name in event.listing_ids}
    assert evaluate(events, GOLD).pairwise == found(STRICT).held


def test_what_is_right_already_is_left_as_it_is() -> None:
    good = found(STRICT).config
    one = found(good)
    assert proposal(good, one) == {}
    assert one.proposed == one.held


def test_labels_by_chance_propose_nothing() -> None:
    draw = random.Random(7)
    shuffled = [*GOLD.values()]
    draw.shuffle(shuffled)
    one = found(MatchingConfig(), dict(zip(GOLD, shuffled, strict=True)))
    assert not one.carries_over
    assert proposal(MatchingConfig(), one) == {}


def test_no_more_precision_is_lost_than_allowed() -> None:
    """Where every second event is labelled as two, whatever merges is half wrong."""
    gold = {n: f"{n if int(n[-1]) % 2 else c}" for n, c in GOLD.items()}
    eager = found(STRICT, gold, loss=1.0)
    careful = found(STRICT, gold, loss=0.0)
    assert eager.proposed.precision < eager.held.precision
    assert careful.proposed.precision >= careful.held.precision


def test_listings_of_one_event_and_of_one_week_are_in_one_fold() -> None:
    one = batch(STRICT)
    labels = [GOLD[name] for name in one.table.ids]
    folds = _folds(one, labels)
    assert set(folds) == set(range(FOLDS))
    weeks: dict[str, set[int]] = {}
    for label, fold in zip(labels, folds, strict=True):
        weeks.setdefault(label.partition("-")[0], set()).add(fold)
    assert all(len(those) == 1 for those in weeks.values())


def test_the_counts_of_the_folds_add_up() -> None:
    bench = _Bench(batch(STRICT), GOLD, lambda tried: None)
    counts = bench.counts(STRICT).sum(axis=0).tolist()
    figures = evaluate(
        {n: e.id for e in deduplicate(RAW, STRICT, 1.0, silent).events for n in e.listing_ids}, GOLD
    )
    assert counts == [figures.found_pairs, figures.right_pairs, figures.true_pairs]


def test_people_s_decisions_hold_in_every_config_that_is_tried() -> None:
    keys = Key("blatt", "blatt-00-0"), Key("portal", "portal-00-1")
    people = [Constraint(*keys, Kind.MUST_LINK)]
    one = tuned(blocked(RAW, STRICT, silent, people), GOLD, 0.01, lambda tried: None)
    assert one.held.precision < 1


def test_only_valid_configs_are_tried() -> None:
    edge = MatchingConfig.model_validate({"thresholds": {"high": 1.0, "low": 0.0, "title_veto": 0}})
    one = found(edge)
    assert 0 <= one.config.thresholds.low < one.config.thresholds.high <= 1
    assert set(STEPS) == {"thresholds.high", "thresholds.title_veto", "thresholds.low"}


def test_no_labels_and_no_listings_propose_nothing() -> None:
    assert proposal(STRICT, found(STRICT, {})) == {}
    assert not tuned(batch(STRICT, []), {}, 0.01, lambda tried: None).carries_over
