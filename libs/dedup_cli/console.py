"""What people see: the console, and errors as sentences that help to act."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import grpc
import typer
from rich.console import Console
from rich.markup import escape

from dedup_model.errors import DedupError, InvalidRequest, Violation
from dedup_rpc.address import BadAddress
from dedup_rpc.bearer import UnusableCredentials
from dedup_rpc.client import ServiceError
from dedup_rpc.door import INTERRUPTED
from dedup_rpc.status import RemoteError, remote_error

PIPE_WIDTH = 160
OUT = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)

FAILED = 1
"""Exit status when a service refused or could not be reached."""

CHECK_TLS = (
    " If it serves TLS, check the certificates: --tls-ca, --tls-cert and --tls-key, the names and"
    " dates in them, and the server's client CA"
)
"""Shown when something answered: a TLS refusal looks like a service that is not there."""


def fail(*lines: str) -> NoReturn:
    """Print lines to standard error and exit with FAILED."""
    for line in lines:
        ERR.print(f"[red]{escape(line)}[/red]")
    raise typer.Exit(FAILED)


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn errors of calls to `address` and of input into sentences and exit status FAILED."""
    try:
        yield
    except (grpc.RpcError, ServiceError, DedupError) as error:
        fail(*_lines(error, address))
    except (UnusableCredentials, BadAddress) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'input or output'}: {error.strerror or 'failed'}")
    except UnicodeEncodeError:
        fail("an argument, or a text that was read, is not UTF-8 text")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def utf8(raw: bytes, source: str) -> str:
    """Return the text of what was read from a source; fails when it is none."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        fail(f"{source}: not UTF-8 text")


def _lines(error: Exception, address: str) -> list[str]:
    """Return what people read of an error, of a service's answer as much as it says."""
    status = error if isinstance(error, grpc.RpcError) else error.__cause__
    if isinstance(status, grpc.RpcError):
        return _remote_lines(remote_error(status), address)
    if isinstance(error, InvalidRequest):
        return [*map(_violation_line, error.violations)]
    return [str(error)]


def _remote_lines(error: RemoteError, address: str) -> list[str]:
    if error.code is grpc.StatusCode.UNAVAILABLE and not error.reason:
        if "errors resolving" in error.message:
            return [f"no address is known for {address}; is the name right?"]
        hint = "" if "onnection refused" in error.message else CHECK_TLS
        return [f"no service answers at {address}; is it running?{hint}"]
    if error.message.startswith("Failed to create channel"):
        return [f"'{address}' is no address of a service: give host:port"]
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED and not error.reason:
        return [f"{address} did not answer in time"]
    facts = [f"  {name}: {value}" for name, value in sorted(error.facts.items()) if value]
    lines = [_violation_line(violation) for violation in error.violations]
    message = "" if lines else f": {error.message}"
    return [f"{error.code.name} {error.reason}{message}".strip(), *lines, *facts]


def _violation_line(violation: Violation) -> str:
    return f"  {violation.path}: {violation.description} ({violation.rule})"
