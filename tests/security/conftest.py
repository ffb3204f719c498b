"""Real certificates, real principals and real services with TLS."""

import datetime as dt
import gc
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config_service import serving as config_serving
from config_service.cipher import new_key
from config_service.env import Env as ConfigEnv
from dedup_rpc.access import Access
from dedup_rpc.authz import new_token, token_digest
from dedup_rpc.channel import Credentials, connect_aio
from dedup_rpc.status import RemoteError, remote_error
from matcher_service import serving as matcher_serving
from matcher_service.env import Env as MatcherEnv
from matcher_service.env import Rung

LATER = "2099-01-01T00:00:00Z"
LOCALHOST: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
)


@dataclass
class Authority:
    """A CA that writes PEM files into a folder."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = self._builder(self._subject, self._key.public_key(), 3650)
        ca = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(_pem(ca.sign(self._key, hashes.SHA256())))

    def _builder(self, subject: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        begins = min(dt.datetime.now(dt.UTC), ends) - dt.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )

    def issue(
        self,
        stem: str,
        names: Sequence[x509.GeneralName],
        days: int = 30,
        usages: Sequence[x509.ObjectIdentifier] = (
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
        ),
    ) -> tuple[Path, Path]:
        """Write `stem`.pem and `stem`.key; returns both."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        builder = self._builder(subject, key.public_key(), days)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        cert, secret = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        cert.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        return cert, secret


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class Principals:
    """An `authz.yaml` under construction; keeps the tokens that it does not hold."""

    file: Path
    entries: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def add(
        self, name: str, *roles: str, identities: Sequence[str] = (), expires: str = LATER
    ) -> Path:
        """Write a principal into the file and its token into another; returns the token's file."""
        token = self.tokens.setdefault(name, new_token())
        self.entries[name] = (
            f"  - name: {name}\n    roles: [{', '.join(roles)}]\n"
            f"    identities: [{', '.join(identities)}]\n"
            f"    tokens: [{{sha256: '{token_digest(token)}', expires: '{expires}'}}]\n"
        )
        self.file.write_text("principals:\n" + "".join(self.entries.values()))
        return self.token_file(name, token)

    def token_file(self, name: str, token: str) -> Path:
        file = self.file.with_name(f"{name}.token")
        file.write_text(token + "\n")
        return file


@pytest.fixture(autouse=True)
def _all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Undo what a private pair of another test did to the services' loggers."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "event_dedup")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


@pytest.fixture
def foreign(tmp_path: Path) -> Authority:
    """A CA that nobody trusts."""
    (tmp_path / "foreign").mkdir()
    return Authority(tmp_path / "foreign", "foreign")


@pytest.fixture
def principals(tmp_path: Path) -> Principals:
    made = Principals(tmp_path / "authz.yaml")
    for role in ("reader", "editor", "matcher", "auditor", "admin", "caller", "operator"):
        made.add(role, role)
    return made


@pytest.fixture
def access(authority: Authority, principals: Principals) -> Access:
    """TLS without client certificates, and principals."""
    cert, key = authority.issue("server", LOCALHOST)
    return Access(
        "CONFIG", authz_file=principals.file, cert_file=cert, key_file=key, recheck_seconds=0.1
    )


@pytest.fixture
def mutual(access: Access, authority: Authority) -> Access:
    """TLS that asks for client certificates."""
    return replace(access, client_ca_file=authority.file)


@pytest.fixture
def trusting(authority: Authority) -> Callable[..., Credentials]:
    """Make credentials that trust the CA."""

    def make(token_file: Path | None = None, pair: Sequence[Path] = (None, None)) -> Credentials:
        return Credentials(authority.file, *pair, token_file)

    return make


@pytest.fixture
async def config_service(tmp_path: Path) -> AsyncIterator[Callable[[Access], Awaitable[str]]]:
    """Start ConfigServices; yields a function from access to address."""
    running: list[config_serving.ConfigServer] = []

    async def start(access: Access) -> str:
        env = ConfigEnv(
            address="127.0.0.1:0",
            database_url=f"sqlite:///{tmp_path / 'c.db'}",
            keyring=new_key(),
            poll_seconds=0.03,
            access=access,
        )
        running.append(await config_serving.start(env))
        return running[-1].address

    yield start
    for server in running:
        await server.stop(0)
    running.clear()
    gc.collect()


@pytest.fixture
async def matcher_service() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Start MatcherServices that know the live rung alone."""
    running: list[matcher_serving.MatcherServer] = []

    async def start(access: Access, config: str, credentials: Credentials) -> str:
        env = MatcherEnv(
            address="127.0.0.1:0",
            config_address=config,
            rungs=(Rung.LIVE,),
            access=access,
            config_credentials=credentials,
        )
        running.append(await matcher_serving.start(env))
        return running[-1].address

    yield start
    for server in running:
        await server.stop(0)
    running.clear()
    gc.collect()


@pytest.fixture
async def channel() -> AsyncIterator[Callable[..., grpc.aio.Channel]]:
    """Open channels that close when the test ends."""
    opened: list[grpc.aio.Channel] = []

    def open_channel(address: str, credentials: Credentials) -> grpc.aio.Channel:
        opened.append(connect_aio(address, credentials))
        return opened[-1]

    yield open_channel
    for one in opened:
        await one.close()


@pytest.fixture(scope="session")
def refusal() -> Callable[[Awaitable[Any]], Awaitable[RemoteError]]:
    """Await a call that has to fail; returns its status."""

    async def wait(call: Awaitable[Any]) -> RemoteError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return remote_error(caught.value)

    return wait
