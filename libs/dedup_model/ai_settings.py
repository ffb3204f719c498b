"""The settings of the language-model tier."""

from typing import Annotated

from pydantic import Field

from dedup_model.setting import Number, Section, Text, Whole, score, setting


class Ai(Section):
    """The language-model tier for ambiguous pairs."""

    enabled: bool = Field(default=False, description="Whether ambiguous pairs may be asked.")
    model: Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        default="gemini-2.5-flash", description="Name of the model."
    )
    temperature: Number = setting(0.1, "Sampling temperature.", "1", 0, 2)
    max_output_tokens: Whole = setting(2048, "Longest answer.", "tokens", 1, 65536)
    max_concurrent_requests: Whole = setting(5, "Requests in flight.", "requests", 1, 100)
    confidence_threshold: Number = score(0.6, "Below this confidence a pair stays ambiguous.")
    min_combined_score: Number = score(0.65, "Lowest combined score that is asked.")
    max_combined_score: Number = score(0.79, "Highest combined score that is asked.")
    cache_enabled: bool = Field(default=True, description="Whether answers are kept and reused.")
    cost_per_1m_input_tokens: Number = setting(
        0.3, "Price of a million input tokens.", "USD", 0, 10000
    )
    cost_per_1m_output_tokens: Number = setting(
        2.5, "Price of a million output tokens.", "USD", 0, 10000
    )
    max_cost_per_batch: Number = setting(1.0, "Most that a batch may cost.", "USD", 0, 10000)
    max_calls_per_batch: Whole = setting(
        1000, "Most requests of a batch, repeats included.", "requests", 0, 1000000
    )
    max_seconds_per_batch: Number = setting(
        600.0, "Time after which a batch asks no further pairs.", "s", 0.1, 86400
    )
    timeout_seconds: Number = setting(
        30.0, "Longest wait for a pair's answer, repeats included.", "s", 0.1, 600
    )
    thinking_budget: Whole = setting(
        0,
        "Most tokens of thinking; 0 turns it off, -1 leaves it to the model.",
        "tokens",
        -1,
        65536,
    )
