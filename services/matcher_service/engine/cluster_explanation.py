"""What holds the listings of an event together, and how it would fall apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.cluster import hierarchy

from dedup_model.errors import LimitExceeded
from matcher_service.engine.blocked import Blocked
from matcher_service.engine.canonical import CanonicalEvent
from matcher_service.engine.columns import Floats
from matcher_service.engine.decide import PairDecision
from matcher_service.engine.explanation import with_people

MAX_MEMBERS = 500
"""Listings of an event that is explained: its pairs are looked at one by one."""
NEAREST = 5
"""Pairs with listings outside that are shown."""


@dataclass(frozen=True, slots=True)
class Member:
    """A listing of an event: the verdict on it and its likest other member, its mean with all."""

    listing_id: str
    likest: PairDecision
    mean: float


@dataclass(frozen=True, slots=True)
class Split:
    """The two parts that an event falls into most easily: the last step of average linkage.

    `mean` is the mean score between the parts, where what was not compared or was vetoed counts as
    `thresholds.low` and what a person linked as 1. `matches` and `must_links` count the pairs that
    a split would part, `strongest` is the likest of all.
    """

    part_a: tuple[str, ...]
    part_b: tuple[str, ...]
    mean: float
    compared: int
    matches: int
    must_links: int
    strongest: PairDecision


@dataclass(frozen=True, slots=True)
class ClusterExplanation:
    """An event with its members' links; without `members` and `split` it is a single listing.

    `nearest` are the likest pairs with a listing outside.
    """

    event: CanonicalEvent
    members: tuple[Member, ...]
    split: Split | None
    nearest: tuple[PairDecision, ...]


def explained_cluster(
    batch: Blocked,
    events: Sequence[CanonicalEvent],
    decisions: Sequence[PairDecision],
    listing: str,
) -> ClusterExplanation:
    """Explain the event of a readable listing; `decisions` are the batch's from some floor on.

    Raises `LimitExceeded` for an event of more than `MAX_MEMBERS` listings.
    """
    event = next(one for one in events if listing in one.listing_ids)
    if len(event.listing_ids) > MAX_MEMBERS:
        raise LimitExceeded("the event is too large to explain", limit=str(MAX_MEMBERS))
    inside = _Inside.of(batch, event)
    return ClusterExplanation(
        event,
        tuple(map(inside.member, event.listing_ids)) if inside.pairs else (),
        inside.split() if inside.pairs else None,
        _nearest(event, decisions),
    )


def _nearest(event: CanonicalEvent, decisions: Sequence[PairDecision]) -> tuple[PairDecision, ...]:
    members = set(event.listing_ids)
    outward = [one for one in decisions if (one.listing_a in members) != (one.listing_b in members)]
    return tuple(sorted(outward, key=_likest_first)[:NEAREST])


def _likest_first(one: PairDecision) -> tuple[float, str, str]:
    return -one.combined, one.listing_a, one.listing_b


@dataclass(frozen=True, slots=True)
class _Inside:
    """The pairs of an event in the order of its listings, and which of them were compared."""

    ids: tuple[str, ...]
    pairs: tuple[PairDecision, ...]
    compared: tuple[bool, ...]
    low: float

    @classmethod
    def of(cls, batch: Blocked, event: CanonicalEvent) -> "_Inside":
        ids = tuple(sorted(event.listing_ids))
        pairs = list(combinations(ids, 2))
        judged = batch.judged(pairs)
        decided = tuple(with_people(batch, judged[pair]) for pair in pairs)
        compared = tuple(batch.compared(pairs).tolist())
        return cls(ids, decided, compared, batch.config.thresholds.low)

    def member(self, name: str) -> Member:
        own = [one for one in self.pairs if name in (one.listing_a, one.listing_b)]
        mean = sum(one.combined for one in own) / len(own)
        return Member(name, min(own, key=_likest_first), round(mean, 9))

    def split(self) -> Split:
        steps = hierarchy.average(1.0 - self._scores())
        root = hierarchy.to_tree(steps)
        sides = [tuple(sorted(self.ids[i] for i in side.pre_order())) for side in _sides(root)]
        part_a, part_b = sorted(sides)
        crossing = [
            (one, compared)
            for one, compared in zip(self.pairs, self.compared, strict=True)
            if (one.listing_a in part_a) != (one.listing_b in part_a)
        ]
        decisions = [one for one, _ in crossing]
        return Split(
            part_a,
            part_b,
            mean=round(1.0 - float(steps[-1, 2]), 9),
            compared=sum(compared for _, compared in crossing),
            matches=sum(one.decision == "match" for one, compared in crossing if compared),
            must_links=sum(one.reason == "must_link" for one in decisions),
            strongest=min(decisions, key=_likest_first),
        )

    def _scores(self) -> Floats:
        rows = zip(self.pairs, self.compared, strict=True)
        return np.array([self._score(one, compared=compared) for one, compared in rows])

    def _score(self, one: PairDecision, *, compared: bool) -> float:
        if one.reason == "must_link":
            return 1.0
        return one.combined if compared and one.reason != "title_veto" else self.low


def _sides(root: hierarchy.ClusterNode) -> Iterator[hierarchy.ClusterNode]:
    """Yield the two parts below the root of a tree of at least two leaves."""
    for side in (root.get_left(), root.get_right()):
        if side is not None:
            yield side
