"""What another config would change: the same listings under both, side by side."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocked import Blocked, Pair, Progress, blocked
from matcher_service.engine.blocking import NO_LIMIT, Pairs
from matcher_service.engine.cluster import labels_of
from matcher_service.engine.columns import Ints
from matcher_service.engine.constraints import Constraint, Kind
from matcher_service.engine.decide import DECISIONS, Decision, PairDecision
from matcher_service.engine.evaluation import Evaluation, Rates, cross_source, evaluate
from matcher_service.engine.explanation import with_people
from matcher_service.engine.pipeline import Decided, Result, decided_pairs, finished

UNREPORTED: Final = 1.0
"""Output floor of both runs: their decisions are compared as arrays."""
_RANKS: Final = {"no_match": 0, "ambiguous": 1, "match": 2}
_RANK_OF = np.array([_RANKS[decision] for decision in DECISIONS])
_DECISION_OF: Final[tuple[Decision, ...]] = ("no_match", "ambiguous", "match")
Groups: TypeAlias = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Run:
    """Listings under one config, without the language model: the batch, its pairs, its events."""

    batch: Blocked
    pairs: Decided
    result: Result

    @cached_property
    def event_of(self) -> dict[str, str]:
        """Return the event of each readable listing."""
        return {name: one.id for one in self.result.events for name in one.listing_ids}


def run_of(
    raw: Sequence[Mapping[str, Any]],
    config: MatchingConfig,
    progress: Progress,
    executor: Executor | None = None,
    constraints: Iterable[Constraint] = (),
    most_pairs: int = NO_LIMIT,
) -> Run:
    """Run listings in the input's JSON form under a config; raises `LimitExceeded`, as `blocked`."""
    batch = blocked(raw, config, progress, constraints, most_pairs)
    pairs = decided_pairs(batch, UNREPORTED, progress, executor)
    return Run(batch, pairs, finished(pairs, {}, config, UNREPORTED, progress))


@dataclass(frozen=True, slots=True)
class Flip:
    """A pair of listings whose decision changes; a side is None where they were not compared.

    `same` is what the labels say, None when they do not tell.
    """

    pair: Pair
    before: PairDecision | None
    after: PairDecision | None
    together_before: bool
    together_after: bool
    same: bool | None


@dataclass(frozen=True, slots=True)
class Regrouping:
    """Listings that are grouped in another way: the smallest set of whole events on both sides."""

    before: Groups
    after: Groups


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A person's decision that the scores alone contradict after the change.

    `is_new` tells that they do not before it.
    """

    constraint: Constraint
    before: Decision
    after: Decision
    is_new: bool


@dataclass(frozen=True, slots=True)
class Against:
    """Figures against labels."""

    whole: Evaluation
    cross: Rates


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two runs differ.

    `decisions` counts pairs by decision before and after, where these differ; `joined` and
    `parted` count pairs of listings that come into one event or leave it. `flips` and
    `regroupings` are the first ones, `regrouped` counts all of the latter.
    """

    decisions: dict[tuple[Decision, Decision], int]
    flips: tuple[Flip, ...]
    joined: int
    parted: int
    regrouped: int
    regroupings: tuple[Regrouping, ...]
    disagreements: tuple[Disagreement, ...]
    against_before: Against | None
    against_after: Against | None


def comparison(before: Run, after: Run, gold: Mapping[str, str], examples: int) -> Comparison:
    """Compare two runs of the same listings; `gold` is the true cluster by listing, maybe empty.

    At most `examples` flips and regroupings are told: pairs that were or become a match first, then
    by id.
    """
    pairs, ranks = _flipped(before, after)
    kinds = Counter(map(tuple, ranks.tolist()))
    shown = np.argsort(ranks.max(axis=1, initial=0) < _RANKS["match"], kind="stable")[:examples]
    names = sorted(before.event_of.keys() | after.event_of.keys())
    old, new = _events(before, names), _events(after, names)
    kept = _pairs_together(zip(old, new, strict=True))
    groups = _regroupings(names, old, new)
    return Comparison(
        decisions={(_DECISION_OF[a], _DECISION_OF[b]): n for (a, b), n in sorted(kinds.items())},
        flips=_flips(before, after, [pairs[row] for row in shown.tolist()], gold),
        joined=_pairs_together(new) - kept,
        parted=_pairs_together(old) - kept,
        regrouped=len(groups),
        regroupings=tuple(groups[:examples]),
        disagreements=tuple(_disagreements(before, after)),
        against_before=_against(before, gold),
        against_after=_against(after, gold),
    )


def _flipped(before: Run, after: Run) -> tuple[list[Pair], Ints]:
    """Return the pairs whose decision differs, by id, with the ranks of both decisions a row."""
    ids = sorted({*before.batch.table.ids, *after.batch.table.ids})
    sides = [_ranked(one, ids) for one in (before, after)]
    codes = np.union1d(sides[0][0], sides[1][0])
    ranks = np.stack([_looked_up(codes, *side) for side in sides], axis=1)
    differs = ranks[:, 0] != ranks[:, 1]
    places = [divmod(code, len(ids)) for code in codes[differs].tolist()]
    return [(ids[left], ids[right]) for left, right in places], ranks[differs]


def _ranked(run: Run, ids: Sequence[str]) -> tuple[Ints, Ints]:
    """Return the codes of the pairs that are no `no_match`, ascending, and their decisions' ranks."""
    found, row_of = run.pairs.found, {name: row for row, name in enumerate(ids)}
    rows = np.array([row_of[name] for name in run.batch.table.ids], np.int64)
    ranks = _RANK_OF[found.verdicts.reason]
    kept = ranks > 0
    codes = rows[found.pairs.left[kept]] * len(ids) + rows[found.pairs.right[kept]]
    order = np.argsort(codes)
    return codes[order], ranks[kept][order]


def _looked_up(wanted: Ints, codes: Ints, ranks: Ints) -> Ints:
    """Return the rank of each wanted pair; 0 where it is not among the codes."""
    found = np.zeros(len(wanted), np.int64)
    found[np.searchsorted(wanted, codes)] = ranks
    return found


def _flips(
    before: Run, after: Run, pairs: Sequence[Pair], gold: Mapping[str, str]
) -> tuple[Flip, ...]:
    old, new = _verdicts(before, pairs), _verdicts(after, pairs)
    return tuple(
        Flip(
            pair,
            old.get(pair),
            new.get(pair),
            _together(before, pair),
            _together(after, pair),
            gold[pair[0]] == gold[pair[1]] if set(pair) <= gold.keys() else None,
        )
        for pair in pairs
    )


def _verdicts(run: Run, pairs: Sequence[Pair]) -> dict[Pair, PairDecision]:
    """Return the verdicts of a run on those of the pairs that it compared, people heard."""
    compared = run.batch.compared(pairs).tolist()
    chosen = [pair for pair, is_compared in zip(pairs, compared, strict=True) if is_compared]
    return {pair: with_people(run.batch, one) for pair, one in run.batch.judged(chosen).items()}


def _together(run: Run, pair: Pair) -> bool:
    one, other = (run.event_of.get(name) for name in pair)
    return one is not None and one == other


def _pairs_together(groups: Iterable[Any]) -> int:
    """Return how many pairs of listings share a group."""
    return sum(n * (n - 1) // 2 for n in Counter(groups).values())


def _events(run: Run, names: Sequence[str]) -> list[str]:
    """Return the event of each listing; one that was quarantined stands alone."""
    return [run.event_of.get(name, f"{name} is in none") for name in names]


def _regroupings(names: Sequence[str], old: Sequence[str], new: Sequence[str]) -> list[Regrouping]:
    """Return the listings that are grouped in another way, in the order of the first of each."""
    left, right = (np.unique(np.array(side, object), return_inverse=True)[1] for side in (old, new))
    span = int(left.max(initial=-1)) + 1
    nodes = span + int(right.max(initial=-1)) + 1
    component = labels_of(nodes, Pairs(left, span + right))[left]
    moved = np.bincount(component)[component] > 1 if len(names) else component
    members: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(moved).tolist():
        members[int(component[row])].append(row)
    found = (
        Regrouping(_grouped(names, old, rows), _grouped(names, new, rows))
        for rows in members.values()
    )
    return [one for one in found if one.before != one.after]


def _grouped(names: Sequence[str], events: Sequence[str], rows: Iterable[int]) -> Groups:
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        groups[events[row]].append(names[row])
    return tuple(map(tuple, groups.values()))


def _disagreements(before: Run, after: Run) -> Iterator[Disagreement]:
    """Yield the obeyed decisions of people that the scores contradict under the second config."""
    ids, people = after.batch.table.ids, after.batch.people
    told = {(ids[left], ids[right]): one for (left, right), one in people.obeyed.items()}
    old, new = before.batch.judged(told), after.batch.judged(told)
    for pair, one in sorted(told.items()):
        now = new[pair].decision
        was = old[pair].decision if pair in old else "no_match"
        wrong = "no_match" if one.kind is Kind.MUST_LINK else "match"
        if now == wrong:
            yield Disagreement(one, was, now, was != wrong)


def _against(run: Run, gold: Mapping[str, str]) -> Against | None:
    if not gold:
        return None
    sources = {one.id: one.source_code or "" for one in run.batch.reading.listings}
    found = run.event_of
    return Against(evaluate(found, gold), cross_source(found, gold, sources))
