"""Client channels: credentials, keepalive, replicas in turn, retries of safe calls, size limit."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

from dedup_rpc import core_threads
from dedup_rpc.address import is_local, require_port
from dedup_rpc.bearer import AioToken, BlockingToken, TokenPlugin, UnusableCredentials, read_token
from dedup_rpc.variables import path

MAX_ANSWER_BYTES = 4 * 1024 * 1024

_READS = ("GetConfig", "GetSnapshot", "ListRevisions", "DiffRevisions", "AccessSecret")
_SERVICE_CONFIG = {
    # over all replicas that an address has, such as `dns:///` with a name of several
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [
                {"service": "eventdedup.config.v1.ConfigService", "method": method}
                for method in _READS
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

Options: TypeAlias = tuple[tuple[str, int | str], ...]
OPTIONS: Options = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
)


@dataclass(frozen=True)
class Credentials:
    """What a client trusts and shows; PEM files, and a file that holds one bearer token.

    A CA file turns TLS on. The token file is read at every call, so a rotated token works at once;
    the PEM files are read when a channel is made. `server_name` replaces the address's host when
    the server's certificate is checked: a list of addresses has none. Raises `UnusableCredentials`, a ValueError, for combinations of no use.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token_file: Path | None = None
    _: KW_ONLY
    server_name: str | None = None

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            raise UnusableCredentials("a client certificate and its key are given together")
        if self.cert_file and not self.ca_file:
            raise UnusableCredentials("a client certificate needs the CA file of the server")

    @classmethod
    def read(cls, variables: Mapping[str, str], prefix: str) -> "Credentials":
        """Return what the variables of a prefix say.

        `PREFIX_TLS_CA_FILE`, `_TLS_CERT_FILE`, `_TLS_KEY_FILE`, `_TOKEN_FILE`, `_TLS_SERVER_NAME`.
        """
        return cls(
            ca_file=path(variables, f"{prefix}_TLS_CA_FILE"),
            cert_file=path(variables, f"{prefix}_TLS_CERT_FILE"),
            key_file=path(variables, f"{prefix}_TLS_KEY_FILE"),
            token_file=path(variables, f"{prefix}_TOKEN_FILE"),
            server_name=variables.get(f"{prefix}_TLS_SERVER_NAME") or None,
        )

    def require_usable(self, address: str) -> None:
        """Raise `UnusableCredentials` or OSError for a token that cannot be read or would be overheard.

        Raises `BadAddress` for a port that is none.
        """
        require_port(address)
        if not self.token_file:
            return
        if not self.ca_file and not is_local(address):
            raise UnusableCredentials(
                "a token is sent over TLS or to this machine alone: give a CA file"
            )
        read_token(self.token_file)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return the TLS credentials, with the token in each call.

        Raises OSError for files that cannot be read, `UnusableCredentials` for those of no use.
        """
        ca, cert, key = (
            file.read_bytes() if file else None
            for file in (self.ca_file, self.cert_file, self.key_file)
        )
        self._require_pem()
        tls = grpc.ssl_channel_credentials(ca, key, cert)
        if not self.token_file:
            return tls
        token = grpc.metadata_call_credentials(TokenPlugin(self.token_file))
        return grpc.composite_channel_credentials(tls, token)

    def _require_pem(self) -> None:
        """Raise `UnusableCredentials` for files that the core of grpc would only grumble about."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.ca_file)
        except (ssl.SSLError, ValueError):
            raise UnusableCredentials(f"{self.ca_file} holds no certificate of a CA") from None
        try:
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file, password="")
        except (ssl.SSLError, ValueError):
            text = f"{self.cert_file} and {self.key_file} are no certificate and its key"
            raise UnusableCredentials(text) from None

    def options(self) -> Options:
        """Return the channel's options."""
        name = self.server_name
        return (*OPTIONS, *([("grpc.ssl_target_name_override", name)] if name else []))


ANONYMOUS = Credentials()


def connect(address: str, credentials: Credentials = ANONYMOUS, more: Options = ()) -> grpc.Channel:
    """Return a channel for blocking clients, with `more` options; connects when first used.

    Raises `UnusableCredentials` or OSError when the credentials cannot be used, `BadAddress` for a
    port that is none.
    """
    credentials.require_usable(address)
    core_threads.keep()
    options = (*credentials.options(), *more)
    if credentials.ca_file:
        return grpc.secure_channel(address, credentials.channel_credentials(), options)
    channel = grpc.insecure_channel(address, options)
    token = credentials.token_file
    return grpc.intercept_channel(channel, BlockingToken(token)) if token else channel


def connect_aio(
    address: str, credentials: Credentials = ANONYMOUS, more: Options = ()
) -> grpc.aio.Channel:
    """Return a channel for asyncio clients, with `more` options; connects when first used.

    Raises `UnusableCredentials` or OSError when the credentials cannot be used, `BadAddress` for a
    port that is none.
    """
    credentials.require_usable(address)
    core_threads.keep()
    options = (*credentials.options(), *more)
    if credentials.ca_file:
        return grpc.aio.secure_channel(address, credentials.channel_credentials(), options)
    token = credentials.token_file
    return grpc.aio.insecure_channel(
        address, options, interceptors=AioToken.each_kind(token) if token else None
    )
