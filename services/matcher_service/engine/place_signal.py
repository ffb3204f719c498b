"""The place signal: coordinates where they can be trusted, address evidence where not."""

import numpy as np
from rapidfuzz import fuzz

from dedup_model.signal_settings import Geo
from matcher_service.engine.blocking import EARTH_RADIUS_KM, Pairs
from matcher_service.engine.columns import Bools, Floats, Table, rounded, stretched
from matcher_service.engine.text_signals import judged_texts, shared, similarities
from matcher_service.engine.towns import apart
from matcher_service.engine.words import Words

TINY = 1e-9


def place_scores(table: Table, pairs: Pairs, settings: Geo) -> Floats:
    """Return a score a pair in [0, 1].

    Trusted coordinates on both sides (confidence at least `min_confidence`): `1 - d/max_distance_km`
    on the great circle, times `venue_mismatch_factor` when nearer than `venue_match_distance_km`
    with unlike venue names and no common street. Unstated confidence: the mean of that and the
    address score. Otherwise the address score: see `_address`. Semantics section 11.
    """
    names, likeness = _likeness(table, pairs, settings)
    address = _address(table, pairs, likeness, settings)
    left, right = table.point[pairs.left], table.point[pairs.right]
    located = np.flatnonzero(~np.isnan(left[:, 0] + right[:, 0]))
    distance = np.full(len(pairs), np.nan)
    distance[located] = great_circle_km(left[located], right[located])
    near = np.maximum(0.0, 1.0 - distance / settings.max_distance_km)
    most = settings.unlike_venue_score
    unlike = (names < most) & (likeness < most) & (names >= 0)
    unlike &= distance < settings.venue_match_distance_km
    near = np.where(unlike, near * settings.venue_mismatch_factor, near)
    least, unstated = np.fmin(left[:, 2], right[:, 2]), np.isnan(left[:, 2] + right[:, 2])
    doubtful = np.isnan(distance) | (least < settings.min_confidence)
    scores = np.where(unstated, (near + address) / 2, near)
    return rounded(np.where(doubtful, address, scores))


def _likeness(table: Table, pairs: Pairs, settings: Geo) -> tuple[Floats, Floats]:
    """Return the similarity of venue names, and the best evidence of names and streets; -1 unknown."""
    names = np.where(_both(table.venue.known, pairs), 1.0, -1.0)
    unequal = table.venue.codes[pairs.left] != table.venue.codes[pairs.right]
    rows = np.flatnonzero(unequal & (names > 0))
    names[rows] = _names(table, pairs.taken(rows), settings)
    streets = stretched(similarities(table.street, pairs), settings.street_floor, 1.0)
    streets = np.where(_both(table.street.known, pairs), streets, -1.0)
    evidence = np.where(
        names < 0, -1.0, stretched(names, settings.venue_floor, settings.venue_ceiling)
    )
    return names, np.maximum(evidence, streets)


def _names(table: Table, pairs: Pairs, settings: Geo) -> Floats:
    """Return the similarity of two different venue names."""
    sort = similarities(table.venue, pairs)
    sets = similarities(table.venue, pairs, fuzz.token_set_ratio)
    share = settings.venue_word_sets_share
    letters = (1 - share) * sort + share * np.maximum(sort, sets)
    return letters + settings.venue_words_share * (
        _common_words(table.venue_words, pairs) - letters
    )


def _common_words(words: Words, pairs: Pairs) -> Floats:
    """Return the share of one venue's word weight that stands in the other, the better direction."""
    common = shared(words.weights, words.presence, pairs.left, pairs.right)
    back = shared(words.weights, words.presence, pairs.right, pairs.left)
    left, right = (words.mass[rows] for rows in (pairs.left, pairs.right))
    result: Floats = np.maximum(common / np.maximum(left, TINY), back / np.maximum(right, TINY))
    return result


def _address(table: Table, pairs: Pairs, likeness: Floats, settings: Geo) -> Floats:
    """Return the score of city, venue and street.

    City equal, unknown or different picks three scores: for unlike and for alike venues or streets,
    between which their likeness picks a point, and for no word on either. An equal city that holds
    much of the batch says as little as an unknown one: its first and last move there with its
    share, as frequent values count less in Fellegi and Sunter (1969); all the way under a
    common title, which a source has at several venues of the city. There a missing venue and one
    that is hardly alike count less, too: the title tells the kind of event, not which.
    """
    known = _both(table.city.known, pairs) | in_two_towns(table, pairs)
    same = known & _same_city(table, pairs)
    common = table.is_common_title[pairs.left] | table.is_common_title[pairs.right]
    share = np.where(common, 1.0, table.city_share[pairs.left])
    twice = _both(table.venue.known, pairs) & _both(table.street.known, pairs)
    unlike = np.where(twice, settings.same_city_unlike_twice_score, settings.same_city_unlike_score)
    unlike += share * (np.minimum(unlike, settings.unknown_city_unlike_score) - unlike)
    alone = settings.same_city_score + share * (settings.neutral_score - settings.same_city_score)
    other = (
        settings.other_city_unlike_score,
        settings.other_city_score,
        settings.other_city_alike_score,
    )
    low = np.where(known, other[0], settings.unknown_city_unlike_score)
    middle = np.where(known, other[1], settings.neutral_score)
    high = np.where(known, other[2], settings.unknown_city_alike_score)
    low, middle, high = (
        np.where(same, one, two) for one, two in ((unlike, low), (alone, middle), (1.0, high))
    )
    middle = np.where(common, middle * settings.common_title_factor, middle)
    weak = common & ((likeness < settings.common_title_likeness) | _half_named(table, pairs))
    return np.where(likeness < 0, middle, low + (high - low) * np.where(weak, 0.0, likeness))


def _half_named(table: Table, pairs: Pairs) -> Bools:
    """Tell where one source, without a city, has the town in one of two forms of a venue's name only.

    It calls one place by one name: its Village Hall is not its Village Hall, Clun.
    """
    source, towns = table.source.codes, table.towns.known
    half = (source[pairs.left] == source[pairs.right]) & (source[pairs.left] > 0)
    half &= (towns[pairs.left] != towns[pairs.right]) & ~_both(table.city.known, pairs)
    rows, result = np.flatnonzero(half), np.zeros(len(pairs), bool)
    result[rows] = judged_texts(table.venue, pairs.taken(rows), one_holds_other)
    return result


def one_holds_other(one: str, other: str) -> bool:
    """Tell whether a name has all words of another, and more."""
    left, right = set(one.split()), set(other.split())
    return left < right or right < left


def _same_city(table: Table, pairs: Pairs) -> Bools:
    """Tell where cities are equal, or one is the short form of the other (Haltern, Haltern am See).

    One source's city may be the other's district, and two districts of a city are two places.
    """
    city = table.city.codes[pairs.left], table.city.codes[pairs.right]
    head = table.city_head.codes[pairs.left] == table.city_head.codes[pairs.right]
    short = table.is_short_city[pairs.left] | table.is_short_city[pairs.right]
    same: Bools = (city[0] == city[1]) | (head & short)
    two = in_two_districts(table, pairs) | in_two_towns(table, pairs)
    return (same & ~two) | _is_district(table, pairs)


def in_two_districts(table: Table, pairs: Pairs) -> Bools:
    """Tell which pairs state two different districts; one that has all words of the other is not."""
    return judged_texts(table.district, pairs, apart)


def _is_district(table: Table, pairs: Pairs) -> Bools:
    """Tell where the city of one listing is the district of the other."""
    result = np.zeros(len(pairs), bool)
    for one, other in ((pairs.left, pairs.right), (pairs.right, pairs.left)):
        some = np.flatnonzero(
            (table.district.codes[one] > 0)
            & (table.city.codes[one] != table.city.codes[other])
            & (table.city.codes[other] > 0)
        )
        district = table.district.values[table.district.codes[one[some]]]
        result[some] |= district == table.city.values[table.city.codes[other[some]]]
    return result


def in_two_cities(table: Table, pairs: Pairs) -> Bools:
    """Tell which pairs state two different cities, or two districts of one."""
    known = _both(table.city.known, pairs)
    result: Bools = (known & ~_same_city(table, pairs)) | in_two_towns(table, pairs)
    return result


def in_two_towns(table: Table, pairs: Pairs) -> Bools:
    """Tell which pairs name different towns, and not both as their city."""
    result = np.zeros(len(pairs), bool)
    rows = np.flatnonzero(~_both(table.city.known, pairs))
    result[rows] = judged_texts(table.towns, pairs.taken(rows), apart)
    return result


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
