"""Many watchers: what they share, what one that stalls costs, and how it is let go."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from config_service.env import Env
from config_service.feed import Feed
from config_service.grants import GRANTS, SERVICE
from config_service.revision import Revision
from config_service.servicer import Servicer
from config_service.serving import ConfigServer
from config_service.steps import KEPT, Seen, Steps
from config_service.store import Store
from config_service.watch import Watch, WatchOptions
from config_service.watches import Watches
from config_service.writers import Writers
from dedup_model.errors import LimitExceeded, RevisionCompacted, StoreUnavailable
from dedup_rpc.server import Serving
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import (
    ConfigServiceStub,
    add_ConfigServiceServicer_to_server,
)

EVERY = WatchOptions(every=True, after=0)
LATEST = WatchOptions()
BIG = {"text": {"prefixes": [{"text": f"{i:04d}" + "x" * 190} for i in range(900)]}}


class Reader:
    """Takes what a watch writes; stands still while `open` is not set."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self._took = asyncio.Condition()

    async def write(self, message: bytes) -> None:
        await self.open.wait()
        async with self._took:
            self.messages.append(message)
            self._took.notify_all()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(20), self._took:
            await self._took.wait_for(lambda: len(self.messages) >= count)

    @property
    def kinds(self) -> list[str]:
        return [str(self._parsed(m).WhichOneof("event")) for m in self.messages]

    @property
    def revisions(self) -> list[int]:
        states = (self._parsed(m).state for m in self.messages)
        return [state.revision.revision for state in states if state.revision.revision]

    @staticmethod
    def _parsed(message: bytes) -> pb.WatchConfigResponse:
        return pb.WatchConfigResponse.FromString(message)


class CountingFeed(Feed):
    """The feed of a running server, that counts the blocking work it is asked for."""

    def __init__(self, feed: Feed) -> None:
        self.__dict__ = feed.__dict__
        self.asked = 0

    async def run_blocking(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        return await super().run_blocking(work, *args, **kwargs)


class GoneStore:
    """A store that answers for its revisions with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def revision(self, number: int, epoch: str) -> Revision:
        raise self.error


@pytest.fixture
async def watching(server: ConfigServer, store: Store) -> AsyncIterator[Any]:
    """Start watches of the running server that write to readers."""
    watches = Watches(server.feed, store, server.serving.stopping, write_seconds=0.4)
    tasks: list[asyncio.Task[None]] = []

    def start(options: WatchOptions, reader: Reader) -> "asyncio.Task[None]":
        tasks.append(asyncio.create_task(watches.serve(options, reader.write)))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def write(client: Any, count: int) -> None:
    head = await client.head()
    for number in range(head + 1, head + 1 + count):
        await client.update({"geo": {"neutral_score": number / 1000}})


async def rest(call: Any) -> int:
    """Read a stream to its end; returns how many messages there were."""
    count = 0
    while await call.read() is not grpc.aio.EOF:
        count += 1
    return count


def alive(kind: type = Seen) -> int:
    """Return how many shown states, or other objects, are in memory."""
    gc.collect()
    return sum(isinstance(found, kind) for found in gc.get_objects())


async def left(watches: int) -> None:
    """Wait until so many watches are left."""
    async with asyncio.timeout(20):
        while alive(Watch) != watches:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("options", "first"), [(LATEST, 1), (EVERY, 2)])
async def test_many_watchers_are_sent_the_same_bytes_object(
    client: Any, watching: Any, options: WatchOptions, first: int
) -> None:
    readers = [Reader() for _ in range(50)]
    for reader in readers:
        watching(options, reader)
        await reader.has(first)
    await write(client, 1)
    for reader in readers:
        await reader.has(first + 1)
    assert readers[0].revisions == [1, 2]
    for position in range(first - 1, first + 1):
        assert len({id(reader.messages[position]) for reader in readers}) == 1


async def test_watchers_behind_the_head_share_one_read_of_each_revision(
    client: Any, server: ConfigServer, store: Store
) -> None:
    await write(client, 6)
    feed = CountingFeed(server.feed)
    watches = Watches(feed, store, server.serving.stopping)
    readers = [Reader() for _ in range(40)]
    tasks = [asyncio.create_task(watches.serve(EVERY, reader.write)) for reader in readers]
    for reader in readers:
        await reader.has(8)
        assert reader.revisions == [1, 2, 3, 4, 5, 6, 7]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert feed.asked == 6


async def test_who_shares_a_read_may_leave_without_ending_it_for_the_others(
    client: Any, server: ConfigServer, store: Store
) -> None:
    await write(client, 2)
    steps, head = Steps(server.feed, store), server.feed.state
    leaving = asyncio.create_task(steps.following(head, 1))
    staying = asyncio.create_task(steps.following(head, 1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).revision.number == 2
    assert leaving.cancelled()


async def test_a_read_that_fails_is_told_to_all_who_wait_and_tried_again(
    client: Any, server: ConfigServer
) -> None:
    await write(client, 2)
    gone: Any = GoneStore(StoreUnavailable("down"))
    steps, head = Steps(server.feed, gone), server.feed.state
    asking = (steps.following(head, 1) for _ in range(3))
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    gone.error = RevisionCompacted("gone")
    assert (await steps.following(head, 1)).resync


async def test_a_compacted_revision_gives_one_whole_state_with_the_number_of_skipped_ones(
    client: Any, server: ConfigServer
) -> None:
    await write(client, 5)
    gone: Any = GoneStore(RevisionCompacted("gone"))
    watches, reader = Watches(server.feed, gone, server.serving.stopping), Reader()
    task = asyncio.create_task(watches.serve(WatchOptions(every=True, after=2), reader.write))
    await reader.has(2)
    await write(client, 1)
    await reader.has(3)
    task.cancel()
    shown = [pb.WatchConfigResponse.FromString(message).state for message in reader.messages[1:]]
    assert [(s.revision.revision, s.resync, s.skipped_revisions) for s in shown] == [
        (6, True, 3),
        (7, False, 0),
    ]


async def test_what_is_kept_for_sharing_is_bounded(
    client: Any, server: ConfigServer, store: Store
) -> None:
    await write(client, 2 * KEPT)
    before, steps, head = alive(), Steps(server.feed, store), server.feed.state
    for after in range(2 * KEPT):
        await steps.following(head, after)
    assert alive() - before <= KEPT


async def test_a_reader_that_stands_still_holds_one_state_and_delays_nobody(
    client: Any, server: ConfigServer, store: Store
) -> None:
    watches = Watches(server.feed, store, server.serving.stopping)
    slow, quick = [Reader() for _ in range(10)], [Reader() for _ in range(10)]
    tasks = [asyncio.create_task(watches.serve(EVERY, r.write)) for r in (*slow, *quick)]
    for reader in (*slow, *quick):
        await reader.has(2)
    for reader in slow:
        reader.open.clear()
    await write(client, 3 * KEPT)
    for reader in quick:
        await reader.has(2 + 3 * KEPT)
    assert alive() <= 2 * KEPT
    for reader in slow:
        reader.open.set()
        await reader.has(2 + 3 * KEPT)
        assert reader.revisions == list(range(1, 2 + 3 * KEPT))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_watch_whose_write_is_not_taken_ends_and_frees_what_it_held(
    client: Any, watching: Any
) -> None:
    still, going = Reader(), Reader()
    stalled, other = watching(LATEST, still), watching(LATEST, going)
    await still.has(1)
    still.open.clear()
    await write(client, 1)
    with pytest.raises(LimitExceeded, match=r"has not read for 0\.4 s"):
        await asyncio.wait_for(stalled, 20)
    await write(client, 1)
    await going.has(3)
    assert not other.done()
    assert going.revisions == [1, 2, 3]


@pytest.fixture
async def impatient(server: ConfigServer, store: Store, env: Env) -> AsyncIterator[str]:
    """Serve the same store at another address, where a write has half a second."""

    def register(serving: Serving, listening: grpc.aio.Server) -> None:
        watches = Watches(server.feed, store, serving.stopping, write_seconds=0.5)
        servicer = Servicer(store, server.feed, Writers(store, server.feed), watches)
        add_ConfigServiceServicer_to_server(servicer, listening)

    serving = Serving((SERVICE,), register, env.access.guard(GRANTS))
    yield await serving.start("127.0.0.1:0")
    await serving.stop(0)


async def test_a_client_that_stops_reading_learns_why_its_stream_ended(
    impatient: str, client: Any
) -> None:
    """Messages of 200 kB in a window of 64 kB: the stream stands until the client reads."""
    await client.update(BIG)
    options = [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(impatient, options=options) as channel:
        call = ConfigServiceStub(channel).WatchConfig(pb.WatchConfigRequest())
        await call.read()
        await write(client, 3)
        await left(0)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(rest(call), 20)
    refused = remote_error(ended.value)
    assert (refused.code.name, refused.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")


async def test_a_client_that_leaves_while_it_is_written_to_is_no_failure(
    impatient: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await client.update(BIG)
    options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    for _ in range(5):
        channel = grpc.aio.insecure_channel(impatient, options=options)
        call = ConfigServiceStub(channel).WatchConfig(pb.WatchConfigRequest())
        await call.read()
        await write(client, 3)
        await channel.close()
    await left(0)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until the log tells of something."""
    async with asyncio.timeout(20):
        while text not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_while_it_is_told_why_its_stream_ended_is_no_failure(
    impatient: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The status stands behind the unread messages when the client goes."""
    await client.update(BIG)
    channel = grpc.aio.insecure_channel(impatient, options=[("grpc.http2.bdp_probe", 0)])
    call = ConfigServiceStub(channel).WatchConfig(pb.WatchConfigRequest())
    await call.read()
    with caplog.at_level("INFO", "event_dedup.rpc"):
        await write(client, 3)
        await logged(caplog, "RESOURCE_EXHAUSTED LIMIT_EXCEEDED")
        await channel.close()
        await left(0)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_watchers_that_never_read_again_are_let_go_and_delay_nobody(
    impatient: str, client: Any
) -> None:
    await client.update(BIG)
    options = [("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(impatient, options=options) for _ in range(10)]
    stalled = [ConfigServiceStub(c).WatchConfig(pb.WatchConfigRequest()) for c in channels[:9]]
    for call in stalled:
        await call.read()
    reading = ConfigServiceStub(channels[9]).WatchConfig(pb.WatchConfigRequest())
    await reading.read()
    for step in range(10):
        await write(client, 1)
        state = (await asyncio.wait_for(reading.read(), 20)).state
        assert state.revision.revision == 3 + step
    await left(1)
    for channel in channels:
        await channel.close()
