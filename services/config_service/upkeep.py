"""What a server does regularly beside its calls: key ring, word to other replicas, compaction."""

import asyncio
import logging
import time

from config_service.env import Env
from config_service.feed import Feed
from config_service.setup import bootstrap_layers, fill
from config_service.store import Store
from dedup_model.errors import DedupError
from dedup_rpc.logs import where
from dedup_rpc.server import Serving

LOG = logging.getLogger("event_dedup.config")
LOOK_SECONDS, ANNOUNCE_SECONDS, COMPACT_SECONDS = 1.0, 15.0, 3600.0
AUTHOR = "config-service"


class Upkeep:
    """The regular work of one server; a store that does not answer is tried again."""

    def __init__(self, env: Env, store: Store, feed: Feed, serving: Serving) -> None:
        self._env, self._store, self._feed, self._serving = env, store, feed, serving
        self._announced: tuple[float, tuple[str, ...]] = (float("-inf"), ())
        self._compacted = time.monotonic()
        self._sealed = store.keyring.problem is not None

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.once()
            except DedupError as error:
                LOG.warning("regular work waits: %s", error.reason)
            except Exception as error:
                # without this work the key ring would be followed no more
                LOG.error("regular work waits: %s", where(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def once(self) -> None:
        """Look at the key ring, and do what is due."""
        keyring = self._store.keyring
        await self._feed.run_blocking(keyring.look, self._store, lost=self._feed.lost)
        if self._sealed != (keyring.problem is not None):
            await (self._unseal() if self._sealed else self._seal())
        await self.announce()
        if not keyring.problem and time.monotonic() - self._compacted > COMPACT_SECONDS:
            self._compacted = time.monotonic()
            await self._feed.run_blocking(self._store.compact, self._env.retention, AUTHOR)
        if not keyring.problem:
            await self._feed.look_at_secrets()

    async def _seal(self) -> None:
        self._sealed = True
        await self._serving.tell(healthy=False)
        await self._feed.forget()

    async def _unseal(self) -> None:
        await self._feed.run_blocking(fill, self._store, bootstrap_layers(self._env))
        if self._store.keyring.problem:
            return
        await self._feed.refresh()
        await self._serving.tell(healthy=True)
        self._sealed = False
        LOG.info("unsealed")

    async def announce(self) -> None:
        """Tell the other replicas which keys this one holds, if that is new or was long ago."""
        (when, said), key_ids = self._announced, self._store.keyring.held
        if key_ids and (said != key_ids or time.monotonic() - when > ANNOUNCE_SECONDS):
            await self._feed.run_blocking(self._store.announce)
            self._announced = time.monotonic(), key_ids

    async def leave(self) -> None:
        """Tell the other replicas that this one ends, if the store answers."""
        try:
            await self._feed.run_blocking(self._store.leave)
        except DedupError as error:
            LOG.warning("the other replicas were not told: %s", error.reason)
