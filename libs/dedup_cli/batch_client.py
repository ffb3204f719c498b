"""One batch over the wire: listings out, results in, progress shown on the way."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from dedup_cli.reading import Problem, Record
from dedup_rpc.channel import ANONYMOUS, Credentials, connect
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

CHUNK_BYTES = 256 * 1024

Progress: TypeAlias = Callable[[str, int, int], None]
"""Hears `(stage, done, total)`."""


@dataclass
class Answer:
    """What a matcher answered to one batch; decisions have at least the score `floor`, or a person's."""

    floor: float
    summary: pb.Summary = field(default_factory=pb.Summary)
    events: list[pb.CanonicalEvent] = field(default_factory=list)
    decisions: list[pb.PairDecision] = field(default_factory=list)
    quarantined: list[pb.ListingIssue] = field(default_factory=list)
    repairs: list[pb.ListingIssue] = field(default_factory=list)

    def add(self, chunk: pb.ResultChunk) -> None:
        """Take a chunk of results in."""
        self.events.extend(chunk.events)
        self.decisions.extend(chunk.decisions)
        self.quarantined.extend(chunk.quarantined)
        self.repairs.extend(chunk.repairs)


def run(
    address: str,
    records: Iterable[Record],
    floor: float,
    progress: Progress,
    credentials: Credentials = ANONYMOUS,
    constraints: Sequence[pb.Constraint] = (),
) -> Answer:
    """Run one batch at a matcher; raises `grpc.RpcError`."""
    answer = Answer(floor)
    with connect(address, credentials) as channel:
        options = pb.BatchOptions(decision_floor=floor, constraints=constraints)
        for response in MatcherServiceStub(channel).Deduplicate(_requests(records, options)):
            match response.WhichOneof("message"):
                case "progress":
                    step = response.progress
                    progress(step.stage, step.done, step.total)
                case "results":
                    answer.add(response.results)
                case "summary":
                    answer.summary = response.summary
    return answer


def _requests(
    records: Iterable[Record], options: pb.BatchOptions
) -> Iterator[pb.DeduplicateRequest]:
    yield pb.DeduplicateRequest(options=options)
    for chunk in chunked(records):
        yield pb.DeduplicateRequest(listings=chunk)


def chunked(records: Iterable[Record]) -> Iterator[pb.ListingChunk]:
    """Yield the listings in messages of about CHUNK_BYTES."""
    chunk, size = pb.ListingChunk(), 0
    for record in records:
        weight = record.listing.ByteSize()
        if size and size + weight > CHUNK_BYTES:
            yield chunk
            chunk, size = pb.ListingChunk(), 0
        chunk.listings.append(record.listing)
        size += weight
    if size:
        yield chunk


def split(items: Iterable[Record | Problem]) -> tuple[list[Record], list[Problem]]:
    """Return what can be sent and what cannot."""
    records: list[Record] = []
    problems: list[Problem] = []
    for item in items:
        if isinstance(item, Record):
            records.append(item)
        else:
            problems.append(item)
    return records, problems
