"""Why two listings are one event or two."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from dedup_model.matching_config import Blocking, MatchingConfig
from matcher_service.engine.blocked import Blocked, Pair, silent
from matcher_service.engine.blocking import Pairs, candidates
from matcher_service.engine.canonical import CanonicalEvent
from matcher_service.engine.columns import Table
from matcher_service.engine.decide import (
    DECISIONS,
    REASONS,
    PairDecision,
    Weighing,
    weighing_of,
)
from matcher_service.engine.listing import EventDate, Listing, date_to_json

Signal: TypeAlias = Literal["date", "geo", "title", "description"]
KEYS: Final = ("city", "geo", "title", "venue")
"""Kinds of blocking keys, as the settings `blocking.use_*` name them."""


@dataclass(frozen=True, slots=True)
class SignalExplanation:
    """A signal in [0, 1], its share of all weights, and what was compared of each listing."""

    signal: Signal
    score: float
    share: float
    text_a: str
    text_b: str


@dataclass(frozen=True, slots=True)
class PairExplanation:
    """A verdict with all that led to it.

    `mean` is the sum of score times share over the signals; its odds `m / (1 - m)` times `odds`
    are those of the combined score. `scores_alone` is the verdict without people. `keys` are the
    kinds of blocking keys that the two share; without one they were not compared, unless a person
    decided the pair. `together` tells whether they are in one event, `is_asked` whether the
    language model would be asked, budget permitting.
    """

    decision: PairDecision
    scores_alone: PairDecision
    signals: tuple[SignalExplanation, ...]
    mean: float
    odds: float
    keys: tuple[str, ...]
    together: bool
    is_asked: bool


def explained_pair(batch: Blocked, events: Sequence[CanonicalEvent], pair: Pair) -> PairExplanation:
    """Explain two readable listings of a batch that gave `events`."""
    scores = batch.judged([pair])[pair]
    weighing = _weighing(batch, pair)
    signals = signals_of(batch, scores)
    return PairExplanation(
        decision=with_people(batch, scores),
        scores_alone=scores,
        signals=signals,
        mean=round(sum(one.score * one.share for one in signals), 9),
        odds=float(weighing.odds[0]),
        keys=tuple(_shared_keys(batch, pair)),
        together=any(set(pair) <= set(event.listing_ids) for event in events),
        is_asked=_is_asked(with_people(batch, scores), batch.config),
    )


def signals_of(batch: Blocked, decision: PairDecision) -> tuple[SignalExplanation, ...]:
    """Return the four signals of a pair, in the order of the weighted mean."""
    a, b = decision.listing_a, decision.listing_b
    weighing = _weighing(batch, (a, b))
    weights = weighing.weights[weighing.category[0]]
    shares: list[float] = (weights / weights.sum()).tolist()
    return tuple(
        SignalExplanation(name, getattr(decision, name), share, *texts)
        for (name, *texts), share in zip(_compared(batch, a, b), shares, strict=True)
    )


def with_people(batch: Blocked, scores: PairDecision) -> PairDecision:
    """Return the verdict with the decision of a person on this very pair, if there is one."""
    rows = batch.rows
    left, right = sorted((rows[scores.listing_a], rows[scores.listing_b]))
    one = batch.people.obeyed.get((left, right))
    if one is None:
        return scores
    code = REASONS.index(one.kind.value)
    decided = replace(scores, decision=DECISIONS[code], reason=REASONS[code])
    return batch.people.signed(decided, rows)


def _weighing(batch: Blocked, pair: Pair) -> Weighing:
    return weighing_of(batch.table, _rows_of(batch, [pair]), batch.config)


def _rows_of(batch: Blocked, pairs: Sequence[Pair]) -> Pairs:
    rows = batch.rows
    places = np.array([sorted((rows[a], rows[b])) for a, b in pairs], np.int64).reshape(-1, 2)
    return Pairs(places[:, 0], places[:, 1])


def _is_asked(decision: PairDecision, config: MatchingConfig) -> bool:
    ai = config.ai
    inside = ai.min_combined_score <= decision.combined <= ai.max_combined_score
    return ai.enabled and decision.decision == "ambiguous" and inside


def _shared_keys(batch: Blocked, pair: Pair) -> Iterator[str]:
    """Yield the kinds of keys under which alone the pair would be a candidate."""
    size = len(batch.table.ids)
    wanted = _rows_of(batch, [pair]).codes(size)
    for kind in KEYS:
        alone = _alone(batch.config.blocking, kind)
        if np.isin(wanted, candidates(batch.table, alone, silent).codes(size))[0]:
            yield kind


def _alone(blocking: Blocking, kind: str) -> Blocking:
    """Return the settings with this kind of keys alone, if they use it at all."""
    others = {f"use_{other}": False for other in KEYS if other != kind}
    return blocking.model_copy(update=others)


def _compared(batch: Blocked, a: str, b: str) -> Iterator[tuple[Signal, str, str]]:
    """Yield what each signal compares of the two listings, as it is after normalisation."""
    rows, listings, table = batch.rows, batch.reading.listings, batch.table
    left, right = rows[a], rows[b]
    yield "date", _dates(listings[left]), _dates(listings[right])
    yield "geo", _place(table, left), _place(table, right)
    yield "title", table.title.text(left), table.title.text(right)
    yield "description", table.text_plain.text(left), table.text_plain.text(right)


def _place(table: Table, row: int) -> str:
    texts = [column.text(row) for column in (table.venue, table.street, table.city)]
    latitude, longitude, _ = table.point[row]
    point = "" if np.isnan(latitude) else f"{latitude:.4f} {longitude:.4f}"
    return ", ".join(filter(None, (*texts, point)))


def _dates(listing: Listing) -> str:
    return ", ".join(map(_date, listing.event_dates))


def _date(entry: EventDate) -> str:
    spelled = date_to_json(entry)
    until = f" to {spelled['end_date']}" if spelled["end_date"] else ""
    start = f" {spelled['start_time']}" if spelled["start_time"] else ""
    return f"{spelled['date']}{until}{start}"
