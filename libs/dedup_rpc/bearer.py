"""The bearer token that a client sends, read from its file at every call."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc


class UnusableCredentials(ValueError):
    """Credentials that cannot be sent, or must not be sent like this; the message says why."""


_ONE_WORD = re.compile(r"[\x21-\x7e]{1,4096}")


def read_token(file: Path) -> str:
    """Return a file's token without white space around it; raises OSError or `UnusableCredentials`."""
    token = file.read_bytes().decode("ascii", "replace").strip()
    if not _ONE_WORD.fullmatch(token):
        raise UnusableCredentials(f"{file} must hold one token and nothing else")
    return token


class TokenPlugin(grpc.AuthMetadataPlugin):
    """Adds the token to each call over TLS."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(
        self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback
    ) -> None:
        """Hand the header over; a file that cannot be read ends the call as UNAVAILABLE."""
        try:
            callback((_header(self._file),), None)
        except (OSError, ValueError) as error:
            callback((), error)


def _header(file: Path) -> tuple[str, str]:
    return "authorization", f"Bearer {read_token(file)}"


def _with_token(file: Path, details: Any) -> Any:
    """Return a call's details with the header; `details` is grpc's tuple of either kind."""
    metadata = (*(details.metadata or ()), _header(file))
    return details._replace(metadata=metadata)


class BlockingToken(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the token to each call of a blocking plaintext channel."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _intercept(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(_with_token(self._file, client_call_details), request)

    intercept_unary_unary = _intercept
    intercept_unary_stream = _intercept
    intercept_stream_unary = _intercept  # type: ignore[assignment]
    intercept_stream_stream = _intercept  # type: ignore[assignment]


class AioToken:
    """Adds the token to each call of an asyncio plaintext channel."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def _intercept(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()), _header(self._file))
        return await continuation(client_call_details._replace(metadata=metadata), request)

    @classmethod
    def each_kind(cls, file: Path) -> Sequence[grpc.aio.ClientInterceptor]:
        """Return one interceptor for each kind of call, as grpc.aio wants them."""
        return [_UnaryUnary(file), _UnaryStream(file), _StreamUnary(file), _StreamStream(file)]


class _UnaryUnary(AioToken, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary = AioToken._intercept


class _UnaryStream(AioToken, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = AioToken._intercept


class _StreamUnary(AioToken, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary = AioToken._intercept  # type: ignore[assignment]


class _StreamStream(AioToken, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream = AioToken._intercept  # type: ignore[assignment]
