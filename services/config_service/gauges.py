"""What ConfigService tells of itself in numbers, beside its calls."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from config_service.clients import Client, lag, suspects
from config_service.feed import Feed
from config_service.grants import SERVICE
from config_service.store import Store
from dedup_rpc.counts import WATCH
from dedup_rpc.telemetry import Telemetry

PREFIX = "eventdedup_config"
KEPT_SECONDS = 30.0
RECENT = timedelta(hours=1)
"""A matcher that has been silent for longer may be gone: it is counted no more."""


def add_gauges(telemetry: Telemetry, store: Store, feed: Feed) -> None:
    """Add the gauges of one server; they are read in the thread of a scrape."""
    gauge = telemetry.metrics.gauge
    watches = telemetry.counts.of(f"/{SERVICE}/WatchConfig", WATCH)
    gauge(f"{PREFIX}_watchers", "Watches that are open", lambda: watches.running)
    gauge(f"{PREFIX}_head_revision", "The revision served", lambda: feed.state.revision.number)
    gauge(f"{PREFIX}_feed_lag_seconds", "Seconds since the head was last read and opened", feed.lag)
    sealed = f"{PREFIX}_sealed"
    gauge(sealed, "1 while no key ring opens the store", lambda: bool(store.keyring.problem))
    refused = f"{PREFIX}_keyring_refused"
    kept = "1 while a newer key ring is refused and the one in use stays"
    gauge(refused, kept, lambda: bool(store.keyring.refused))
    cells, clients = _Seldom(store.cells), _Seldom(store.clients)
    recent = _Seldom(lambda: _recent(store.clients()))
    gauges = telemetry.metrics.gauges
    gauges(
        f"{PREFIX}_cells",
        "Sealed cells by key id",
        ("key_id",),
        lambda: {(key_id,): count for key_id, count in cells.read().items()},
    )
    gauges(
        f"{PREFIX}_clients",
        "Matchers of the last hour by source of their config and revisions behind the head",
        ("source", "behind"),
        lambda: _behind(recent.read(), *feed.state.stamp),
    )
    gauge(
        f"{PREFIX}_clients_rejecting",
        "Matchers of the last hour that refused the newest revision that they were given",
        lambda: sum(map(_rejects, recent.read())),
    )
    gauge(
        f"{PREFIX}_suspect_revisions",
        "Revisions under which batches came out very unlike before (SUSPECT_CONFIG)",
        lambda: len(suspects((c.report for c in clients.read()), feed.state.epoch)),
    )


T = TypeVar("T")


class _Seldom(Generic[T]):
    """Reads the store at a scrape, but not at every one."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._last: tuple[float, T] | None = None

    def read(self) -> T:
        """Return what was read within KEPT_SECONDS."""
        if self._last is None or time.monotonic() - self._last[0] > KEPT_SECONDS:
            self._last = time.monotonic(), self._read()
        return self._last[1]


def _recent(found: list[Client]) -> list[Client]:
    now = datetime.now(UTC)
    return [client for client in found if now - client.reported_at <= RECENT]


def _behind(found: list[Client], epoch: str, head: int) -> Counter[tuple[str, ...]]:
    return Counter((c.report.source, _shown(lag(c.report, epoch, head))) for c in found)


def _shown(behind: int) -> str:
    if behind < 0:
        return "another epoch"
    return str(behind) if behind < 2 else "2 to 9" if behind < 10 else "10 or more"


def _rejects(client: Client) -> bool:
    report = client.report
    return bool(report.rejection and report.rejection.revision >= report.received_revision)
