"""A preview over the wire: candidate, labels and listings out, what would change in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dedup_cli.batch_client import chunked
from dedup_cli.reading import Record
from dedup_cli.sources import Pair
from dedup_rpc.channel import connect
from dedup_rpc.client import Edit
from dedup_rpc.wire import to_message
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

CHUNK_LABELS = 5000


@dataclass
class Preview:
    """What a matcher answered."""

    summary: pb.PreviewSummary = field(default_factory=pb.PreviewSummary)
    changes: pb.PreviewChunk = field(default_factory=pb.PreviewChunk)


@dataclass(frozen=True)
class Batch:
    """What is previewed on: listings, true events by listing, people's decisions."""

    records: Sequence[Record]
    labels: Mapping[str, str] = field(default_factory=dict)
    people: Sequence[pb.Constraint] = ()


def previewed(
    pair: Pair, edit: Edit, batch: Batch, examples: int, progress: Callable[[str, int, int], None]
) -> Preview:
    """Preview an edit that was judged and not stored; raises `grpc.RpcError`."""
    found = Preview()
    with connect(pair.matcher, pair.credentials) as channel:
        requests = _requests(_options(edit, batch, examples), batch)
        for response in MatcherServiceStub(channel).PreviewConfig(requests):
            match response.WhichOneof("message"):
                case "progress":
                    step = response.progress
                    progress(step.stage, step.done, step.total)
                case "changes":
                    found.changes.MergeFrom(response.changes)
                case "summary":
                    found.summary = response.summary
    return found


def _options(edit: Edit, batch: Batch, examples: int) -> pb.PreviewOptions:
    options = pb.PreviewOptions(
        base_epoch=edit.epoch,
        base_revision=edit.revision.number,
        constraints=batch.people,
        max_examples=examples,
    )
    if edit.settings:
        to_message(edit.settings.document, options.candidate)
    return options


def _requests(options: pb.PreviewOptions, batch: Batch) -> Iterator[pb.PreviewConfigRequest]:
    yield pb.PreviewConfigRequest(options=options)
    labels = [pb.Label(listing_id=one, cluster_id=true) for one, true in batch.labels.items()]
    for start in range(0, len(labels), CHUNK_LABELS):
        chunk = pb.LabelChunk(labels=labels[start : start + CHUNK_LABELS])
        yield pb.PreviewConfigRequest(labels=chunk)
    for listings in chunked(batch.records):
        yield pb.PreviewConfigRequest(listings=listings)
