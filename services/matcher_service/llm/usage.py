"""What asking cost: calls, tokens and money of one batch."""

from collections import Counter
from dataclasses import dataclass, field

from dedup_model.ai_settings import Ai


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one answer, as the service counted them.

    `cached` is the part of `input` that the service had kept; it is priced as input, which is the
    most it can cost. `thinking` is priced as output and is not part of `output`.
    """

    input: int = 0
    output: int = 0
    thinking: int = 0
    cached: int = 0

    def cost(self, ai: Ai) -> float:
        """Return the price in USD under the settings' prices."""
        spoken = (self.output + self.thinking) * ai.cost_per_1m_output_tokens
        return (self.input * ai.cost_per_1m_input_tokens + spoken) / 1e6


@dataclass(slots=True)
class Usage:
    """Figures of the tier in one batch.

    `calls` counts requests, repeats included; `eligible` the pairs inside the window, of which
    `cache_hits` were known, `asked` were sent, `answered` gave a readable answer and
    `left_by_budget` were not sent for want of budget. `failures` counts asked pairs without an
    answer, and those given up unsent, by kind.
    """

    eligible: int = 0
    asked: int = 0
    answered: int = 0
    cache_hits: int = 0
    left_by_budget: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, tokens: Tokens, ai: Ai) -> None:
        """Count one answer's tokens and their price."""
        self.input_tokens += tokens.input
        self.output_tokens += tokens.output
        self.thinking_tokens += tokens.thinking
        self.cached_tokens += tokens.cached
        self.cost_usd += tokens.cost(ai)
