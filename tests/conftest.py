"""What holds for all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dedup_rpc import core_threads

TESTS = Path(__file__).parent
LONG = ("docs", "upgrade", "reliability", "e2e", "security")
"""Folders of experiments that take seconds each, the longest first."""

# how long an example takes says more of the machine than of the code
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")


# tests open channels and servers of grpc itself, too
core_threads.keep()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first, so that no worker is left with one of them at the end."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return LONG.index(folder) if folder in LONG else len(LONG)
