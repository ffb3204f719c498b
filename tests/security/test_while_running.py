"""What changes under a running server: roles, principals, certificates; and who is calling."""

import asyncio
from dataclasses import replace

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dedup_rpc.authz import Grants, Principal
from dedup_rpc.guard import Guard, caller
from dedup_rpc.server import HEALTH, Serving
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub

WATCH = "/eventdedup.config.v1.ConfigService/WatchConfig"


async def ended(stream):
    while await stream.read() is not grpc.aio.EOF:
        pass
    return await stream.code()


async def until_ended(stream, refusal):
    async with asyncio.timeout(10):
        return await refusal(ended(stream))


def watch(channel, heartbeat):
    request = pb.WatchConfigRequest(heartbeat_seconds=heartbeat)
    return ConfigServiceStub(channel).WatchConfig(request)


@pytest.mark.parametrize("heartbeat", [0.1, 300], ids=["busy stream", "silent stream"])
async def test_a_role_that_is_taken_away_ends_a_watch(
    config_service, access, principals, channel, trusting, refusal, heartbeat
):
    token = principals.add("anna", "reader")
    stream = watch(channel(await config_service(access), trusting(token)), heartbeat)
    assert (await stream.read()).WhichOneof("event")
    principals.add("anna", "auditor")
    error = await until_ended(stream, refusal)
    assert (error.code, error.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "PERMISSION_DENIED",
    )


async def test_a_principal_that_is_removed_ends_a_watch(
    config_service, access, principals, channel, trusting, refusal
):
    token = principals.add("anna", "reader")
    stream = watch(channel(await config_service(access), trusting(token)), 300)
    await stream.read()
    del principals.entries["anna"]
    principals.add("bert", "reader")
    error = await until_ended(stream, refusal)
    assert error.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_watch_goes_on_while_its_role_holds_and_the_file_is_bad(
    config_service, access, principals, channel, trusting, caplog
):
    token = principals.add("anna", "reader")
    stream = watch(channel(await config_service(access), trusting(token)), 0.1)
    await stream.read()
    principals.file.write_text("principals: [")
    async with asyncio.timeout(10):
        while "the old table stays" not in caplog.text:
            assert await stream.read() is not grpc.aio.EOF
    stream.cancel()


async def test_a_role_that_is_given_counts_for_the_next_call(
    config_service, access, principals, channel, trusting, refusal
):
    token = principals.add("anna", "auditor")
    stub = ConfigServiceStub(channel(await config_service(access), trusting(token)))
    assert (await refusal(stub.GetSnapshot(pb.GetSnapshotRequest()))).code.name == (
        "PERMISSION_DENIED"
    )
    principals.add("anna", "auditor", "reader")
    await asyncio.sleep(1.1)
    assert (await stub.GetSnapshot(pb.GetSnapshotRequest())).revision


async def test_a_rotated_token_file_counts_for_the_next_call(
    config_service, access, principals, channel, trusting, refusal
):
    token = principals.add("anna", "reader")
    stub = ConfigServiceStub(channel(await config_service(access), trusting(token)))
    await stub.GetConfig(pb.GetConfigRequest())
    token.write_text("x" * 43)
    assert (await refusal(stub.GetConfig(pb.GetConfigRequest()))).code.name == "UNAUTHENTICATED"
    token.write_text(principals.tokens["editor"])
    await stub.GetConfig(pb.GetConfigRequest())


def fresh(credentials, name):
    """Credentials for a new connection: channels of equal options share one."""
    return replace(credentials, server_name=name)


async def test_new_connections_see_a_replaced_certificate(
    config_service, access, authority, principals, channel, trusting, refusal, caplog
):
    address = await config_service(access)
    trusted = trusting(principals.file.with_name("reader.token"))
    old = ConfigServiceStub(channel(address, fresh(trusted, "localhost")))
    await old.GetConfig(pb.GetConfigRequest())
    authority.issue("server", [x509.DNSName("second.internal")])
    new = ConfigServiceStub(channel(address, fresh(trusted, "second.internal")))
    await new.GetConfig(pb.GetConfigRequest())
    await old.GetConfig(pb.GetConfigRequest())
    assert "the TLS files were read again" in caplog.text


@pytest.mark.parametrize("content", ["", "garbage"])
async def test_a_bad_certificate_file_leaves_the_old_one_in_use(
    config_service, access, principals, channel, trusting, caplog, content
):
    address = await config_service(access)
    access.cert_file.write_text(content)
    trusted = fresh(trusting(principals.file.with_name("reader.token")), "localhost")
    await ConfigServiceStub(channel(address, trusted)).GetConfig(pb.GetConfigRequest())
    assert "the old TLS files stay in use" in caplog.text


async def test_health_on_its_own_port_needs_nothing_and_serves_nothing_else(
    config_service, access, refusal, unused_tcp_port
):
    beside = f"127.0.0.1:{unused_tcp_port}"
    await config_service(replace(access, health_address=beside))
    async with grpc.aio.insecure_channel(beside) as plain:
        stub = health_pb2_grpc.HealthStub(plain)
        for name in ("", "eventdedup.config.v1.ConfigService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stream = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await stream.read()).status == health_pb2.HealthCheckResponse.SERVING
        stream.cancel()
        for method in (WATCH, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
            call = plain.unary_stream(method)(b"")
            assert (await refusal(call.read())).code is grpc.StatusCode.UNIMPLEMENTED


async def test_without_credentials_neither_health_nor_reflection_answers_on_the_tls_port(
    config_service, access, channel, trusting, refusal
):
    mine = channel(await config_service(access), trusting())
    for method in (
        *HEALTH,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ):
        call = mine.unary_stream(method)(b"")
        assert (await refusal(call.read())).code is grpc.StatusCode.UNAUTHENTICATED


class Named:
    """A policy that calls everybody by the token that is sent."""

    def principal(self, peer):
        return Principal(peer.authorization[0], frozenset({"reader"}))


async def test_handlers_know_who_calls_in_unary_calls_and_in_streams():
    async def one(request, context):
        await asyncio.sleep(0.02)
        return caller().name.encode()

    async def several(request, context):
        for _ in range(3):
            await asyncio.sleep(0.02)
            yield (await asyncio.create_task(one(request, context)))

    def register(_, server):
        handlers = {
            "One": grpc.unary_unary_rpc_method_handler(one),
            "Several": grpc.unary_stream_rpc_method_handler(several),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))

    roles = frozenset({"reader"})
    serving = Serving(
        (), register, Guard(Named(), Grants({"/t.T/One": roles, "/t.T/Several": roles}))
    )
    address = await serving.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address) as plain:

        async def names(who):
            metadata = [("authorization", who)]
            single = await plain.unary_unary("/t.T/One")(b"", metadata=metadata)
            return [
                single,
                *[n async for n in plain.unary_stream("/t.T/Several")(b"", metadata=metadata)],
            ]

        callers = [f"caller-{i}" for i in range(20)]
        found = await asyncio.gather(*map(names, callers))
    await serving.stop(0)
    assert found == [[who.encode()] * 4 for who in callers]


def test_outside_of_a_call_nobody_calls():
    with pytest.raises(LookupError):
        caller()
