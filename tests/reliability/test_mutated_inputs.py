"""No request breaks the services: mutated ones get deliberate answers, and all is whole afterwards.

Each request is made of the seed and its number alone; a failure shows both, and the bytes.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from reliability.bad_inputs import OWN_CONNECTION, PATHS
from reliability.harness import FULL, Serve, Service, serve, service
from reliability.mutations import MAX_BYTES, Mutator
from reliability.planted_inputs import trusting

from config_service import setup
from dedup_model import rules
from dedup_rpc.status import remote_error
from dedup_rpc.wire import to_message
from eventdedup.config.v1 import config_admin_service_pb2 as admin
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig
from eventdedup.matcher.v1 import matcher_service_pb2 as matching
from matcher_service import serving as matcher_serving
from matcher_service.env import Env as MatcherEnv
from matcher_service.env import Rung

Code = grpc.StatusCode
SEED = int(os.environ.get("MUTATION_SEED", "1"))
COUNT, MATCHER_COUNT = (10_000, 2_000) if FULL else (700, 150)
AT_ONCE = 16
EXTREME_SHARE = 0.3
MORE_MEGABYTES, MOST_MEGABYTES = 64, 256
ID = "8c1f6ab2-45a8-4c5b-9f3e-0d8f0a7e3c11"
ETAG = f"{ID}:1"
DELIBERATE = {
    Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.OUT_OF_RANGE, Code.ABORTED,
    Code.FAILED_PRECONDITION, Code.RESOURCE_EXHAUSTED,
}  # fmt: skip
WAITING = {PATHS["GetSnapshot"], PATHS["WatchConfig"]}
"""RPCs that may wait, and end then for want of time."""

CONFIG = {
    "geo": {"neutral_score": 0.5},
    "thresholds": {"high": 0.8, "low": 0.3},
    "category_weights": {"priority": ["konzert"], "overrides": {"konzert": {"date": 0.5}}},
    "text": {"synonyms": [{"canonical": "a", "variants": ["b"]}]},
}


def evidence() -> Struct:
    made = Struct()
    made.update({"pairs": 12, "names": ["a", {"b": None}]})
    return made


USUAL: dict[str, Message] = {
    "GetConfig": pb.GetConfigRequest(revision=1),
    "UpdateConfig": pb.UpdateConfigRequest(
        config=to_message(CONFIG, MatchingConfig()),
        update_mask=FieldMask(paths=["geo", "category_weights.overrides.konzert.date"]),
        clear_mask=FieldMask(paths=["thresholds.high"]),
        etag=ETAG,
        reason="because",
        request_id=ID,
        evidence=evidence(),
    ),
    "RollbackConfig": pb.RollbackConfigRequest(revision=1, reason="back", request_id=ID),
    "ListRevisions": pb.ListRevisionsRequest(
        page_size=5, author="dev", path_prefix="geo", created_from=Timestamp(seconds=1)
    ),
    "DiffRevisions": pb.DiffRevisionsRequest(from_revision=1, to_revision=2),
    "SetSecret": pb.SetSecretRequest(name="ai.api_key", value="abc", etag=ETAG, request_id=ID),
    "ClearSecret": pb.ClearSecretRequest(name="ai.api_key", reason="gone"),
    "GetSnapshot": pb.GetSnapshotRequest(known_epoch=ID, known_revision=3, min_revision=2),
    "AccessSecret": pb.AccessSecretRequest(name="ai.api_key", known_version=1),
    "WatchConfig": pb.WatchConfigRequest(mode=pb.WATCH_MODE_EVERY, epoch=ID, after_revision=1),
    "ReportStatus": pb.ReportStatusRequest(
        instance_id="pod-1", version="1", epoch=ID, applied_revision=1, source="live",
        rejection=pb.Rejection(revision=1, why="bad"),
        stats=[pb.BatchStats(revision=1, batches=2, listings=100, merge_rate=0.2)],
    ),
    "ListClients": pb.ListClientsRequest(),
    "GetKeyringStatus": admin.GetKeyringStatusRequest(),
    "Rewrap": admin.RewrapRequest(max_cells=10),
    "ListAuditEvents": admin.ListAuditEventsRequest(page_size=5, principal="dev", action="load"),
    "VerifyAudit": admin.VerifyAuditRequest(known_sequence=1, known_mac="ab"),
    "ExportConfig": admin.ExportConfigRequest(revision=1, scope=admin.EXPORT_SCOPE_EFFECTIVE),
    "ImportConfig": admin.ImportConfigRequest(
        yaml="geo:\n  neutral_score: 0.4\n", reason="file", request_id=ID
    ),
}  # fmt: skip
EMPTY_TOO: dict[str, Message] = {
    "UpdateConfig": pb.UpdateConfigRequest(config=to_message(CONFIG, MatchingConfig())),
    "SetSecret": pb.SetSecretRequest(name="ai.api_key", value="abc"),
    "WatchConfig": pb.WatchConfigRequest(),
    "GetSnapshot": pb.GetSnapshotRequest(),
}
LISTING = matching.Listing(
    id="a", title="Fasnacht", source_type="artikel", source_code="x", categories=["fasnacht"],
    event_dates=[matching.EventDate(date="2026-02-12", start_time="20:00")],
    location=matching.Location(city="Kenzingen", geo=matching.Geo(latitude=48.1, longitude=7.7)),
    extra_json='{"a": 1}',
)  # fmt: skip
MATCHER = "/eventdedup.matcher.v1.MatcherService/"


@dataclass(frozen=True)
class Request:
    """One request of the experiment."""

    number: int
    path: str
    body: bytes = field(repr=False)


@dataclass
class Experiment:
    """Sends requests made of good ones and notes every answer that is no deliberate one."""

    usual: list[tuple[str, Message]]
    seed: int = SEED
    codes: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    def requests(self, count: int) -> Iterator[Request]:
        """Yield the requests, the same ones for the same seed."""
        bodies = [message.SerializeToString() for _, message in self.usual]
        for number in range(count):
            mutator = Mutator(random.Random(f"{self.seed}:{number}"))
            index = number % len(self.usual)
            path, message = self.usual[index]
            if mutator.random.random() < EXTREME_SHARE:
                body = mutator.extreme(type(message)).SerializeToString()
            else:
                body = mutator.mutated(bodies[index], bodies)
            yield Request(number, path, body[:MAX_BYTES])

    async def send(self, channel: grpc.aio.Channel, count: int) -> None:
        """Send the requests, many at once."""
        requests = self.requests(count)

        async def some() -> None:
            for request in requests:
                await self._judge(channel, request)

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def _judge(self, channel: grpc.aio.Channel, request: Request) -> None:
        code, reason = await answered(channel, request)
        self.codes[code.name] += 1
        if not is_deliberate(request.path, code, reason):
            shown = f"{request.path} {code.name} {reason} {request.body[:300].hex()}"
            self.found.append(f"seed {self.seed}, number {request.number}: {shown}")


async def answered(channel: grpc.aio.Channel, request: Request) -> tuple[grpc.StatusCode, str]:
    """Return status and reason of one call; of a stream, what becomes of it in a moment."""
    try:
        if request.path == PATHS["WatchConfig"]:
            await _first(channel.unary_stream(request.path)(request.body, timeout=0.3))
        elif request.path == MATCHER + "Deduplicate":
            await _all(channel.stream_stream(request.path)(iter([request.body] * 2), timeout=20))
        else:
            seconds = 0.3 if request.path in WAITING else 20
            await channel.unary_unary(request.path)(request.body, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        seen = remote_error(error)
        return seen.code, seen.reason
    return Code.OK, ""


async def _first(stream: Any) -> None:
    async for _ in stream:
        break
    stream.cancel()


async def _all(stream: AsyncIterator[bytes]) -> None:
    async for _ in stream:
        pass


def is_deliberate(path: str, code: grpc.StatusCode, reason: str) -> bool:
    """Tell whether a service means this answer: a status with its reason."""
    if code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
        return path in WAITING and reason in ("", "REPLICA_BEHIND")
    return code is Code.OK or (code in DELIBERATE and reason.isupper())


@contextmanager
def migrated(target: Serve = serve) -> Iterator[Service]:
    with service(target=target) as made:
        setup.migrate(made.env).close()
        made.start()
        yield made


def config_requests(*services: str) -> list[tuple[str, Message]]:
    both = [*USUAL.items(), *EMPTY_TOO.items()]
    named = [(PATHS[name], message) for name, message in both]
    return [(path, message) for path, message in named if path.split("/")[1] in services]


def megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def test_the_experiment_knows_every_rpc() -> None:
    assert set(USUAL) == set(PATHS)


def test_one_seed_makes_the_same_requests_again() -> None:
    usual = config_requests("eventdedup.config.v1.ConfigService")
    assert [*Experiment(usual).requests(300)] == [*Experiment(usual).requests(300)]
    assert [*Experiment(usual, 2).requests(300)] != [*Experiment(usual).requests(300)]


async def test_no_mutated_request_breaks_config_service() -> None:
    names = ("eventdedup.config.v1.ConfigService", "eventdedup.config.v1.ConfigAdminService")
    experiment = Experiment(config_requests(*names))
    with migrated() as running:
        async with grpc.aio.insecure_channel(running.address, OWN_CONNECTION) as channel:
            await experiment.send(channel, COUNT // 10)
            before = megabytes(running.pid)
            await experiment.send(channel, COUNT)
            after = megabytes(running.pid)
            assert (await answered(channel, Request(0, PATHS["GetConfig"], b"")))[0] is Code.OK
        assert running.stop() == 0
        head = check_store(running)
    print(f"{COUNT} requests, seed {SEED}: {dict(experiment.codes)}, {head} revisions,"
          f" {before:.0f} -> {after:.0f} MB")  # fmt: skip
    assert not experiment.found, "\n".join(experiment.found[:20])
    assert experiment.codes["OK"] > COUNT / 20
    assert experiment.codes["INVALID_ARGUMENT"] > COUNT / 20
    assert after - before < MORE_MEGABYTES
    assert after < MOST_MEGABYTES


def check_store(running: Service) -> int:
    """Check that revisions are contiguous, valid and audited; returns the head."""
    store = setup.open_store(running.env)
    try:
        epoch, head = store.stamp()
        numbers = [story.number for story in store.page(None, head + 10)]
        assert epoch
        assert numbers == list(range(head, 0, -1))
        for number in numbers[:: max(1, head // 200)]:
            rules.validated(store.revision(number).layers.effective)
        assert not store.verify_audit().findings
        assert not store.unopened()
    finally:
        store.close()
    return head


async def test_no_mutated_batch_breaks_matcher_service() -> None:
    batch = matching.DeduplicateBatchRequest(listings=[LISTING, LISTING])
    chunk = matching.DeduplicateRequest(listings=matching.ListingChunk(listings=[LISTING]))
    usual = [(MATCHER + "DeduplicateBatch", batch), (MATCHER + "Deduplicate", chunk)]
    experiment = Experiment(usual)
    server = await matcher_serving.start(MatcherEnv(address="127.0.0.1:0", rungs=(Rung.BOOTSTRAP,)))
    try:
        async with grpc.aio.insecure_channel(server.address, OWN_CONNECTION) as channel:
            await experiment.send(channel, MATCHER_COUNT)
    finally:
        await server.stop(0)
    print(f"{MATCHER_COUNT} batches, seed {SEED}: {dict(experiment.codes)}")
    assert not experiment.found, "\n".join(experiment.found[:20])
    assert experiment.codes["OK"] > MATCHER_COUNT / 20


async def test_a_handler_that_lets_an_exception_through_is_noticed() -> None:
    experiment = Experiment(config_requests("eventdedup.config.v1.ConfigService"))
    with migrated(trusting) as running:
        async with grpc.aio.insecure_channel(running.address, OWN_CONNECTION) as channel:
            await experiment.send(channel, 300)
    assert experiment.found
    others = [f for f in experiment.found if f"{PATHS['ListRevisions']} INTERNAL" not in f]
    assert not others
