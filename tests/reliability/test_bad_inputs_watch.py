"""Bad watches, row by row of the bad-input table."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from datetime import timedelta

import grpc
import pytest
from reliability.bad_inputs import Caller, row
from reliability.harness import Service, service
from reliability.transport import Connection, connected, data, head, message, request_headers

from config_service import database, setup
from config_service.keyring import Keyring
from config_service.retention import Retention
from config_service.store import Store, utc_now
from dedup_rpc.limits import Limits
from eventdedup.config.v1 import config_service_pb2 as pb

Code = grpc.StatusCode
EVERY = pb.WATCH_MODE_EVERY
PATH = b"/eventdedup.config.v1.ConfigService/WatchConfig"
REVISIONS, GONE = 8, 5


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """Yield a service whose first revisions are compacted."""
    with service() as made:
        made.start()
        with closing(Caller(made.address)) as caller:
            for i in range(REVISIONS - 1):
                request = pb.UpdateConfigRequest()
                request.config.geo.neutral_score = 0.1 + i / 100
                caller("UpdateConfig", request)
        compact(made, REVISIONS - GONE)
        yield made


def compact(running: Service, kept: int) -> None:
    """Compact as a server does that runs two days from now."""
    engine = database.open_database(database.parse_url(running.env.database_url))
    keyring = Keyring(setup.EnvRing(running.env))
    store = Store(engine, keyring, lambda: utc_now() + timedelta(days=2))
    store.keyring.look(store)
    store.compact(Retention(kept, timedelta(0)), "tester")
    store.close()


@pytest.fixture
def caller(running: Service) -> Iterator[Caller]:
    with closing(Caller(running.address)) as made:
        yield made


@row("W1", "W5", "B6")
@pytest.mark.parametrize(
    ("request_", "reason"),
    [(pb.WatchConfigRequest(mode=EVERY, after_revision=-1), "RANGE"),
     (pb.WatchConfigRequest(after_revision=-(2**63)), "RANGE"),
     (pb.WatchConfigRequest(epoch="garbage"), "EPOCH_FORMAT"),
     (pb.WatchConfigRequest(epoch="a" * 100_000), "EPOCH_FORMAT"),
     (pb.WatchConfigRequest(epoch="\x00"), "EPOCH_FORMAT"),
     (pb.WatchConfigRequest(heartbeat_seconds=0), "RANGE"),
     (pb.WatchConfigRequest(heartbeat_seconds=-1), "RANGE"),
     (pb.WatchConfigRequest(heartbeat_seconds=float("nan")), "RANGE"),
     (pb.WatchConfigRequest(heartbeat_seconds=float("inf")), "RANGE"),
     (pb.WatchConfigRequest(mode=7), "UNKNOWN_VALUE")],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_watch_of_nothing_sensible_is_refused(
    caller: Caller, request_: pb.WatchConfigRequest, reason: str
) -> None:
    answer = caller.watch(request_)
    assert (answer.code, answer.reason) == (Code.INVALID_ARGUMENT, reason)


@row("W2")
def test_a_watch_begins_with_the_state_that_holds(caller: Caller) -> None:
    for request in (b"", pb.WatchConfigRequest(after_revision=0)):
        (first,) = caller.watch(request).message
        assert first.state.revision.revision == REVISIONS


@row("W2")
def test_every_revision_comes_after_a_bookmark(caller: Caller) -> None:
    after = REVISIONS - 2
    seen = caller.watch(pb.WatchConfigRequest(mode=EVERY, after_revision=after), 3).message
    assert (seen[0].bookmark.after_revision, seen[0].bookmark.head) == (after, REVISIONS)
    assert [event.state.revision.revision for event in seen[1:]] == [REVISIONS - 1, REVISIONS]


@row("W3")
@pytest.mark.parametrize("after", range(GONE))
def test_a_cursor_at_a_compacted_revision_gets_one_whole_state(caller: Caller, after: int) -> None:
    seen = caller.watch(pb.WatchConfigRequest(mode=EVERY, after_revision=after), 2).message
    state = seen[-1].state
    assert (state.revision.revision, state.resync) == (REVISIONS, True)
    assert state.skipped_revisions == REVISIONS - after - 1


@row("W4")
@pytest.mark.parametrize("after", [REVISIONS + 1, 2**63 - 1])
def test_a_cursor_of_the_future_is_out_of_range(caller: Caller, after: int) -> None:
    answer = caller.watch(pb.WatchConfigRequest(mode=EVERY, after_revision=after))
    assert (answer.code, answer.reason) == (Code.OUT_OF_RANGE, "FUTURE_REVISION")
    assert answer.facts == {"head": str(REVISIONS)}


@row("W5")
@pytest.mark.parametrize("mode", [0, EVERY])
def test_a_cursor_of_another_epoch_gets_one_whole_state(caller: Caller, mode: int) -> None:
    request = pb.WatchConfigRequest(mode=mode, epoch=str(uuid.uuid4()), after_revision=10**9)
    (first,) = caller.watch(request).message
    assert first.state.resync
    assert first.state.epoch == caller("GetConfig").message.epoch


@row("W6")
async def test_watches_beyond_the_share_of_a_principal_are_refused(running: Service) -> None:
    share, connections = Limits().streams_per_principal, 5
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            connection = await stack.enter_async_context(connected(running.address))
            await open_watches(connection, share // connections)
        with closing(Caller(running.address)) as caller:
            answer = await asyncio.to_thread(caller.watch)
            others = await asyncio.to_thread(caller, "GetConfig")
    assert (answer.code, answer.reason) == (Code.RESOURCE_EXHAUSTED, "WATCH_LIMIT")
    assert others.code is Code.OK


async def open_watches(connection: Connection, count: int) -> None:
    """Open watches, and wait until each has shown its first state."""
    streams = [2 * i + 1 for i in range(count)]
    for stream in streams:
        connection.send(head(request_headers(PATH), stream), data(message(b""), stream))
    ends = [await connection.answered(stream) for stream in streams]
    assert not any(end.done for end in ends)
