"""When a certificate expires, read from its PEM file (X.509 as of RFC 5280, DER as of X.690)."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from dedup_rpc.metrics import Metrics

_END = "-----END CERTIFICATE-----"
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""The forms of UTCTime and of GeneralizedTime in a certificate, by tag."""
_VERSION = 0xA0


def add_gauge(metrics: Metrics, server: Path | None, client: Path | None = None) -> None:
    """Add the gauge of expiry times of the certificates in use.

    A server's is read again at each scrape, as the server itself takes up a new file. A client's is
    read now: a channel shows the one that it was made with. Raises OSError or ValueError for that one.
    """
    held = _expiry("client", client)
    metrics.gauges(
        "eventdedup_certificate_not_after_seconds",
        "When the certificate in use expires, in seconds since 1970",
        ("use",),
        lambda: held | _replaced(server),
    )


def _replaced(server: Path | None) -> dict[tuple[str, ...], float]:
    # a file that cannot be read is not taken up either; `ServerFiles` says so in the log
    try:
        return _expiry("server", server)
    except (OSError, ValueError):
        return {}


def _expiry(use: str, path: Path | None) -> dict[tuple[str, ...], float]:
    return {(use,): not_after(path).timestamp()} if path else {}


def not_after(path: Path) -> datetime:
    """Return when the first certificate of a PEM file expires; raises OSError or ValueError."""
    pem, end, _ = path.read_text("utf-8", "replace").partition(_END)
    try:
        return _not_after(ssl.PEM_cert_to_DER_cert(pem[pem.find("-----BEGIN") :] + end))
    except (ValueError, LookupError):
        raise ValueError(f"{path.name} holds no certificate in PEM") from None


def _not_after(der: bytes) -> datetime:
    certificate = _children(der)[0][1]
    fields = _children(_children(certificate)[0][1])
    # version is left out of a certificate of the first version; then serial, signature, issuer
    validity = fields[4 if fields[0][0] == _VERSION else 3][1]
    tag, text = _children(validity)[1]
    return datetime.strptime(text.decode(), _TIMES[tag]).replace(tzinfo=UTC)


def _children(der: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each value that stands in `der`, one after the other."""
    found = []
    while der:
        size, begins = der[1], 2
        if size & 0x80:
            begins = 2 + (size & 0x7F)
            size = int.from_bytes(der[2:begins])
        found.append((der[0], der[begins : begins + size]))
        der = der[begins + size :]
    return found
