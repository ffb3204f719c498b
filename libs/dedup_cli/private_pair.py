"""A private pair: both services in this process on Unix sockets, gone when the work is done."""

import asyncio
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config_service import env as config_env
from config_service import serving as config_serving
from matcher_service import env as matcher_env
from matcher_service import serving as matcher_serving

MAX_FOLDER_BYTES = 70


@contextmanager
def private_pair(settings_file: Path | None) -> Iterator[tuple[str, str]]:
    """Yield the addresses of a ConfigService and of its matcher.

    Settings are the defaults or those of a YAML file.

    Raises what the services raise when they cannot start, `InvalidRequest` for the file.
    """
    with (
        _quiet("event_dedup"),
        _quiet("alembic"),
        tempfile.TemporaryDirectory(prefix="event-dedup-", dir=_short()) as folder,
        _loop() as loop,
    ):
        pair = _Pair(Path(folder), settings_file)
        asyncio.run_coroutine_threadsafe(pair.start(), loop).result()
        try:
            yield pair.config_env.address, pair.matcher_env.address
        finally:
            asyncio.run_coroutine_threadsafe(pair.stop(), loop).result()


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Let a logger tell errors alone."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _short() -> str | None:
    """Return a folder for sockets, whose paths may have 107 bytes; None for the usual one."""
    return None if len(os.fsencode(tempfile.gettempdir())) < MAX_FOLDER_BYTES else "/tmp"  # noqa: S108


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="private pair", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Pair:
    def __init__(self, folder: Path, settings_file: Path | None) -> None:
        self.config_env = config_env.Env(
            address=f"unix:{folder / 'config.sock'}",
            database_url=f"sqlite:///{folder / 'config.db'}",
            bootstrap_file=settings_file,
        )
        self.matcher_env = matcher_env.Env(
            address=f"unix:{folder / 'matcher.sock'}",
            config_address=self.config_env.address,
            rungs=(matcher_env.Rung.LIVE,),
            max_input_mib=1_000_000,  # one caller, who knows its machine
            config_timeout=30.0,
        )
        self.servers: list[config_serving.ConfigServer | matcher_serving.MatcherServer] = []

    async def start(self) -> None:
        self.servers.append(await config_serving.start(self.config_env))
        self.servers.append(await matcher_serving.start(self.matcher_env))

    async def stop(self) -> None:
        for server in reversed(self.servers):
            await server.stop(grace=0)
