"""What a report is made of: the listings of a batch, and what a matcher answered to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dedup_report.shown import Shown, clean, document, name_of, shown
from eventdedup.matcher.v1 import matcher_service_pb2 as pb


@dataclass(frozen=True)
class Results:
    """One batch; `listings` in the order in which they were sent.

    `decisions` are those with a combined score of at least `floor`, and those of people.
    `unread` has field and reason of every record that could not even be sent.
    """

    listings: Sequence[pb.Listing]
    floor: float
    summary: pb.Summary
    events: Sequence[pb.CanonicalEvent]
    decisions: Sequence[pb.PairDecision]
    quarantined: Sequence[pb.ListingIssue] = ()
    repairs: Sequence[pb.ListingIssue] = ()
    unread: Sequence[tuple[str, str]] = ()

    @cached_property
    def accepted(self) -> dict[str, pb.Listing]:
        """Return the accepted listings by id; of equal ones in other bytes, the least bytes."""
        bad = {issue.position for issue in self.quarantined}
        found: dict[str, pb.Listing] = {}
        for position, listing in enumerate(self.listings):
            if position not in bad:
                name = name_of(listing)
                found[name] = min(found.get(name, listing), listing, key=_bytes)
        return found

    @cached_property
    def shared(self) -> list[pb.CanonicalEvent]:
        """Return the events of more than one listing."""
        return [event for event in self.events if len(event.listing_ids) > 1]

    def source(self, name: str) -> str:
        """Return the source of an accepted listing; empty for one that was not sent here."""
        return clean(self.accepted[name].source_code) if name in self.accepted else ""

    def shown(self, name: str) -> Shown:
        """Return how an accepted listing is shown; without texts when it was not sent here."""
        return shown(document(self.accepted[name])) if name in self.accepted else shown({})


def _bytes(listing: pb.Listing) -> bytes:
    return listing.SerializeToString(deterministic=True)
