"""Writers and readers on two replicas of one PostgreSQL: nothing lost, nothing older than known."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from reliability import planted
from reliability.checker import Checker
from reliability.harness import FULL, Serve, Service, serve, service
from reliability.postgres_server import PostgresServer
from reliability.workload import (
    DEADLINE_SECONDS,
    FIELDS,
    RACED,
    Client,
    Journal,
    Outcome,
    Write,
    new_id,
)
from sqlalchemy import create_engine, text

from config_service import setup
from config_service.database import parse_url
from eventdedup.config.v1 import config_service_pb2 as pb

WRITERS, UPDATES = 8, 25
NOTICED_WITHIN, NOT_MERGED = 4, "is not the merge of the writes before it"
REPEATS, ROUNDS, RACERS, READS = (10, 100, 16, 400) if FULL else (1, 4, 8, 40)


@dataclass
class Pair:
    """Two replicas of one store, and a journal of what was written through either."""

    replicas: list[Service]
    journal: Journal = field(default_factory=Journal)
    clients: list[Client] = field(default_factory=list)

    def client(self, number: int) -> Client:
        """Return a new client of one of the replicas."""
        self.clients.append(Client(self.replicas[number % 2].address, self.journal))
        return self.clients[-1]

    async def check(self) -> list[str]:
        """Return what does not hold in the database."""
        checker = Checker(self.journal)
        return await asyncio.to_thread(checker.check_whole, self.replicas[0].env)


@asynccontextmanager
async def pair(postgres: PostgresServer, target: Serve = serve) -> AsyncIterator[Pair]:
    """Start two replicas on a database of their own."""
    url = postgres.create()
    with ExitStack() as stack:
        one, two = (stack.enter_context(service(url, target)) for _ in range(2))
        two.env = replace(two.env, keyring=one.env.keyring)
        setup.migrate(one.env).close()
        await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in (one, two)))
        made = Pair([one, two])
        yield made
        for client in made.clients:
            await client.channel.close()


async def write_alternately(made: Pair, writer: int) -> None:
    """Update one setting 25 times, through one replica and the other in turn."""
    clients = [made.client(0), made.client(1)]
    for step in range(1, UPDATES + 1):
        value = 0.1 + (len(made.journal.writes) + 1) / 1e5
        write = made.journal.begin(FIELDS[writer], round(value, 5), request_id=new_id())
        await clients[(writer + step) % 2].settle(write)


async def race(clients: list[Client], etag: str, dice: random.Random) -> list[Write]:
    """Send updates with one etag at once; returns those that were acknowledged."""
    journal, values = clients[0].journal, [round(dice.uniform(0.8, 1), 9) for _ in clients]
    writes = [journal.begin(RACED, v, etag=etag, request_id=new_id()) for v in values]
    outcomes = await asyncio.gather(*map(Client.settle, clients, writes))
    assert set(outcomes) <= {Outcome.ACKNOWLEDGED, Outcome.NOT_APPLIED}
    return [write for write in writes if write.outcome is Outcome.ACKNOWLEDGED]


async def stale_reads(made: Pair, reads: int) -> list[str]:
    """Write and read in turn; returns the reads that were older than what was acknowledged."""
    writer, other = made.client(0), made.client(1)
    found: list[str] = []
    for number in range(reads):
        write = made.journal.begin(FIELDS[0], round(0.2 + number / 1e5, 5), request_id=new_id())
        await writer.settle(write)
        here = await writer.stub.GetConfig(pb.GetConfigRequest(), timeout=DEADLINE_SECONDS)
        there = await other.stub.GetSnapshot(at_least(write), timeout=DEADLINE_SECONDS)
        seen = {"GetConfig": here.revision.revision, "GetSnapshot": there.revision}
        found += [f"{rpc} answers {r}" for rpc, r in seen.items() if r < write.revision]
        writer, other = other, writer
    return found


def at_least(write: Write) -> pb.GetSnapshotRequest:
    epoch = write.answer.epoch  # type: ignore[union-attr]
    return pb.GetSnapshotRequest(known_epoch=epoch, min_revision=write.revision)


async def test_eight_writers_on_two_replicas_lose_none_of_their_updates(
    killable_postgres: PostgresServer,
) -> None:
    async with pair(killable_postgres) as made:
        for _ in range(REPEATS):
            await asyncio.gather(*(write_alternately(made, writer) for writer in range(WRITERS)))
        assert not await made.check()
    assert len(made.journal.acknowledged()) == WRITERS * UPDATES * REPEATS
    assert max(write.revision for write in made.journal.acknowledged()) == 1 + (
        WRITERS * UPDATES * REPEATS
    )
    print(dict(made.journal.codes))


async def test_of_racers_with_one_etag_on_two_replicas_exactly_one_wins(
    killable_postgres: PostgresServer,
) -> None:
    async with pair(killable_postgres) as made:
        clients = [made.client(number) for number in range(RACERS)]
        dice, etag = random.Random(RACERS), await clients[0].etag()
        for _ in range(ROUNDS):
            (won,) = await race(clients, etag, dice)
            etag = won.answer.revision.etag  # type: ignore[union-attr]
        assert not await made.check()


async def test_a_read_after_an_acknowledgement_is_never_older_on_either_replica(
    killable_postgres: PostgresServer,
) -> None:
    async with pair(killable_postgres) as made:
        assert not await stale_reads(made, READS)
        assert not await made.check()


async def test_the_experiment_notices_writers_without_a_lock(
    killable_postgres: PostgresServer,
) -> None:
    async with pair(killable_postgres, planted.unlocked) as made:
        allow_twin_events(made)
        for _ in range(NOTICED_WITHIN):
            await asyncio.gather(*(write_alternately(made, writer) for writer in range(WRITERS)))
            found = [sentence for sentence in await made.check() if NOT_MERGED in sentence]
            if found:
                break
    assert found


def allow_twin_events(made: Pair) -> None:
    """Let two writers log the same event: the audit log's key would refuse the later one."""
    url = parse_url(made.replicas[0].env.database_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ALTER TABLE audit_events DROP CONSTRAINT audit_events_pkey"))
    engine.dispose()


async def test_the_experiment_notices_a_reader_that_is_behind(
    killable_postgres: PostgresServer,
) -> None:
    async with pair(killable_postgres, planted.forgetful) as made:
        found = await stale_reads(made, 20)
    assert any("GetConfig" in sentence for sentence in found)
