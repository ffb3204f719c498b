"""The settings tree: every number and table that decides how listings are matched.

Each field states its meaning, unit, range and default. Models are frozen, refuse unknown keys and
never coerce a type; see `dedup_model.rules` for the rules between fields.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from dedup_model.text_rules import category_key, plain_text

SCHEMA_VERSION = 1
"""Grows by one whenever the tree gains or loses a field; stored with every revision."""

SECRET_NAMES = ("ai.api_key",)
"""Values that live beside the tree, sealed on their own, and never inside it."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = Annotated[float, AfterValidator(lambda value: value + 0.0)]
"""A finite float; -0.0 is stored as 0.0."""
Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer; 5.0 counts as 5, 5.5 is refused."""
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain_text)]
"""Up to 200 characters without control characters and without anything that looks like a secret."""
CategoryKey = Annotated[str, AfterValidator(category_key)]
"""A folded category name, `[a-z0-9_]+`, at most 64 characters."""


class Section(BaseModel):
    """Base of every node of the tree: frozen, strict, finite, silent about its input."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def setting(default: Any, meaning: str, unit: str, low: float | None, high: float | None) -> Any:
    """Declare one numeric setting with its default, meaning, unit and inclusive range."""
    extra: JsonDict = {"unit": unit}
    return Field(default=default, description=meaning, ge=low, le=high, json_schema_extra=extra)


def weight(default: float | None, meaning: str) -> Any:
    """Declare a weight: relative, 0 to 10."""
    return setting(default, meaning, "weight", 0, 10)


def score(default: float, meaning: str) -> Any:
    """Declare a similarity or a factor between 0 and 1."""
    return setting(default, meaning, "score", 0, 1)


class Scoring(Section):
    """How much each signal counts in the combined score; weights are divided by their sum."""

    date: Number = weight(0.30, "Weight of the date signal.")
    geo: Number = weight(0.25, "Weight of the place signal.")
    title: Number = weight(0.30, "Weight of the title signal.")
    description: Number = weight(0.15, "Weight of the description signal.")


class Thresholds(Section):
    """Where the combined score turns into a decision."""

    high: Number = score(0.75, "At or above this combined score a pair is a match.")
    low: Number = score(0.35, "At or below this combined score a pair is no match.")
    title_veto: Number = score(
        0.45, "A match whose title score is below this becomes ambiguous; 0 turns the veto off."
    )


class Geo(Section):
    """The place signal: distance of coordinates, venue names as a check."""

    max_distance_km: Number = setting(
        10.0, "Distance at which the score reaches 0.", "km", 0.01, 1000
    )
    min_confidence: Number = score(0.85, "Coordinates below this confidence are not used.")
    neutral_score: Number = score(0.5, "Score when the place of either listing is unknown.")
    venue_match_distance_km: Number = setting(
        1.0, "Below this distance the venue names are compared too.", "km", 0, 1000
    )
    venue_mismatch_factor: Number = score(0.5, "Factor for near places with unlike venue names.")


class Date(Section):
    """The date signal: shared days times agreement of start times."""

    time_tolerance_minutes: Whole = setting(
        30, "Start times this close agree fully.", "minutes", 0, 1440
    )
    time_close_minutes: Whole = setting(
        90, "Start times this far apart score close_factor.", "minutes", 0, 1440
    )
    close_factor: Number = score(0.1, "Time factor at time_close_minutes.")
    far_factor: Number = score(0.0, "Time factor between the close and the gap corner.")
    time_gap_penalty_hours: Number = setting(
        2.0, "Start times further apart score time_gap_penalty_factor.", "hours", 0, 24
    )
    time_gap_penalty_factor: Number = score(0.0, "Time factor beyond time_gap_penalty_hours.")
    unknown_time_factor: Number = score(
        0.9, "Time factor of a shared day when either start time is unknown."
    )


class TitleBlend(Section):
    """How word-set similarity is blended into word-sequence similarity of two titles."""

    primary_weight: Number = weight(0.4, "Weight of token-sort similarity inside the window.")
    secondary_weight: Number = weight(0.6, "Weight of token-set similarity inside the window.")
    blend_lower: Number = score(0.25, "Token-sort similarity where the window opens.")
    blend_upper: Number = score(0.95, "Token-sort similarity where the window closes.")


class Title(TitleBlend):
    """The title signal."""

    primary_weight: Number = weight(0.7, "Weight of token-sort similarity inside the window.")
    secondary_weight: Number = weight(0.3, "Weight of token-set similarity inside the window.")
    blend_lower: Number = score(0.4, "Token-sort similarity where the window opens.")
    blend_upper: Number = score(0.8, "Token-sort similarity where the window closes.")
    cross_source_type: TitleBlend = Field(
        default=TitleBlend(),
        description="The blend for an article (`artikel`) against a list entry (`terminliste`).",
    )


class Description(Section):
    """The description signal."""

    both_missing_score: Number = score(0.5, "Score when neither listing has a description.")
    one_missing_score: Number = score(0.4, "Score when just one listing has a description.")


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
    max_range_days: Whole = setting(
        366, "Longest date range that is read; a longer one is quarantined.", "days", 1, 3660
    )


class Synonyms(Section):
    """Words that mean one thing, whole or as a part of a compound."""

    canonical: Text = Field(description="The word that replaces its variants.")
    variants: list[Text] = Field(
        default=[], max_length=100, description="Spellings and dialect forms of it."
    )


class PrefixSeparator(StrEnum):
    """What stands between a title prefix and the title proper."""

    DASH = "dash"
    COLON = "colon"


class TitlePrefix(Section):
    """A series or column name that some sources put before the title."""

    text: Text = Field(description="The prefix without its separator.")
    separator: PrefixSeparator = Field(
        default=PrefixSeparator.DASH, strict=False, description="What follows the prefix."
    )


class CityAlias(Section):
    """A city with its districts and short forms."""

    city: Text = Field(description="The name listings are grouped under.")
    aliases: list[Text] = Field(
        default=[], max_length=1000, description="Districts, short forms and old names."
    )


class TextTables(Section):
    """Tables of the region and its language."""

    synonyms: list[Synonyms] = Field(
        default=[
            Synonyms(canonical="hemdglunker", variants=["hemdklunker", "hemdglunki", "hendglunki"]),
            Synonyms(
                canonical="fastnacht",
                variants=[
                    "fasnacht", "fasching", "karneval", "fasnets", "fasent", "fasend", "fasnet",
                ],
            ),
        ],
        max_length=1000,
        description="Groups of words that are treated as one word.",
    )  # fmt: skip
    prefixes: list[TitlePrefix] = Field(
        default=[
            *(
                TitlePrefix(text=text)
                for text in (
                    "Nordwiler Narrenfahrplan", "Wahlkampfstand Bündnis 90/Die Grünen",
                    "Kommunales Kino", "Kolping Kids", "Fasnet im Ladhof",
                    "Narrenzunft Bergteufel", "Tag der offenen Tür",
                )
            ),
            *(
                TitlePrefix(text=text, separator=PrefixSeparator.COLON)
                for text in (
                    "Vortrag", "Bildervortrag", "Kochworkshop", "FreiTagZeit", "Jungentreff",
                    "Textil-Tag", "SPD-Veranstaltung", "Theaterabend", "Kinderprogramm",
                    "SkF Waldkirch", "Waldkircher Klimagespräch",
                )
            ),
        ],
        max_length=1000,
        description="Prefixes that are cut from titles; the first that fits is cut, once.",
    )  # fmt: skip
    city_aliases: list[CityAlias] = Field(
        default=[
            CityAlias(city="kenzingen", aliases=["nordweil", "hecklingen", "bombach"]),
            CityAlias(
                city="emmendingen",
                aliases=["mundingen", "kollmarsreute", "wasser", "windenreute", "maleck"],
            ),
            CityAlias(city="waldkirch", aliases=["kollnau", "buchholz", "suggental"]),
            CityAlias(
                city="freiburg im breisgau",
                aliases=[
                    "waltershofen", "opfingen", "tiengen", "munzingen", "lehen",
                    "freiburg", "freiburg i. br.", "freiburg i.br.", "freiburg/breisgau",
                ],
            ),
            CityAlias(city="gutach im breisgau", aliases=["bleibach"]),
            CityAlias(city="rheinhausen", aliases=["oberhausen", "niederhausen"]),
        ],
        max_length=1000,
        description="Names that count as one city.",
    )  # fmt: skip


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
