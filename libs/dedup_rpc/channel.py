"""Client channels: keepalive, retries of calls that are safe to repeat, a sane size limit."""

import json

import grpc

MAX_ANSWER_BYTES = 4 * 1024 * 1024

_READS = ("GetConfig", "GetSnapshot", "ListRevisions", "DiffRevisions", "AccessSecret")
_RETRY = {
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
    ]
}

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.service_config", json.dumps(_RETRY)),
)


def connect(address: str) -> grpc.Channel:
    """Return a channel for blocking clients; connects when first used."""
    return grpc.insecure_channel(address, options=OPTIONS)


def connect_aio(address: str) -> grpc.aio.Channel:
    """Return a channel for asyncio clients; connects when first used."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)
