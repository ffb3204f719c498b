"""Between the engine's values and the messages of `eventdedup.matcher.v1`."""

from collections.abc import Iterable, Iterator
from typing import Any

from dedup_rpc.wire import enum_number, to_document, to_message
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

from matcher_service.batch import Outcome
from matcher_service.config_client import BatchConfig
from matcher_service.engine.canonical import CanonicalEvent
from matcher_service.engine.decide import PairDecision
from matcher_service.engine.pipeline import ENGINE_VERSION
from matcher_service.engine.records import Issue

CHUNK_BYTES = 256 * 1024


def raw_listings(listings: Iterable[pb.Listing]) -> list[dict[str, Any]]:
    """Return listings in the engine's raw form."""
    return [to_document(listing) for listing in listings]


def run(pinned: BatchConfig) -> pb.Run:
    """Return the identity of a batch's config and engine."""
    snapshot = pinned.snapshot
    return pb.Run(
        epoch=snapshot.epoch,
        revision=snapshot.revision,
        digest=snapshot.digest,
        source=pb.ConfigSource.ValueType(
            enum_number(pb.ConfigSource.DESCRIPTOR, pinned.source.value)
        ),
        engine_version=ENGINE_VERSION,
        ignored_paths=snapshot.ignored_paths,
    )


def summary(outcome: Outcome) -> pb.Summary:
    """Return the counts of a batch."""
    counts = outcome.result.counts
    return pb.Summary(run=run(outcome.pinned), warnings=outcome.warnings, **counts)


def chunks(outcome: Outcome) -> Iterator[pb.ResultChunk]:
    """Yield the results in messages of about CHUNK_BYTES; a single larger event stands alone."""
    result = outcome.result
    chunk, size = pb.ResultChunk(), 0
    for kind, message in (
        *(("events", _event(event)) for event in result.events),
        *(("decisions", _decision(decision)) for decision in result.decisions),
        *(("quarantined", _issue(issue)) for issue in result.quarantined),
        *(("repairs", _issue(issue)) for issue in result.repairs),
    ):
        weight = message.ByteSize()
        if size and size + weight > CHUNK_BYTES:
            yield chunk
            chunk, size = pb.ResultChunk(), 0
        getattr(chunk, kind).append(message)
        size += weight
    if size:
        yield chunk


def _event(event: CanonicalEvent) -> pb.CanonicalEvent:
    return pb.CanonicalEvent(
        id=event.id,
        listing_ids=event.listing_ids,
        event=to_message(event.event, pb.Listing()),
        provenance=[
            pb.FieldProvenance(field=field, listing_ids=ids)
            for field, ids in event.provenance.items()
        ],
        match_confidence=event.match_confidence,
        needs_review=event.needs_review,
        review_reasons=event.review_reasons,
    )


def _decision(decision: PairDecision) -> pb.PairDecision:
    verdict = enum_number(pb.Decision.DESCRIPTOR, decision.decision)
    return pb.PairDecision(
        listing_a=decision.listing_a,
        listing_b=decision.listing_b,
        date=decision.date,
        geo=decision.geo,
        title=decision.title,
        description=decision.description,
        combined=decision.combined,
        decision=pb.Decision.ValueType(verdict),
        reason=decision.reason,
        category=decision.category,
        tier=decision.tier,
    )


def _issue(issue: Issue) -> pb.ListingIssue:
    return pb.ListingIssue(
        listing_id=issue.listing_id,
        source_code=issue.source_code,
        position=issue.position,
        field=issue.field,
        reason=issue.reason,
    )
