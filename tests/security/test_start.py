"""Starts that must not happen, starts that may, and the warnings that go with them."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from cryptography import x509

from config_service.__main__ import main as config_main
from config_service.env import VARIABLES as CONFIG_VARIABLES
from config_service.env import Env as ConfigEnv
from dedup_rpc.access import Access
from dedup_rpc.authz import Table, token_digest
from dedup_rpc.server import NotAllowed
from dedup_rpc.tls import ServerFiles
from eventdedup.config.v1 import config_service_pb2 as pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from matcher_service.env import VARIABLES as MATCHER_VARIABLES
from matcher_service.env import Env as MatcherEnv

PRODUCTION = {"EVENT_DEDUP_ENV": "production"}
TLS = {"{}_TLS_CERT_FILE": "server.pem", "{}_TLS_KEY_FILE": "server.key"}
AUTHZ = {"{}_AUTHZ_FILE": "authz.yaml"}
RING = {"CONFIG_KEYRING": "ring"}
ANYWHERE = {"{}_ADDRESS": "0.0.0.0:0"}

BOTH = [
    ("TLS is needed beyond loopback", {**ANYWHERE, **AUTHZ}, "TLS_CERT_FILE"),
    ("principals are needed beyond loopback", {**ANYWHERE, **TLS}, "AUTHZ_FILE"),
    ("production refuses plaintext", {**PRODUCTION, **AUTHZ}, "TLS_CERT_FILE"),
    (
        "production refuses plaintext on a socket",
        {**PRODUCTION, **AUTHZ, "{}_ADDRESS": "unix:s"},
        "TLS_CERT_FILE",
    ),
    ("production needs principals", {**PRODUCTION, **TLS}, "AUTHZ_FILE"),
    (
        "production refuses GRPC_TRACE",
        {**PRODUCTION, **TLS, **AUTHZ, "GRPC_TRACE": "http"},
        "GRPC_TRACE",
    ),
    ("a stage is spelt right", {"EVENT_DEDUP_ENV": "prod"}, "EVENT_DEDUP_ENV"),
    ("a key goes with its certificate", {"{}_TLS_CERT_FILE": "server.pem"}, "together"),
    ("a certificate goes with its key", {"{}_TLS_KEY_FILE": "server.key"}, "together"),
    ("a client CA goes with a certificate", {"{}_TLS_CLIENT_CA_FILE": "ca.pem"}, "CLIENT_CA_FILE"),
    ("a certificate is there", {**TLS, "{}_TLS_CERT_FILE": "no.pem"}, "No such file"),
    ("a certificate is PEM", {**TLS, "{}_TLS_CERT_FILE": "authz.yaml"}, "cannot be used"),
    ("a key fits", {**TLS, "{}_TLS_KEY_FILE": "other.key"}, "KEY_VALUES_MISMATCH"),
    ("a client CA is PEM", {**TLS, "{}_TLS_CLIENT_CA_FILE": "server.key"}, "cannot be used"),
    ("principals are there", {"{}_AUTHZ_FILE": "no.yaml"}, ""),
    ("principals are sound", {"{}_AUTHZ_FILE": "bad.yaml"}, "principals.0.roles"),
]
CONFIG_ALONE = [
    ("a key ring is needed beyond loopback", {**ANYWHERE, **TLS, **AUTHZ}, "KEYRING_FILE"),
]
MATCHER_ALONE = [
    ("production asks for its config over TLS", {**PRODUCTION, **TLS, **AUTHZ}, "CONFIG_TLS_CA"),
    ("a far config is asked for over TLS", {"MATCHER_CONFIG_ADDRESS": "config:1"}, "CONFIG_TLS_CA"),
    ("a token file is there", {"MATCHER_CONFIG_TOKEN_FILE": "no"}, "No such file"),
    ("a token file holds one token", {"MATCHER_CONFIG_TOKEN_FILE": "authz.yaml"}, "one token"),
    ("a client key is there", {"MATCHER_CONFIG_TLS_CERT_FILE": "server.pem"}, "together"),
]
CASES = [
    *[("CONFIG", *case) for case in (*BOTH, *CONFIG_ALONE)],
    *[("MATCHER", *case) for case in (*BOTH, *MATCHER_ALONE)],
]


@pytest.fixture
def folder(tmp_path, monkeypatch, authority, principals):
    """A folder with all files, where the command runs with none of the variables set."""
    authority.issue("server", [x509.DNSName("localhost")])
    authority.issue("other", [])
    (tmp_path / "bad.yaml").write_text("principals:\n  - {name: x, roles: [boss]}\n")
    for name in (*CONFIG_VARIABLES, *MATCHER_VARIABLES, "EVENT_DEDUP_ENV", "GRPC_TRACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("prefix", "name", "variables", "told"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES]
)
def test_an_unsafe_start_ends_with_78_and_says_why(folder, prefix, name, variables, told):
    given = {"{}_ADDRESS": "127.0.0.1:0", **variables}
    package = {"CONFIG": "config_service", "MATCHER": "matcher_service"}[prefix]
    done = subprocess.run(
        [sys.executable, "-m", package, "serve"],
        env={**os.environ, **{name.format(prefix): value for name, value in given.items()}},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert told in done.stderr
    assert "Traceback" not in done.stderr


async def test_production_starts_with_all_that_it_asks_for(config_service, mutual):
    assert await config_service(replace(mutual, production=True))


@pytest.mark.parametrize("service", ["config", "matcher"])
async def test_each_start_without_principals_warns(
    config_service, matcher_service, trusting, caplog, service
):
    config = await config_service(Access("CONFIG"))
    if service == "matcher":
        caplog.clear()
        await matcher_service(Access("MATCHER"), config, replace(trusting(), ca_file=None))
    assert "every caller is `dev`" in caplog.text


async def test_no_warning_with_principals(config_service, access, caplog):
    await config_service(access)
    assert "every caller is" not in caplog.text


async def test_development_may_use_tls_without_principals(
    config_service, access, trusting, channel
):
    address = await config_service(replace(access, authz_file=None))
    stub = ConfigServiceStub(channel(address, trusting()))
    assert (await stub.GetConfig(pb.GetConfigRequest())).epoch


def test_variables_are_read_with_the_prefix_of_their_service(tmp_path):
    names = ("AUTHZ_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "HEALTH_ADDRESS")
    for prefix, env in (("CONFIG", ConfigEnv), ("MATCHER", MatcherEnv)):
        found = env.read({f"{prefix}_{name}": f"/{name}" for name in names}).access
        assert [
            str(value)
            for value in (
                found.authz_file,
                found.cert_file,
                found.key_file,
                found.client_ca_file,
                found.health_address,
            )
        ] == [f"/{name}" for name in names]
        assert not found.production
        assert env.read(PRODUCTION).access.production


def test_files_that_are_of_no_use_are_refused(tmp_path):
    with pytest.raises(NotAllowed, match=r"a\.pem, a\.key cannot be used"):
        ServerFiles(tmp_path / "a.pem", tmp_path / "a.key").credentials()


def new_token_of(capsys, *arguments):
    config_main(["tokens", "new", *arguments])
    return capsys.readouterr()


async def test_a_new_token_works_once_its_entry_is_in_the_file(
    folder, capsys, config_service, access, trusting, channel, principals
):
    said = new_token_of(capsys, "anna", "--role", "reader", "--role", "auditor", "--days", "2")
    token = said.out.removesuffix("\n")
    assert len(token) == 43
    assert token not in said.err
    principals.file.write_text("principals:\n" + said.err)
    found = Table.load(principals.file).by_token[token_digest(token)][1]
    assert (found.name, found.roles) == ("anna", {"reader", "auditor"})
    stub = ConfigServiceStub(
        channel(await config_service(access), trusting(principals.token_file("anna", token)))
    )
    assert (await stub.GetConfig(pb.GetConfigRequest())).epoch
    stored = [path for path in folder.iterdir() if token.encode() in path.read_bytes()]
    assert stored == [folder / "anna.token"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("anna", "--role", "boss"),
        ("an na", "--role", "reader"),
        ("anna\n", "--role", "reader"),
        ("", "--role", "reader"),
        ("anna", "--role", "reader", "--days", "0"),
        ("anna", "--role", "reader", "--days", "4000"),
    ],
)
def test_a_token_that_the_file_would_not_take_is_not_made(folder, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        new_token_of(capsys, *arguments)
    assert caught.value.code == 78
    assert capsys.readouterr().out == ""
