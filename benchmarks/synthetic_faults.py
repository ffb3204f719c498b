"""The faults of times, texts and places in real feeds.

Each function changes a draft and tells whether there was something to change.
"""

import re
from collections.abc import Callable
from random import Random

from synthetic_feeds import SOURCES, Draft
from synthetic_world import DAY_MINUTES, Event, Show

_SENTENCE_END = re.compile(r"(?<=\w\w)\. ")
"""Not the dot of an abbreviated qualifier of a town."""


def _timed(draft: Draft, event: Event, change: Callable[[Show, int], Show]) -> bool:
    """Change the shows; nothing where a start is unknown or was changed before."""
    starts = [show.start for show in draft.shows]
    if None in starts or starts != [show.start for show in event.shows]:
        return False
    draft.shows = tuple(change(show, show.start or 0) for show in draft.shows)
    return True


def _moved(draft: Draft, event: Event, minutes: int) -> bool:
    if any(not 0 < (show.start or 0) + minutes < DAY_MINUTES - 180 for show in draft.shows):
        return False
    return _timed(
        draft, event, lambda show, start: Show(show.day, start + minutes, None, show.last)
    )


def time_rounded(draft: Draft, event: Event, random: Random) -> bool:
    """Print the full hour alone: 19:00 for 19:30."""
    if all((show.start or 0) % 60 == 0 for show in draft.shows):
        return False
    return _timed(
        draft, event, lambda show, start: Show(show.day, start - start % 60, None, show.last)
    )


def time_shifted(draft: Draft, event: Event, random: Random) -> bool:
    """Print when the doors open, or half an hour late."""
    return _moved(draft, event, random.choice((-30, -30, 30)))


def time_zone(draft: Draft, event: Event, random: Random) -> bool:
    """Print a badly converted time."""
    return _moved(draft, event, random.choice((-60, 60, -60, 60, -120, 120)))


def time_missing(draft: Draft, event: Event, random: Random) -> bool:
    """Print no time; of two shows a day one remains."""
    draft.shows = tuple(dict.fromkeys(Show(s.day, None, None, s.last) for s in draft.shows))
    return True


def time_24(draft: Draft, event: Event, random: Random) -> bool:
    """Print an end of 24:00."""
    return _timed(draft, event, lambda show, start: Show(show.day, start, DAY_MINUTES, show.last))


def time_spelled(draft: Draft, event: Event, random: Random) -> bool:
    """Print 19.30 or 19:30 Uhr."""
    draft.clock = random.choice(("{:02d}.{:02d}", "{:02d}:{:02d} Uhr"))
    return any(show.start is not None for show in draft.shows)


def opening_only(draft: Draft, event: Event, random: Random) -> bool:
    """Print the first day of a range alone."""
    first = draft.shows[0]
    draft.shows = (Show(first.day, first.start), *draft.shows[1:])
    return first.last is not None


def text_shuffled(draft: Draft, event: Event, random: Random) -> bool:
    """Print the sentences in another order."""
    parts = _SENTENCE_END.split(draft.text.removesuffix("."))
    if len(parts) < 3:
        return False
    draft.text = ". ".join(random.sample(parts, len(parts))) + "."
    return True


def text_boilerplate(draft: Draft, event: Event, random: Random) -> bool:
    """Print what the source prints under everything."""
    texts = event.town.language.boilerplate
    draft.text = texts[SOURCES.index(draft.source) % len(texts)]
    return True


def text_boilerplate_added(draft: Draft, event: Event, random: Random) -> bool:
    """Print it after the text."""
    texts = event.town.language.boilerplate
    draft.text = f"{draft.text} {texts[SOURCES.index(draft.source) % len(texts)]}".strip()
    return True


def text_truncated(draft: Draft, event: Event, random: Random) -> bool:
    """Cut the text near 200 characters."""
    if len(draft.text) <= 200:
        return False
    draft.text = draft.text[:197] + random.choice(("...", "…", ""))
    return True


def text_missing(draft: Draft, event: Event, random: Random) -> bool:
    """Print no text."""
    had, draft.text = draft.text, ""
    return bool(had)


def venue_room(draft: Draft, event: Event, random: Random) -> bool:
    """Name the room with the venue."""
    room = random.choice(event.town.language.rooms)
    draft.venue = f"{draft.venue}{random.choice((', {}', ' ({})', ' / {}')).format(room)}"
    return True


def venue_town(draft: Draft, event: Event, random: Random) -> bool:
    """Name the venue with the town, or without it."""
    town = event.town.short.split()[0]
    bare = draft.venue.removesuffix(f" {town}")
    draft.venue = bare if bare != draft.venue else f"{draft.venue} {town}"
    return True


def venue_missing(draft: Draft, event: Event, random: Random) -> bool:
    """Print no venue."""
    draft.venue = draft.street = draft.number = ""
    return True


def street_short(draft: Draft, event: Event, random: Random) -> bool:
    """Abbreviate the street."""
    for long, short in event.town.language.street_ends:
        if draft.street.endswith(long) and long != short:
            draft.street = draft.street.removesuffix(long) + short
            return True
    return False


def city_missing(draft: Draft, event: Event, random: Random) -> bool:
    """Print no town."""
    draft.city = draft.zipcode = ""
    return True


def city_short(draft: Draft, event: Event, random: Random) -> bool:
    """Shorten the town's name."""
    changed = event.town.short != draft.city
    draft.city = event.town.short
    return changed


def city_zip(draft: Draft, event: Event, random: Random) -> bool:
    """Print the zip code before the town."""
    draft.city, draft.zipcode = f"{event.town.zipcode} {draft.city}", ""
    return True


def geo_centroid(draft: Draft, event: Event, random: Random) -> bool:
    """Give the town's centre as the place of everything in it."""
    draft.point = event.town.latitude, event.town.longitude, 0.9
    return True


def geo_missing(draft: Draft, event: Event, random: Random) -> bool:
    """Print no coordinates."""
    had, draft.point = draft.point, None
    return had is not None


def categories_missing(draft: Draft, event: Event, random: Random) -> bool:
    """Print no categories."""
    draft.categories = ()
    return True


def categories_other(draft: Draft, event: Event, random: Random) -> bool:
    """Sort the event in elsewhere."""
    draft.categories = (random.choice(("sonstiges", "freizeit", "kultur", "highlight")),)
    return True
