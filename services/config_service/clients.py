"""What running matchers say of themselves, and which revisions look like mistakes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dedup_model.errors import InvalidRequest, Violation
from dedup_model.reports import BatchStats, Rejection, StatusReport
from dedup_model.text_rules import text_problem

KEPT_REVISIONS = 8
KEPT = timedelta(days=1)
"""A client that has not reported for this long is forgotten."""
LIVE = timedelta(minutes=10)
"""A client that reported within this time holds the revision that it applied in the history."""
MIN_LISTINGS = 50
JUMP, TIMES = 0.1, 1.5
LARGE_CLUSTER, CLUSTER_TIMES = 20, 3
MAX_STATS, MAX_WHY, MAX_VERSION, MAX_COUNT = 100, 500, 64, 10**12
SOURCES = ("", "live", "memory", "file", "bootstrap")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")
_EPOCH = re.compile(r"[0-9a-f-]{36}|")


@dataclass(frozen=True)
class Client:
    """A report with who made it when."""

    principal: str
    reported_at: datetime
    report: StatusReport


def require_sound(report: StatusReport) -> None:
    """Raise `InvalidRequest` with everything that a report may not say."""
    if violations := list(_violations(report)):
        raise InvalidRequest(violations)


def _violations(report: StatusReport) -> Iterator[Violation]:
    if not _INSTANCE.fullmatch(report.instance_id):
        yield Violation("instance_id", "FORMAT", "1 to 100 letters, digits and . _ : / -")
    if not _EPOCH.fullmatch(report.epoch):
        yield Violation("epoch", "EPOCH_FORMAT", "not an epoch of this service")
    if report.source not in SOURCES:
        yield Violation("source", "UNKNOWN_VALUE", "live, memory, file or bootstrap")
    for name in ("received_revision", "applied_revision"):
        if getattr(report, name) < 0:
            yield Violation(name, "RANGE", "0 or more")
    yield from _text("version", report.version, MAX_VERSION)
    if report.rejection:
        yield from _text("rejection.why", report.rejection.why, MAX_WHY)
        if report.rejection.revision < 1:
            yield Violation("rejection.revision", "RANGE", "1 or more")
    if len(report.stats) > MAX_STATS:
        yield Violation("stats", "TOO_LARGE", f"at most {MAX_STATS} entries")
    for i, one in enumerate(report.stats[:MAX_STATS]):
        yield from _stats(f"stats[{i}]", one)


def _text(path: str, value: str, longest: int) -> Iterator[Violation]:
    if len(value) > longest:
        yield Violation(path, "TOO_LARGE", f"at most {longest} characters")
    elif problem := text_problem(value):
        yield Violation(path, *problem)


def _stats(path: str, one: BatchStats) -> Iterator[Violation]:
    if one.revision < 1:
        yield Violation(f"{path}.revision", "RANGE", "1 or more")
    for name in ("batches", "listings", "largest_cluster"):
        if not 0 <= getattr(one, name) <= MAX_COUNT:
            yield Violation(f"{path}.{name}", "RANGE", f"0 to {MAX_COUNT}")
    for name in ("merge_rate", "ambiguous_rate"):
        if not 0 <= getattr(one, name) <= 1:
            yield Violation(f"{path}.{name}", "RANGE", "0 to 1")


def merged(old: StatusReport | None, new: StatusReport, now: datetime) -> StatusReport:
    """Return a report with what the one before leaves: its rejection, its batches by revision."""
    same = old if old and old.epoch == new.epoch else None
    stats = summed([*(same.stats if same else ()), *new.stats])
    kept = sorted(stats.values(), key=lambda one: -one.revision)[:KEPT_REVISIONS]
    return replace(new, rejection=_rejection(same, new, now), stats=tuple(kept))


def _rejection(old: StatusReport | None, new: StatusReport, now: datetime) -> Rejection | None:
    before = old.rejection if old else None
    if new.rejection is None or (before and before.revision == new.rejection.revision):
        return before
    return replace(new.rejection, reported_at=now)


def summed(stats: Iterable[BatchStats]) -> dict[int, BatchStats]:
    """Return the sum of each revision's batches."""
    sums: dict[int, BatchStats] = {}
    for one in stats:
        sums[one.revision] = sums[one.revision] + one if one.revision in sums else one
    return sums


def suspects(reports: Iterable[StatusReport], epoch: str) -> dict[int, tuple[str, ...]]:
    """Return the revisions whose batches came out unlike those of every revision before, and why.

    Revisions with fewer than MIN_LISTINGS listings are not judged. A return to what an earlier
    revision did is no jump, so the rollback of a mistake is not taken for another one.
    """
    stats = summed(s for report in reports if report.epoch == epoch for s in report.stats)
    judged = [stats[n] for n in sorted(stats) if stats[n].listings >= MIN_LISTINGS]
    found: dict[int, tuple[str, ...]] = {}
    for i, one in enumerate(judged[1:], 1):
        if all(_jumps(before, one) for before in judged[:i]):
            found[one.revision] = tuple(_jumps(judged[i - 1], one))
    return found


def _jumps(before: BatchStats, after: BatchStats) -> list[str]:
    rates = {"merge rate": "merge_rate", "ambiguous rate": "ambiguous_rate"}
    jumps = [
        f"{shown} {getattr(before, name):.3f} -> {getattr(after, name):.3f}"
        for shown, name in rates.items()
        if _is_jump(getattr(before, name), getattr(after, name))
    ]
    a, b = before.largest_cluster, after.largest_cluster
    if b > LARGE_CLUSTER and b > CLUSTER_TIMES * a:
        jumps.append(f"largest cluster {a} -> {b} listings")
    return jumps


def _is_jump(before: float, after: float) -> bool:
    low, high = sorted((before, after))
    return high - low > JUMP and high > TIMES * low


def lag(report: StatusReport, epoch: str, head: int) -> int:
    """Return how many revisions a client's batches are behind; -1 in another epoch."""
    return head - report.applied_revision if report.epoch == epoch else -1
