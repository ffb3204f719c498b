"""The engine's formulas for one pair at a time, in plain Python: what one would write first.

`compared` gives the four signals and the combined score of two listings that were
prepared once. It is the yardstick of the engine's speed, and in the tests of its results.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rapidfuzz import fuzz

from dedup_model.matching_config import MatchingConfig, Scoring
from dedup_model.rules import weights_of
from dedup_model.signal_settings import Date, Description, Geo, Title, TitleBlend
from matcher_service.engine import place_signal as place
from matcher_service.engine.columns import Table, weighed_categories
from matcher_service.engine.contrasts import contrary
from matcher_service.engine.date_signal import DAY_MINUTES, SHIFTS
from matcher_service.engine.place_signal import one_holds_other
from matcher_service.engine.shows import Shows
from matcher_service.engine.towns import apart
from matcher_service.engine.words import Matrix

Days = Mapping[int, list[float]]


@dataclass(frozen=True, slots=True)
class Weighed:
    """The words of a text, numbered, with their weights and the sum of these."""

    weights: Mapping[int, float]
    mass: float


@dataclass(frozen=True, slots=True)
class Plain:
    """One prepared listing; words are numbers with their weights, days hold their start times."""

    days: Days
    nights: Days
    city: str
    city_head: str
    city_share: float
    is_short_city: bool
    district: str
    towns: str
    is_common_title: bool
    venue: str
    venue_words: Weighed
    street: str
    point: tuple[float, float, float]
    title: str
    title_joined: str
    title_words: Weighed
    title_marks: str
    series: str
    part: str
    part_words: Weighed
    found_words: frozenset[int]
    text: str
    text_plain: str
    text_titles: int
    is_long_text: bool
    text_words: Weighed
    source: str
    is_article: bool
    is_entry: bool
    categories: tuple[bool, ...]


def plain_listings(table: Table) -> list[Plain]:
    """Return the listings of a table, one by one."""
    size = len(table.ids)
    places = ("city", "city_head", "district", "towns", "venue", "street")
    names = (*places, "title", "title_joined", "title_marks", "series", "part", "text")
    texts = {
        name: getattr(table, name).values[getattr(table, name).codes].tolist()
        for name in (*names, "text_plain", "source")
    }
    lists = {
        name: getattr(table, name).tolist()
        for name in (
            "city_share",
            "is_short_city",
            "is_common_title",
            "text_titles",
            "is_long_text",
            "is_article",
            "is_entry",
        )
    }
    words = {
        name: [Weighed(row, sum(row.values())) for row in _rows(getattr(table, name).weights)]
        for name in ("venue_words", "title_words", "part_words", "text_words")
    }
    columns = texts | lists | words
    columns |= {"days": _days(table.shows, size), "nights": _days(table.nights, size)}
    columns |= {"found_words": list(map(frozenset, _rows(table.found_words)))}
    columns |= {"point": list(map(tuple, table.point.tolist()))}
    columns |= {"categories": list(map(tuple, table.categories.tolist()))}
    return [Plain(**{name: column[row] for name, column in columns.items()}) for row in range(size)]


def _days(shows: Shows, size: int) -> list[dict[int, list[float]]]:
    days: list[dict[int, list[float]]] = [{} for _ in range(size)]
    for owner, day, start in zip(
        *(c.tolist() for c in (shows.owner, shows.day, shows.start)), strict=True
    ):
        days[owner].setdefault(day, []).append(start)
    return days


def _rows(matrix: Matrix) -> list[dict[int, float]]:
    starts, columns, values = (one.tolist() for one in (matrix.indptr, matrix.indices, matrix.data))
    spans = pairwise(starts)
    return [dict(zip(columns[a:b], values[a:b], strict=True)) for a, b in spans]


def compared(
    one: Plain, other: Plain, config: MatchingConfig, weights: Sequence[Sequence[float]]
) -> tuple[float, ...]:
    """Return date, place, title, description and combined score, each in [0, 1].

    `weights` are those of `weights_in`.
    """
    signals = (
        _date(one, other, config.date),
        _place(one, other, config.geo),
        _title(one, other, config.title),
        _description(one, other, config.description),
    )
    return (*signals, _combined(one, other, signals, config.scoring, weights))


def weights_in(config: MatchingConfig) -> list[tuple[float, ...]]:
    """Return the weights of the signals for each of `weighed_categories`, at the end for all others."""
    return [weights_of(config, name) for name in (*weighed_categories(config), None)]


def _date(one: Plain, other: Plain, settings: Date) -> float:
    if not (one.days and other.days):
        return settings.unknown_date_score
    apart = bool(one.source and other.source) and one.source != other.source
    plain = _agreement(one.days, other.days, settings, apart)
    return round(max(plain, _agreement(one.nights, other.nights, settings, apart)), 9)


def _agreement(one: Days, other: Days, settings: Date, apart: bool) -> float:
    common = one.keys() & other.keys()
    if not common:
        return 0.0
    best = sum(
        max(_time(a, b, settings, apart) for a in one[day] for b in other[day]) for day in common
    )
    if min(one) == min(other):
        shared = (len(common) / len(one) + len(common) / len(other)) / 2
    else:
        shared = len(common) / (len(one) + len(other) - len(common))
    return best / len(common) * shared


def _time(first: float, second: float, settings: Date, apart: bool) -> float:
    distance = abs(first - second)
    distance = min(distance, abs(DAY_MINUTES - distance))
    factor = settings.unknown_time_factor if min(first, second) < 0 else _near(distance, settings)
    if not apart:
        return factor
    near = distance <= settings.other_source_hours * 60
    least = settings.other_source_factor if near else 0.0
    return max(factor, settings.shifted_factor if distance in SHIFTS else least)


def _near(distance: float, settings: Date) -> float:
    low, middle = settings.time_tolerance_minutes, settings.time_close_minutes
    gap = settings.time_gap_penalty_hours * 60
    if distance <= low:
        return 1.0
    if distance > gap:
        return settings.time_gap_penalty_factor
    if distance <= middle:
        return 1.0 + (settings.close_factor - 1.0) * (distance - low) / (middle - low)
    share = (distance - middle) / (gap - middle)
    return settings.close_factor + (settings.far_factor - settings.close_factor) * share


def _place(one: Plain, other: Plain, settings: Geo) -> float:
    names = _names(one, other, settings) if one.venue and other.venue else -1.0
    likeness = (
        -1.0 if names < 0 else _stretched(names, settings.venue_floor, settings.venue_ceiling)
    )
    if one.street and other.street:
        ratio = _ratio(one.street, other.street)
        likeness = max(likeness, _stretched(ratio, settings.street_floor, 1.0))
    address = _address(one, other, likeness, settings)
    distance = _kilometres(one.point, other.point)
    least = min((c for c in (one.point[2], other.point[2]) if c == c), default=1.0)
    if math.isnan(distance) or least < settings.min_confidence:
        return round(address, 9)
    near = max(0.0, 1.0 - distance / settings.max_distance_km)
    unlike = 0 <= names < settings.unlike_venue_score > likeness
    if unlike and distance < settings.venue_match_distance_km:
        near *= settings.venue_mismatch_factor
    unstated = math.isnan(one.point[2] + other.point[2])
    return round((near + address) / 2 if unstated else near, 9)


def _names(one: Plain, other: Plain, settings: Geo) -> float:
    sort = _ratio(one.venue, other.venue)
    sets = _ratio(one.venue, other.venue, word_sets=True)
    share = settings.venue_word_sets_share
    letters = (1 - share) * sort + share * max(sort, sets)
    words = max(
        _covered(one.venue_words, other.venue_words.weights),
        _covered(other.venue_words, one.venue_words.weights),
    )
    return letters + settings.venue_words_share * (words - letters)


def _address(one: Plain, other: Plain, likeness: float, settings: Geo) -> float:
    common = one.is_common_title or other.is_common_title
    share = 1.0 if common else one.city_share
    if not (one.city and other.city) and not _in_two_towns(one, other):
        low, high = settings.unknown_city_unlike_score, settings.unknown_city_alike_score
        middle = settings.neutral_score
    elif not _same_city(one, other):
        low, high = settings.other_city_unlike_score, settings.other_city_alike_score
        middle = settings.other_city_score
    else:
        twice = one.venue and other.venue and one.street and other.street
        low = settings.same_city_unlike_twice_score if twice else settings.same_city_unlike_score
        low += share * (min(low, settings.unknown_city_unlike_score) - low)
        middle, high = settings.same_city_score, 1.0
        middle += share * (settings.neutral_score - middle)
    if likeness < 0:
        return middle * settings.common_title_factor if common else middle
    if common and (likeness < settings.common_title_likeness or _half_named(one, other)):
        likeness = 0.0
    return low + (high - low) * likeness


def _half_named(one: Plain, other: Plain) -> bool:
    half = bool(one.towns) != bool(other.towns) and not (one.city and other.city)
    one_source = bool(one.source) and one.source == other.source
    both = bool(one.venue and other.venue)
    return half and one_source and both and one_holds_other(one.venue, other.venue)


def _same_city(one: Plain, other: Plain) -> bool:
    short = one.is_short_city or other.is_short_city
    same = one.city == other.city or (one.city_head == other.city_head and short)
    two = one.district and other.district and apart(one.district, other.district)
    parts = (
        ((one.district, other.city), (other.district, one.city)) if one.city != other.city else ()
    )
    is_part = any(district and district == city for district, city in parts)
    return is_part or (same and not two and not _in_two_towns(one, other))


def _in_two_towns(one: Plain, other: Plain) -> bool:
    stated = one.city and other.city
    return not stated and bool(one.towns and other.towns and apart(one.towns, other.towns))


def _kilometres(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    a, b, c, d = (math.radians(value) for value in (*one[:2], *other[:2]))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * place.EARTH_RADIUS_KM * math.asin(math.sqrt(half))


def _title(one: Plain, other: Plain, settings: Title) -> float:
    left = _covered(one.title_words, other.found_words)
    right = _covered(other.title_words, one.found_words)
    mean, better = (left + right) / 2, max(left, right)
    share = settings.coverage_share
    evidence = share * (mean + settings.one_sided_share * (better - mean))
    evidence -= settings.left_over_penalty * max(0.0, 1.0 - better)
    evidence += (1 - share) * _letters(one, other, settings)
    score = _stretched(evidence, settings.evidence_floor, settings.evidence_ceiling)
    if one.is_long_text and one.text_titles <= 2 and one.text == other.text:
        score = max(score, settings.same_text_score)
    if contrary(one.title_marks, other.title_marks):
        score = min(score, settings.contrast_score)
    if one.series and one.series == other.series and one.part != other.part:
        score = min(score, _as_parts(one, other, settings))
    return round(score, 9)


def _as_parts(one: Plain, other: Plain, settings: Title) -> float:
    left = _covered(one.part_words, other.found_words)
    right = _covered(other.part_words, one.found_words)
    mean, better = (left + right) / 2, max(left, right)
    sort, sets = (_ratio(one.part, other.part, word_sets=sets) for sets in (False, True))
    share = settings.coverage_share
    evidence = share * (mean + settings.one_sided_share * (better - mean))
    evidence -= settings.left_over_penalty * max(0.0, 1.0 - better)
    evidence += (1 - share) * _blend(sort, sets, settings)
    score = _stretched(evidence, settings.evidence_floor, settings.evidence_ceiling)
    return score if one.part and other.part else min(score, settings.contrast_score)


def _letters(one: Plain, other: Plain, settings: Title) -> float:
    sort = max(_ratio(one.title, other.title), _ratio(one.title_joined, other.title_joined))
    sets = _ratio(one.title, other.title, word_sets=True)
    crossed = (one.is_article and other.is_entry) or (other.is_article and one.is_entry)
    return _blend(sort, sets, settings.cross_source_type if crossed else settings)


def _blend(sort: float, sets: float, settings: TitleBlend) -> float:
    if sort < settings.blend_lower:
        return sort
    total = settings.primary_weight + settings.secondary_weight
    inside = settings.primary_weight * min(sort, settings.blend_upper)
    return max(sort, (inside + settings.secondary_weight * max(sets, sort)) / total)


def _description(one: Plain, other: Plain, settings: Description) -> float:
    if not (one.text and other.text):
        known = one.text or other.text
        return settings.one_missing_score if known else settings.both_missing_score
    unlike = settings.unlike_score
    weak = one.title != other.title or one.is_common_title or other.is_common_title
    worth = 2.0 / max(2, one.text_titles, other.text_titles) if weak else 1.0
    return round(unlike + (1 - unlike) * _likeness(one, other, settings) * worth, 9)


def _likeness(one: Plain, other: Plain, settings: Description) -> float:
    smaller, larger = sorted((one.text_words, other.text_words), key=lambda words: words.mass)
    common = _covered(smaller, larger.weights)
    short, long = sorted((one.text_plain, other.text_plain), key=len)
    begins = one.is_long_text and other.is_long_text and long.startswith(short)
    if begins and short != long and common >= settings.words_ceiling:
        return 1.0
    letters = _stretched(
        _ratio(one.text, other.text), settings.letters_floor, settings.letters_ceiling
    )
    return (letters + _stretched(common, 0.0, settings.words_ceiling)) / 2


def _combined(
    one: Plain,
    other: Plain,
    signals: tuple[float, ...],
    settings: Scoring,
    weights: Sequence[Sequence[float]],
) -> float:
    both = enumerate(zip(one.categories, other.categories, strict=True))
    used = weights[next((row for row, (a, b) in both if a and b), -1)]
    pairs = zip(used, signals, strict=True)
    mean = sum(weight * signal for weight, signal in pairs) / sum(used)
    odds = _odds(one, other, settings)
    return round(mean * odds / (1.0 - mean + mean * odds), 9)


def _odds(one: Plain, other: Plain, settings: Scoring) -> float:
    odds = 1.0
    if one.source and other.source:
        alike = one.source == other.source
        odds = settings.same_source_odds if alike else settings.other_source_odds
    stated = one.city and other.city
    if (stated and not _same_city(one, other)) or _in_two_towns(one, other):
        odds *= settings.other_city_odds
    return odds


def _covered(words: Weighed, others: Container[int]) -> float:
    common = sum(weight for word, weight in words.weights.items() if word in others)
    return common / max(words.mass, place.TINY)


def _ratio(one: str, other: str, *, word_sets: bool = False) -> float:
    return (fuzz.token_set_ratio if word_sets else fuzz.ratio)(one, other) / 100.0


def _stretched(value: float, floor: float, ceiling: float) -> float:
    return min(1.0, max(0.0, (value - floor) / (ceiling - floor)))
