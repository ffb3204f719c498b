"""The feed: the newest state, read as seldom as possible and never overtaken by an older read."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from config_service.feed import Feed
from config_service.state import State
from config_service.store import Store
from dedup_model.errors import KeyNotInRing, StoreUnavailable


class ScriptedStore:
    """A store whose reads do what the test says, one after the other, and then repeat the last."""

    def __init__(self, store: Store, *reads: Callable[[], State]) -> None:
        self.keyring, self._reads, self.begun = store.keyring, list(reads), 0

    def state(self) -> State:
        self.begun += 1
        return (self._reads.pop(0) if len(self._reads) > 1 else self._reads[0])()

    def stamp(self) -> tuple[str, int]:
        return self.state().stamp


@pytest.fixture
def present(store: Store) -> State:
    return store.state()


@pytest.fixture
async def feed_of(store: Store, present: State) -> AsyncIterator[Callable[..., Any]]:
    """Return a feed that begins with the present state, and its scripted store."""
    with ThreadPoolExecutor(4) as executor:

        def make(*reads: Callable[[], State]) -> tuple[Feed, ScriptedStore]:
            scripted: Any = ScriptedStore(store, *reads)
            return Feed(scripted, executor, present, 0.01), scripted

        yield make
    store.close()


def later(state: State, by: int, epoch: str = "") -> State:
    revision = replace(state.revision, number=state.revision.number + by)
    return replace(state, revision=revision, epoch=epoch or state.epoch)


async def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)


async def test_a_slow_read_of_an_older_epoch_does_not_undo_a_newer_one(
    feed_of: Any, present: State
) -> None:
    slow = threading.Event()
    newer = later(present, 0, epoch="0" * 36)
    feed, _ = feed_of(lambda: slow.wait(5) and later(present, 1), lambda: newer)
    reads = [asyncio.create_task(feed.refresh()) for _ in range(2)]
    await asyncio.sleep(0.05)
    slow.set()
    await asyncio.gather(*reads)
    assert feed.state.epoch == newer.epoch


async def test_a_store_that_went_back_is_shown_as_it_is_and_that_is_said(
    feed_of: Any, present: State, caplog: pytest.LogCaptureFixture
) -> None:
    feed, _ = feed_of(lambda: later(present, 5), lambda: later(present, 3))
    await feed.refresh()
    assert not caplog.messages
    assert (await feed.refresh()).revision.number == present.revision.number + 3
    (said,) = caplog.messages
    assert "new-epoch" in said


async def test_a_read_that_was_given_up_never_takes_a_newer_ones_place(
    feed_of: Any, present: State
) -> None:
    slow = threading.Event()
    feed, _ = feed_of(lambda: slow.wait(5) and later(present, 1), lambda: later(present, 2))
    given_up = asyncio.create_task(feed.refresh())
    await asyncio.sleep(0.05)
    given_up.cancel()
    assert (await feed.refresh()).revision.number == present.revision.number + 2
    slow.set()
    await asyncio.sleep(0.05)
    assert feed.state.revision.number == present.revision.number + 2


async def test_many_who_ask_at_once_share_a_read_that_began_after_they_asked(
    feed_of: Any, present: State
) -> None:
    slow = threading.Event()
    feed, store = feed_of(lambda: slow.wait(5) and later(present, 1), lambda: later(present, 2))
    first = asyncio.create_task(feed.refresh())
    await asyncio.sleep(0.05)
    crowd = [asyncio.create_task(feed.refresh()) for _ in range(20)]
    await asyncio.sleep(0.05)
    slow.set()
    assert (await first).revision.number == present.revision.number + 1
    seen = {state.revision.number for state in await asyncio.gather(*crowd)}
    assert seen == {present.revision.number + 2}
    assert store.begun == 2


async def test_a_read_that_fails_does_not_count_for_those_who_wait(
    feed_of: Any, present: State
) -> None:
    slow = threading.Event()

    def fail() -> State:
        raise StoreUnavailable("down")

    feed, _ = feed_of(lambda: slow.wait(5) and present, fail, lambda: later(present, 1))
    waiting = [asyncio.create_task(feed.refresh()) for _ in range(3)]
    await asyncio.sleep(0.05)
    slow.set()
    _, failed, fresh = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(failed, StoreUnavailable)
    assert fresh.revision.number == present.revision.number + 1


async def test_the_poll_goes_on_after_an_error_that_nobody_foresaw(
    feed_of: Any, present: State, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> State:
        raise RuntimeError("canary-4711")

    feed, _ = feed_of(fail, lambda: later(present, 1))
    with caplog.at_level(logging.ERROR, "event_dedup.config.feed"):
        polling = asyncio.create_task(feed.poll())
        assert await feed.changed(present, 20)
    polling.cancel()
    assert "RuntimeError" in caplog.text
    assert "canary-4711" not in caplog.text


async def test_the_lag_grows_while_a_newer_head_does_not_open_and_why_is_told_once(
    feed_of: Any, present: State, caplog: pytest.LogCaptureFixture
) -> None:
    def closed() -> State:
        raise KeyNotInRing("not ours")

    reads = [lambda: later(present, 1), closed] * 20
    feed, _ = feed_of(*reads, lambda: later(present, 1))
    before = feed.lag()
    with caplog.at_level(logging.INFO, "event_dedup.config.feed"):
        polling = asyncio.create_task(feed.poll())
        await until(lambda: feed.lost)
        assert feed.state.revision.number == present.revision.number
        assert feed.lag() > before
        assert await feed.changed(present, 20)
        await until(lambda: not feed.lost)
    polling.cancel()
    assert feed.lag() < 5
    assert caplog.messages == ["the head cannot be read: KEY_NOT_IN_RING", "the head is read again"]


async def test_a_wait_ends_after_its_time_and_leaves_nothing_behind(
    feed_of: Any, present: State
) -> None:
    feed, _ = feed_of(lambda: present)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert not await feed.changed(present, 0.1)
    assert loop.time() - began >= 0.1
    waiting = [asyncio.create_task(feed.changed(present, 5)) for _ in range(3)]
    await asyncio.sleep(0.01)
    feed.wake()
    assert await asyncio.gather(*waiting) == [False] * 3
