"""Writers that retry what they do not know, and the journal of what they were told.

Each write carries a reason of its own, which the history keeps in clear: the checker finds every
write in the database by it.
"""

import asyncio
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from dedup_model import tree
from dedup_rpc.wire import to_message
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig

Code = grpc.StatusCode
UNKNOWN = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.INTERNAL}
"""Codes that leave open whether the write was applied."""
NOT_APPLIED = {
    Code.INVALID_ARGUMENT,
    Code.FAILED_PRECONDITION,
    Code.ABORTED,
    Code.OUT_OF_RANGE,
    Code.NOT_FOUND,
    Code.UNAUTHENTICATED,
    Code.PERMISSION_DENIED,
    Code.RESOURCE_EXHAUSTED,
}
"""Codes that promise that the write was not applied."""
SECRET = "ai.api_key"
RACED, CARELESS = ("thresholds", "high"), ("geo", "neutral_score")
FIELDS = [
    path
    for path in tree.leaf_paths()
    if isinstance(tree.find(tree.DEFAULTS, path), float) and path[0] in ("scoring", "geo", "ai")
][:8]
"""Settings that take any value between 0 and 1, one for each writer."""
DEADLINE_SECONDS, PAUSE_SECONDS, TRIES = 10.0, 0.005, 6000
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class Outcome(StrEnum):
    """What a writer knows of a write."""

    UNKNOWN = "unknown"
    ACKNOWLEDGED = "acknowledged"
    NOT_APPLIED = "not applied"


@dataclass
class Write:
    """One write with everything its writer was told about it."""

    reason: str
    path: tuple[str, ...] | None
    value: Any = field(repr=False)
    request_id: str = ""
    etag: str = ""
    outcome: Outcome = Outcome.UNKNOWN
    answer: Message | None = field(default=None, repr=False)

    @property
    def revision(self) -> int:
        """Return the revision that an acknowledgement named."""
        return self.answer.revision.revision if self.answer else 0  # type: ignore[attr-defined]

    def request(self) -> Any:
        """Return the request, the same each time."""
        meta: Any = {"reason": self.reason, "request_id": self.request_id, "etag": self.etag}
        if self.path is None:
            return pb.SetSecretRequest(name=SECRET, value=self.value, **meta)
        document = tree.put({}, self.path, self.value)
        mask = FieldMask(paths=[".".join(self.path)])
        config = to_message(document, MatchingConfig())
        return pb.UpdateConfigRequest(config=config, update_mask=mask, **meta)


@dataclass
class Journal:
    """Every write that was ever sent, and what went against the contract."""

    writes: dict[str, Write] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    repeats: int = 0

    def begin(self, path: tuple[str, ...] | None, value: Any, **more: Any) -> Write:
        """Note a write before it is sent for the first time."""
        write = Write(f"write {len(self.writes)}", path, value, **more)
        self.writes[write.reason] = write
        return write

    def acknowledged(self) -> list[Write]:
        """Return the writes that were acknowledged until now."""
        return [w for w in self.writes.values() if w.outcome is Outcome.ACKNOWLEDGED]


class Client:
    """One connection with at most one call on it, and what it may do.

    gRPC waits before it connects again to a server that was away; this client does not.
    """

    def __init__(self, address: str, journal: Journal) -> None:
        self._address, self.journal = address, journal
        self._connect()

    def _connect(self) -> None:
        self.channel = grpc.aio.insecure_channel(self._address, OWN_CONNECTION)
        self.stub: Any = ConfigServiceStub(self.channel)

    async def send(self, write: Write) -> Outcome:
        """Send a write once; notes code and answer."""
        method = self.stub.SetSecret if write.path is None else self.stub.UpdateConfig
        try:
            answer = await method(write.request(), timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            return self._failed(write, error.code())
        self.journal.codes["OK"] += 1
        self._answered(write, answer)
        return write.outcome

    async def settle(self, write: Write) -> Outcome:
        """Send a write until its outcome is known; it carries a request_id."""
        for _ in range(TRIES):
            if await self.send(write) is not Outcome.UNKNOWN:
                return write.outcome
            await self.reconnect()
        raise AssertionError(f"{write} stays unknown")

    async def repeat(self, write: Write) -> None:
        """Send an acknowledged write again; another answer goes against the contract."""
        self.journal.repeats += 1
        if await self.send(write) is Outcome.UNKNOWN:
            await self.reconnect()

    async def etag(self) -> str:
        """Return the head's etag, waiting for the service."""
        for _ in range(TRIES):
            try:
                answer = await self.stub.GetConfig(pb.GetConfigRequest(), timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError:
                await self.reconnect()
                continue
            return str(answer.revision.etag)
        raise AssertionError("the service stays away")

    async def reconnect(self) -> None:
        """Wait until somebody listens, then connect anew."""
        await self.channel.close()
        for _ in range(TRIES):
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                _, probe = await asyncio.open_unix_connection(self._address.removeprefix("unix:"))
            except OSError:
                continue
            probe.close()
            break
        self._connect()

    def _failed(self, write: Write, code: grpc.StatusCode) -> Outcome:
        self.journal.codes[code.name] += 1
        if code not in UNKNOWN | NOT_APPLIED:
            self.journal.violations.append(f"{write.reason}: {code.name} is no status of a write")
        if code in NOT_APPLIED:
            if write.outcome is Outcome.ACKNOWLEDGED:
                self.journal.violations.append(f"{write.reason}: {code.name} after an answer")
            else:
                write.outcome = Outcome.NOT_APPLIED
            return Outcome.NOT_APPLIED
        return Outcome.UNKNOWN

    def _answered(self, write: Write, answer: Message) -> None:
        if write.answer is None:
            write.answer = answer
        elif write.answer != answer:
            text = f"{write.reason}: another answer to the same request_id"
            self.journal.violations.append(text)
        write.outcome = Outcome.ACKNOWLEDGED


async def disjoint(client: Client, path: tuple[str, ...], stop: asyncio.Event, seed: int) -> None:
    """Write one setting again and again, and repeat some of the requests."""
    dice, done = random.Random(seed), 0
    mine: list[Write] = []
    while not stop.is_set():
        done += 1
        write = client.journal.begin(path, round(0.1 + done / 1e5, 5), request_id=new_id())
        await client.settle(write)
        mine.append(write)
        if dice.random() < 0.2:
            await client.repeat(dice.choice(mine[-20:]))


async def racing(clients: list[Client], stop: asyncio.Event, seed: int) -> None:
    """Send updates with one etag at once, over and over."""
    dice, journal = random.Random(seed), clients[0].journal
    while not stop.is_set():
        etag = await clients[0].etag()
        writes = [
            journal.begin(RACED, round(dice.uniform(0.8, 1), 9), etag=etag, request_id=new_id())
            for _ in clients
        ]
        await asyncio.gather(*map(Client.settle, clients, writes))
        won = [write for write in writes if write.outcome is Outcome.ACKNOWLEDGED]
        if len(won) > 1:
            journal.violations.append(f"{len(won)} writes won with one etag")
        await asyncio.sleep(0.02)


async def secret(client: Client, stop: asyncio.Event) -> None:
    """Store other values of the secret again and again."""
    while not stop.is_set():
        write = client.journal.begin(None, f"key {uuid.uuid4()}", request_id=new_id())
        await client.settle(write)
        await asyncio.sleep(0.02)


async def careless(client: Client, stop: asyncio.Event) -> None:
    """Write without a request_id, and never again what failed; some of it is not allowed."""
    number = 0
    while not stop.is_set():
        number += 1
        value = 1.5 if number % 4 == 0 else round(0.1 + number / 1e5, 5)
        if await client.send(client.journal.begin(CARELESS, value)) is Outcome.UNKNOWN:
            await client.reconnect()
        await asyncio.sleep(0.02)


def new_id() -> str:
    """Return a new request_id."""
    return str(uuid.uuid4())


class Workload:
    """Four retrying writers of settings of their own, three racers, a secret, a careless writer."""

    def __init__(self, address: str, seed: int) -> None:
        self.journal = Journal()
        self._clients = clients = [Client(address, self.journal) for _ in range(9)]
        self._stop = stop = asyncio.Event()
        work = [disjoint(clients[i], FIELDS[i], stop, seed + i) for i in range(4)]
        work += [racing(clients[4:7], stop, seed), secret(clients[7], stop)]
        work += [careless(clients[8], stop)]
        self._tasks = [asyncio.create_task(part) for part in work]

    async def finish(self) -> None:
        """Let every writer settle its last write; the service must be up."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._close()

    async def abandon(self) -> None:
        """End the writers wherever they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        for client in self._clients:
            await client.channel.close()
