"""Fetches a new revision when a watch shows it, so that the next batch need not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from dedup_model.errors import DedupError
from dedup_rpc.client import AsyncConfigClient, ServiceError, UnusableCredentials, WatchMode

LOG = logging.getLogger("event_dedup.matcher.config")
PAUSE_SECONDS = 30.0
"""After a watch was refused: roles and tokens change rarely."""
REFRESH_SECONDS = 60.0
"""A matcher without batches stays in contact: what it keeps is as young as that in an outage."""


class Warming:
    """Calls `warm` for every state that a watch shows, and at intervals, until it is closed.

    A batch never depends on it: it asks ConfigService itself before it starts.
    """

    def __init__(
        self,
        client: AsyncConfigClient,
        warm: Callable[[], Awaitable[None]],
        pause: float = PAUSE_SECONDS,
        refresh: float = REFRESH_SECONDS,
    ) -> None:
        self._client, self._warm = client, warm
        self._pause, self._refresh = pause, refresh
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Begin, in the running loop."""
        self._tasks = (
            asyncio.create_task(self._watching(), name="warming"),
            asyncio.create_task(self._refreshing(), name="refreshing"),
        )

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _refreshing(self) -> None:
        while True:
            await asyncio.sleep(self._refresh)
            await self._warm()

    async def _watching(self) -> None:
        while True:
            try:
                async with self._client.watch(WatchMode.LATEST) as states:
                    async for _ in states:
                        await self._warm()
            except (ServiceError, DedupError, UnusableCredentials, OSError) as error:
                LOG.warning("no watch of the settings: %s", type(error).__name__)
            await asyncio.sleep(self._pause)
