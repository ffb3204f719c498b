"""A batch's listings out of its raw input: reading, repairing, quarantining."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dedup_model.matching_config import MatchingConfig
from dedup_model.tree import canonical_json
from matcher_service.engine import values
from matcher_service.engine.listing import MIDNIGHT, EventDate, Geo, Listing, Location, to_json
from matcher_service.engine.values import Note, UnreadableError

MAX_LISTING_DAYS = 10_000
"""Days that one listing may name in all, ranges counted out."""


@dataclass(frozen=True, slots=True)
class Issue:
    """A repaired or quarantined listing; `position` counts from 0, `reason` holds no value."""

    listing_id: str
    source_code: str
    position: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a batch holds: listings by id, problems by position, `collapsed` equal repetitions."""

    listings: tuple[Listing, ...]
    quarantined: tuple[Issue, ...]
    repairs: tuple[Issue, ...]
    collapsed: int


@dataclass(slots=True)
class _Copies:
    """The listings that carry one id, each with its position."""

    found: list[tuple[int, Listing]] = field(default_factory=list)

    def chosen(self) -> tuple[Listing, list[tuple[int, Listing]], int]:
        """Return the kept listing, the refused others and the number of equal repetitions."""
        if len(self.found) == 1:
            return self.found[0][1], [], 0
        texts = {position: canonical_json(to_json(one)) for position, one in self.found}
        ranked = sorted(self.found, key=lambda one: (texts[one[0]], -one[0]))
        kept = ranked[-1]
        others = [one for one in self.found if texts[one[0]] != texts[kept[0]]]
        return kept[1], others, len(self.found) - len(others) - 1


@dataclass(slots=True)
class _Notes:
    """The repairs of one listing, each once."""

    found: dict[tuple[str, str], None] = field(default_factory=dict)

    def add(self, where: str, reason: str) -> None:
        self.found[where, reason] = None


def read(raw: Iterable[Mapping[str, Any]], config: MatchingConfig) -> Reading:
    """Read a batch; never raises for what a listing holds.

    A listing that cannot be read is quarantined alone; a wrong-typed optional field is dropped and
    recorded as a repair. Of listings with one id, equal ones (as read) collapse and of different
    ones the greatest canonical JSON stays, so that the order of input does not matter.
    """
    quarantined: list[Issue] = []
    repairs: list[Issue] = []
    copies: dict[str, _Copies] = {}
    for position, one in enumerate(raw):
        notes = _Notes()
        try:
            listing = _listing(one, config, notes.add)
        except UnreadableError as error:
            quarantined.append(_issue(one, position, error.field, error.reason))
            continue
        repairs += [_issue(one, position, *note) for note in notes.found]
        copies.setdefault(listing.id, _Copies()).found.append((position, listing))
    return _unique(copies, quarantined, repairs)


def _unique(copies: dict[str, _Copies], quarantined: list[Issue], repairs: list[Issue]) -> Reading:
    kept, collapsed = [], 0
    for name in sorted(copies):
        listing, others, equal = copies[name].chosen()
        kept.append(listing)
        collapsed += equal
        quarantined += [
            Issue(name, other.source_code or "", position, "id", "another listing has this id")
            for position, other in others
        ]
    return Reading(tuple(kept), _by_position(quarantined), _by_position(repairs), collapsed)


def _by_position(issues: list[Issue]) -> tuple[Issue, ...]:
    return tuple(sorted(issues, key=lambda issue: (issue.position, issue.field, issue.reason)))


def _issue(raw: Any, position: int, where: str, reason: str) -> Issue:
    return Issue(_name(raw, "id"), _name(raw, "source_code"), position, where, reason)


def _name(raw: Any, key: str) -> str:
    try:
        found = values.text(raw.get(key), key, _silent) if isinstance(raw, Mapping) else None
    except UnreadableError:
        return ""
    return (found or "").strip()[: values.MAX_ID_LENGTH]


def _silent(_field: str, _reason: str) -> None:
    return


def _listing(raw: Any, config: MatchingConfig, note: Note) -> Listing:
    if not isinstance(raw, Mapping):
        raise UnreadableError("", "not an object")
    identifier = values.required(raw.get("id"), "id", note)
    if len(identifier) > values.MAX_ID_LENGTH:
        raise UnreadableError("id", "longer than 200 characters")
    names = ("source_type", "source_code", "short_description", "description")
    flags = ("is_family_event", "is_child_focused", "admission_free")
    return Listing(
        id=identifier,
        title=values.required(raw.get("title"), "title", note),
        event_dates=_event_dates(raw.get("event_dates"), config, note),
        location=_location(raw.get("location"), note),
        highlights=values.texts(raw.get("highlights"), "highlights", note),
        categories=values.texts(raw.get("categories"), "categories", note),
        extra_json=_extra(raw.get("extra_json"), note),
        **{name: values.text(raw.get(name), name, note) for name in names},  # type: ignore[arg-type]
        **{flag: values.truth(raw.get(flag), flag, note) for flag in flags},  # type: ignore[arg-type]
    )


def _extra(raw: Any, note: Note) -> str | None:
    """Return the keys that are not read, as they came: they may be longer than a text."""
    return values.clean(raw, "extra_json", note) if isinstance(raw, str) else None


def _event_dates(raw: Any, config: MatchingConfig, note: Note) -> tuple[EventDate, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list | tuple):
        raise UnreadableError("event_dates", "not a list")
    entries = [
        _event_date(entry, f"event_dates[{index}]", config, note)
        for index, entry in enumerate(values.bounded(raw, "event_dates"))
    ]
    if sum(map(_days_in, entries)) > MAX_LISTING_DAYS:
        raise UnreadableError("event_dates", "more than 10,000 days in all")
    return tuple(entries)


def _days_in(entry: EventDate) -> int:
    return (entry.end_date - entry.date).days + 1 if entry.end_date else 1


def _event_date(raw: Any, where: str, config: MatchingConfig, note: Note) -> EventDate:
    if not isinstance(raw, Mapping):
        raise UnreadableError(where, "not an object")
    first = values.day(raw.get("date"), f"{where}.date", note)
    last = values.day(raw.get("end_date"), f"{where}.end_date", note)
    if first is None:
        raise UnreadableError(f"{where}.date", "missing")
    if last is not None and last < first:
        raise UnreadableError(f"{where}.end_date", "before the first day")
    if last is not None and (last - first).days + 1 > config.blocking.max_range_days:
        raise UnreadableError(f"{where}.end_date", "longer than blocking.max_range_days")
    start = values.time_of_day(raw.get("start_time"), f"{where}.start_time", note)
    end = values.time_of_day(raw.get("end_time"), f"{where}.end_time", note)
    return _at_midnight(EventDate(first, start, end, last if last != first else None), where)


def _at_midnight(entry: EventDate, where: str) -> EventDate:
    """Return an end of `24:00` as 00:00, and so a start of it where it stands for whole days."""
    if MIDNIGHT not in (entry.start, entry.end):
        return entry
    end = 0 if entry.end == MIDNIGHT else entry.end
    start = 0 if entry.start == MIDNIGHT and entry.end_date else entry.start
    if start == MIDNIGHT:
        values.after(entry.date, 1, f"{where}.start_time")
    return EventDate(entry.date, start, end, entry.end_date)


def _location(raw: Any, note: Note) -> Location:
    if raw is None:
        return Location()
    if not isinstance(raw, Mapping):
        note("location", "dropped: not an object")
        return Location()
    names = ("name", "city", "district", "street", "street_no", "zipcode")
    parts = {name: values.text(raw.get(name), f"location.{name}", note) for name in names}
    return Location(**parts, geo=_geo(raw.get("geo"), note))


def _geo(raw: Any, note: Note) -> Geo | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        note("location.geo", "dropped: not an object")
        return None
    where = "location.geo"
    latitude = values.number(raw.get("latitude"), f"{where}.latitude", note, -90, 90)
    longitude = values.number(raw.get("longitude"), f"{where}.longitude", note, -180, 180)
    confidence = values.number(raw.get("confidence"), f"{where}.confidence", note, 0, 1)
    if latitude is None or longitude is None:
        if latitude is not None or longitude is not None:
            note(where, "dropped: one coordinate without the other")
        return None
    return Geo(
        latitude, longitude, confidence, values.text(raw.get("country"), f"{where}.country", note)
    )
