"""How sources print an event on a good day, each in its own style."""

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from synthetic_world import Event, Show


@dataclass(frozen=True)
class Source:
    """A feed: `titles` are patterns, `wording` 0 is a calendar's and 1 a newspaper's."""

    code: str
    is_article: bool
    titles: tuple[str, ...]
    wording: int
    facts: int
    exact_place: bool
    prints_street: bool


SOURCES = (
    Source("tagblatt", True, ("{headline}", "{headline}", "{name}"), 1, 9, False, False),
    Source("portal", False, ("{name}", "{genre}: {name}", "{name}"), 0, 9, True, True),
    Source("verein", False, ("{name}", "{genre} {performer}: {name}"), 0, 1, False, False),
    Source("tickets", False, ("{performer}: {name}", "{name} – {performer}"), 0, 3, True, True),  # noqa: RUF001
    Source("rathaus", False, ("{genre}: {name}", "{name}"), 0, 2, False, True),
    Source("region", False, ("{name} – {subtitle}", "{name}"), 1, 3, False, False),  # noqa: RUF001
)
CLOCK = "{:02d}:{:02d}"
HEADLINES_OF_LIGHT = 0.35
"""Share of the newspaper's titles that are headlines in the light set; the others are the name."""


@dataclass(slots=True)
class Draft:
    """A listing while it is written."""

    source: Source
    title: str
    text: str
    shows: tuple[Show, ...]
    venue: str
    city: str
    street: str
    number: str
    zipcode: str
    point: tuple[float, float, float] | None
    categories: tuple[str, ...]
    clock: str = CLOCK


def drafted(event: Event, source: Source, random: Random, harsh: bool) -> Draft:
    """Return the event as a source prints it on a good day."""
    pattern = random.choice(source.titles)
    if source.is_article and not harsh and random.random() >= HEADLINES_OF_LIGHT:
        pattern = "{name}"
    facts = event.facts[: source.facts]
    return Draft(
        source,
        _title(event, pattern),
        " ".join([fact[source.wording] for fact in facts]),
        event.shows,
        event.venue.name,
        event.town.name,
        event.venue.street if source.prints_street else "",
        event.venue.number if source.prints_street else "",
        event.town.zipcode if source.prints_street else "",
        _exact(event, random) if source.exact_place else None,
        event.categories,
    )


def _title(event: Event, pattern: str) -> str:
    if not event.genre:
        return event.name
    pattern = pattern if event.performer else pattern.replace("{genre} {performer}", "{genre}")
    performer = event.performer or event.genre
    return pattern.format(
        name=event.name, genre=event.genre, headline=event.headline, subtitle=event.subtitle, performer=performer
    )  # fmt: skip


def _exact(event: Event, random: Random) -> tuple[float, float, float]:
    near = random.uniform(-0.0008, 0.0008), random.uniform(-0.0008, 0.0008)
    return event.venue.latitude + near[0], event.venue.longitude + near[1], 0.95


def listing(draft: Draft, identity: str) -> dict[str, Any]:
    """Return a draft in the form of the input."""
    return {
        "id": identity,
        "title": draft.title,
        "short_description": None,
        "description": draft.text or None,
        "highlights": [],
        "event_dates": [entry(show, draft.clock) for show in draft.shows],
        "location": {
            "name": draft.venue or None,
            "city": draft.city or None,
            "district": None,
            "street": draft.street or None,
            "street_no": draft.number or None,
            "zipcode": draft.zipcode or None,
            "geo": draft.point and _geo(draft.point),
        },
        "source_type": "artikel" if draft.source.is_article else "terminliste",
        "source_code": draft.source.code,
        "sourceKey": draft.source.code,
        "categories": list(draft.categories),
        "is_family_event": None,
        "is_child_focused": None,
        "admission_free": None,
    }


def _geo(point: tuple[float, float, float]) -> dict[str, float]:
    return {
        "latitude": round(point[0], 6),
        "longitude": round(point[1], 6),
        "confidence": point[2],
    }


def entry(show: Show, clock: str = CLOCK) -> dict[str, str | None]:
    """Return a show in the form of the input, its times in the form of `clock`."""
    return {
        "date": date.fromordinal(show.day).isoformat(),
        "start_time": None if show.start is None else clock.format(*divmod(show.start, 60)),
        "end_time": None if show.end is None else clock.format(*divmod(show.end, 60)),
        "end_date": date.fromordinal(show.last).isoformat() if show.last else None,
    }
