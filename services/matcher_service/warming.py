"""A watch that fetches a new revision when it comes, so that the next batch need not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from dedup_model.errors import DedupError
from dedup_rpc.client import AsyncConfigClient, ServiceError, UnusableCredentials, WatchMode

LOG = logging.getLogger("event_dedup.matcher.config")
PAUSE_SECONDS = 30.0
"""After a watch was refused: roles and tokens change rarely."""


class Warming:
    """Calls `warm` for every state that a watch shows, until it is closed.

    A batch never depends on it: it asks ConfigService itself before it starts.
    """

    def __init__(
        self,
        client: AsyncConfigClient,
        warm: Callable[[], Awaitable[None]],
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._client, self._warm, self._pause = client, warm, pause
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.create_task(self._run(), name="warming")

    async def close(self) -> None:
        """Stop."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                async with self._client.watch(WatchMode.LATEST) as states:
                    async for _ in states:
                        await self._warm()
            except (ServiceError, DedupError, UnusableCredentials, OSError) as error:
                LOG.warning("no watch of the settings: %s", type(error).__name__)
            await asyncio.sleep(self._pause)
