"""What quality.py switches off, one at a time, to see what each part is worth."""

import json
from collections.abc import Sequence
from typing import Any

from dedup_model.errors import InvalidRequest
from dedup_model.matching_config import MatchingConfig
from dedup_model.rules import validated

ABLATIONS: dict[str, tuple[str, ...]] = {
    "city keys": ("blocking.use_city=false",),
    "geo keys": ("blocking.use_geo=false",),
    "title-word keys": ("blocking.use_title=false",),
    "venue keys": ("blocking.use_venue=false",),
    "synonyms": ("text.synonyms=[]",),
    "title prefixes": ("text.prefixes=[]",),
    "city aliases": ("text.city_aliases=[]",),
    "title blend": (
        "title.secondary_weight=0",
        "title.cross_source_type.secondary_weight=0",
    ),
    "title veto": ("thresholds.title_veto=0",),
    "unlike texts count little": ("description.unlike_score=0",),
    "unknown time is neutral": ("date.unknown_time_factor=1",),
    "time tolerance": ("date.time_tolerance_minutes=0",),
    "time decay": ("date.close_factor=0",),
    "venue mismatch": ("geo.venue_mismatch_factor=1",),
    "coordinates": ("geo.min_confidence=1",),
    "category weights": ("category_weights.priority=[]",),
    "date signal": ("scoring.date=0",),
    "geo signal": ("scoring.geo=0",),
    "title signal": ("scoring.title=0",),
    "description signal": ("scoring.description=0",),
    "odds of sources": ("scoring.same_source_odds=1", "scoring.other_source_odds=1"),
    "odds of cities": ("scoring.other_city_odds=1",),
    "rare words of venues": ("geo.venue_words_share=0",),
    "common titles": (
        "geo.common_title_factor=1",
        "geo.common_title_likeness=0",
        "geo.unknown_city_unlike_score=0.1",
    ),
    "titles at many venues": ("geo.common_title_venues=0",),
    "towns in venues and titles": ("geo.use_towns=false",),
    "districts": ("geo.use_districts=false",),
    "meeting places": ("text.meeting_words=[]",),
    "vague venues": ("text.vague_places=[]",),
    "doors or start": ("date.other_source_factor=0",),
    "times that texts name": ("date.named_time_minutes=0",),
    "shifted hours": ("date.shifted_factor=0",),
    "rare words in the other listing": ("title.coverage_share=0",),
    "one-sided titles": ("title.one_sided_share=0",),
    "words left over on both sides": ("title.left_over_penalty=0",),
    "contrary words and numbers": ("title.contrast_score=1",),
    "parts of series": ("title.series_parts=0",),
    "same text, other title": ("title.same_text_score=0",),
}
"""What is switched off, with the settings that do it, as `path=JSON value`."""


def config_with(settings: Sequence[str]) -> MatchingConfig:
    """Return the defaults with some settings; raises `InvalidRequest`."""
    document: dict[str, Any] = {}
    for setting in settings:
        path, _, value = setting.partition("=")
        *sections, leaf = path.split(".")
        place = document
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = json.loads(value)
    return validated(document)


def is_known(settings: Sequence[str]) -> bool:
    """Tell whether this release has all of the settings."""
    try:
        config_with(settings)
    except InvalidRequest as refused:
        if {violation.rule for violation in refused.violations} == {"UNKNOWN_KEY"}:
            return False
        raise
    return True
