"""The AI key appears where it must and nowhere else."""

import json
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from ports import free_port
from reliability.harness import short_folder
from reliability.postgres_server import PostgresServer
from sqlalchemy import create_engine, text

from config_service import setup
from config_service.cipher import new_key
from config_service.env import Env
from dedup_rpc.channel import connect
from eventdedup.config.v1 import config_admin_service_pb2 as admin_pb
from eventdedup.config.v1 import config_service_pb2 as config_pb
from eventdedup.config.v1.config_admin_service_pb2_grpc import ConfigAdminServiceStub
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


@contextmanager
def collector():
    """Take traces as a collector does; yields its address and the list of what came."""
    came = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            def export(request, context):
                came.append(request)
                return b""

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", came
    finally:
        server.stop(1).wait()


@contextmanager
def postgres_that_logs_everything():
    """Yield the URL of a database and the server's log, which holds every statement."""
    with short_folder() as folder:
        server = PostgresServer(folder)
        server.start()
        try:
            url = server.create()
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("ALTER SYSTEM SET log_statement = 'all'"))
                connection.execute(text("ALTER SYSTEM SET log_min_error_statement = 'error'"))
                connection.execute(text("ALTER SYSTEM SET log_parameter_max_length_on_error = -1"))
                connection.execute(text("SELECT pg_reload_conf()"))
            engine.dispose()
            yield url, folder
        finally:
            server.stop()


def refusals(config, admin, etag):
    """Return calls that fail and carry the canary where it does not belong."""
    secret = config_pb.SetSecretRequest
    name = "ai.api_key"
    return [
        lambda: config.SetSecret(secret(name=name, value=CANARY + "\n\0"), timeout=10),
        lambda: config.SetSecret(secret(name=name, value=CANARY * 300), timeout=10),
        lambda: config.SetSecret(secret(name=CANARY, value=CANARY), timeout=10),
        lambda: config.SetSecret(secret(name=name, value=CANARY, etag=CANARY), timeout=10),
        lambda: config.SetSecret(secret(name=name, value=CANARY, etag=etag), timeout=10),
        lambda: config.SetSecret(secret(name=name, value=CANARY, request_id=CANARY), timeout=10),
        lambda: config.AccessSecret(config_pb.AccessSecretRequest(name=CANARY), timeout=10),
        lambda: admin.ImportConfig(
            admin_pb.ImportConfigRequest(yaml=f"ai: {{api_key: {CANARY}}}"), timeout=10
        ),
        lambda: admin.ImportConfig(
            admin_pb.ImportConfigRequest(yaml=f"{CANARY}: [{CANARY}"), timeout=10
        ),
        lambda: admin.ListAuditEvents(
            admin_pb.ListAuditEventsRequest(page_token=CANARY), timeout=10
        ),
    ]


def told_by(config, admin):
    """Return what every RPC that shows something of the store says."""
    asked = [
        (config.GetConfig, config_pb.GetConfigRequest()),
        (config.GetSnapshot, config_pb.GetSnapshotRequest()),
        (config.ListRevisions, config_pb.ListRevisionsRequest()),
        (config.ListClients, config_pb.ListClientsRequest()),
        (admin.GetKeyringStatus, admin_pb.GetKeyringStatusRequest()),
        (admin.ListAuditEvents, admin_pb.ListAuditEventsRequest()),
        (admin.VerifyAudit, admin_pb.VerifyAuditRequest()),
        (admin.Rewrap, admin_pb.RewrapRequest()),
        (admin.ExportConfig, admin_pb.ExportConfigRequest(scope=admin_pb.EXPORT_SCOPE_OVERRIDES)),
        (admin.ExportConfig, admin_pb.ExportConfigRequest(scope=admin_pb.EXPORT_SCOPE_EFFECTIVE)),
    ]
    return [method(request, timeout=10) for method, request in asked]


def fetched(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return answer.read()


def family(pid):
    """Return a process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in family(int(child)))]


def assert_no_canary(sinks, key=CANARY):
    for name, content in sinks.items():
        assert content, f"{name}: there is nothing to search"
        for form in (key, json.dumps(key)[1:-1], key.encode().hex(), key[::-1]):
            assert form.encode() not in content, f"{name} holds the key"


def test_the_key_is_in_no_log_trace_metric_database_or_process_on_postgresql(launcher, tmp_path):
    ports = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    ring = tmp_path / "ring"
    ring.write_text(new_key())
    with postgres_that_logs_everything() as (url, folder), collector() as (endpoint, spans):
        setup.migrate(Env(database_url=url, keyring_file=ring)).close()
        config, matcher = launcher.pair(
            LOG_LEVEL="DEBUG",
            CONFIG_DATABASE_URL=url,
            CONFIG_KEYRING_FILE=str(ring),
            CONFIG_METRICS_ADDRESS=ports[0],
            MATCHER_METRICS_ADDRESS=ports[1],
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_BSP_SCHEDULE_DELAY="100",
        )
        with connect(config.address) as one, connect(matcher.address) as two:
            stub, admin = ConfigServiceStub(one), ConfigAdminServiceStub(one)
            etag = stub.GetConfig(config_pb.GetConfigRequest(), timeout=10).revision.etag
            secret = config_pb.SetSecretRequest(
                name="ai.api_key", value=CANARY, request_id=str(uuid.uuid4())
            )
            answers = [stub.SetSecret(secret, timeout=10), stub.SetSecret(secret, timeout=10)]
            ai = MatchingConfig(ai=Ai(enabled=True))
            answers.append(stub.UpdateConfig(config_pb.UpdateConfigRequest(config=ai), timeout=10))
            listing = pb.Listing(
                id="a", title="Konzert", event_dates=[pb.EventDate(date="2026-03-07")]
            )
            request = pb.DeduplicateBatchRequest(listings=[listing])
            answers.append(MatcherServiceStub(two).DeduplicateBatch(request, timeout=20))
            report = config_pb.ReportStatusRequest(instance_id="canary", version="1")
            answers.append(stub.ReportStatus(report, timeout=10))
            ring.write_text(f"{new_key()}\n{ring.read_text()}")
            time.sleep(1.5)
            refused = []
            for call in refusals(stub, admin, etag):
                with pytest.raises(grpc.RpcError) as caught:
                    call()
                refused.append(repr((caught.value, caught.value.trailing_metadata())))
            key = stub.AccessSecret(config_pb.AccessSecretRequest(name="ai.api_key"), timeout=10)
            assert key.value == CANARY
            answers += told_by(stub, admin)
        pids = [pid for service in (config, matcher) for pid in family(service.process.pid)]
        sinks = {
            "metrics of the config service": fetched(ports[0]),
            "metrics of the matcher": fetched(ports[1]),
            "arguments": b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids),
            "environments": b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in pids),
            "answers": b"".join(answer.SerializeToString() for answer in answers),
            "errors": "".join(refused).encode(),
        }
        assert config.stop() == 0
        assert matcher.stop() == 0
        engine = create_engine(url)
        with engine.connect() as connection:
            tables = (
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            )
            for (table,) in connection.execute(text(tables)).all():
                rows = connection.execute(text(f"SELECT * FROM {table}")).all()
                sinks[f"table {table}"] = repr(rows).encode()
        engine.dispose()
        sinks["traces"] = b"".join(spans)
        sinks["log of the config service"] = config.log.read_bytes()
        sinks["log of the matcher"] = matcher.log.read_bytes()
        sinks["log of PostgreSQL"] = (folder / "postgres.log").read_bytes()
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert b"INSERT INTO config_secrets" in sinks["log of PostgreSQL"]
    assert b"AccessSecret" in sinks["traces"]
    assert b"AccessSecret" in sinks["table audit_events"]
    assert b"was read by" in sinks["log of the config service"]
    assert_no_canary(sinks)


def test_the_search_for_the_canary_finds_it():
    with pytest.raises(AssertionError, match="holds the key"):
        assert_no_canary({"a log": f"x {CANARY} y".encode()})
    with pytest.raises(AssertionError, match="nothing to search"):
        assert_no_canary({"a log": b""})
