"""Addresses, as grpc writes them."""

MAX_PORT = 65_535


class BadAddress(ValueError):
    """An address that nobody can listen on and nobody can call; the message says why."""


def is_local(address: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    host = address.rpartition(":")[0]
    return address.startswith("unix:") or host in ("127.0.0.1", "localhost", "[::1]")


def require_port(address: str) -> None:
    """Raise `BadAddress` for a port that is none, in a list of several, too.

    grpc takes the remainder of a division by 65,536 without a word: a mistyped port is another one.
    """
    if not address.startswith("unix") and any(map(_is_too_high, address.split(","))):
        raise BadAddress(f"{address}: a port is at most {MAX_PORT}")


def _is_too_high(address: str) -> bool:
    digits = address.rpartition(":")[2].lstrip("0")
    return digits.isdecimal() and (len(digits) > len(str(MAX_PORT)) or int(digits) > MAX_PORT)
