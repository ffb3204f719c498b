"""Which pairs are asked, and in which order."""

from dataclasses import dataclass

from dedup_model.matching_config import MatchingConfig
from matcher_service.engine.pipeline import Decided
from matcher_service.llm.prompt import Prompt, prompt_of


@dataclass(frozen=True, slots=True)
class Question:
    """One ambiguous pair by its ids, `listing_a` < `listing_b`, with its prompt."""

    listing_a: str
    listing_b: str
    prompt: Prompt


def questions(decided: Decided, config: MatchingConfig) -> list[Question]:
    """Return the ambiguous pairs inside the window of `ai`, the most uncertain first.

    A pair joins two listings from `thresholds.high` on, so the nearest to it, on either side, is
    the most uncertain one; ties go to the smaller ids.
    """
    ai, high = config.ai, config.thresholds.high
    inside = [
        (round(abs(pair.combined - high), 9), pair.one.id, pair.other.id, pair)
        for pair in decided.ambiguous(ai.min_combined_score, ai.max_combined_score)
    ]
    ordered = sorted(inside, key=lambda entry: entry[:3])
    return [Question(a, b, prompt_of(pair.one, pair.other, ai)) for _, a, b, pair in ordered]
