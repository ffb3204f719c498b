"""The place signal: coordinates where they can be trusted, address evidence where not."""

import numpy as np
from rapidfuzz import fuzz

from dedup_model.matching_config import Geo
from matcher_service.engine.blocking import EARTH_RADIUS_KM, Pairs
from matcher_service.engine.columns import Bools, Floats, Table, rounded, stretched
from matcher_service.engine.text_signals import shared, similarities
from matcher_service.engine.words import Words

NAME_FLOOR, NAME_CEILING = 0.4, 0.9
"""Similarity of venue names at which they are unlike and the same."""
STREET_FLOOR = 0.6
"""Similarity of street and number at which they are unlike; the same at 1."""
WORD_SET_SHARE = 0.7
"""Weight of word sets in venue names: `Halle` is likely the `Kongresszentrum Halle`."""
TINY = 1e-9
UNLIKE_NAME = 0.5
"""Similarity below which near venues count as different ones; semantics section 11."""

SAME_CITY, SAME_CITY_UNLIKE, SAME_CITY_UNLIKE_TWICE = 0.5, -0.1, -0.4
"""Steps away from `geo.neutral_score`, as shares of the way to 1 (above 0) or to 0 (below)."""
OTHER_CITY, OTHER_CITY_ALIKE, OTHER_CITY_UNLIKE = -0.8, -0.4, -1.0
UNKNOWN_CITY, UNKNOWN_CITY_ALIKE, UNKNOWN_CITY_UNLIKE = 0.0, 0.8, -0.8


def place_scores(table: Table, pairs: Pairs, settings: Geo) -> Floats:
    """Return a score a pair in [0, 1].

    Trusted coordinates on both sides (confidence at least `min_confidence`): `1 - d/max_distance_km`
    on the great circle, times `venue_mismatch_factor` when nearer than `venue_match_distance_km`
    with unlike venue names and no common street. Unstated confidence: the mean of that and the
    address score. Otherwise the address score: see `_address`. Semantics section 11.
    """
    names, likeness = _likeness(table, pairs, settings.venue_words_share)
    address = _address(table, pairs, likeness, settings.neutral_score)
    left, right = table.point[pairs.left], table.point[pairs.right]
    located = np.flatnonzero(~np.isnan(left[:, 0] + right[:, 0]))
    distance = np.full(len(pairs), np.nan)
    distance[located] = great_circle_km(left[located], right[located])
    near = np.maximum(0.0, 1.0 - distance / settings.max_distance_km)
    unlike = (names < UNLIKE_NAME) & (likeness < UNLIKE_NAME) & (names >= 0)
    unlike &= distance < settings.venue_match_distance_km
    near = np.where(unlike, near * settings.venue_mismatch_factor, near)
    least, unstated = np.fmin(left[:, 2], right[:, 2]), np.isnan(left[:, 2] + right[:, 2])
    doubtful = np.isnan(distance) | (least < settings.min_confidence)
    scores = np.where(unstated, (near + address) / 2, near)
    return rounded(np.where(doubtful, address, scores))


def _likeness(table: Table, pairs: Pairs, words_share: float) -> tuple[Floats, Floats]:
    """Return the similarity of venue names, and the best evidence of names and streets; -1 unknown."""
    names = np.where(_both(table.venue.known, pairs), 1.0, -1.0)
    unequal = table.venue.codes[pairs.left] != table.venue.codes[pairs.right]
    rows = np.flatnonzero(unequal & (names > 0))
    names[rows] = _names(table, pairs.taken(rows), words_share)
    streets = stretched(similarities(table.street, pairs), STREET_FLOOR, 1.0)
    streets = np.where(_both(table.street.known, pairs), streets, -1.0)
    evidence = np.where(names < 0, -1.0, stretched(names, NAME_FLOOR, NAME_CEILING))
    return names, np.maximum(evidence, streets)


def _names(table: Table, pairs: Pairs, words_share: float) -> Floats:
    """Return the similarity of two different venue names."""
    sort = similarities(table.venue, pairs)
    sets = similarities(table.venue, pairs, fuzz.token_set_ratio)
    letters = (1 - WORD_SET_SHARE) * sort + WORD_SET_SHARE * np.maximum(sort, sets)
    return letters + words_share * (_common_words(table.venue_words, pairs) - letters)


def _common_words(words: Words, pairs: Pairs) -> Floats:
    """Return the share of one venue's word weight that stands in the other, the better direction."""
    common = shared(words.weights, words.presence, pairs.left, pairs.right)
    back = shared(words.weights, words.presence, pairs.right, pairs.left)
    left, right = (words.mass[rows] for rows in (pairs.left, pairs.right))
    result: Floats = np.maximum(common / np.maximum(left, TINY), back / np.maximum(right, TINY))
    return result


def _address(table: Table, pairs: Pairs, likeness: Floats, neutral: float) -> Floats:
    """Return the score of city, venue and street.

    City equal, unknown or different picks a range around `neutral`, the likeness of venue and
    street a point in it. For the default neutral score of 0.5: equal 0.45..1 (0.3..1 when both
    venue and street are known, 0.75 when neither), unknown 0.1..0.9 (0.5), different 0..0.3 (0.1).
    An equal city that holds much of the batch says as little as an unknown one: its low end and
    its middle move there with its share, as frequent values count less in Fellegi and Sunter (1969).
    """
    known = _both(table.city.known, pairs)
    same = known & _same_city(table, pairs)
    share = table.city_share[pairs.left]
    twice = _both(table.venue.known, pairs) & _both(table.street.known, pairs)
    unlike = np.where(twice, SAME_CITY_UNLIKE_TWICE, SAME_CITY_UNLIKE)
    unlike = unlike + share * (np.minimum(unlike, UNKNOWN_CITY_UNLIKE) - unlike)
    alone = SAME_CITY + share * (UNKNOWN_CITY - SAME_CITY)
    low = np.where(same, unlike, np.where(known, OTHER_CITY_UNLIKE, UNKNOWN_CITY_UNLIKE))
    high = np.where(same, 1.0, np.where(known, OTHER_CITY_ALIKE, UNKNOWN_CITY_ALIKE))
    middle = np.where(same, alone, np.where(known, OTHER_CITY, UNKNOWN_CITY))
    step_low, step_high = _stepped(low, neutral), _stepped(high, neutral)
    found = step_low + (step_high - step_low) * likeness
    return np.where(likeness < 0, _stepped(middle, neutral), found)


def _same_city(table: Table, pairs: Pairs) -> Bools:
    """Tell where cities are equal, or one is the short form of the other (Haltern, Haltern am See)."""
    city = table.city.codes[pairs.left], table.city.codes[pairs.right]
    head = table.city_head.codes[pairs.left] == table.city_head.codes[pairs.right]
    short = table.is_short_city[pairs.left] | table.is_short_city[pairs.right]
    result: Bools = (city[0] == city[1]) | (head & short)
    return result


def in_two_cities(table: Table, pairs: Pairs) -> Bools:
    """Tell which pairs state two different cities."""
    result: Bools = _both(table.city.known, pairs) & ~_same_city(table, pairs)
    return result


def _stepped(share: Floats, neutral: float) -> Floats:
    return np.where(share < 0, neutral * (1 + share), neutral + (1 - neutral) * share)


def _both(known: Bools, pairs: Pairs) -> Bools:
    result: Bools = known[pairs.left] & known[pairs.right]
    return result


def great_circle_km(left: Floats, right: Floats) -> Floats:
    """Return the haversine distance of points (latitude, longitude, ... in degrees) in km."""
    one, two = np.radians(left), np.radians(right)
    half = np.sin((two - one) / 2) ** 2
    part = half[:, 0] + np.cos(one[:, 0]) * np.cos(two[:, 0]) * half[:, 1]
    result: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(part, 0.0, 1.0)))
    return result
