"""What a scrape sees of keys, clients and revisions that look like mistakes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from config_service.database import open_database, parse_url
from config_service.env import Env
from config_service.gauges import add_gauges
from config_service.serving import ConfigServer
from config_service.store import Store
from dedup_model.reports import BatchStats, Rejection, StatusReport
from dedup_rpc.telemetry import Telemetry, TelemetryEnv

PREFIX = "eventdedup_config"


@pytest.fixture
def registry(server: ConfigServer, store: Store) -> CollectorRegistry:
    telemetry = Telemetry(TelemetryEnv(), "config-service")
    add_gauges(telemetry, store, server.feed)
    return telemetry.metrics.registry


async def test_cells_are_counted_by_key(registry: CollectorRegistry, store: Store) -> None:
    key_id = store.keyring.ring().primary
    found = registry.get_sample_value(f"{PREFIX}_cells", {"key_id": key_id})
    assert found == sum(store.cells().values()) > 0


async def test_clients_are_counted_by_source_and_distance(
    client: Any, registry: CollectorRegistry, store: Store
) -> None:
    epoch = (await client.get()).epoch
    await client.update({"thresholds": {"high": 0.8}})
    refused = Rejection(2, "too new")
    store.report("a", StatusReport("1", "0", epoch, 2, 1, "live", refused))
    store.report("a", StatusReport("2", "0", epoch, 2, 2, "live"))
    store.report("b", StatusReport("1", "0", "", 0, 0, "bootstrap"))

    def clients(source: str, behind: str) -> float | None:
        labels = {"source": source, "behind": behind}
        return registry.get_sample_value(f"{PREFIX}_clients", labels)

    assert (clients("live", "1"), clients("live", "0")) == (1, 1)
    assert clients("bootstrap", "another epoch") == 1
    assert registry.get_sample_value(f"{PREFIX}_clients_rejecting") == 1


async def test_a_suspect_revision_is_counted(
    client: Any, registry: CollectorRegistry, store: Store
) -> None:
    epoch = (await client.get()).epoch
    stats = (BatchStats(1, 1, 1000, 0.2), BatchStats(2, 1, 1000, 0.9))
    store.report("a", StatusReport("1", "0", epoch, 2, 2, "live", stats=stats))
    assert registry.get_sample_value(f"{PREFIX}_suspect_revisions") == 1


async def test_a_matcher_that_fell_silent_is_counted_no_more(
    client: Any, registry: CollectorRegistry, store: Store, env: Env
) -> None:
    epoch = (await client.get()).epoch
    engine = open_database(parse_url(env.database_url))
    earlier = Store(engine, store.keyring, lambda: datetime.now(UTC) - timedelta(minutes=61))
    earlier.report("a", StatusReport("1", "0", epoch, 1, 1, "memory", Rejection(1, "too new")))
    store.report("a", StatusReport("2", "0", epoch, 1, 1, "file"))
    engine.dispose()

    def clients(source: str) -> float | None:
        return registry.get_sample_value(f"{PREFIX}_clients", {"source": source, "behind": "0"})

    assert (clients("memory"), clients("file")) == (None, 1)
    assert registry.get_sample_value(f"{PREFIX}_clients_rejecting") == 0
