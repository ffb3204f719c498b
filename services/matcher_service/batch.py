"""One batch: its config pinned, then pairs decided, the language model asked, events made."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dedup_model.errors import AiUnavailable
from matcher_service.config_client import BatchConfig
from matcher_service.engine.blocked import Progress, RawListings
from matcher_service.engine.blocking import NO_LIMIT
from matcher_service.engine.constraints import Constraint
from matcher_service.engine.pipeline import Decided, Result, decided, finished
from matcher_service.env import AiFailure
from matcher_service.llm.tier import Asked, Tier
from matcher_service.llm.usage import Usage
from matcher_service.running import Threaded
from matcher_service.workers import Workers

SHOWN_CONTRADICTIONS = 20


@dataclass(frozen=True)
class Outcome:
    """What a batch found, what it ran under, and what asking cost; None when AI was off."""

    pinned: BatchConfig
    result: Result
    usage: Usage | None = None
    problem: str = ""

    @property
    def warnings(self) -> list[str]:
        """Return what the operator should know, a sentence each."""
        without = [f"pairs were left ambiguous without AI: {self.problem}"] if self.problem else []
        return [*self.pinned.warnings, *without, *_unobeyed(self.result)]


def _unobeyed(result: Result) -> list[str]:
    """Return a sentence for each contradictory constraint, the first ones, and one for the absent."""
    told = [_contradiction(one) for one in result.contradictory[:SHOWN_CONTRADICTIONS]]
    more = len(result.contradictory) - len(told)
    absent = result.counts["constraints_absent"]
    return [
        *told,
        *([f"{more} more constraints contradict others"] if more else []),
        *([f"constraints on listings that are not in this batch: {absent}"] if absent else []),
    ]


def _contradiction(one: Constraint) -> str:
    pair = f"{one.listing_a.source_code}/{one.listing_a.id} and"
    return (
        f"the {one.kind} of {pair} {one.listing_b.source_code}/{one.listing_b.id} contradicts"
        " others; cannot-links are obeyed"
    )


@dataclass(frozen=True)
class Runner:
    """Runs batches: large ones with the workers, ambiguous pairs with the tier."""

    workers: Workers
    tier: Tier = field(default_factory=Tier)
    on_ai_failure: AiFailure = AiFailure.CONTINUE
    most_pairs: int = NO_LIMIT

    async def run(
        self,
        pinned: BatchConfig,
        raw: RawListings,
        floor: float,
        progress: Progress,
        constraints: Iterable[Constraint] = (),
    ) -> Outcome:
        """Run one batch over raw listings; `progress` is called in the event loop's thread.

        The batch holds no place while the model is asked. Cancelling the call stops it, the engine
        at its next progress. Raises `BatchLimit` when too many batches wait, `LimitExceeded` as
        `decided` does, `AiUnavailable` when the model cannot be asked and batches are to fail then,
        `BrokenProcessPool` when a worker dies.
        """
        config, size = pinned.snapshot.config, len(raw)
        work = Threaded(self.workers.threads, progress)

        def decide() -> Decided:
            with self.workers.executor(size) as executor:
                return decided(
                    raw,
                    config,
                    floor,
                    work.report,
                    executor,
                    constraints=constraints,
                    most_pairs=self.most_pairs,
                )

        async with self.workers.turn(size, progress):
            pairs = await work.run(decide)
        asked = await self._asked(pairs, pinned, progress)
        judgements = asked.judgements if asked else {}
        async with self.workers.turn(size, progress, begun=True):
            result = await work.run(lambda: finished(pairs, judgements, config, floor, work.report))
        return (
            Outcome(pinned, result, asked.usage, asked.problem)
            if asked
            else Outcome(pinned, result)
        )

    async def _asked(self, pairs: Decided, pinned: BatchConfig, report: Progress) -> Asked | None:
        config = pinned.snapshot.config
        if not config.ai.enabled:
            return None
        asked = await self.tier.ask(pairs, config, pinned.api_key, report)
        if asked.problem and self.on_ai_failure is AiFailure.FAIL:
            raise AiUnavailable(asked.problem)
        return asked
