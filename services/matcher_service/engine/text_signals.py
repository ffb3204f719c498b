"""Similarity of texts: the title signal and the description signal."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.process import cpdist

from dedup_model.signal_settings import Description, Title, TitleBlend
from matcher_service.engine.blocking import Pairs
from matcher_service.engine.columns import (
    Bools,
    Floats,
    Ints,
    Rows,
    Table,
    Texts,
    rounded,
    stretched,
)
from matcher_service.engine.contrasts import contrary
from matcher_service.engine.words import Matrix

Scorer: TypeAlias = Callable[..., float]


def title_scores(table: Table, pairs: Pairs, settings: Title) -> Floats:
    """Return a score a pair in [0, 1].

    The evidence is the blend of character similarities and, for `coverage_share` of it, how much of
    each title's weight (rare words weigh more) stands in the other listing, its texts and place
    included; words left over on both sides take `left_over_penalty` of it. It is stretched from
    `evidence_floor`..`evidence_ceiling` to 0..1. Two listings with one long description that no
    third title carries score at least `same_text_score`, titles that name different numbers or
    words that exclude each other at most `contrast_score`.
    """
    words = title_words(table, pairs, settings)
    return with_letters(table, pairs, settings, words)


def title_words(table: Table, pairs: Pairs, settings: Title) -> Floats:
    """Return the part of the title evidence that comes from words."""
    mean, better, left_over = _coverage(table, pairs)
    evidence = settings.coverage_share * (mean + settings.one_sided_share * (better - mean))
    evidence -= settings.left_over_penalty * left_over
    return evidence


def with_letters(table: Table, pairs: Pairs, settings: Title, words: Floats) -> Floats:
    """Return the title scores from what words say and the character similarities."""
    return _title_scores(table, pairs, settings, words, _blended(table, pairs, settings))


def at_most(table: Table, pairs: Pairs, settings: Title, words: Floats) -> Floats:
    """Return the title scores from what words say, as if all characters were alike."""
    return _title_scores(table, pairs, settings, words, np.ones(len(pairs)))


def _title_scores(
    table: Table, pairs: Pairs, settings: Title, words: Floats, letters: Floats
) -> Floats:
    evidence = words + (1 - settings.coverage_share) * letters
    scores = stretched(evidence, settings.evidence_floor, settings.evidence_ceiling)
    retitled = np.where(_same_text(table, pairs), settings.same_text_score, 0.0)
    most = np.where(_contrary(table.title_marks, pairs), settings.contrast_score, 1.0)
    most = np.minimum(most, _as_parts(table, pairs, settings))
    return rounded(np.minimum(np.maximum(scores, retitled), most))


def _blended(table: Table, pairs: Pairs, settings: Title) -> Floats:
    """Return the blend of the character similarities.

    The better of word-sorted titles and titles without spaces counts: `RepairCafe`, `Repair Café`.
    """
    sort = np.maximum(similarities(table.title, pairs), similarities(table.title_joined, pairs))
    sets = np.zeros(len(pairs))
    near = np.flatnonzero(sort >= min(settings.blend_lower, settings.cross_source_type.blend_lower))
    sets[near] = similarities(table.title, pairs.taken(near), fuzz.token_set_ratio)
    is_cross = table.is_article[pairs.left] & table.is_entry[pairs.right]
    is_cross |= table.is_article[pairs.right] & table.is_entry[pairs.left]
    return np.where(
        is_cross, blend(sort, sets, settings.cross_source_type), blend(sort, sets, settings)
    )


def _as_parts(table: Table, pairs: Pairs, settings: Title) -> Floats:
    """Return the most that two titles of one series score: what they do without its name."""
    most = np.ones(len(pairs))
    series, part = table.series.codes, table.part.codes
    same = (series[pairs.left] == series[pairs.right]) & (series[pairs.left] > 0)
    rows = np.flatnonzero(same & (part[pairs.left] != part[pairs.right]))
    if not len(rows):
        return most
    two = pairs.taken(rows)
    words, found = table.part_words, table.found_words
    left, right = (
        shared(words.weights, found, one, other) / np.maximum(words.mass[one], 1e-9)
        for one, other in ((two.left, two.right), (two.right, two.left))
    )
    mean, better = (left + right) / 2, np.maximum(left, right)
    coverage = mean + settings.one_sided_share * (better - mean)
    letters = blend(
        similarities(table.part, two), similarities(table.part, two, fuzz.token_set_ratio), settings
    )
    evidence = settings.coverage_share * coverage + (1 - settings.coverage_share) * letters
    evidence -= settings.left_over_penalty * np.maximum(0.0, 1.0 - better)
    scores = stretched(evidence, settings.evidence_floor, settings.evidence_ceiling)
    whole = (part[two.left] == 0) | (part[two.right] == 0)
    most[rows] = np.where(whole, np.minimum(scores, settings.contrast_score), scores)
    return most


def _contrary(marks: Texts, pairs: Pairs) -> Bools:
    """Tell which titles name different ones of words that exclude each other."""
    return judged_texts(marks, pairs, contrary)


def judged_texts(column: Texts, pairs: Pairs, judge: Callable[[str, str], bool]) -> Bools:
    """Return the judgement on each pair of two known, different texts; False for the others."""
    result = np.zeros(len(pairs), bool)
    unlike = unlike_texts(column, pairs)
    found = [judge(*both) for both in zip(unlike.one, unlike.other, strict=True)]
    result[unlike.rows] = np.array(found, bool)[unlike.back]
    return result


def _same_text(table: Table, pairs: Pairs) -> Bools:
    """Tell which pairs have one long text that no third title carries."""
    codes = table.text.codes[pairs.left]
    own = table.is_long_text[pairs.left] & (table.text_titles[pairs.left] <= 2)
    result: Bools = own & (codes == table.text.codes[pairs.right])
    return result


def blend(sort: Floats, sets: Floats, settings: TitleBlend) -> Floats:
    """Blend token-sort and token-set similarity, both in [0, 1], monotone in both.

    Semantics section 12; above the window the blend at its upper end stays a lower bound.
    """
    total = settings.primary_weight + settings.secondary_weight
    primary, secondary = settings.primary_weight / total, settings.secondary_weight / total
    inside = primary * np.minimum(sort, settings.blend_upper) + secondary * np.maximum(sets, sort)
    return np.where(sort < settings.blend_lower, sort, np.maximum(sort, inside))


def _coverage(table: Table, pairs: Pairs) -> tuple[Floats, Floats, Floats]:
    """Return the share of title weight found in the other listing, and what is left over.

    The mean of both directions, the better one, and the least share left over on both sides.
    """
    words, found = table.title_words, table.found_words
    left = shared(words.weights, found, pairs.left, pairs.right) / words.mass[pairs.left]
    right = shared(words.weights, found, pairs.right, pairs.left) / words.mass[pairs.right]
    better = np.maximum(left, right)
    return (left + right) / 2, better, np.maximum(0.0, 1.0 - better)


def description_scores(table: Table, pairs: Pairs, settings: Description) -> Floats:
    """Return a score a pair in [0, 1].

    Mean of the token-sort ratio and the share of the shorter text's rare words that stand in the
    longer one, both stretched, from `unlike_score` up to 1; 1 when one text is the beginning of the
    other (sources cut texts).
    The configured scores stand when one or both texts are missing. Semantics section 13.
    """
    known = table.text.known[pairs.left], table.text.known[pairs.right]
    scores = np.where(known[0] | known[1], settings.one_missing_score, settings.both_missing_score)
    both = np.flatnonzero(known[0] & known[1])
    if len(both):
        known_pairs = Pairs(pairs.left[both], pairs.right[both])
        likeness = _text_scores(table, known_pairs, settings) * _own_words(table, known_pairs)
        scores[both] = settings.unlike_score + (1 - settings.unlike_score) * likeness
    return rounded(scores)


def _own_words(table: Table, pairs: Pairs) -> Floats:
    """Return what a text is worth under two titles, or a common one: `2 / n` where `n` carry it.

    A cinema's standing text says nothing about the film, and *All welcome* nothing about a quiz
    night; a text of one event with two titles does.
    """
    titles, common = table.text_titles, table.is_common_title
    worth = 2.0 / np.maximum(2, np.maximum(titles[pairs.left], titles[pairs.right]))
    weak = table.title.codes[pairs.left] != table.title.codes[pairs.right]
    weak |= common[pairs.left] | common[pairs.right]
    return np.where(weak, worth, 1.0)


def _text_scores(table: Table, pairs: Pairs, settings: Description) -> Floats:
    words = table.text_words
    mass = np.minimum(words.mass[pairs.left], words.mass[pairs.right])
    common = shared(words.weights, words.presence, pairs.left, pairs.right) / mass
    likeness = similarities(table.text, pairs)
    letters = stretched(likeness, settings.letters_floor, settings.letters_ceiling)
    scores = (letters + stretched(common, 0.0, settings.words_ceiling)) / 2
    return np.where(_begins(table, pairs, common >= settings.words_ceiling), 1.0, scores)


def _begins(table: Table, pairs: Pairs, likely: Bools) -> Bools:
    """Tell where one long text begins the other; a loop, over the few pairs of texts likely to."""
    begins = np.zeros(len(pairs), bool)
    texts, long = table.text_plain, table.is_long_text
    left, right = texts.codes[pairs.left], texts.codes[pairs.right]
    likely = likely & (left != right) & long[pairs.left] & long[pairs.right]
    for row in np.flatnonzero(likely):
        first, second = sorted((texts.values[left[row]], texts.values[right[row]]), key=len)
        begins[row] = second.startswith(first)
    return begins


def similarities(column: Texts, pairs: Pairs, scorer: Scorer = fuzz.ratio) -> Floats:
    """Return RapidFuzz's ratio of each pair in [0, 1], computed once a distinct pair of texts.

    On texts with sorted words the plain ratio is the token-sort ratio. One text is 1 with itself
    and 0 with a missing one.
    """
    same: Bools = column.codes[pairs.left] == column.codes[pairs.right]
    result: Floats = same.astype(np.float64)
    unlike = unlike_texts(column, pairs)
    ratios = cpdist(unlike.one, unlike.other, scorer=scorer, dtype=np.float64)
    result[unlike.rows] = rounded(ratios / 100.0)[unlike.back]
    return result


@dataclass(frozen=True, slots=True)
class UnlikeTexts:
    """The pairs at `rows` have two known, different texts: `one[back]` and `other[back]`."""

    rows: Ints
    one: list[str]
    other: list[str]
    back: Ints


def unlike_texts(column: Texts, pairs: Pairs) -> UnlikeTexts:
    """Return the pairs of two known, different texts, each distinct pair once."""
    left, right = column.codes[pairs.left], column.codes[pairs.right]
    rows = np.flatnonzero((left != right) & (left > 0) & (right > 0))
    size = len(column.values)
    ordered = np.minimum(left, right)[rows] * size + np.maximum(left, right)[rows]
    codes, back = np.unique(ordered, return_inverse=True)
    one, other = column.values[codes // size], column.values[codes % size]
    return UnlikeTexts(rows, one.tolist(), other.tolist(), back)


def shared(weights: Matrix, presence: Matrix, left: Rows, right: Rows) -> Floats:
    """Return the weight of the left row's words that stand in the right row, a pair each."""
    return np.asarray(weights[left].multiply(presence[right]).sum(axis=1)).ravel()
