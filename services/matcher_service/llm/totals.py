"""What asking has cost since the process started, for its metrics."""

from collections import Counter
from dataclasses import asdict

from matcher_service.llm.usage import Usage

PAIRS = ("eligible", "asked", "answered", "cache_hits", "left_by_budget")
TOKENS = ("input_tokens", "output_tokens", "thinking_tokens", "cached_tokens")


class Totals:
    """Sums of the batches' usage; each method gives one metric's samples by label."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._cost = 0.0

    def add(self, usage: Usage) -> None:
        """Count a batch."""
        figures = asdict(usage)
        self._sums.update({name: figures[name] for name in (*PAIRS, *TOKENS, "calls")})
        self._failures.update(usage.failures)
        self._cost += usage.cost_usd

    def pairs(self) -> dict[tuple[str, ...], float]:
        """Return pairs by what became of them."""
        return {(name,): self._sums[name] for name in PAIRS}

    def tokens(self) -> dict[tuple[str, ...], float]:
        """Return tokens by kind."""
        return {(name.removesuffix("_tokens"),): self._sums[name] for name in TOKENS}

    def failures(self) -> dict[tuple[str, ...], float]:
        """Return pairs without an answer by kind of failure."""
        return {(kind,): count for kind, count in list(self._failures.items())}

    def calls(self) -> dict[tuple[str, ...], float]:
        """Return requests."""
        return {(): self._sums["calls"]}

    def cost(self) -> dict[tuple[str, ...], float]:
        """Return USD."""
        return {(): self._cost}
