"""Looking into a batch without the language model: explanations, and previews of another config."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from dedup_model.errors import ListingNotFound
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocked import Blocked, Pair, Progress, RawListings, blocked, silent
from matcher_service.engine.blocking import NO_LIMIT
from matcher_service.engine.cluster_explanation import ClusterExplanation, explained_cluster
from matcher_service.engine.constraints import Constraint
from matcher_service.engine.explanation import PairExplanation, explained_pair
from matcher_service.engine.pipeline import Result, decided_pairs, finished
from matcher_service.engine.preview import Comparison, Run, comparison, run_of
from matcher_service.running import Threaded
from matcher_service.workers import Workers

Made = TypeVar("Made")


@dataclass(frozen=True)
class Preview:
    """The same listings under the config that holds and under a candidate."""

    before: Run
    after: Run
    comparison: Comparison


@dataclass(frozen=True)
class Inspector:
    """Looks into batches, in threads; cancelling a call stops it at the engine's next progress.

    They wait for their turns as other batches do, and raise `BatchLimit` when too many wait, and
    `LimitExceeded` for a batch of more than `most_pairs` candidates.
    """

    workers: Workers
    most_pairs: int = NO_LIMIT

    async def pair(
        self,
        raw: RawListings,
        config: MatchingConfig,
        pair: Pair,
        constraints: Iterable[Constraint] = (),
    ) -> PairExplanation:
        """Explain two listings of a batch; raises `ListingNotFound`."""

        def work(batch: Blocked, result: Result) -> PairExplanation:
            return explained_pair(batch, result.events, pair)

        return await self._explained(raw, config, pair, constraints, work)

    async def cluster(
        self,
        raw: RawListings,
        config: MatchingConfig,
        listing: str,
        constraints: Iterable[Constraint] = (),
    ) -> ClusterExplanation:
        """Explain the event of a listing; raises `ListingNotFound` and `LimitExceeded`."""

        def work(batch: Blocked, result: Result) -> ClusterExplanation:
            return explained_cluster(batch, result.events, result.decisions, listing)

        return await self._explained(raw, config, (listing,), constraints, work)

    async def _explained(
        self,
        raw: RawListings,
        config: MatchingConfig,
        listings: Sequence[str],
        constraints: Iterable[Constraint],
        explained: Callable[[Blocked, Result], Made],
    ) -> Made:
        def work(report: Progress, executor: Executor | None) -> Made:
            batch = blocked(raw, config, report, constraints, self.most_pairs)
            _require(batch, listings)
            floor = config.thresholds.low
            pairs = decided_pairs(batch, floor, report, executor)
            return explained(batch, finished(pairs, {}, config, floor, report))

        return await self._threaded(len(raw), silent, work)

    async def preview(
        self,
        raw: RawListings,
        configs: tuple[MatchingConfig, MatchingConfig],
        gold: Mapping[str, str],
        constraints: Sequence[Constraint],
        examples: int,
        progress: Progress,
    ) -> Preview:
        """Run a batch under two configs and compare; stages are told as `before ...`, `after ...`."""
        read: list[Mapping[str, Any]] = []

        def work(report: Progress, executor: Executor | None) -> Preview:
            read.extend(raw)
            before, after = (
                run_of(read, config, _under(side, report), executor, constraints, self.most_pairs)
                for side, config in zip(("before", "after"), configs, strict=True)
            )
            return Preview(before, after, comparison(before, after, gold, examples))

        return await self._threaded(len(raw), progress, work)

    async def _threaded(
        self, listings: int, progress: Progress, work: Callable[[Progress, Executor | None], Made]
    ) -> Made:
        """Run `work` in a thread, with the worker processes for many listings."""

        def run() -> Made:
            with self.workers.executor(listings) as executor:
                return work(thread.report, executor)

        thread = Threaded(self.workers.threads, progress)
        async with self.workers.turn(listings, progress):
            return await thread.run(run)


def _under(side: str, report: Progress) -> Progress:
    return lambda stage, done, total: report(f"{side} {stage}", done, total)


def _require(batch: Blocked, listings: Iterable[str]) -> None:
    """Raise `ListingNotFound` unless the batch has all these listings."""
    quarantined = {issue.listing_id for issue in batch.reading.quarantined}
    for name in listings:
        if name not in batch.rows:
            why = "was quarantined" if name in quarantined else "is not in the batch"
            raise ListingNotFound(f"a listing that was asked about {why}", listing_id=name)
