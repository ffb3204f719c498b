"""The faults of titles in real feeds; each function tells whether there was something to change."""

import re
from random import Random

from synthetic_feeds import Draft
from synthetic_world import Event

_SEPARATOR = re.compile(r": | – | - ")  # noqa: RUF001 - the dashes people type
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
)


def reordered(draft: Draft, event: Event, random: Random) -> bool:
    """Swap the parts around a colon or dash."""
    parts = _SEPARATOR.split(draft.title, maxsplit=1)
    if len(parts) < 2:
        return False
    draft.title = f"{parts[1]} – {parts[0]}"  # noqa: RUF001
    return True


def subtitle_dropped(draft: Draft, event: Event, random: Random) -> bool:
    """Keep the name alone."""
    changed = draft.title != event.name
    draft.title = event.name
    return changed


def subtitle_added(draft: Draft, event: Event, random: Random) -> bool:
    """Add the subtitle."""
    if not event.subtitle or event.subtitle in draft.title:
        return False
    draft.title = f"{draft.title}{random.choice((' – ', ': ', '. '))}{event.subtitle}"  # noqa: RUF001
    return True


def terse(draft: Draft, event: Event, random: Random) -> bool:
    """Name who performs what kind of thing, not what it is called."""
    if not event.performer:
        return False
    draft.title = f"{event.genre} {event.performer}"
    return True


def town_added(draft: Draft, event: Event, random: Random) -> bool:
    """Add the town."""
    town = event.town.short
    draft.title = random.choice((f"{draft.title} in {town}", f"{town}: {draft.title}"))
    return True


def venue_added(draft: Draft, event: Event, random: Random) -> bool:
    """Add the venue."""
    draft.title = f"{draft.title} – {event.venue.name}"  # noqa: RUF001
    return True


def marker_added(draft: Draft, event: Event, random: Random) -> bool:
    """Mark as cancelled, moved or sold out."""
    draft.title = random.choice(event.town.language.markers).format(draft.title)
    return True


def year_added(draft: Draft, event: Event, random: Random) -> bool:
    """Add the year."""
    draft.title = f"{draft.title} {1 + int(event.shows[0].day / 365.2425)}"
    return True


def compound_spelled(draft: Draft, event: Event, random: Random) -> bool:
    """Join or split a compound."""
    if not event.compound:
        return False
    first, last = event.compound
    forms = [first + last, f"{first} {last}", f"{first}-{last.capitalize()}"]
    present = next((form for form in forms if form in draft.title), "")
    draft.title = draft.title.replace(present, random.choice([f for f in forms if f != present]))
    return bool(present)


def synonym(draft: Draft, event: Event, random: Random) -> bool:
    """Say a word in another way."""
    for word, other in event.town.language.synonyms:
        if word in draft.title:
            draft.title = draft.title.replace(word, other)
            return True
    return False


def typo(draft: Draft, event: Event, random: Random) -> bool:
    """Swap two letters inside a long word."""
    words = [word for word in draft.title.split() if len(word) > 5 and word.isalpha()]
    if not words:
        return False
    word = random.choice(words)
    at = random.randrange(1, len(word) - 2)
    wrong = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    draft.title = draft.title.replace(word, wrong, 1)
    return wrong != word


def upper_case(draft: Draft, event: Event, random: Random) -> bool:
    """Print the title in capitals."""
    draft.title = draft.title.upper()
    return True


def transliterated(draft: Draft, event: Event, random: Random) -> bool:
    """Print ae for ä everywhere."""
    before = draft.title, draft.venue
    draft.title, draft.venue = draft.title.translate(_UMLAUTS), draft.venue.translate(_UMLAUTS)
    draft.city, draft.text = draft.city.translate(_UMLAUTS), draft.text.translate(_UMLAUTS)
    return (draft.title, draft.venue) != before


def mojibake(draft: Draft, event: Event, random: Random) -> bool:
    """Read the UTF-8 of title and venue as Windows-1252."""
    if draft.title.isascii():
        return False
    try:
        draft.title = draft.title.encode().decode("cp1252")
        draft.venue = draft.venue.encode().decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True
