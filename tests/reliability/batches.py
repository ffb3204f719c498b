"""Steady batches under settings that change: what each answer says it ran under, and what it ran under.

Two settings are always changed together, `scoring.title` and `thresholds.high`, to values that no
other revision has. The first shows in the score of every pair, the second in its verdict, so a batch
tells itself what it used.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc

from dedup_model.matching_config import MatchingConfig
from dedup_model.rules import SIGNALS, weights_of
from dedup_model.snapshot import Snapshot
from dedup_rpc.channel import connect_aio
from dedup_rpc.client import AsyncConfigClient, ServiceError
from dedup_rpc.status import remote_error
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

PLAIN = {
    "scoring.same_source_odds": 1.0,
    "scoring.other_source_odds": 1.0,
    "scoring.other_city_odds": 1.0,
    "thresholds.title_veto": 0.0,
}
"""With these a score is the weighted mean of its signals and nothing else."""
REQUEST = pb.DeduplicateBatchRequest(
    options=pb.BatchOptions(decision_floor=0),
    listings=[
        pb.Listing(
            id=name,
            title=title,
            source_code=name,
            event_dates=[pb.EventDate(date="2027-05-01", start_time="19:30")],
            location=pb.Location(city="Lahr", name="Stiftskirche"),
        )
        for name, title in (("a", "Orgelabend mit Chor"), ("b", "Chor und Orgel zum Abend"))
    ],
)
CLOSE = 1e-8


def twins(number: int) -> dict[str, float]:
    """Return the two settings of a write: heavy titles with a high threshold, or neither."""
    odd, little = number % 2, number * 1e-6
    return {
        "scoring.title": (0.9 if odd else 0.1) + little,
        "thresholds.high": (0.95 if odd else 0.8) - little,
    }


@dataclass
class Writer:
    """Changes the two settings again and again; notes which revisions were acknowledged."""

    client: AsyncConfigClient
    acknowledged: int = 0
    writes: Any = field(default_factory=lambda: count(1))

    async def begin(self) -> None:
        """Set what stays."""
        self.acknowledged = (await self.client.update({**PLAIN, **twins(0)})).revision.number

    async def run(self, pause: float) -> None:
        """Write until cancelled; a service that is away is waited for."""
        for number in self.writes:
            with suppress(ServiceError):
                edit = await self.client.update(twins(number))
                self.acknowledged = max(self.acknowledged, edit.revision.number)
            await asyncio.sleep(pause)


@dataclass(frozen=True)
class Answer:
    """What a batch answered; `acknowledged` and `answered` are the revisions known as it began."""

    response: pb.DeduplicateBatchResponse
    acknowledged: int
    answered: int

    @property
    def run(self) -> pb.Run:
        """Return what the batch says that it ran under."""
        return self.response.summary.run

    @property
    def source(self) -> str:
        """Return the rung of the ladder."""
        return pb.ConfigSource.Name(self.run.source).removeprefix("CONFIG_SOURCE_").lower()


@dataclass
class Batches:
    """Runs batches at one matcher and keeps what they answer."""

    address: str
    writer: Writer
    answers: list[Answer] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    newest: int = 0

    async def run(self, batches: Iterable[Any]) -> None:
        """Run a batch for each of `batches`, one after the other."""
        own = (("grpc.use_local_subchannel_pool", 1),)
        async with connect_aio(self.address, more=own) as channel:
            stub: Any = MatcherServiceStub(channel)
            for _ in batches:
                await self._one(stub)

    async def _one(self, stub: Any) -> None:
        known = self.writer.acknowledged, self.newest
        try:
            response = await stub.DeduplicateBatch(REQUEST, timeout=30)
        except grpc.aio.AioRpcError as error:
            remote = remote_error(error)
            self.refusals[f"{remote.code.name} {remote.reason}"] += 1
            return
        self.answers.append(Answer(response, *known))
        self.newest = max(self.newest, response.summary.run.revision)

    @property
    def sources(self) -> Counter[str]:
        """Return how often each rung gave the config."""
        return Counter(answer.source for answer in self.answers)


async def wrong(client: AsyncConfigClient, batches: Batches, allowed: set[str]) -> list[str]:
    """Return what does not hold, a line a kind; asks ConfigService for every revision that was named."""
    named = {answer.run.revision for answer in batches.answers if answer.run.revision}
    truth = {number: await client.snapshot(revision=number) for number in sorted(named)}
    problems = [one for answer in batches.answers for one in _problems(answer, truth, allowed)]
    return sorted(set(problems))


def _problems(answer: Answer, truth: dict[int, Snapshot], allowed: set[str]) -> Iterable[str]:
    run, held = answer.run, truth.get(answer.run.revision)
    if answer.source not in allowed:
        yield f"the rung {answer.source} is not allowed"
    if held is None or (run.epoch, run.digest) != (held.epoch, held.digest):
        yield "the answer names a revision that is not so"
        return
    if answer.source == "live" and run.revision < answer.acknowledged:
        yield "a live batch ran under a revision older than one acknowledged before it"
    if run.revision < answer.answered:
        yield "a batch ran under an older revision than one that had ended before it"
    if not _ran_under(answer.response, held.config):
        yield "a batch ran under other settings than those of its revision"


def _ran_under(response: pb.DeduplicateBatchResponse, config: MatchingConfig) -> bool:
    """Tell whether score, verdict and rules of an answer are those that a config gives."""
    (pair,) = response.results.decisions
    rules, high = response.summary.rules, config.thresholds.high
    weights = dict(zip(SIGNALS, weights_of(config, None), strict=True))
    score = sum(weights[name] * getattr(pair, name) for name in SIGNALS) / sum(weights.values())
    verdict = pb.DECISION_MATCH if pair.combined >= high else pb.DECISION_AMBIGUOUS
    return (
        abs(pair.combined - score) < CLOSE
        and pair.decision == verdict
        and (rules.high, rules.weights[0].title) == (high, weights["title"])
    )
