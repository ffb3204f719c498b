"""Addresses, as grpc writes them."""


def is_local(address: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    host = address.rpartition(":")[0]
    return address.startswith("unix:") or host in ("127.0.0.1", "localhost", "[::1]")
