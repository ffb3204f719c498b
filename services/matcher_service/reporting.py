"""What this matcher tells ConfigService of its batches; a report that fails fails no batch."""

import asyncio
import logging
import re
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from dedup_model.errors import DedupError
from dedup_model.release import release
from dedup_rpc.client import (
    BatchStats,
    ServiceError,
    StatusReport,
    UnusableCredentials,
)
from matcher_service.batch import Outcome

LOG = logging.getLogger("event_dedup.matcher.reporting")
PAUSE_SECONDS = 1.0
"""Batches that end within one pause share a report."""
LAST_SECONDS = 1.0
MAX_REVISIONS = 8
"""Of more revisions than these the oldest are left out, should no report get through."""


class Listener(Protocol):
    """Who takes reports; `dedup_rpc.client.AsyncConfigClient` is one."""

    async def report_status(self, report: StatusReport) -> tuple[str, int]:
        """Take a report."""


class Reporter:
    """Sums batches up and reports them in the background.

    What could not be sent goes with the next batch's report: after a lost answer a count stands
    twice, none is missing.
    """

    def __init__(self, listener: Listener, pause: float = PAUSE_SECONDS) -> None:
        self._listener, self._pause = listener, pause
        self._last: StatusReport | None = None
        self._stats: dict[int, BatchStats] = {}
        self._news = asyncio.Event()
        self._instance, self._task = "", asyncio.Future[None]()

    def start(self, address: str) -> None:
        """Report from now on, as the process that listens on `address`."""
        self._instance = instance_id(address)
        self._task = asyncio.ensure_future(self._run())

    def done(self, outcome: Outcome) -> None:
        """Take note of a batch that has ended."""
        report = report_of(outcome, self._instance)
        if self._last and self._last.epoch != report.epoch:
            self._stats.clear()
        self._last = report
        self._add([stats_of(outcome)])
        self._news.set()

    def _add(self, stats: Sequence[BatchStats]) -> None:
        """Sum stats up; a batch without a revision, under the bootstrap rung, has none."""
        for one in stats:
            if one.revision:
                before = self._stats.get(one.revision)
                self._stats[one.revision] = before + one if before else one
        for revision in sorted(self._stats)[:-MAX_REVISIONS]:
            del self._stats[revision]

    async def close(self) -> None:
        """Stop; what is not reported yet gets a last try."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._news.is_set():
            try:
                async with asyncio.timeout(LAST_SECONDS):
                    await self._send()
            except TimeoutError:
                LOG.debug("the last report was not taken in time")

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            await self._send()
            await asyncio.sleep(self._pause)

    async def _send(self) -> None:
        self._news.clear()
        if self._last is None:
            return
        report = replace(self._last, stats=tuple(self._stats.values()))
        self._stats = {}
        try:
            await self._listener.report_status(report)
        except (DedupError, UnusableCredentials, OSError) as error:
            LOG.debug("a report was refused: %s", type(error).__name__)
        except ServiceError as error:
            LOG.debug("a report was not taken: %s", error.code.name)
            self._keep(report)
        except asyncio.CancelledError:
            self._keep(report)
            self._news.set()
            raise

    def _keep(self, report: StatusReport) -> None:
        """Keep for the next report what this one did not tell."""
        if self._last and self._last.epoch == report.epoch:
            self._add(report.stats)


def report_of(outcome: Outcome, instance: str) -> StatusReport:
    """Return what a matcher says after a batch, without its figures."""
    pinned = outcome.pinned
    snapshot, rejected = pinned.snapshot, pinned.rejected
    epoch = snapshot.epoch or (rejected.epoch if rejected else "")
    refused = rejected.rejection if rejected and rejected.epoch == epoch else None
    return StatusReport(
        instance_id=instance,
        version=release(),
        epoch=epoch,
        received_revision=max(snapshot.revision, refused.revision if refused else 0),
        applied_revision=snapshot.revision,
        source=pinned.source,
        rejection=refused,
    )


def stats_of(outcome: Outcome) -> BatchStats:
    """Return the figures of one batch; a listing that another one absorbed counts as merged."""
    counts = outcome.result.counts
    read, pairs = counts["read"], counts["candidate_pairs"]
    merged = read - counts["quarantined"] - counts["events"]
    return BatchStats(
        revision=outcome.pinned.snapshot.revision,
        batches=1,
        listings=read,
        merge_rate=merged / read if read else 0.0,
        ambiguous_rate=counts["ambiguous"] / pairs if pairs else 0.0,
        largest_cluster=counts["largest_cluster"],
    )


def instance_id(address: str) -> str:
    """Return a name of this process that a restart keeps: host, and port or socket file."""
    place = re.split(r"[:/]", address)[-1]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{socket.gethostname()}.{place}")
    return name.lstrip("._-")[:100] or "matcher"
