"""Every role before every RPC, over TLS with tokens: the whole table."""

import grpc
import pytest

from config_service.grants import GRANTS as CONFIG_GRANTS
from dedup_rpc.authz import ROLES
from eventdedup.config.v1 import config_admin_service_pb2, config_service_pb2
from eventdedup.matcher.v1 import matcher_service_pb2
from matcher_service.grants import GRANTS as MATCHER_GRANTS

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/Check"
CONFIG = "/eventdedup.config.v1.ConfigService/"
ADMIN = "/eventdedup.config.v1.ConfigAdminService/"
MATCHER = "/eventdedup.matcher.v1.MatcherService/"

CONFIG_TABLE = """
                reader editor matcher auditor admin caller operator
GetConfig       yes    yes    -       yes     yes   -      -
ListRevisions   yes    yes    -       yes     yes   -      -
DiffRevisions   yes    yes    -       yes     yes   -      -
GetSnapshot     yes    yes    yes     -       yes   -      -
WatchConfig     yes    yes    yes     -       yes   -      -
UpdateConfig    -      yes    -       -       yes   -      -
RollbackConfig  -      yes    -       -       yes   -      -
SetSecret       -      -      -       -       yes   -      -
ClearSecret     -      -      -       -       yes   -      -
AccessSecret    -      -      yes     -       -     -      -
ReportStatus    -      -      yes     -       -     -      -
ListClients     yes    yes    -       yes     yes   -      -
reflection      yes    yes    -       yes     yes   -      -
health          yes    yes    yes     yes     yes   yes    yes
"""
ADMIN_TABLE = """
                  reader editor matcher auditor admin caller operator
GetKeyringStatus  -      -      -       yes     yes   -      -
Rewrap            -      -      -       -       yes   -      -
ListAuditEvents   -      -      -       yes     yes   -      -
VerifyAudit       -      -      -       yes     yes   -      -
ExportConfig      yes    yes    -       yes     yes   -      -
ImportConfig      -      yes    -       -       yes   -      -
"""
MATCHER_TABLE = """
                  reader editor matcher auditor admin caller operator
Deduplicate       -      -      -       -       -     yes    yes
DeduplicateBatch  -      -      -       -       -     yes    yes
ExplainPair       -      -      -       -       -     yes    yes
ExplainCluster    -      -      -       -       -     yes    yes
PreviewConfig     -      -      -       -       -     yes    yes
reflection        -      -      -       -       -     yes    yes
health            yes    yes    yes     yes     yes   yes    yes
"""


def cells(table, service):
    header, *rows = (line.split() for line in table.strip().splitlines())
    named = {"reflection": REFLECTION, "health": HEALTH}
    return [
        (named.get(method, service + method), role, answer == "yes")
        for method, *answers in rows
        for role, answer in zip(header, answers, strict=True)
    ]


async def passes(channel, method):
    """Tell whether a call reaches the handler: PERMISSION_DENIED is what stops it."""
    call = channel.unary_stream(method)(b"")
    try:
        await call.read()
    finally:
        call.cancel()


async def outcome(channel, method):
    try:
        await passes(channel, method)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def wrong_cells(table, service, address, channel, trusting, principals):
    found = []
    for method, role, allowed in cells(table, service):
        token = principals.file.with_name(f"{role}.token")
        told = await outcome(channel(address, trusting(token)), method)
        reached = told not in ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")
        if reached is not allowed or told == "UNAUTHENTICATED":
            found.append((method, role, told))
    return found


async def test_every_cell_of_config_service(config_service, access, channel, trusting, principals):
    address = await config_service(access)
    arguments = (address, channel, trusting, principals)
    assert await wrong_cells(CONFIG_TABLE, CONFIG, *arguments) == []
    assert await wrong_cells(ADMIN_TABLE, ADMIN, *arguments) == []


async def test_every_cell_of_matcher_service(
    config_service, matcher_service, access, channel, trusting, principals
):
    config = await config_service(access)
    matcher_token = principals.file.with_name("matcher.token")
    address = await matcher_service(access, config, trusting(matcher_token))
    arguments = (address, channel, trusting, principals)
    assert await wrong_cells(MATCHER_TABLE, MATCHER, *arguments) == []


@pytest.mark.parametrize(
    ("modules", "grants"),
    [
        ((config_service_pb2, config_admin_service_pb2), CONFIG_GRANTS),
        ((matcher_service_pb2,), MATCHER_GRANTS),
    ],
)
def test_every_rpc_of_the_contract_has_its_grant(modules, grants):
    services = [s for module in modules for s in module.DESCRIPTOR.services_by_name.values()]
    methods = {f"/{s.full_name}/{method.name}" for s in services for method in s.methods}
    assert methods == set(grants.roles) - {REFLECTION}


@pytest.mark.parametrize(
    ("listed", "grants"),
    [
        (cells(CONFIG_TABLE, CONFIG) + cells(ADMIN_TABLE, ADMIN), CONFIG_GRANTS),
        (cells(MATCHER_TABLE, MATCHER), MATCHER_GRANTS),
    ],
)
def test_the_table_names_every_role_and_every_granted_method(listed, grants):
    assert {role for _, role, _ in listed} == set(ROLES)
    assert {method for method, _, _ in listed} - {HEALTH} == set(grants.roles)


async def test_a_denied_call_names_the_role_that_is_needed_and_changes_nothing(
    config_service, access, channel, trusting, principals, refusal
):
    address = await config_service(access)
    reader = channel(address, trusting(principals.file.with_name("reader.token")))
    error = await refusal(reader.unary_unary(CONFIG + "UpdateConfig")(b"\xff not parsed yet"))
    assert (error.code.name, error.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert error.facts == {"required_role": "admin, editor"}


async def test_an_unknown_method_is_unimplemented_for_everybody(
    config_service, access, channel, trusting, principals, refusal
):
    address = await config_service(access)
    admin = channel(address, trusting(principals.file.with_name("admin.token")))
    error = await refusal(admin.unary_unary("/grpc.channelz.v1.Channelz/GetServers")(b""))
    assert error.code.name == "UNIMPLEMENTED"
