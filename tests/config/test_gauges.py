"""What a scrape sees of keys, clients and revisions that look like mistakes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from config_service import setup
from config_service.cipher import new_key
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
    return scraped(store, server)


def scraped(store: Store, server: ConfigServer) -> CollectorRegistry:
    telemetry = Telemetry(TelemetryEnv(), "config-service")
    add_gauges(telemetry, store, server.feed)
    return telemetry.metrics.registry


async def test_cells_are_counted_by_key(registry: CollectorRegistry, store: Store) -> None:
    key_id = store.keyring.ring().primary
    found = registry.get_sample_value(f"{PREFIX}_cells", {"key_id": key_id})
    assert found == sum(store.cells().values()) > 0


async def test_a_refused_ring_is_shown_until_a_good_one_comes(
    env: Env, serve: Callable[..., Any], tmp_path: Path
) -> None:
    ring = tmp_path / "ring"
    good = new_key()
    ring.write_text(good)
    env = replace(env, keyring_file=ring)
    server = await serve(env)
    store = setup.open_store(env)
    registry = scraped(store, server)
    for content, shown in ((good, 0), (new_key(), 1), ("", 1), (good, 0)):
        ring.write_text(content)
        store.keyring.look(store)
        assert registry.get_sample_value(f"{PREFIX}_keyring_refused") == shown
        assert registry.get_sample_value(f"{PREFIX}_sealed") == 0


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
