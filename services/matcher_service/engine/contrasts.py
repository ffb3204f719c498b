"""What tells titles of one kind apart: numbers, codes, letters of groups, words that exclude each other."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from dedup_model.text_tables import TextTables
from matcher_service.engine.normalise import fold

NUMBER, CODE, LETTER = "number", "code", "letter"
_ONES = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
_NUMERALS = {
    "x" * tens + one: str(10 * tens + n) for tens in range(4) for n, one in enumerate(_ONES)
}
_NUMBER = re.compile(r"(\d+)(?:k|km|m|er|s|st|nd|rd|th)?")
"""A number, or one that is written together with a unit or an ending: 10km, 80er, 2nd."""
_THOUSANDS = re.compile(r"\b(\d{1,3}) 000\b")
_CODE = re.compile(r"[a-z]{1,2}\d{1,2}")
"""A course, a level, an age group: A1, U12."""
_NAME_LENGTH = 4
"""Letters of a word behind which a last `v` or `x` counts: `Henry V`, but not `e. V.`."""
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
        words = _THOUSANDS.sub(r"\g<1>000", _YEAR.sub(" ", folded)).split()
        found = {f"{NUMBER}:{number}" for number in self._numbers(words)}
        found |= {f"{CODE}:{word}" for word in words if _CODE.fullmatch(word)}
        found |= {f"{LETTER}:{word}" for word in self._letters(words)}
        found |= {mark for word in words for mark in self._marks.get(word, ())}
        return " ".join(sorted(found))

    def _numbers(self, words: list[str]) -> Iterable[str]:
        """Yield numbers, Roman ones too."""
        for before, word in pairwise(["", *words]):
            if found := _NUMBER.fullmatch(word):
                yield found[1]
            elif word in _NUMERALS and (len(word) > 1 or before in self._lettered):
                yield _NUMERALS[word]
        if len(words) > 1 and words[-1] in ("v", "x") and len(words[-2]) >= _NAME_LENGTH:
            yield _NUMERALS[words[-1]]

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
