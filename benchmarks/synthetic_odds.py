"""How often each fault strikes a listing, in the light and in the harsh set."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import synthetic_faults as faults
import synthetic_titles as titles
from synthetic_feeds import Draft
from synthetic_world import Event

Change = Callable[[Draft, Event, Random], bool]
"""Changes a draft; tells whether there was something to change."""


class Fault(NamedTuple):
    """A fault of real feeds with its odds in the light and in the harsh set."""

    name: str
    change: Change
    light: float
    harsh: float


FAULTS = (
    Fault("opening_only", faults.opening_only, 0.0, 0.15),
    Fault("time_rounded", faults.time_rounded, 0.03, 0.25),
    Fault("time_shifted", faults.time_shifted, 0.02, 0.12),
    Fault("time_zone", faults.time_zone, 0.0, 0.02),
    Fault("time_missing", faults.time_missing, 0.05, 0.20),
    Fault("time_24", faults.time_24, 0.005, 0.02),
    Fault("time_spelled", faults.time_spelled, 0.01, 0.05),
    Fault("terse", titles.terse, 0.0, 0.10),
    Fault("subtitle_dropped", titles.subtitle_dropped, 0.10, 0.15),
    Fault("subtitle_added", titles.subtitle_added, 0.05, 0.20),
    Fault("synonym", titles.synonym, 0.02, 0.15),
    Fault("compound_spelled", titles.compound_spelled, 0.03, 0.30),
    Fault("typo", titles.typo, 0.01, 0.06),
    Fault("reordered", titles.reordered, 0.03, 0.20),
    Fault("town_added", titles.town_added, 0.02, 0.10),
    Fault("venue_added", titles.venue_added, 0.02, 0.08),
    Fault("year_added", titles.year_added, 0.01, 0.05),
    Fault("marker_added", titles.marker_added, 0.01, 0.03),
    Fault("text_shuffled", faults.text_shuffled, 0.05, 0.30),
    Fault("text_boilerplate_added", faults.text_boilerplate_added, 0.05, 0.20),
    Fault("text_truncated", faults.text_truncated, 0.20, 0.60),
    Fault("text_boilerplate", faults.text_boilerplate, 0.01, 0.12),
    Fault("text_missing", faults.text_missing, 0.08, 0.25),
    Fault("venue_room", faults.venue_room, 0.05, 0.15),
    Fault("venue_town", faults.venue_town, 0.05, 0.25),
    Fault("street_short", faults.street_short, 0.20, 0.40),
    Fault("venue_missing", faults.venue_missing, 0.02, 0.12),
    Fault("city_short", faults.city_short, 0.20, 0.40),
    Fault("city_zip", faults.city_zip, 0.02, 0.10),
    Fault("city_missing", faults.city_missing, 0.03, 0.50),
    Fault("geo_centroid", faults.geo_centroid, 0.10, 0.45),
    Fault("geo_missing", faults.geo_missing, 0.10, 0.50),
    Fault("categories_other", faults.categories_other, 0.10, 0.30),
    Fault("categories_missing", faults.categories_missing, 0.20, 0.40),
    Fault("transliterated", titles.transliterated, 0.01, 0.05),
    Fault("upper_case", titles.upper_case, 0.01, 0.05),
    Fault("mojibake", titles.mojibake, 0.003, 0.02),
)
"""Applied in this order, each by its odds."""
