"""Between what running matchers say and the messages of `eventdedup.config.v1`."""

from collections.abc import Sequence

from config_service.clients import Client, lag, suspects
from config_service.state import State
from dedup_model.reports import BatchStats, Rejection, StatusReport
from dedup_rpc.wire import timestamp
from eventdedup.config.v1 import config_service_pb2 as pb

_STATS = tuple(BatchStats.__dataclass_fields__)


def report_of(request: pb.ReportStatusRequest) -> StatusReport:
    """Return what a request reports."""
    refused = request.rejection if request.HasField("rejection") else None
    return StatusReport(
        instance_id=request.instance_id,
        version=request.version,
        epoch=request.epoch,
        received_revision=request.received_revision,
        applied_revision=request.applied_revision,
        source=request.source,
        rejection=Rejection(refused.revision, refused.why) if refused else None,
        stats=tuple(
            BatchStats(**{name: getattr(one, name) for name in _STATS}) for one in request.stats
        ),
    )


def clients(state: State, found: Sequence[Client]) -> pb.ListClientsResponse:
    """Return who runs what, and what looks like a mistake."""
    epoch, head = state.stamp
    marked = suspects((client.report for client in found), epoch)
    return pb.ListClientsResponse(
        epoch=epoch,
        head=head,
        clients=[_client(client, epoch, head) for client in found],
        suspects=[
            pb.SuspectConfig(revision=number, reasons=marked[number])
            for number in sorted(marked, reverse=True)
        ],
    )


def _client(client: Client, epoch: str, head: int) -> pb.ClientStatus:
    report = client.report
    return pb.ClientStatus(
        principal=client.principal,
        instance_id=report.instance_id,
        version=report.version,
        epoch=report.epoch,
        received_revision=report.received_revision,
        applied_revision=report.applied_revision,
        lag=lag(report, epoch, head),
        source=report.source,
        rejection=_rejection(report.rejection),
        stats=[
            pb.BatchStats(**{name: getattr(one, name) for name in _STATS})
            for one in report.stats[:2]
        ],
        reported_at=timestamp(client.reported_at),
    )


def _rejection(rejection: Rejection | None) -> pb.Rejection | None:
    if rejection is None:
        return None
    when = timestamp(rejection.reported_at) if rejection.reported_at else None
    return pb.Rejection(revision=rejection.revision, why=rejection.why, reported_at=when)
