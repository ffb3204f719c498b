"""The errors of a batch worth reading: missed and wrong pairs, each with its waterfall."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from dedup_cli.waterfall import waterfall
from matcher_service.engine.blocked import Blocked, Pair
from matcher_service.engine.decide import PairDecision
from matcher_service.engine.explanation import signals_of

MAX_PAIRS = 1_000_000
"""Pairs of one kind that are looked at."""


@dataclass(frozen=True)
class Error:
    """A pair that is together on one side alone; `decision` is what the engine makes of it."""

    kind: Literal["missed", "wrong"]
    decision: PairDecision
    compared: bool

    @property
    def confidence(self) -> float:
        """Return how sure the engine was of the error, 0 to 1; a pair never compared is sure."""
        if self.kind == "wrong":
            return self.decision.combined
        return 1 - self.decision.combined if self.compared else 1.0


def pairs_of(clusters: Mapping[str, str]) -> Iterator[Pair]:
    """Yield the pairs that share a cluster, smaller id first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(clusters):
        groups[clusters[name]].append(name)
    for group in groups.values():
        yield from combinations(group, 2)


def worst(
    found: Mapping[str, str], gold: Mapping[str, str], batch: Blocked, count: int
) -> list[Error]:
    """Return the `count` most confident errors of each kind, missed pairs first.

    Pairs with a listing that was quarantined have no scores and are left out; so is what comes
    after the first MAX_PAIRS pairs.
    """
    placed = {name: found[name] for name in gold if name in found}
    missed = _first(p for p in pairs_of(gold) if found.get(p[0], p[0]) != found.get(p[1], p[1]))
    wrong = _first(p for p in pairs_of(placed) if gold[p[0]] != gold[p[1]])
    return [*_ranked("missed", missed, batch)[:count], *_ranked("wrong", wrong, batch)[:count]]


def _first(pairs: Iterator[Pair]) -> list[Pair]:
    return [pair for pair, _ in zip(pairs, range(MAX_PAIRS), strict=False)]


def _ranked(kind: Literal["missed", "wrong"], pairs: Sequence[Pair], batch: Blocked) -> list[Error]:
    compared = dict(zip(pairs, batch.compared(pairs).tolist(), strict=True))
    errors = [Error(kind, one, compared[key]) for key, one in batch.judged(pairs).items()]
    return sorted(errors, key=_rank)


def _rank(error: Error) -> tuple[float, float, str, str]:
    """Put the most confident first; of pairs never compared, the likeliest."""
    one = error.decision
    return -error.confidence, -one.combined, one.listing_a, one.listing_b


def explained(error: Error, batch: Blocked) -> list[str]:
    """Return the lines that explain an error: what was compared, scores x weights, the verdict."""
    one, listings = error.decision, batch.listings
    sides = [f"{name} ({listings[name].source_code})" for name in (one.listing_a, one.listing_b)]
    signals = signals_of(batch, one)
    return [
        f"{error.kind}: {' | '.join(sides)}",
        *waterfall(signals, one.combined, _verdict(error, batch)),
    ]


def _verdict(error: Error, batch: Blocked) -> str:
    """Say what became of the pair, and why it nevertheless is an error."""
    one, limits = error.decision, batch.config.thresholds
    weights = f" under the weights of {one.category}" if one.category else ""
    bounds = f"low {limits.low:g}, high {limits.high:g}, title veto {limits.title_veto:g}"
    verdict = f"{one.decision} ({one.reason}){weights}; {bounds}"
    if not error.compared:
        joined = "; joined through other listings" if error.kind == "wrong" else ""
        return f"never compared (no shared key){joined}; would be {verdict}"
    if error.kind == "wrong" and one.decision != "match":
        return f"{verdict}; joined through other listings"
    if error.kind == "missed" and one.decision == "match":
        return f"{verdict}; parted when clusters were made"
    return verdict
