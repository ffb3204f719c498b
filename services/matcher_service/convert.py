"""Between the engine's values and the messages of `eventdedup.matcher.v1`."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import chain
from typing import Any, TypeVar

from google.protobuf.message import Message

from dedup_model.matching_config import MatchingConfig
from dedup_model.rules import SIGNALS, weights_of
from dedup_model.tree import DEFAULTS, Document, canonical_json, changes, dump
from dedup_rpc.wire import to_document
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service.batch import Outcome
from matcher_service.config_client import BatchConfig
from matcher_service.engine.canonical import CanonicalEvent
from matcher_service.engine.decide import PairDecision
from matcher_service.engine.pipeline import ENGINE_VERSION
from matcher_service.engine.records import Issue
from matcher_service.llm.usage import Usage

M = TypeVar("M", bound=Message)
CHUNK_BYTES = 256 * 1024
SHOWN_CHARACTERS = 200
_FIELDS = frozenset(pb.Listing.DESCRIPTOR.fields_by_name) - {"extra_json"}


def raw_listings(listings: Iterable[pb.Listing]) -> list[dict[str, Any]]:
    """Return listings in the engine's raw form.

    A field that a source spelled in another type travels in `extra_json`; it counts when the typed
    field is unset, so that the engine judges it and reports what it does with it.
    """
    return [_raw(to_document(listing)) for listing in listings]


class Received:
    """The listings of a stream as they came: as dicts they would take several times the memory.

    Reading them yields the engine's raw form and lets each message go.
    """

    def __init__(self) -> None:
        self._chunks: deque[pb.ListingChunk] = deque()
        self._count = 0

    def add(self, chunk: pb.ListingChunk) -> None:
        """Take a message of listings in."""
        self._chunks.append(chunk)
        self._count += len(chunk.listings)

    def __len__(self) -> int:
        """Return how many were received."""
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield them once."""
        while self._chunks:
            yield from raw_listings(self._chunks.popleft().listings)


def _raw(document: dict[str, Any]) -> dict[str, Any]:
    extra = _object(document.get("extra_json", ""))
    odd = {name: extra[name] for name in _FIELDS & extra.keys() if name not in document}
    return {**document, **odd}


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = {}
    return found if isinstance(found, dict) else {}


def run(pinned: BatchConfig) -> pb.Run:
    """Return the identity of a batch's config and engine."""
    snapshot = pinned.snapshot
    return pb.Run(
        epoch=snapshot.epoch,
        revision=snapshot.revision,
        digest=snapshot.digest,
        source=pb.ConfigSource.Value(f"CONFIG_SOURCE_{pinned.source.upper()}"),
        engine_version=ENGINE_VERSION,
        ignored_paths=snapshot.ignored_paths,
    )


def summary(outcome: Outcome) -> pb.Summary:
    """Return what a batch came to."""
    config = outcome.pinned.snapshot.config
    found = counted(run(outcome.pinned), config, outcome.result.counts)
    found.warnings.extend(outcome.warnings)
    if outcome.usage:
        found.ai.CopyFrom(_usage(outcome.usage))
    return found


def counted(run: pb.Run, config: MatchingConfig, counts: Mapping[str, Any]) -> pb.Summary:
    """Return the counts of a batch with what it ran under."""
    return pb.Summary(run=run, rules=rules(config), **counts)


def _usage(usage: Usage) -> pb.AiUsage:
    return pb.AiUsage(**{one.name: getattr(usage, one.name) for one in fields(usage)})


def rules(config: MatchingConfig) -> pb.Rules:
    """Return the settings that explain the results of a batch."""
    section, thresholds = config.category_weights, config.thresholds
    tried = [name for name in section.priority if name in section.overrides]
    return pb.Rules(
        high=thresholds.high,
        low=thresholds.low,
        title_veto=thresholds.title_veto,
        same_source_odds=config.scoring.same_source_odds,
        other_source_odds=config.scoring.other_source_odds,
        other_city_odds=config.scoring.other_city_odds,
        weights=[_weights(config, name) for name in (None, *tried)],
        changed=changed(DEFAULTS, dump(config)),
    )


def changed(old: Document, new: Document) -> list[pb.ChangedSetting]:
    """Return the settings that differ, with their new value and the old one."""
    return [
        pb.ChangedSetting(path=path, value=_shown(after), default_value=_shown(before))
        for path, before, after in changes(old, new)
    ]


def _weights(config: MatchingConfig, category: str | None) -> pb.SignalWeights:
    named = dict(zip(SIGNALS, weights_of(config, category), strict=True))
    return pb.SignalWeights(category=category or "", **named)


def _shown(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def chunks(outcome: Outcome) -> Iterator[pb.ResultChunk]:
    """Yield the results in messages of about CHUNK_BYTES; a single larger event stands alone."""
    result = outcome.result
    return packed(
        pb.ResultChunk,
        chain(
            (("events", event(one)) for one in result.events),
            (("decisions", decision(one)) for one in result.decisions),
            (("quarantined", _issue(issue)) for issue in result.quarantined),
            (("repairs", _issue(issue)) for issue in result.repairs),
        ),
    )


def packed(chunk_type: type[M], items: Iterable[tuple[str, Message]]) -> Iterator[M]:
    """Yield messages of about CHUNK_BYTES with the items, each in the repeated field of its name."""
    chunk, size = chunk_type(), 0
    for kind, message in items:
        weight = message.ByteSize()
        if size and size + weight > CHUNK_BYTES:
            yield chunk
            chunk, size = chunk_type(), 0
        getattr(chunk, kind).append(message)
        size += weight
    if size:
        yield chunk


def event(one: CanonicalEvent) -> pb.CanonicalEvent:
    """Return a canonical event, filled by protobuf itself: half of the time of a converter."""
    fields: dict[str, Any] = {
        "id": one.id,
        "listing_ids": one.listing_ids,
        "event": one.event,
        "provenance": [
            {"field": field, "listing_ids": ids} for field, ids in one.provenance.items()
        ],
        "match_confidence": one.match_confidence,
        "needs_review": one.needs_review,
        "review_reasons": one.review_reasons,
    }
    return pb.CanonicalEvent(**fields)


def decision(one: PairDecision) -> pb.PairDecision:
    """Return the verdict on a pair."""
    return pb.PairDecision(
        listing_a=one.listing_a,
        listing_b=one.listing_b,
        date=one.date,
        geo=one.geo,
        title=one.title,
        description=one.description,
        combined=one.combined,
        decision=pb.Decision.Value(f"DECISION_{one.decision.upper()}"),
        reason=one.reason,
        category=one.category,
        tier=one.tier,
        ai_confidence=one.ai_confidence,
        ai_outcome=one.ai_outcome,
        reviewer=one.reviewer,
        reviewer_reason=one.reviewer_reason,
    )


def _issue(issue: Issue) -> pb.ListingIssue:
    return pb.ListingIssue(
        listing_id=issue.listing_id,
        source_code=issue.source_code,
        position=issue.position,
        field=issue.field,
        reason=issue.reason,
    )
