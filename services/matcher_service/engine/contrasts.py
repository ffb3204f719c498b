"""What tells titles of one kind apart: numbers, letters of groups, and words that exclude each other."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from dedup_model.text_tables import Contrast
from matcher_service.engine.normalise import fold

NUMBER, LETTER = "number", "letter"
_NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
_YEAR = re.compile(r"\b(?:19|20)\d\d(?: \d\d)?\b")
"""A year or a season (2025/26): sources add it or not."""
_LETTERED = frozenset(
    ["abteilung", "class", "course", "group", "gruppe", "klasse", "kurs", "part", "team", "teil"]
)
"""Words that a letter counts behind."""


class Contrasts:
    """The words of the settings that exclude each other."""

    def __init__(self, groups: Iterable[Contrast]) -> None:
        self._marks: Mapping[str, list[str]] = defaultdict(list)
        for number, group in enumerate(groups):
            for entry in group.words:
                words = fold(entry).split()
                for word in words:
                    self._marks[word].append(f"{number}:{words[0]}")

    def marks(self, folded: str) -> str:
        """Return what a folded title names, `group:member` each, sorted and joined by spaces."""
        words = _YEAR.sub(" ", folded).split()
        numbers = {_NUMERALS.get(word, word) for word in words}
        found = {f"{NUMBER}:{word}" for word in numbers if word.isdigit()}
        found |= {f"{LETTER}:{word}" for word in _letters(words)}
        found |= {mark for word in words for mark in self._marks.get(word, ())}
        return " ".join(sorted(found))


def _letters(words: list[str]) -> Iterable[str]:
    return (word for before, word in pairwise(words) if before in _LETTERED and len(word) == 1)


def contrary(one: str, other: str) -> bool:
    """Tell whether two titles' marks share a group, and no member of it."""
    left, right = _members(one), _members(other)
    return any(not left[group] & right[group] for group in left.keys() & right.keys())


def _members(marks: str) -> Mapping[str, set[str]]:
    members: dict[str, set[str]] = {}
    for mark in marks.split():
        members.setdefault(mark.partition(":")[0], set()).add(mark)
    return members
