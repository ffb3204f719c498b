"""The data that the page's script shows, as compact JSON; see `data` for its shape."""

import hashlib
from typing import Any

from dedup_model.tree import canonical_json
from dedup_report.results import Results
from dedup_report.selection import Selection
from dedup_report.shown import FIELDS, Shown, document, shown
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

DECISIONS = {pb.DECISION_MATCH: "match", pb.DECISION_AMBIGUOUS: "ambiguous"}


def data(results: Results, chosen: Selection) -> dict[str, Any]:
    """Return the data of a report.

    `listings`: id, source, then the texts of `Shown`. `pairs`: two listings, four signals,
    combined, decision, reason, category, tier, reviewer and the reason given. `events`: id,
    listings, the texts of `Shown` (a number is the member whose text it is), per text the members
    it comes from, confidence, review reasons. `review`: pairs (`[0, pair]`) and events
    (`[1, event]`), most uncertain first. Listings, pairs and events are named by position, sources,
    reasons and so on by position in `names`.
    """
    names: dict[str, int] = {}
    rules = results.summary.rules
    texts = {name: results.shown(name) for name in chosen.listings}
    return {
        "batch": _batch(results),
        "floor": results.floor,
        "high": rules.high,
        "low": rules.low,
        "veto": rules.title_veto,
        "odds": [rules.same_source_odds, rules.other_source_odds, rules.other_city_odds],
        "weights": {
            one.category: [one.date, one.geo, one.title, one.description] for one in rules.weights
        },
        "listings": [
            [name, _named(names, results.source(name)), *text] for name, text in texts.items()
        ],
        "pairs": [_pair(pair, chosen, names) for pair in chosen.pairs],
        "events": [_event(event, texts, chosen) for event in chosen.events],
        "review": _review(chosen),
        "names": list(names),
    }


def _batch(results: Results) -> str:
    """Return a digest of the listings' names: ticks kept by a browser belong to one batch."""
    names = sorted([results.source(name), name] for name in results.accepted)
    return hashlib.sha256(canonical_json(names)).hexdigest()[:16]


def _named(names: dict[str, int], name: str) -> int:
    return names.setdefault(name, len(names))


def _pair(pair: pb.PairDecision, chosen: Selection, names: dict[str, int]) -> list[Any]:
    scores = (pair.date, pair.geo, pair.title, pair.description, pair.combined)
    words = (DECISIONS.get(pair.decision, "no_match"), pair.reason, pair.category, pair.tier)
    person = (pair.reviewer, pair.reviewer_reason)
    return [
        chosen.listings[pair.listing_a],
        chosen.listings[pair.listing_b],
        *(round(score, 6) for score in scores),
        *(_named(names, word) for word in (*words, *person)),
    ]


def _event(event: pb.CanonicalEvent, shown_as: dict[str, Shown], chosen: Selection) -> list[Any]:
    members = [shown_as[name] for name in event.listing_ids]
    place = {name: at for at, name in enumerate(event.listing_ids)}
    texts = [
        next((at for at, member in enumerate(members) if member[index] == text), text)
        for index, text in enumerate(shown(document(event.event)))
    ]
    origins = {one.field: one.listing_ids for one in event.provenance}
    return [
        event.id,
        [chosen.listings[name] for name in event.listing_ids],
        texts,
        [_origin(fields, origins, place) for fields in FIELDS],
        round(event.match_confidence, 6) if event.HasField("match_confidence") else None,
        list(event.review_reasons),
    ]


def _origin(fields: tuple[str, ...], origins: dict[str, Any], place: dict[str, int]) -> list[int]:
    """Return the members that a text comes from; the first field that is known counts, places all."""
    known = [field for field in fields if field in origins]
    counted = known if fields[0].startswith("location.") else known[:1]
    return sorted({place[name] for field in counted for name in origins[field] if name in place})


def _review(chosen: Selection) -> list[list[int]]:
    pairs = {(pair.listing_a, pair.listing_b): at for at, pair in enumerate(chosen.pairs)}
    events = {event.id: at for at, event in enumerate(chosen.events)}
    return [
        [1, events[one.item.id]]
        if isinstance(one.item, pb.CanonicalEvent)
        else [0, pairs[one.item.listing_a, one.item.listing_b]]
        for one in chosen.review
    ]
