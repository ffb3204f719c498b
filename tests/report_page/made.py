"""Batches made by hand: listings, pairs and events with what a test needs to say about them."""

from collections.abc import Iterable, Sequence
from typing import Any

from dedup_report import Results
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

RULES = pb.Rules(
    high=0.75,
    low=0.35,
    title_veto=0.45,
    same_source_odds=0.5,
    other_source_odds=1.3,
    other_city_odds=0.6,
    weights=[
        pb.SignalWeights(date=0.3, geo=0.25, title=0.3, description=0.15),
        pb.SignalWeights(category="fasnacht", date=0.2, geo=0.2, title=0.5, description=0.1),
    ],
)


def listing(name: str, title: str = "Orgelkonzert", source: str = "tagblatt") -> pb.Listing:
    return pb.Listing(
        id=name,
        title=title,
        source_code=source,
        description="Ein Abend mit Musik.",
        event_dates=[pb.EventDate(date="2026-03-07", start_time="19:30")],
        location=pb.Location(name="Bürgerhaus", city="Endingen"),
    )


def pair(one: str, other: str, combined: float, **more: Any) -> pb.PairDecision:
    """Return a pair whose signals all have the combined score, decided by the rules above."""
    if combined >= RULES.high:
        kind, reason = pb.DECISION_MATCH, "above_high"
    elif combined > RULES.low:
        kind, reason = pb.DECISION_AMBIGUOUS, "between"
    else:
        kind, reason = pb.DECISION_NO_MATCH, "below_low"
    scores = dict.fromkeys(("date", "geo", "title", "description", "combined"), combined)
    said = {"decision": kind, "reason": reason, "tier": "deterministic", **scores, **more}
    return pb.PairDecision(listing_a=one, listing_b=other, **said)


def event(names: Sequence[str], *reasons: str, title: str = "Orgelkonzert") -> pb.CanonicalEvent:
    return pb.CanonicalEvent(
        id="ev_" + "_".join(names),
        listing_ids=names,
        event=listing("", title),
        provenance=[pb.FieldProvenance(field="title", listing_ids=names[:1])],
        match_confidence=0.8 if len(names) > 1 else None,
        needs_review=bool(reasons),
        review_reasons=reasons,
    )


def results(
    listings: Iterable[pb.Listing],
    events: Iterable[pb.CanonicalEvent] = (),
    decisions: Iterable[pb.PairDecision] = (),
    **more: Any,
) -> Results:
    """Return a batch with the counts that follow from its parts."""
    listings, events, decisions = list(listings), list(events), list(decisions)
    kinds = [one.decision for one in decisions]
    summary = pb.Summary(
        run=pb.Run(revision=3, digest="d" * 64, source=pb.CONFIG_SOURCE_LIVE, engine_version="1"),
        read=len(listings),
        candidate_pairs=len(decisions),
        matches=kinds.count(pb.DECISION_MATCH),
        ambiguous=kinds.count(pb.DECISION_AMBIGUOUS),
        events=len(events),
        merged_events=sum(len(one.listing_ids) > 1 for one in events),
        needs_review=sum(one.needs_review for one in events),
        warnings=more.pop("warnings", []),
        rules=more.pop("rules", RULES),
    )
    floor = more.pop("floor", 0.0)
    return Results(listings, floor, summary, events, decisions, **more)


def many(events: int) -> Results:
    """Return events of two listings each, every one with a match, and as many ambiguous pairs."""
    names = [(f"a{at:04}", f"b{at:04}") for at in range(events)]
    listings = [
        listing(name, f"Konzert {name[1:]}", source)
        for pair_names in names
        for name, source in zip(pair_names, ("tagblatt", "portal"), strict=True)
    ]
    found = [event(one, title=f"Konzert {one[0][1:]}") for one in names]
    matches = [pair(*one, 0.8) for one in names]
    unsure = [pair(names[at][0], names[at + 1][1], 0.6) for at in range(events - 1)]
    ordered = sorted([*matches, *unsure], key=lambda one: (one.listing_a, one.listing_b))
    return results(listings, found, ordered)
