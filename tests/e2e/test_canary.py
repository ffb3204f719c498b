"""The AI key appears where it must and nowhere else."""

import json
from pathlib import Path

from dedup_rpc.channel import connect
from eventdedup.config.v1 import config_service_pb2 as config_pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import Ai, MatchingConfig
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

CANARY = "canary-7f3a9c51-do-not-leak"


def test_the_api_key_is_found_nowhere_but_in_the_answer_of_access_secret(
    launcher, event_dedup, tmp_path
):
    state = tmp_path / "state"
    config, matcher = launcher.pair(LOG_LEVEL="DEBUG", MATCHER_STATE_DIR=str(state))
    answers = [
        event_dedup("config", "set-secret", "--address", config.address, stdin=CANARY + "\n")
    ]
    assert answers[0].status == 0
    answers += [
        event_dedup("config", command, "--address", config.address)
        for command in ("get", "history", "diff")
    ]
    assert "ai.api_key: set" in answers[1].out
    with connect(config.address) as one, connect(matcher.address) as two:
        stub = ConfigServiceStub(one)
        ai = MatchingConfig(ai=Ai(enabled=True))
        told = [stub.UpdateConfig(config_pb.UpdateConfigRequest(config=ai), timeout=10)]
        listing = pb.Listing(id="a", title="Konzert", event_dates=[pb.EventDate(date="2026-03-07")])
        request = pb.DeduplicateBatchRequest(listings=[listing])
        told.append(MatcherServiceStub(two).DeduplicateBatch(request, timeout=20))
        told += [
            stub.GetConfig(config_pb.GetConfigRequest(), timeout=10),
            stub.GetSnapshot(config_pb.GetSnapshotRequest(), timeout=10),
            stub.ListRevisions(config_pb.ListRevisionsRequest(), timeout=10),
            stub.DiffRevisions(config_pb.DiffRevisionsRequest(from_revision=1), timeout=10),
            next(iter(stub.WatchConfig(config_pb.WatchConfigRequest(), timeout=10))),
        ]
        key = stub.AccessSecret(config_pb.AccessSecretRequest(name="ai.api_key"), timeout=10)
        assert key.value == CANARY
        old = stub.GetConfig(config_pb.GetConfigRequest(revision=2), timeout=10)
    assert told[1].summary.run.source == pb.CONFIG_SOURCE_LIVE
    assert not any("cannot be read" in warning for warning in told[1].summary.warnings)
    assert config.log.read_text().count("secret ai.api_key version 1 was read") >= 2
    for message in (*told, old):
        assert CANARY.encode() not in message.SerializeToString()
    for answer in answers:
        assert CANARY not in answer.out + answer.err
    for service in (config, matcher):
        arguments = Path(f"/proc/{service.process.pid}/cmdline").read_bytes()
        assert CANARY.encode() not in arguments
    assert (state / "last-good.json").exists()
    assert config.stop() == 0
    assert matcher.stop() == 0
    assert_nowhere_below(tmp_path)


def assert_nowhere_below(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    assert sum(path.suffix == ".log" for path in files) == 2
    reversed_json = json.dumps(CANARY)[1:-1].encode()
    for path in files:
        content = path.read_bytes()
        assert CANARY.encode() not in content, path
        assert reversed_json not in content, path
        assert CANARY.encode("utf-16-le") not in content, path
