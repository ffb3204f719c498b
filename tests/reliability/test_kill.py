"""SIGKILL at random moments: what was acknowledged stays, once, and everything agrees."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest
from reliability import planted
from reliability.answers import Answers
from reliability.checker import Checker
from reliability.harness import FULL, Serve, Service, database_as_it_is, serve, service
from reliability.postgres_server import PostgresServer
from reliability.workload import Client, Workload

from config_service import setup

SQLITE_KILLS, POSTGRES_KILLS = (500, 100) if FULL else (14, 8)
KILLS_A_DATABASE = 50
BUG_KILLS = 150
"""At most; a bug is noticed after a few."""
SEED = 20260207


@dataclass
class Run:
    """One database under kills."""

    service: Service
    seed: int
    postgres: PostgresServer | None = None
    kills: int = 0
    awaited: str = ""
    found: list[str] = field(default_factory=list)

    async def go(self, kills: int) -> None:
        """Kill, check and start again `kills` times, or until what is awaited does not hold."""
        self.dice = random.Random(self.seed)
        self.workload = Workload(self.service.address, self.seed)
        self.checker = Checker(self.workload.journal)
        self.answers = Answers(Client(self.service.address, self.workload.journal))
        await asyncio.to_thread(self.service.start)
        while self.kills < kills and not self.noticed:
            await self._let_it_write()
            await self._kill_and_check()
        await self._end()

    @property
    def noticed(self) -> bool:
        """Tell whether what is awaited was found; without anything awaited, whether anything was."""
        return any(self.awaited in sentence for sentence in self.found)

    async def _let_it_write(self) -> None:
        """Wait for a random number of answers, so that a slow machine gets as far, and a moment."""
        codes = self.workload.journal.codes
        enough = codes["OK"] + self.dice.randint(0, 20)
        for _ in range(2500):
            if codes["OK"] >= enough:
                break
            await asyncio.sleep(0.002)
        await asyncio.sleep(self.dice.uniform(0, 0.03))

    async def _kill_and_check(self) -> None:
        self.kills += 1
        postgres = self.postgres if self.kills % 3 == 0 else None
        if postgres:
            await asyncio.to_thread(postgres.kill)
        if not postgres or self.kills % 2:
            await asyncio.to_thread(self.service.kill)
        acknowledged = self.workload.journal.acknowledged()
        if postgres:
            await asyncio.to_thread(postgres.start)
        with database_as_it_is(self.service.env) as copy:
            check = asyncio.to_thread(self.checker.check, copy, acknowledged)
            found, _ = await asyncio.gather(check, asyncio.to_thread(self._start_again))
        self.found += found or await self.answers.check(acknowledged)

    def _start_again(self) -> None:
        """Start the service; one start in eight is killed before it listens."""
        if self.service.process:
            return
        if self.dice.random() < 0.125:
            self.service.launch()
            time.sleep(self.dice.uniform(0, 0.1))
            self.service.kill()
            self.kills += 1
        self.service.start()

    async def _end(self) -> None:
        await self.answers.client.channel.close()
        if self.noticed:
            await self.workload.abandon()
            return
        await self.workload.finish()
        self.found += await asyncio.to_thread(self.checker.check_whole, self.service.env)
        assert await asyncio.to_thread(self.service.stop) == 0

    def figures(self) -> str:
        """Return what happened in one line."""
        journal = self.workload.journal
        codes = ", ".join(f"{code} {n}" for code, n in sorted(journal.codes.items()))
        acknowledged = len(journal.acknowledged())
        return (
            f"{self.kills} kills, {acknowledged} acknowledged, {journal.repeats} repeats; {codes}"
        )


async def killed(
    kills: int,
    seed: int,
    target: Serve = serve,
    postgres: PostgresServer | None = None,
    awaited: str = "",
) -> Run:
    url = postgres.create() if postgres else ""
    with service(url, target) as made:
        setup.migrate(made.env).close()
        run = Run(made, seed, postgres, awaited=awaited)
        await run.go(kills)
        print(run.figures())
        return run


async def test_kill_9_on_sqlite_loses_nothing_and_leaves_everything_in_agreement() -> None:
    done = 0
    while done < SQLITE_KILLS:
        run = await killed(min(KILLS_A_DATABASE, SQLITE_KILLS - done), SEED + done)
        assert not run.found
        done += run.kills
        assert len(run.workload.journal.acknowledged()) > 2 * run.kills


async def test_kill_9_of_service_and_postgresql_loses_nothing(
    killable_postgres: PostgresServer,
) -> None:
    done = 0
    while done < POSTGRES_KILLS:
        kills = min(KILLS_A_DATABASE, POSTGRES_KILLS - done)
        run = await killed(kills, SEED + done, postgres=killable_postgres)
        assert not run.found
        done += run.kills
        assert len(run.workload.journal.acknowledged()) > 2 * run.kills


@pytest.mark.parametrize(
    ("bug", "complaint"),
    [
        (planted.two_transactions, "is not the newest revision"),
        (planted.late_commit, "is lost"),
        (planted.forgotten_requests, "another answer to the same request_id"),
        (planted.sequence, "are not contiguous"),
    ],
)
async def test_the_experiment_notices(bug: Serve, complaint: str) -> None:
    assert (await killed(BUG_KILLS, SEED, bug, awaited=complaint)).noticed


async def test_the_experiment_notices_a_postgresql_that_commits_later(
    killable_postgres: PostgresServer,
) -> None:
    bug = planted.asynchronous_commit
    assert (await killed(BUG_KILLS, SEED, bug, killable_postgres, "is lost")).noticed
