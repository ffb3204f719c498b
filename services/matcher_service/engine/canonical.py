"""One event out of the listings of a cluster: every field with its provenance."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from dedup_model.matching_config import MatchingConfig
from dedup_model.tree import canonical_json
from matcher_service.engine.cluster import Cluster
from matcher_service.engine.listing import EventDate, Listing, date_to_json
from matcher_service.engine.strategies import UNKNOWN, Choice, Field, Kind, choose

LIST_FIELDS = ("highlights", "categories")
KINDS: dict[Kind, tuple[str, ...]] = {
    "text": ("title", "short_description", "description"),
    "list": LIST_FIELDS,
    "flag": ("is_family_event", "is_child_focused", "admission_free"),
}
ADDRESS_PARTS = ("street", "street_no", "zipcode", "district")
_LOCATION_PATHS = {name: f"location.{name}" for name in ("name", "city", "geo", *ADDRESS_PARTS)}


@dataclass(frozen=True, slots=True)
class CanonicalEvent:
    """One event in the form of the input, with the ids of the listings that each field is from.

    `match_confidence` is None for a single listing. `review_reasons` are of `cluster_size`,
    `internal_similarity` and `time_conflict`.
    """

    id: str
    listing_ids: tuple[str, ...]
    event: dict[str, Any]
    provenance: dict[str, tuple[str, ...]]
    match_confidence: float | None
    needs_review: bool
    review_reasons: tuple[str, ...]


def canonical_event(
    listings: Sequence[Listing], cluster: Cluster, config: MatchingConfig
) -> CanonicalEvent:
    """Merge the listings of a cluster, which are sorted by id, by the configured strategies.

    A field that no listing knows stays None or empty and has no provenance. Ties go to the smaller
    id. The id of the event is a digest of the members' ids.
    """
    ids = tuple(listing.id for listing in listings)
    dates, conflict = merged_dates(listings, config.date.time_tolerance_minutes * 60)
    choices = _own(listings[0], config) if len(listings) == 1 else _choices(listings, config)
    choices["event_dates"] = dates
    event_id = "ev_" + hashlib.sha256(canonical_json(list(ids))).hexdigest()
    reasons = _review_reasons(cluster, config, conflict)
    return CanonicalEvent(
        event_id,
        ids,
        _event(event_id, choices),
        {name: choice.sources for name, choice in sorted(choices.items()) if choice.sources},
        cluster.match_confidence,
        bool(reasons),
        reasons,
    )


def _review_reasons(cluster: Cluster, config: MatchingConfig, conflict: bool) -> tuple[str, ...]:
    similarity, limits = cluster.internal_similarity, config.cluster
    incoherent = similarity is not None and similarity < limits.min_internal_similarity
    found = {
        "cluster_size": len(cluster.rows) > limits.max_cluster_size,
        "internal_similarity": incoherent,
        "time_conflict": conflict,
    }
    return tuple(name for name, holds in found.items() if holds)


def _choices(listings: Sequence[Listing], config: MatchingConfig) -> dict[str, Choice]:
    strategies = config.canonical.field_strategies
    fields = {
        **{name: _field(listings, kind, name) for kind in KINDS for name in KINDS[kind]},
        "location_name": Field(listings, "text", lambda one: one.location.name),
        "location_city": Field(listings, "text", lambda one: one.location.city),
        "location_street": Field(listings, "place", _address),
        "geo": Field(listings, "place", lambda one: one.location.geo),
    }
    shortest = config.canonical.min_title_length
    chosen = {
        name: choose(found, getattr(strategies, name), shortest) for name, found in fields.items()
    }
    named = {_path(name): choice for name, choice in chosen.items() if name != "location_street"}
    named |= _address_choices(chosen["location_street"])
    return named | {name: _common(listings, name) for name in ("source_type", "source_code")}


def _own(listing: Listing, config: MatchingConfig) -> dict[str, Choice]:
    """Return what `_choices` does for one listing: there is a choice in its lists alone."""
    ids, strategies = (listing.id,), config.canonical.field_strategies
    place = listing.location
    values = {
        **{name: getattr(listing, name) for kind in KINDS for name in KINDS[kind]},
        "location.name": place.name,
        "location.city": place.city,
        "location.geo": place.geo,
        **{f"location.{name}": getattr(place, name) for name in ADDRESS_PARTS},
        "source_type": listing.source_type,
        "source_code": listing.source_code,
    }
    choices = {
        name: UNKNOWN if value is None or value == () else Choice(value, ids)
        for name, value in values.items()
    }
    for name in LIST_FIELDS:
        if values[name]:
            field = _field((listing,), "list", name)
            choices[name] = choose(field, getattr(strategies, name), 0)
    return choices


def _field(listings: Sequence[Listing], kind: Kind, name: str) -> Field:
    return Field(listings, kind, lambda listing: getattr(listing, name))


def _path(name: str) -> str:
    return "location.geo" if name == "geo" else name.replace("location_", "location.")


def _address(listing: Listing) -> tuple[str | None, ...] | None:
    parts = tuple(getattr(listing.location, part) for part in ADDRESS_PARTS)
    return parts if any(parts) else None


def _address_choices(choice: Choice) -> dict[str, Choice]:
    parts = choice.value or (None,) * len(ADDRESS_PARTS)
    return {
        f"location.{name}": Choice(part, choice.sources if part else ())
        for name, part in zip(ADDRESS_PARTS, parts, strict=True)
    }


def _common(listings: Sequence[Listing], name: str) -> Choice:
    """Return the value that all listings share; None when they differ."""
    values = {getattr(listing, name) for listing in listings}
    value = values.pop() if len(values) == 1 else None
    return Choice(value, tuple(one.id for one in listings) if value else ())


def _event(event_id: str, choices: dict[str, Choice]) -> dict[str, Any]:
    values = {name: choice.value for name, choice in choices.items()}
    location = {name: values.pop(path) for name, path in _LOCATION_PATHS.items()}
    if geo := location["geo"]:
        location["geo"] = {name: getattr(geo, name) for name in type(geo).__slots__}
    listed = {name: list(values[name] or ()) for name in LIST_FIELDS}
    dates = [date_to_json(entry) for entry in values["event_dates"]]
    return {"id": event_id} | values | listed | {"event_dates": dates, "location": location}


def merged_dates(listings: Sequence[Listing], tolerance: int) -> tuple[Choice, bool]:
    """Return the union of the calendar entries and whether start times of a day conflict.

    Entries of one day (or one range) are merged. When two listings name start times of it of which
    none is the same, the shows of the listing that most others agree with stay, of equals the most
    shows, then the earliest, and it is a conflict when they are more than `tolerance` seconds
    apart; otherwise every named show stays.
    An entry without a start adds nothing to one with.
    """
    if len(listings) == 1 and len(listings[0].event_dates) == 1:
        return Choice(listings[0].event_dates, (listings[0].id,)), False
    spans: dict[tuple[date, date], dict[str, list[EventDate]]] = {}
    for listing in listings:
        for entry in listing.event_dates:
            span = spans.setdefault((entry.date, entry.end_date or entry.date), {})
            span.setdefault(listing.id, []).append(entry)
    merged: list[EventDate] = []
    conflict = False
    for _, named in sorted(spans.items()):
        entries, apart = _merged_span(list(named.values()))
        merged += entries
        conflict |= apart > tolerance
    sources = tuple(one.id for one in listings if one.event_dates)
    return Choice(tuple(merged), sources), conflict


def _merged_span(named: list[list[EventDate]]) -> tuple[list[EventDate], int]:
    """Return one span's entries, by start, and how many seconds its listings are apart."""
    votes = [{entry.start for entry in entries if entry.start is not None} for entries in named]
    votes = [starts for starts in votes if starts]
    everything = [entry for entries in named for entry in entries]
    agreed = all(one & two for one in votes for two in votes)
    starts = set().union(*votes) if agreed else min(votes, key=lambda one: _standing(one, votes))
    entries = [_entry(everything, start) for start in sorted(starts)] or [_entry(everything, None)]
    return entries, 0 if agreed else _apart(votes)


def _standing(starts: set[int], votes: list[set[int]]) -> tuple[int, int, list[int]]:
    """Order what listings name: most supported, then most shows, then earliest, comes first."""
    supported = sum(bool(starts & vote) for vote in votes)
    return -supported, -len(starts), sorted(starts)


def _apart(votes: list[set[int]]) -> int:
    """Return the greatest distance between a listing's starts and the nearest of another's."""
    return max(min(abs(a - b) for a in one for b in two) for one in votes for two in votes)


def _entry(entries: list[EventDate], start: int | None) -> EventDate:
    """Return the entry of a start, with the end that most listings name, the latest of equals."""
    fitting = [entry for entry in entries if entry.start == start]
    ends = sorted(entry.end for entry in fitting if entry.end is not None)
    end = max(ends, key=lambda one: (ends.count(one), one)) if ends else None
    return EventDate(fitting[0].date, start, end, fitting[0].end_date)
