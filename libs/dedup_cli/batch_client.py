"""One batch over the wire: listings out, results in, progress shown on the way."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from dedup_cli.reading import Problem, Record
from dedup_model.errors import BatchLimit
from dedup_rpc.channel import ANONYMOUS, Credentials, connect
from dedup_rpc.status import remote_error
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

CHUNK_BYTES = 256 * 1024
TRIES = 10

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
    records: Sequence[Record],
    floor: float,
    progress: Progress,
    credentials: Credentials = ANONYMOUS,
    constraints: Sequence[pb.Constraint] = (),
) -> Answer:
    """Run one batch at a matcher; raises `grpc.RpcError`.

    One that takes no more batches is asked again when it says, `TRIES` times in all.
    """
    with connect(address, credentials) as channel:
        stub = MatcherServiceStub(channel)
        options = pb.BatchOptions(decision_floor=floor, constraints=constraints)
        for left in reversed(range(TRIES)):
            try:
                return _answered(stub.Deduplicate(_requests(records, options)), floor, progress)
            except grpc.RpcError as error:
                remote = remote_error(error)
                if remote.reason != BatchLimit.reason or not left:
                    raise
                progress("queued", 0, 0)
                time.sleep(remote.retry_seconds or 1.0)
    raise AssertionError("the last try returns or raises")


def _answered(
    responses: Iterable[pb.DeduplicateResponse],
    floor: float,
    progress: Callable[[str, int, int], None],
) -> Answer:
    answer = Answer(floor)
    for response in responses:
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
