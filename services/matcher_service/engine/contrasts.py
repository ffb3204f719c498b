"""What tells titles of one kind apart: numbers, letters of groups, and words that exclude each other."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from dedup_model.text_tables import TextTables
from matcher_service.engine.normalise import fold

NUMBER, LETTER = "number", "letter"
_NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
_YEAR = re.compile(r"\b(?:19|20)\d\d(?: \d\d)?\b")
"""A year or a season (2025/26): sources add it or not."""


class Contrasts:
    """The words of the settings that tell titles apart."""

    def __init__(self, tables: TextTables) -> None:
        self._lettered = frozenset(map(fold, tables.lettered_words))
        self._marks: Mapping[str, list[str]] = defaultdict(list)
        for number, group in enumerate(tables.contrasts):
            for entry in group.words:
                words = fold(entry).split()
                for word in words:
                    self._marks[word].append(f"{number}:{words[0]}")

    def marks(self, folded: str) -> str:
        """Return what a folded title names, `group:member` each, sorted and joined by spaces."""
        words = _YEAR.sub(" ", folded).split()
        numbers = {_NUMERALS.get(word, word) for word in words}
        found = {f"{NUMBER}:{word}" for word in numbers if word.isdigit()}
        found |= {f"{LETTER}:{word}" for word in self._letters(words)}
        found |= {mark for word in words for mark in self._marks.get(word, ())}
        return " ".join(sorted(found))

    def _letters(self, words: list[str]) -> Iterable[str]:
        pairs = pairwise(words)
        return (word for before, word in pairs if before in self._lettered and len(word) == 1)


def contrary(one: str, other: str) -> bool:
    """Tell whether two titles' marks share a group, and no member of it."""
    left, right = _members(one), _members(other)
    return any(not left[group] & right[group] for group in left.keys() & right.keys())


def _members(marks: str) -> Mapping[str, set[str]]:
    members: dict[str, set[str]] = {}
    for mark in marks.split():
        members.setdefault(mark.partition(":")[0], set()).add(mark)
    return members
