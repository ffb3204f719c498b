"""The settings tree: every number and table that decides how listings are matched.

Each field states its meaning, unit, range and default. Models are frozen, refuse unknown keys and
never coerce a type; see `dedup_model.rules` for the rules between fields.
"""

from enum import StrEnum
from typing import Any

from pydantic import Field

from dedup_model.ai_settings import Ai
from dedup_model.setting import (
    CategoryKey,
    Number,
    Section,
    Whole,
    score,
    setting,
    weight,
)
from dedup_model.signal_settings import Date, Description, Geo, Title
from dedup_model.text_tables import TextTables

SCHEMA_VERSION = 1
"""Grows by one whenever the tree gains or loses a field; stored with every revision."""

SECRET_NAMES = ("ai.api_key",)
"""Values that live beside the tree, sealed on their own, and never inside it."""


class Scoring(Section):
    """How much each signal counts in the combined score; weights are divided by their sum."""

    date: Number = weight(0.30, "Weight of the date signal.")
    geo: Number = weight(0.25, "Weight of the place signal.")
    title: Number = weight(0.30, "Weight of the title signal.")
    description: Number = weight(0.15, "Weight of the description signal.")
    same_source_odds: Number = setting(
        0.5, "Factor on the odds of a pair of one source: a source rarely repeats itself.",
        "factor", 0.1, 10,
    )  # fmt: skip
    other_source_odds: Number = setting(
        1.3, "Factor on the odds of a pair of two sources.", "factor", 0.1, 10
    )
    other_city_odds: Number = setting(
        0.6, "Factor on the odds of a pair in two cities.", "factor", 0.1, 10
    )


class Thresholds(Section):
    """Where the combined score turns into a decision."""

    high: Number = score(0.75, "At or above this combined score a pair is a match.")
    low: Number = score(0.35, "At or below this combined score a pair is no match.")
    title_veto: Number = score(
        0.45, "A match whose title score is below this becomes ambiguous; 0 turns the veto off."
    )


class Blocking(Section):
    """Which pairs are looked at: listings that share a day and one of these keys."""

    use_city: bool = Field(default=True, description="Pair listings of one city and day.")
    use_geo: bool = Field(default=True, description="Pair listings of near coordinates and day.")
    use_title: bool = Field(
        default=True, description="Pair listings that share a rare title word and a day."
    )
    use_venue: bool = Field(default=True, description="Pair listings of one venue name and day.")
    geo_cell_km: Number = setting(
        10.0, "Edge of a geo cell; neighbouring cells are joined.", "km", 0.1, 1000
    )
    title_words: Whole = setting(3, "Rarest title words that become keys.", "words", 1, 20)
    max_word_block: Whole = setting(
        12,
        "A word of more listings of a day is a key together with another such word only.",
        "listings",
        2,
        100000,
    )
    max_range_days: Whole = setting(
        366, "Longest date range that is read; a longer one is quarantined.", "days", 1, 3660
    )


class Cluster(Section):
    """When a group of matching listings is one event."""

    max_cluster_size: Whole = setting(
        15, "A larger cluster is flagged for review.", "listings", 2, 10000
    )
    min_internal_similarity: Number = score(
        0.4, "A cluster whose mean pair score is below this is flagged for review."
    )


class FieldStrategy(StrEnum):
    """How one field of the canonical event is chosen from its listings."""

    LONGEST_NON_GENERIC = "longest_non_generic"
    LONGEST = "longest"
    UNION = "union"
    MOST_COMPLETE = "most_complete"
    MOST_FREQUENT = "most_frequent"
    HIGHEST_CONFIDENCE = "highest_confidence"
    ANY_TRUE = "any_true"


def _strategy(default: FieldStrategy, field: str) -> Any:
    return Field(default=default, strict=False, description=f"Strategy for the field `{field}`.")


class FieldStrategies(Section):
    """The strategy of each field of a canonical event."""

    title: FieldStrategy = _strategy(FieldStrategy.LONGEST_NON_GENERIC, "title")
    short_description: FieldStrategy = _strategy(FieldStrategy.LONGEST, "short_description")
    description: FieldStrategy = _strategy(FieldStrategy.LONGEST, "description")
    highlights: FieldStrategy = _strategy(FieldStrategy.UNION, "highlights")
    location_name: FieldStrategy = _strategy(FieldStrategy.MOST_COMPLETE, "location.name")
    location_city: FieldStrategy = _strategy(FieldStrategy.MOST_FREQUENT, "location.city")
    location_street: FieldStrategy = _strategy(
        FieldStrategy.MOST_COMPLETE, "location.street with number, zip code and district"
    )
    geo: FieldStrategy = _strategy(FieldStrategy.HIGHEST_CONFIDENCE, "location.geo")
    categories: FieldStrategy = _strategy(FieldStrategy.UNION, "categories")
    is_family_event: FieldStrategy = _strategy(FieldStrategy.ANY_TRUE, "is_family_event")
    is_child_focused: FieldStrategy = _strategy(FieldStrategy.ANY_TRUE, "is_child_focused")
    admission_free: FieldStrategy = _strategy(FieldStrategy.ANY_TRUE, "admission_free")


class Canonical(Section):
    """How one event is made out of the listings of a cluster."""

    field_strategies: FieldStrategies = FieldStrategies()
    min_title_length: Whole = setting(
        10, "Shorter titles are generic and lose to longer ones.", "characters", 0, 200
    )


class CategoryWeight(Section):
    """Weights for pairs that share one category; an unset one inherits `scoring`."""

    date: Number | None = weight(None, "Weight of the date signal.")
    geo: Number | None = weight(None, "Weight of the place signal.")
    title: Number | None = weight(None, "Weight of the title signal.")
    description: Number | None = weight(None, "Weight of the description signal.")


class CategoryWeights(Section):
    """Weights by category; the first of `priority` that both listings carry decides."""

    priority: list[CategoryKey] = Field(
        default=["fasnacht", "versammlung"], max_length=100, description="Categories in order."
    )
    overrides: dict[CategoryKey, CategoryWeight] = Field(
        default={
            "fasnacht": CategoryWeight(date=0.30, geo=0.30, title=0.25, description=0.15),
            "versammlung": CategoryWeight(date=0.25, geo=0.20, title=0.40, description=0.15),
        },
        max_length=100,
        description="Weights of a category.",
    )


class MatchingConfig(Section):
    """The whole settings tree."""

    scoring: Scoring = Scoring()
    thresholds: Thresholds = Thresholds()
    geo: Geo = Geo()
    date: Date = Date()
    title: Title = Title()
    description: Description = Description()
    blocking: Blocking = Blocking()
    text: TextTables = TextTables()
    cluster: Cluster = Cluster()
    canonical: Canonical = Canonical()
    ai: Ai = Ai()
    category_weights: CategoryWeights = CategoryWeights()
