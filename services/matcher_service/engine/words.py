"""The words of a batch: stems, compound parts, and how rare each is."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = Any
"""A scipy CSR matrix with a row a listing and a column a word."""

BACKGROUND = 1000
"""Listings, each with other words, that are added to a batch when words are counted.

They keep a word's rarity meaningful in a batch of two listings.
"""
MIN_STEM, MIN_HEAD, MIN_TAIL = 4, 5, 4
"""Characters of a stem, and of the first and the last part of a compound."""

_ENDINGS = (("ern",), ("er", "en", "em", "es"), ("e", "n"))


def stem(word: str) -> str:
    """Return a folded word without one German or English inflection: `ringeler` -> `ringel`.

    An `s` of the genitive or the plural goes first: `duerers`, `duerer` -> `duer`.
    """
    if len(word) > MIN_STEM and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    for endings in _ENDINGS:
        size = len(word) - len(endings[0])
        if size >= MIN_STEM and word.endswith(endings):
            return word[:size]
    return word


class Compounds:
    """The stems that stand alone somewhere in the batch, and what words are made of by them."""

    def __init__(self, words: Iterable[str]) -> None:
        self._alone = {stem(word) for word in words}
        self._parts: dict[str, tuple[str, ...]] = {}

    def parts(self, words: Iterable[str]) -> list[str]:
        """Return the distinct stems and compound parts of folded words, sorted."""
        return sorted({part for word in words for part in self._of(word)})

    def _of(self, word: str) -> tuple[str, ...]:
        if word not in self._parts:
            self._parts[word] = self._split(word)
        return self._parts[word]

    def _split(self, word: str) -> tuple[str, ...]:
        """Split before the longest known last part, or behind the longest known first part.

        A first part that is known too is preferred, and loses its linking letters.
        """
        cuts = [(word[:n], word[n:]) for n in range(MIN_STEM, len(word) - MIN_TAIL + 1)]
        tailed = [two for two in cuts if stem(two[1]) in self._alone]
        both = [two for two in tailed if stem(two[0]) in self._alone]
        headed = [two for two in cuts if len(two[0]) >= MIN_HEAD and stem(two[0]) in self._alone]
        chosen = [*both, *tailed, *reversed(headed)]
        if not chosen:
            return (stem(word),)
        return tuple(part for half in chosen[0] for part in self._of(half))


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a text column: `weights` holds each word's rarity, `mass` the sum of a row.

    `presence` is 1 where the word stands.
    """

    weights: Matrix
    presence: Matrix
    mass: Floats


def index_of(rows: Iterable[list[str]]) -> dict[str, int]:
    """Return a column number a word, in the order of the words."""
    return {word: column for column, word in enumerate(sorted({w for row in rows for w in row}))}


def matrix_of(rows: Iterable[Iterable[str]], index: dict[str, int]) -> Matrix:
    """Return a matrix that is 1 where a row has the word of a column; reads the rows once."""
    columns, starts = array("i"), array("q", [0])
    for row in rows:
        columns.extend([index[word] for word in row])
        starts.append(len(columns))
    shape = (len(starts) - 1, max(len(index), 1))
    arrays = np.ones(len(columns), np.int8), np.array(columns, np.int32), np.array(starts, np.int64)
    return sparse.csr_matrix(arrays, shape=shape)


def words_in(rows: list[list[str]], index: dict[str, int], factor: Floats | None = None) -> Words:
    """Weigh words by `log((N + B) / (n + 1))`, the inverse document frequency over the batch.

    `factor`, one a word in the order of the rows, scales the weights.
    """
    presence = matrix_of(rows, index)
    counts = np.bincount(presence.indices, minlength=presence.shape[1])
    rarity = np.log((len(rows) + BACKGROUND) / (counts + 1.0))
    scaled = rarity[presence.indices] * (1.0 if factor is None else factor)
    weights: Matrix = sparse.csr_matrix((scaled, presence.indices, presence.indptr), presence.shape)
    return Words(weights, presence, np.asarray(weights.sum(axis=1)).ravel())


def shares_of(codes: NDArray[np.int64]) -> Floats:
    """Return the share of each row's code among the rows and `BACKGROUND` others."""
    shares = np.bincount(codes) / (len(codes) + BACKGROUND)
    result: Floats = shares[codes]
    return result
