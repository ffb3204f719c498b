"""The tier in a batch: known answers first, then the questions that the budget allows."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dedup_model.ai_settings import Ai
from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.blocked import Progress
from matcher_service.engine.judgement import Judgement
from matcher_service.engine.pipeline import Decided
from matcher_service.llm.answer import Answer
from matcher_service.llm.budget import Budget, worst_cost
from matcher_service.llm.cache import Cache
from matcher_service.llm.choice import Question, questions
from matcher_service.llm.client import MissingSdk, Model, Reply, model
from matcher_service.llm.usage import Usage

UNREACHABLE_AFTER: Final = 3
"""Questions in a row without any answer from the service, after which no more are sent."""
_NO_SERVICE: Final = frozenset({"unavailable", "timeout", "rate_limited"})
NO_KEY: Final = "the AI key is not set or cannot be read"
NO_SDK: Final = "the language model's SDK is not installed: install the extra 'ai'"
KEY_REFUSED: Final = "the language model's service refuses the AI key"
UNREACHABLE: Final = "the language model's service does not answer"


@dataclass(slots=True)
class Asked:
    """What the tier gave a batch; `problem` says why it could not do its work, if so."""

    judgements: dict[tuple[str, str], Judgement] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Tier:
    """Asks the model about a batch's ambiguous pairs.

    `base_url` is where the API is, None for the SDK's own; answers are kept in `folder`, None for
    not at all.
    """

    base_url: str | None = None
    folder: Path | None = None

    async def ask(
        self, decided: Decided, config: MatchingConfig, key: str | None, progress: Progress
    ) -> Asked:
        """Return the judgements of a decided batch; never raises for what the service does.

        `progress` hears pairs done and in all as the stage `ask`.
        """
        found = await asyncio.to_thread(questions, decided, config)
        cache = Cache(self.folder) if self.folder and config.ai.cache_enabled else None
        run = _Run(config.ai, cache, progress)
        unknown = await run.known(found)
        if unknown and not key:
            run.asked.problem = NO_KEY
        elif unknown and key:
            await self._sent(run, unknown, key)
        return run.asked

    async def _sent(self, run: "_Run", unknown: list[Question], key: str) -> None:
        try:
            async with model(key, self.base_url, run.ai) as client:
                await run.all(client, unknown)
            run.conclude()
        except MissingSdk:
            run.asked.problem = NO_SDK


class _Run:
    def __init__(self, ai: Ai, cache: Cache | None, progress: Progress) -> None:
        self.ai, self._cache, self._progress = ai, cache, progress
        self.asked = Asked()
        self._silent = 0

    async def known(self, found: list[Question]) -> list[Question]:
        """Take the answers that are kept; return the other questions."""
        self.asked.usage.eligible = len(found)
        if found:
            self._progress("ask", 0, len(found))
        keys = [question.prompt.key for question in found]
        kept = await asyncio.to_thread(self._cache.find, keys) if self._cache else {}
        for question in found:
            if question.prompt.key in kept:
                self.asked.usage.cache_hits += 1
                self._judge(question, kept[question.prompt.key])
        return [question for question in found if question.prompt.key not in kept]

    async def all(self, client: Model, unknown: list[Question]) -> None:
        """Ask in order, as many at once as the settings allow, until the budget is used up.

        Its time runs from here: loading the SDK costs none of it.
        """
        room, budget = asyncio.Semaphore(self.ai.max_concurrent_requests), Budget(self.ai)
        async with asyncio.TaskGroup() as group:
            for position, question in enumerate(unknown):
                await room.acquire()
                worst = worst_cost(question.prompt, self.ai)
                if self.asked.problem or not await budget.admit(worst):
                    room.release()
                    self._leave(unknown[position:])
                    return
                task = group.create_task(self._one(client, question, budget, worst))
                task.add_done_callback(lambda _: room.release())

    def conclude(self) -> None:
        """Say so when no question reached the service, however few they were."""
        asked = self.asked.usage.asked
        if asked and self._silent == asked:
            self.asked.problem = self.asked.problem or UNREACHABLE

    async def _one(self, client: Model, question: Question, budget: Budget, worst: float) -> None:
        usage = self.asked.usage
        usage.asked += 1
        reply, calls, abandoned = await client.ask(question.prompt.text, budget.again)
        usage.calls += calls
        usage.add(reply.tokens, self.ai)
        # a call that was given up may be billed all the same
        await budget.settle(worst, worst if abandoned else reply.tokens.cost(self.ai))
        await self._heard(question, reply)

    async def _heard(self, question: Question, reply: Reply) -> None:
        self._silent = self._silent + 1 if reply.failure in _NO_SERVICE else 0
        if reply.answer:
            self.asked.usage.answered += 1
            self._judge(question, reply.answer)
            if self._cache:
                await asyncio.to_thread(self._cache.keep, {question.prompt.key: reply.answer})
            return
        self._failed(question, reply.failure)
        if reply.failure == "key_refused":
            self.asked.problem = KEY_REFUSED
        elif self._silent >= UNREACHABLE_AFTER:
            self.asked.problem = UNREACHABLE

    def _judge(self, question: Question, answer: Answer) -> None:
        usable = answer.verdict == "unsure" or answer.confidence >= self.ai.confidence_threshold
        outcome = answer.verdict if usable else "low_confidence"
        self._record(question, Judgement(outcome, answer.confidence))

    def _failed(self, question: Question, kind: str) -> None:
        self.asked.usage.failures[kind] += 1
        self._record(question, Judgement(kind))

    def _leave(self, rest: list[Question]) -> None:
        for question in rest:
            if self.asked.problem:
                self._failed(question, "not_sent")
            else:
                self.asked.usage.left_by_budget += 1
                self._record(question, Judgement("budget"))

    def _record(self, question: Question, judgement: Judgement) -> None:
        self.asked.judgements[question.listing_a, question.listing_b] = judgement
        self._progress("ask", len(self.asked.judgements), self.asked.usage.eligible)
