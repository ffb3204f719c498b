"""What grpc's core would write beside the words of a command."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SETTINGS = bytes.fromhex("000000 04 00 00000000")
GOAWAY = bytes.fromhex("000008 07 00 00000000 00000000 00000002")


@contextmanager
def sent_away() -> Iterator[str]:
    """Serve HTTP/2 that sends its one connection away with an error."""

    def answer() -> None:
        with listener:
            connection, _ = listener.accept()
        connection.sendall(SETTINGS + GOAWAY)
        connection.close()

    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = threading.Thread(target=answer)
    server.start()
    yield f"127.0.0.1:{address[1]}"
    server.join()


def test_a_connection_that_ends_is_told_in_the_command_s_words_alone(event_dedup):
    with sent_away() as address:
        answer = event_dedup("config", "get", "--address", address)
    assert answer.status == 1
    assert answer.err == f"no service answers at {address}; is it running?\n"


def test_the_core_s_words_can_be_had(event_dedup):
    with sent_away() as address:
        answer = event_dedup("config", "get", "--address", address, GRPC_VERBOSITY="INFO")
    assert "goaway" in answer.err
