"""The matcher, the command line and grpcurl with TLS, certificates and tokens."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from dedup_rpc.bearer import UnusableCredentials
from dedup_rpc.channel import Credentials, connect, connect_aio
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

BIN = Path(sys.executable).parent
SERVICE = "eventdedup.config.v1.ConfigService"
MATCHER = "eventdedup.matcher.v1.MatcherService"
PREFIXES = ("MATCHER_", "CONFIG_", "EVENT_DEDUP_", "GRPC_")
MATCHER_NAME = "spiffe://example.org/matcher-pod"
LISTINGS = {"events": [{"id": "a", "title": "Orgelkonzert", "source_code": "x"}]}


async def run(program, *arguments, stdin="", cwd=None, **extra):
    """Run a program; returns (status, standard output, standard error)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    process = await asyncio.create_subprocess_exec(
        BIN / program, *map(str, arguments), cwd=cwd, env={**kept, **extra},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return process.returncode, out.decode(), err.decode()


def token(principals, name):
    return principals.file.with_name(f"{name}.token")


@pytest.fixture
def pod(authority, principals):
    """The matcher's own certificate, a principal with the role matcher."""
    principals.add("matcher-pod", "matcher", identities=[MATCHER_NAME])
    return authority.issue("pod", [x509.UniformResourceIdentifier(MATCHER_NAME)])


async def batch(address, credentials):
    async with connect_aio(address, credentials) as channel:
        return await MatcherServiceStub(channel).DeduplicateBatch(pb.DeduplicateBatchRequest())


async def test_the_matcher_reaches_config_service_with_its_certificate(
    config_service, matcher_service, access, mutual, pod, principals, trusting
):
    config = await config_service(mutual)
    matcher = await matcher_service(access, config, trusting(pair=pod))
    answer = await batch(matcher, trusting(token(principals, "caller")))
    assert answer.summary.run.source == pb.CONFIG_SOURCE_LIVE


async def test_the_matcher_reaches_config_service_with_a_token_that_may_rotate(
    config_service, matcher_service, access, principals, trusting, refusal
):
    mine = principals.add("pod", "matcher")
    matcher = await matcher_service(access, await config_service(access), trusting(mine))
    calling = trusting(token(principals, "caller"))
    assert (await batch(matcher, calling)).summary.run.source == pb.CONFIG_SOURCE_LIVE
    mine.write_text("x" * 43)
    error = await refusal(batch(matcher, calling))
    assert error.reason == "CONFIG_UNAVAILABLE"
    assert "UNAUTHENTICATED" in error.message
    mine.write_text(principals.tokens["pod"])
    assert (await batch(matcher, calling)).summary.run.source == pb.CONFIG_SOURCE_LIVE


async def test_a_matcher_that_config_service_does_not_let_in_says_so(
    config_service, matcher_service, access, principals, trusting, refusal
):
    config = await config_service(access)
    matcher = await matcher_service(access, config, trusting(token(principals, "auditor")))
    error = await refusal(batch(matcher, trusting(token(principals, "caller"))))
    assert "PERMISSION_DENIED" in error.message


async def test_a_token_works_on_a_plaintext_loopback_for_blocking_and_asyncio_clients(
    config_service, matcher_service, access, principals
):
    plain = replace(access, cert_file=None, key_file=None)
    config = await config_service(plain)
    matcher = await matcher_service(
        plain, config, Credentials(token_file=token(principals, "matcher"))
    )
    calling = Credentials(token_file=token(principals, "caller"))
    assert (await batch(matcher, calling)).summary.run.revision

    def stream():
        with connect(matcher, calling) as channel:
            options = pb.DeduplicateRequest(options=pb.BatchOptions())
            return list(MatcherServiceStub(channel).Deduplicate(iter([options])))

    assert (await asyncio.to_thread(stream))[-1].summary.run.revision


@pytest.mark.parametrize("address", ["config.internal:50051", "10.0.0.1:50051", "dns:///x:1"])
@pytest.mark.parametrize("make", [connect, connect_aio])
def test_a_token_never_leaves_the_machine_without_tls(principals, address, make):
    with pytest.raises(UnusableCredentials, match="over TLS"):
        make(address, Credentials(token_file=token(principals, "reader")))


async def test_the_command_line_changes_settings_over_tls_with_a_token(
    config_service, access, authority, principals
):
    address = await config_service(access)
    options = ("--address", address, "--tls-ca", authority.file)
    editor = ("--token-file", token(principals, "editor"))
    status, out, err = await run(
        "event-dedup", "config", "set", "thresholds.high=0.8", *options, *editor
    )
    assert (status, err) == (0, "")
    assert "thresholds.high" in out
    status, _, err = await run(
        "event-dedup", "config", "set-secret", *options, *editor, stdin="k-123"
    )
    assert status == 1
    assert "PERMISSION_DENIED" in err
    assert "required_role: admin" in err
    status, _, err = await run("event-dedup", "config", "get", *options)
    assert status == 1
    assert "UNAUTHENTICATED" in err


async def test_the_command_line_takes_credentials_from_its_environment(
    config_service, mutual, authority, principals, pod
):
    principals.add("laptop", "reader", identities=["laptop.internal"])
    cert, key = authority.issue("laptop", [x509.DNSName("laptop.internal")])
    status, out, _ = await run(
        "event-dedup", "config", "get", "thresholds",
        EVENT_DEDUP_CONFIG=await config_service(mutual),
        EVENT_DEDUP_TLS_CA=str(authority.file),
        EVENT_DEDUP_TLS_CERT=str(cert),
        EVENT_DEDUP_TLS_KEY=str(key),
    )  # fmt: skip
    assert status == 0
    assert "thresholds.high" in out


async def test_a_tls_refusal_says_to_check_the_certificates(
    config_service, mutual, authority, foreign
):
    address = await config_service(mutual)
    for options in ((), ("--tls-ca", foreign.file), ("--tls-ca", authority.file)):
        status, _, err = await run("event-dedup", "config", "get", "--address", address, *options)
        assert status == 1
        assert "check the certificates" in err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--tls-cert", "ca.pem"), "together"),
        (("--tls-cert", "ca.pem", "--tls-key", "ca.pem"), "CA file"),
        (("--token-file", "ca.pem"), "one token"),
        (("--token-file", "admin.token", "--address", "far.internal:1"), "over TLS"),
        (("--tls-ca", "missing"), "does not exist"),
        (("--tls-ca", "admin.token"), "admin.token holds no certificate of a CA"),
        (("--tls-ca", "empty"), "empty holds no certificate of a CA"),
        (
            ("--tls-ca", "ca.pem", "--tls-cert", "ca.pem", "--tls-key", "admin.token"),
            "ca.pem and admin.token are no certificate and its key",
        ),
    ],
)
async def test_options_of_no_use_are_refused(authority, principals, tmp_path, options, told):
    (tmp_path / "empty").touch()
    status, _, err = await run(
        "event-dedup", "config", "get", *options, cwd=tmp_path, COLUMNS="200"
    )
    assert status in (1, 2)
    assert told in err
    assert "Traceback" not in err
    assert "ssl" not in err.lower(), "a line of the core of grpc"


async def test_the_command_line_runs_a_batch_over_tls_with_a_token(
    config_service, matcher_service, access, authority, principals, trusting, tmp_path
):
    config = await config_service(access)
    matcher = await matcher_service(access, config, trusting(token(principals, "matcher")))
    (tmp_path / "in.json").write_text(json.dumps(LISTINGS))
    status, out, err = await run(
        "event-dedup", "dedup", "in.json", "-o", "out", "--matcher", matcher,
        EVENT_DEDUP_TLS_CA=str(authority.file),
        EVENT_DEDUP_TOKEN_FILE=str(token(principals, "caller")),
        cwd=tmp_path,
    )  # fmt: skip
    assert status == 0, err
    assert "(live)" in out


async def test_grpcurl_with_a_token_lists_reads_and_is_refused(
    config_service, access, authority, principals
):
    address = await config_service(access)

    async def grpcurl(role, *arguments):
        bearer = f"authorization: Bearer {principals.tokens[role]}"
        return await run("grpcurl", "-cacert", authority.file, "-H", bearer, *arguments)

    status, out, _ = await grpcurl("reader", address, "list")
    assert (status, SERVICE in out) == (0, True)
    status, out, _ = await grpcurl("reader", address, f"{SERVICE}/GetConfig")
    assert json.loads(out)["revision"]["etag"]
    status, _, err = await grpcurl("reader", address, f"{SERVICE}/UpdateConfig")
    assert status != 0
    assert "PermissionDenied" in err
    assert "required_role" in err
    status, _, err = await grpcurl("matcher", address, "list")
    assert "PermissionDenied" in err or "does not allow" in err or "do not allow" in err
    status, _, err = await run("grpcurl", "-cacert", authority.file, address, "list")
    assert "valid credentials are required" in err


async def test_grpcurl_with_a_certificate_reads(config_service, mutual, authority, principals):
    principals.add("laptop", "reader", identities=["laptop.internal"])
    cert, key = authority.issue("laptop", [x509.DNSName("laptop.internal")])
    address = await config_service(mutual)
    tls = ("-cacert", authority.file, "-cert", cert, "-key", key)
    status, out, err = await run("grpcurl", *tls, address, f"{SERVICE}/GetConfig")
    assert status == 0, err
    assert json.loads(out)["epoch"]
    status, _, _ = await run("grpcurl", "-cacert", authority.file, address, "list")
    assert status != 0
    status, _, _ = await run("grpcurl", "-plaintext", address, "list")
    assert status != 0
