"""The limits of a batch in calls, money and time: nothing is sent that could exceed them."""

import asyncio
import time
from typing import Final

from dedup_model.ai_settings import Ai
from matcher_service.llm.answer import SCHEMA
from matcher_service.llm.prompt import INSTRUCTION, Prompt
from matcher_service.llm.usage import Tokens

OVERHEAD_TOKENS: Final = len(INSTRUCTION.encode()) + len(str(SCHEMA)) + 100


def worst_cost(prompt: Prompt, ai: Ai) -> float:
    """Return the most one call can cost, in USD: a token a byte going out, the longest answer."""
    return Tokens(len(prompt.text.encode()) + OVERHEAD_TOKENS, ai.max_output_tokens).cost(ai)


class Budget:
    """Calls, money and time left; a call first reserves its worst cost, then settles what it was.

    A caller waits while the calls in flight might still leave it room. So which of the questions,
    taken in order, are sent depends on what the answers cost, never on which came first, unless
    `ai.max_seconds_per_batch` since it was made are over: then nothing more is sent.
    """

    def __init__(self, ai: Ai) -> None:
        self._money, self._calls = ai.max_cost_per_batch, ai.max_calls_per_batch
        self._reserved = 0.0
        self._in_flight = 0
        self._ends = time.monotonic() + ai.max_seconds_per_batch
        self._settled = asyncio.Condition()

    async def admit(self, worst: float) -> bool:
        """Reserve one call; False when it does not fit and nothing in flight can change that."""
        async with self._settled:
            await self._settled.wait_for(lambda: self._fits(worst) or not self._in_flight)
            return self._reserve(worst)

    async def settle(self, worst: float, cost: float) -> None:
        """Give a reservation back for the cost that it came to."""
        async with self._settled:
            self._reserved -= worst
            self._in_flight -= 1
            self._money -= cost
            self._settled.notify_all()

    def again(self) -> bool:
        """Take one more call for a repeat, whose money is reserved already; False when none is left."""
        left = self._calls > 0 and not self._is_over
        self._calls -= left
        return left

    @property
    def _is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def _fits(self, worst: float) -> bool:
        if self._is_over:
            return False
        return self._calls > 0 and self._reserved + worst <= self._money + 1e-12

    def _reserve(self, worst: float) -> bool:
        fits = self._fits(worst)
        if fits:
            self._reserved += worst
            self._in_flight += 1
            self._calls -= 1
        return fits
