"""The rows of the bad-input table: their numbers, those that nothing can answer here, and the caller.

A test names the rows that it shows with `row`, a table of tests with the first word of each `Case`.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc

from dedup_model.errors import Violation
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_admin_service_pb2, config_service_pb2

COUNTS = {"T": 25, "A": 12, "B": 12, "U": 30, "W": 8, "K": 12, "Y": 14}
ROWS = {f"{letter}{i}" for letter, count in COUNTS.items() for i in range(1, count + 1)}
NOT_HERE = {
    "U26": "no setting is a regular expression",
    "Y13": "answers of a language model are not read yet",
    "Y14": "no language model is called yet",
}
"""Rows that nothing can answer, and why."""
ELSEWHERE = {
    "T2": "security/test_credentials.py: a_connection_that_tls_refuses_is_unavailable",
    "A8": "security/test_credentials.py: other_names_of_a_client_certificate_are_nobody",
    "A10": "security/test_credentials.py: a_token_and_a_certificate_of_different_principals_are",
    "A11": "rpc/test_authz.py: a_bad_file_keeps_the_old_table_and_raises_an_alarm",
    "W7": "reliability/test_watch_stalled.py: ",
    "W8": "security/test_while_running.py: a_role_that_is_taken_away_ends_a_watch",
    "K4": "config/test_cipher.py: a_tampered_revision_is_data_loss_over_the_wire",
    "K9": "config/test_setup.py: a_database_of_a_newer_release_is_refused",
    "Y5": "model/test_strict_yaml.py: a_scalar_of_the_wrong_type_never_becomes_a_setting",
    "Y10": "matcher/test_config_client.py: ",
    "Y12": "matcher/test_engine_records.py: ",
}
"""Rows that a test of another file shows: the file, and how the test's name goes on."""

SECONDS = 10.0
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
SERVICES = [
    config_service_pb2.DESCRIPTOR.services_by_name["ConfigService"],
    config_admin_service_pb2.DESCRIPTOR.services_by_name["ConfigAdminService"],
]
RPCS = {method.name: method for service in SERVICES for method in service.methods}
UNARY = sorted(name for name, method in RPCS.items() if not method.server_streaming)
PATHS = {name: f"/{method.containing_service.full_name}/{name}" for name, method in RPCS.items()}

T = TypeVar("T")


def row(*numbers: str) -> Callable[[T], T]:
    """Say which rows a test shows."""
    assert set(numbers) <= ROWS
    return lambda test: test


def missing(folder: Path) -> list[str]:
    """Return what of `ELSEWHERE` is not there."""
    places = (place.split(": ") for place in ELSEWHERE.values())
    texts = ((file, name, (folder / file).read_text()) for file, name in places)
    return [file for file, name, text in texts if f"def test_{name}" not in text]


def shown_rows(folder: Path) -> Iterator[str]:
    """Yield the rows that the tests of a folder show."""
    for file in (*sorted(folder.glob("test_bad_inputs*.py")), folder / "bad_requests.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("row", "Case"):
                words = node.args if getattr(node.func, "id", "") == "row" else node.args[:1]
                yield from (word.value for word in words if isinstance(word, ast.Constant))


@dataclass(frozen=True)
class Case:
    """One bad input, and the answer that it must get; the message or its bytes."""

    row: str
    name: str
    method: str
    request: Any = field(repr=False)
    code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.row} {self.name}"


@dataclass(frozen=True)
class Answer:
    """How a call ended: its message, or a status with its details."""

    code: grpc.StatusCode
    message: Any = None
    reason: str = ""
    text: str = ""
    violations: tuple[Violation, ...] = ()
    facts: Any = None


class Caller:
    """Calls any RPC of ConfigService with a message or with bytes, without retries."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, OWN_CONNECTION)

    def __call__(
        self, method: str, request: Any = b"", metadata: Any = (), seconds: float = SECONDS
    ) -> Answer:
        """Return how a unary call ended."""
        make = self.channel.unary_unary(PATHS[method])
        try:
            body = make(as_bytes(request), metadata=metadata, timeout=seconds)
        except grpc.RpcError as error:
            return refusal(error)
        return Answer(grpc.StatusCode.OK, answer_type(method).FromString(body))

    def watch(self, request: Any = b"", messages: int = 1, seconds: float = SECONDS) -> Answer:
        """Return the first messages of a watch, or how it ended before."""
        stream = self.channel.unary_stream(PATHS["WatchConfig"])(as_bytes(request), timeout=seconds)
        seen = []
        try:
            for body in stream:
                seen.append(answer_type("WatchConfig").FromString(body))
                if len(seen) == messages:
                    break
        except grpc.RpcError as error:
            return refusal(error)
        finally:
            stream.cancel()
        return Answer(grpc.StatusCode.OK, seen)

    def head(self) -> int:
        """Return the revision that is served."""
        return int(self("GetConfig").message.revision.revision)

    def etag(self) -> str:
        """Return the head's etag."""
        return str(self("GetConfig").message.revision.etag)

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()


def as_bytes(request: Any) -> bytes:
    """Return what is sent of a message, or the bytes themselves."""
    return request if isinstance(request, bytes) else bytes(request.SerializeToString())


def answer_type(method: str) -> Any:
    """Return the class of a method's answers."""
    return _class(RPCS[method].output_type)


def request_type(method: str) -> Any:
    """Return the class of a method's requests."""
    return _class(RPCS[method].input_type)


def _class(descriptor: Any) -> Any:
    return descriptor._concrete_class


def refusal(error: Any) -> Answer:
    """Return a status with its details."""
    seen = remote_error(error)
    return Answer(seen.code, None, seen.reason, seen.message, seen.violations, seen.facts)
