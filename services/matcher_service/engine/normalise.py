"""Normal forms of texts: what two spellings of one title, city or venue have in common."""

import re
import unicodedata
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dedup_model.text_tables import CityAlias, PrefixSeparator, TextTables, TitlePrefix
from dedup_model.text_tables import Synonyms as SynonymGroup

MIN_PART_LENGTH = 5
"""Characters a variant needs to count as a part of a compound; shorter ones match whole words."""

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "o"})
_COMMON_SPELLINGS = (
    *(("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("é", "e"), ("è", "e"), ("à", "a")),
    *((mark, " ") for mark in "\u2013\u2014\u201c\u201d\u201e\u2026\u2022\u00b7\u00ab\u00bb\u00a0"),
    *((mark, "") for mark in "\u2018\u2019"),
)
"""What `fold` makes of the commonest characters beyond ASCII, wherever they stand."""
_ASCII = {
    code: chr(code).lower() if chr(code).isalnum() else None if chr(code) in "'`" else " "
    for code in range(128)
}
_APOSTROPHES = re.compile("['`\u00b4\u2018\u2019\u02bc]")
_NOT_WORD = re.compile(r"[\W_]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_MOJIBAKE = re.compile("[\u00c2\u00c3\u00e2][\u0080-\u00ff\u0152-\u017e\u2013-\u2122]")
_YEAR = re.compile(r"(?<=\w) (?:19|20)\d\d$")
_ZIP_CODE = re.compile(r"^(?:[a-z]{1,2} )?\d{4,5} (?=\D)")
_DASHES = (" - ", " -- ", " – ", " — ")  # noqa: RUF001 - the dashes people type
_CITY_SHORT_FORMS = (
    (re.compile(r"\bst\b"), "sankt"),
    (re.compile(r"\bi br\b"), "im breisgau"),
    (re.compile(r"\ba m\b"), "am main"),
    (re.compile(r"\ba d\b"), "an der"),
    (re.compile(r"\bi d\b"), "in der"),
    (re.compile(r"\b(?:i westf|i w)\b"), "in westfalen"),
)
_CITY_QUALIFIERS = frozenset(
    [
        "bad",
        "sankt",
        "markt",
        "gross",
        "klein",
        "ober",
        "unter",
        "alt",
        "neu",
        "new",
        "san",
        "los",
        "las",
    ]
)


@dataclass(frozen=True, slots=True)
class Title:
    """A title's normal form, with what is not part of the name kept apart."""

    text: str
    markers: tuple[str, ...] = ()
    year: str = ""


def fold(text: str | None) -> str:
    """Return a text in lower case without accents, punctuation and repeated white space.

    NFKC, `ä ö ü ß` as `ae oe ue ss`, apostrophes deleted, everything else that is neither letter
    nor digit a single space. UTF-8 that was read as Windows-1252 is repaired when all of it fits.
    """
    if not text:
        return ""
    plain = _commonly_spelled(text)
    return " ".join(plain.translate(_ASCII).split()) if plain.isascii() else _folded(text)


def _commonly_spelled(text: str) -> str:
    """Return a text in ASCII when it holds no characters but the commonest."""
    if text.isascii():
        return text
    text = text.lower()
    for mark, spelled in _COMMON_SPELLINGS:
        text = text.replace(mark, spelled)
    return text


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKC", _unscrambled(_INVISIBLE.sub("", text))).lower()
    bare = _without_accents(plain.translate(_UMLAUTS))
    return _NOT_WORD.sub(" ", _APOSTROPHES.sub("", bare)).strip()


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    spelled = unicodedata.normalize("NFKD", text)
    return "".join(one for one in spelled if not unicodedata.combining(one))


def _unscrambled(text: str) -> str:
    if not _MOJIBAKE.search(text):
        return text
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


class Synonyms:
    """The words of a synonym table: each replaced whole, or as first or last part of a compound.

    A linking `s` after a first part goes with it (Fasnetsumzug, Fasnachtsumzug -> fastnachtumzug),
    and so do further ones, so that every spelling of a compound meets in one form.
    """

    def __init__(self, groups: Iterable[SynonymGroup]) -> None:
        pairs = {
            fold(variant): fold(group.canonical)
            for group in groups
            for variant in (group.canonical, *group.variants)
        }
        self._whole = {variant: canonical for variant, canonical in pairs.items() if variant}
        parts = [word for word in self._whole if len(word) >= MIN_PART_LENGTH and " " not in word]
        parts = [word for word in parts if not (word.endswith("s") and word[:-1] in self._whole)]
        listed = "|".join(sorted(map(re.escape, parts), key=lambda word: (-len(word), word)))
        self._part = re.compile(f"^({listed})(.*)$|^(.+?)({listed})s?$") if parts else None

    def word(self, word: str) -> str:
        """Return a folded word with its variant replaced by the canonical word."""
        if word not in self._whole:
            # words repeat across a batch; the table doubles as the memory of what they became
            self._whole[word] = self._compound(word)
        return self._whole[word]

    def _compound(self, word: str) -> str:
        found = self._part.match(word) if self._part else None
        if found is None:
            return word
        if found[1]:
            return self._whole[found[1]] + found[2].lstrip("s")
        return found[3] + self._whole[found[4]]

    def text(self, folded: str) -> str:
        """Return a folded text with the words replaced one by one."""
        return " ".join(map(self.word, folded.split()))


class Titles:
    """The rules of the settings for titles: prefixes and synonyms."""

    def __init__(self, tables: TextTables) -> None:
        self._prefixes = tuple(
            start.casefold() for prefix in tables.prefixes for start in _spellings(prefix)
        )
        self.synonyms = Synonyms(tables.synonyms)
        self._markers = _any_of(filter(None, map(fold, tables.status_markers)))

    def normal(self, title: str) -> Title:
        """Return the normal form; a title that is all prefix, marker or year keeps it."""
        folded = fold(self._stripped(title)) or fold(title) or title.casefold()
        markers = tuple(dict.fromkeys(self._markers.findall(folded)))
        name = " ".join(self._markers.sub(" ", folded).split()) if markers else folded
        year = _YEAR.search(name or folded)
        text = _YEAR.sub("", name or folded)
        return Title(self.synonyms.text(text), markers, year[0].strip() if year else "")

    def _stripped(self, title: str) -> str:
        lowered = title.casefold()
        if not lowered.startswith(self._prefixes):
            return title
        start = next(start for start in self._prefixes if lowered.startswith(start))
        # casefold can lengthen a text, so the cut is found in the original
        length = next(
            (n for n in range(len(title) + 1) if title[:n].casefold() == start), 0
        )  # fmt: skip
        return title[length:].strip()


def _any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of whole words that finds the longest of some phrases."""
    listed = "|".join(sorted(map(re.escape, phrases), key=lambda phrase: (-len(phrase), phrase)))
    return re.compile(rf"\b(?:{listed})\b" if listed else r"(?!)")


def _spellings(prefix: TitlePrefix) -> list[str]:
    if prefix.separator is PrefixSeparator.COLON:
        return [f"{prefix.text}: "]
    return [prefix.text + dash for dash in _DASHES]


class Cities:
    """The city names of the settings."""

    def __init__(self, aliases: Iterable[CityAlias]) -> None:
        self._names: dict[str, str] = {}
        self._seen: dict[str | None, str] = {}
        for group in aliases:
            city = _spelled_out(group.city)
            for alias in (group.city, *group.aliases):
                self._names.setdefault(_spelled_out(alias), city)

    def normal(self, city: str | None) -> str:
        """Return the city's normal form, one alias step deep; empty when there is none."""
        if city not in self._seen:
            name = _spelled_out(city)
            self._seen[city] = self._names.get(name, name)
        return self._seen[city]


def _spelled_out(city: str | None) -> str:
    name = _ZIP_CODE.sub("", fold(city))
    for pattern, long in _CITY_SHORT_FORMS:
        name = pattern.sub(long, name)
    return name


def city_head(city: str) -> str:
    """Return the part of a normal city that short forms keep: `haltern am see` -> `haltern`."""
    words = city.split()
    length = 2 if words and words[0] in _CITY_QUALIFIERS else 1
    return " ".join(words[:length])


def words_of(folded: str, function_words: AbstractSet[str]) -> list[str]:
    """Return the distinct words of a folded text, sorted; function words only when alone."""
    words = set(folded.split())
    return sorted(words - function_words or words)


_SAINT = re.compile(r"\bst (?=\w)")


class Leading:
    """What stands before the name of a place where people meet: `Treffpunkt am`, `meet at the`."""

    def __init__(self, words: Iterable[str], function_words: Iterable[str]) -> None:
        first, then = (
            "|".join(map(re.escape, map(fold, some))) for some in (words, function_words)
        )
        self._found = re.compile(rf"^(?:(?:{first}) )+(?:(?:{then}) )*") if first else None

    def cut(self, venue: str) -> str:
        """Return a folded venue's name without it."""
        return self._found.sub("", venue) if self._found else venue


def venue_name(venue: str, cities: set[str], vague: frozenset[str]) -> str:
    """Return a venue's name, saints spelled out; empty where it says no more than the city.

    Vague places at its begin or end are no part of it: `Broseley, various venues` and `Broseley
    town centre` are one place.
    """
    name, before = venue, ""
    while name != before:
        before = name
        if name in cities or name in vague:
            return ""
        name = _shortened(name, cities, vague)
    return _SAINT.sub("sankt ", name)


def _shortened(name: str, cities: set[str], vague: frozenset[str]) -> str:
    """Return a name without a vague place at its begin or end."""
    short = next((name.removesuffix(f" {city}") for city in sorted(cities) if city), name)
    if short in vague:
        return short
    words = name.split()
    for size in range(min(len(words) - 1, 3), 0, -1):
        if " ".join(words[:size]) in vague:
            return " ".join(words[size:])
        if " ".join(words[-size:]) in vague:
            return " ".join(words[:-size])
    return name


def street_name(folded: str) -> str:
    """Return a folded street with `str` spelled out."""
    words = [word[:-3] + "strasse" if word.endswith("str") else word for word in folded.split()]
    return " ".join(words)
