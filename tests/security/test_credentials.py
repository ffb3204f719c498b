"""What a caller may show over a real TLS connection, and every way to be refused."""

from dataclasses import replace
from ipaddress import ip_address

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from dedup_rpc.authz import new_token
from dedup_rpc.channel import Credentials

GET = "/eventdedup.config.v1.ConfigService/GetConfig"
UPDATE = "/eventdedup.config.v1.ConfigService/UpdateConfig"
AMBIGUOUS = grpc.StatusCode.UNAUTHENTICATED, "AMBIGUOUS_CREDENTIAL"
SNAPSHOT = "/eventdedup.config.v1.ConfigService/GetSnapshot"


def uri(name):
    return x509.UniformResourceIdentifier(f"spiffe://example.org/{name}")


def header(*values):
    return [("authorization", value) for value in values]


async def call(channel, method=GET, metadata=()):
    return await channel.unary_unary(method)(b"", metadata=metadata, timeout=10)


@pytest.mark.parametrize("name", [uri("m"), x509.DNSName("matcher.internal")])
async def test_a_uri_or_dns_name_of_a_client_certificate_is_a_principal(
    config_service, mutual, authority, principals, channel, trusting, refusal, name
):
    principals.add("m", "matcher", identities=[name.value])
    address = await config_service(mutual)
    mine = channel(address, trusting(pair=authority.issue("client", [name])))
    assert await call(mine, SNAPSHOT)
    assert (await refusal(call(mine, GET))).code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("names", "identities"),
    [
        ([], ["client"]),
        ([uri("other")], [uri("m").value]),
        ([x509.DNSName("*.internal")], ["matcher.internal"]),
        ([x509.DNSName("x.matcher.internal")], ["matcher.internal"]),
        ([uri("m"), uri("n")], [uri("m").value, uri("n").value]),
        ([x509.RFC822Name("matcher.internal")], ["matcher.internal"]),
        ([x509.RFC822Name(uri("m").value)], [uri("m").value]),
        ([x509.DNSName(uri("m").value)], [uri("m").value]),
        ([x509.UniformResourceIdentifier("matcher.internal")], ["matcher.internal"]),
        ([x509.IPAddress(ip_address("10.0.0.9"))], ["10.0.0.9"]),
    ],
    ids=[
        "common name alone",
        "another name",
        "wildcard",
        "below a name",
        "two URIs",
        "mail",
        "mail like a URI",
        "host like a URI",
        "URI like a host",
        "address",
    ],
)
async def test_other_names_of_a_client_certificate_are_nobody(
    config_service, mutual, authority, principals, channel, trusting, refusal, names, identities
):
    principals.add("m", "matcher", identities=identities)
    address = await config_service(mutual)
    mine = channel(address, trusting(pair=authority.issue("client", names)))
    assert (await refusal(call(mine, SNAPSHOT))).code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "kind", ["no certificate", "foreign CA", "expired", "for servers alone", "plaintext"]
)
async def test_a_connection_that_tls_refuses_is_unavailable(
    config_service, mutual, authority, principals, channel, foreign, trusting, refusal, kind
):
    principals.add("m", "matcher", identities=[uri("m").value])
    server_only = [ExtendedKeyUsageOID.SERVER_AUTH]
    credentials = {
        "no certificate": lambda: trusting(),
        "foreign CA": lambda: trusting(pair=foreign.issue("client", [uri("m")])),
        "expired": lambda: trusting(pair=authority.issue("client", [uri("m")], days=-1)),
        "for servers alone": lambda: trusting(
            pair=authority.issue("client", [uri("m")], usages=server_only)
        ),
        "plaintext": lambda: Credentials(),
    }[kind]()
    mine = channel(await config_service(mutual), credentials)
    assert (await refusal(call(mine, SNAPSHOT))).code is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_the_client_does_not_trust_is_unavailable(
    config_service, access, principals, channel, foreign, refusal
):
    token = principals.file.with_name("reader.token")
    mine = channel(await config_service(access), Credentials(foreign.file, token_file=token))
    assert (await refusal(call(mine))).code is grpc.StatusCode.UNAVAILABLE


async def test_a_server_certificate_for_another_name_is_unavailable_unless_the_name_is_given(
    config_service, access, authority, principals, channel, trusting, refusal
):
    authority.issue("server", [x509.DNSName("config.internal")])
    address = await config_service(access)
    trusted = trusting(principals.file.with_name("reader.token"))
    assert (await refusal(call(channel(address, trusted)))).code is grpc.StatusCode.UNAVAILABLE
    assert await call(channel(address, replace(trusted, server_name="config.internal")))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("none", []),
        ("unknown", [f"Bearer {new_token()}"]),
        ("expired", ["Bearer {old}"]),
        ("other scheme", ["Basic {reader}"]),
        ("lower case", ["bearer {reader}"]),
        ("empty", [""]),
        ("no token", ["Bearer"]),
        ("two words", ["Bearer {reader} x"]),
        ("longer", ["Bearer {reader}x"]),
        ("7 KB", ["Bearer " + "x" * 7000]),
    ],
)
async def test_bad_tokens_are_refused_in_the_same_words(
    config_service, access, principals, channel, trusting, refusal, kind, values
):
    principals.add("old", "admin", expires="2020-01-01T00:00:00Z")
    mine = channel(await config_service(access), trusting())
    metadata = header(*(value.format(**principals.tokens) for value in values))
    error = await refusal(call(mine, metadata=metadata))
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    assert (error.message, error.facts) == ("valid credentials are required", {})


async def test_two_authorization_headers_are_refused(
    config_service, access, principals, channel, trusting, refusal
):
    mine = channel(await config_service(access), trusting())
    good = f"Bearer {principals.tokens['reader']}"
    assert await call(mine, metadata=header(good))
    for values in ((good, good), (good, "Bearer x"), ("", good)):
        error = await refusal(call(mine, metadata=header(*values)))
        assert (error.code, error.reason) == AMBIGUOUS


async def test_a_token_and_a_certificate_of_different_principals_are_refused(
    config_service, mutual, authority, principals, channel, trusting, refusal
):
    token = principals.add("m", "matcher", "reader", identities=[uri("m").value])
    pair = authority.issue("client", [uri("m")])
    address = await config_service(mutual)
    other = channel(address, trusting(principals.file.with_name("admin.token"), pair))
    error = await refusal(call(other))
    assert (error.code, error.reason) == AMBIGUOUS
    assert await call(channel(address, trusting(token, pair)))


async def test_a_certificate_that_is_no_principal_lets_a_token_speak(
    config_service, mutual, authority, principals, channel, trusting
):
    pair = authority.issue("client", [uri("laptop")])
    token = principals.file.with_name("reader.token")
    assert await call(channel(await config_service(mutual), trusting(token, pair)))


FORGED = (
    ("x-forwarded-client-cert", "URI=spiffe://example.org/root"),
    ("x-principal", "admin"),
    ("x-forwarded-user", "admin"),
    ("x-ssl-client-cert", "admin"),
    ("x509_subject_alternative_name", "spiffe://example.org/root"),
    ("proxy-authorization", "Bearer {admin}"),
    ("authorization-bin", "Bearer {admin}"),
    ("cookie", "authorization=Bearer {admin}"),
)


async def test_forged_headers_make_nobody_of_anybody(
    config_service, access, principals, channel, trusting, refusal
):
    principals.add("root", "admin", identities=[uri("root").value])
    address = await config_service(access)
    forged = [(name, value.format(**principals.tokens)) for name, value in FORGED]
    forged = [(n, v.encode() if n.endswith("-bin") else v) for n, v in forged]
    error = await refusal(call(channel(address, trusting()), metadata=forged))
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    reader = channel(address, trusting(principals.file.with_name("reader.token")))
    assert await call(reader, metadata=forged)
    error = await refusal(call(reader, UPDATE, metadata=forged))
    assert error.code is grpc.StatusCode.PERMISSION_DENIED


async def test_too_much_metadata_is_refused_before_the_credentials_are_looked_at(
    config_service, access, channel, trusting, refusal
):
    mine = channel(await config_service(access), trusting())
    metadata = [(f"x-{i}", "v" * 1000) for i in range(12)]
    error = await refusal(call(mine, metadata=metadata))
    assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "METADATA_TOO_LARGE")


async def test_tokens_and_keys_are_in_no_log(
    config_service, mutual, authority, principals, channel, trusting, refusal, caplog
):
    pair = authority.issue("client", [uri("laptop")])
    address = await config_service(mutual)
    stray = new_token()
    await call(channel(address, trusting(principals.file.with_name("reader.token"), pair)))
    mine = channel(address, trusting(pair=pair))
    await refusal(call(mine, metadata=header(f"Bearer {stray}")))
    await refusal(call(mine, metadata=header(f"Basic {stray}")))
    assert "GetConfig" in caplog.text
    for token in (stray, *principals.tokens.values()):
        assert token not in caplog.text
    assert "PRIVATE KEY" not in caplog.text


async def test_principals_hold_on_a_plaintext_loopback_too(
    config_service, access, principals, channel, refusal
):
    plain = replace(access, cert_file=None, key_file=None)
    address = await config_service(plain)
    token = principals.file.with_name("reader.token")
    assert await call(channel(address, Credentials(token_file=token)))
    error = await refusal(call(channel(address, Credentials())))
    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    stream = channel(address, Credentials(token_file=token)).unary_stream(
        "/eventdedup.config.v1.ConfigService/WatchConfig"
    )(b"")
    assert await stream.read()
    stream.cancel()
