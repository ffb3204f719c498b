"""Which events and pairs a report holds, so that its size is bounded."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from dedup_report.results import Results
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

Item = TypeVar("Item")


@dataclass(frozen=True)
class Limits:
    """How much a page may hold; a listing has at most about 2,000 characters, usually 300."""

    listings: int = 60_000
    judgements: int = 5_000
    pairs: int = 100_000


@dataclass(frozen=True)
class Review:
    """Something to judge; `margin` is how little the scores must change for another verdict."""

    margin: float
    item: pb.PairDecision | pb.CanonicalEvent


@dataclass
class Selection:
    """What is shown, in a fixed order, and how many of each kind had no room."""

    limits: Limits
    review: list[Review] = field(default_factory=list)
    events: list[pb.CanonicalEvent] = field(default_factory=list)
    pairs: list[pb.PairDecision] = field(default_factory=list)
    listings: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def select(results: Results, limits: Limits) -> Selection:
    """Return what to show: review first, least margin first, then the largest events."""
    inside = _inside(results)
    review = _review(results, inside)
    chosen = Selection(limits)
    chosen.review = [one for one in review[: limits.judgements] if _take(chosen, one.item)]
    flagged = {event.id for event in chosen.events}
    others = [event for event in results.shared if event.id not in flagged]
    for event in sorted(others, key=lambda event: (-len(event.listing_ids), event.id)):
        _take(chosen, event)
    known = {(pair.listing_a, pair.listing_b) for pair in chosen.pairs}
    explained = [
        pair
        for event in chosen.events
        for pair in inside.get(event.id, ())
        if (pair.listing_a, pair.listing_b) not in known
    ]
    room = max(limits.pairs - len(chosen.pairs), 0)
    chosen.pairs += explained[:room]
    shared = sum(len(event.listing_ids) > 1 for event in chosen.events)
    chosen.left_out = {
        "judgements": len(review) - len(chosen.review),
        "events": len(results.shared) - shared,
        "pairs": len(explained) - len(explained[:room]),
    }
    return chosen


def _take(chosen: Selection, item: pb.PairDecision | pb.CanonicalEvent) -> bool:
    """Take a pair or an event when there is room for its listings; tell whether there was."""
    if isinstance(item, pb.CanonicalEvent):
        return _put(chosen, item.listing_ids, chosen.events, item)
    return _put(chosen, (item.listing_a, item.listing_b), chosen.pairs, item)


def _put(chosen: Selection, names: Iterable[str], shelf: list[Item], item: Item) -> bool:
    new = [name for name in names if name not in chosen.listings]
    if len(chosen.listings) + len(new) > chosen.limits.listings:
        return False
    chosen.listings |= {name: at for at, name in enumerate(new, len(chosen.listings))}
    shelf.append(item)
    return True


def _inside(results: Results) -> dict[str, list[pb.PairDecision]]:
    """Return the pairs inside each event, by its id."""
    event_of = {name: event.id for event in results.shared for name in event.listing_ids}
    found: dict[str, list[pb.PairDecision]] = defaultdict(list)
    for pair in results.decisions:
        event = event_of.get(pair.listing_a)
        if event is not None and event == event_of.get(pair.listing_b):
            found[event].append(pair)
    return found


def _review(results: Results, inside: dict[str, list[pb.PairDecision]]) -> list[Review]:
    """Return the ambiguous pairs and the flagged events, least margin first."""
    rules = results.summary.rules
    pairs = [
        Review(_margin(pair, rules), pair)
        for pair in results.decisions
        if pair.decision == pb.DECISION_AMBIGUOUS
    ]
    events = [
        Review(_least_margin(inside.get(event.id, ()), rules), event)
        for event in results.events
        if event.needs_review
    ]
    return sorted([*pairs, *events], key=_order)


def _margin(pair: pb.PairDecision, rules: pb.Rules) -> float:
    """Return how far the score that decided a pair is from its threshold."""
    vetoed = pair.reason == "title_veto"
    apart = pair.title - rules.title_veto if vetoed else pair.combined - rules.high
    return round(abs(apart), 9)


def _least_margin(pairs: Iterable[pb.PairDecision], rules: pb.Rules) -> float:
    return min((_margin(pair, rules) for pair in pairs), default=0.0)


def _order(one: Review) -> tuple[float, str, str]:
    item = one.item
    if isinstance(item, pb.CanonicalEvent):
        return one.margin, item.id, ""
    return one.margin, item.listing_a, item.listing_b
