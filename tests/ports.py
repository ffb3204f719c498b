"""Ports for the servers that tests start."""

import random
import socket
from contextlib import suppress

LENT = range(20_000, 32_000)
"""Below those that systems lend to connections: no connection takes one before its server does."""
_drawn: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 on which nobody listens, and which were not returned before.

    Tests that run at the same time hardly draw the same.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().choice(LENT)
        if port not in _drawn:
            with suppress(OSError), socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
                found.add(port)
    _drawn.update(found)
    return sorted(found)


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]
