"""TLS of a server: its certificate, key and client CA, read again when their files change."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from dedup_rpc.changing import Stamp, stamp
from dedup_rpc.server import NotAllowed

LOG = logging.getLogger("event_dedup.tls")


@dataclass(frozen=True)
class ServerFiles:
    """PEM files of a server; with a client CA every client must show a certificate of it."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow the files; raises `NotAllowed` for files of no use.

        A new connection sees new files. Files that do not fit together, such as a certificate
        whose key is not written yet, change nothing.
        """
        current = _Current(self)
        return grpc.dynamic_ssl_server_credentials(
            self.read(),
            current.changed,  # type: ignore[arg-type]  # None is allowed: nothing changed
            require_client_authentication=self.client_ca is not None,
        )

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Return what the files hold; raises `NotAllowed`."""
        try:
            self._require_fit()
            pair = self.key.read_bytes(), self.cert.read_bytes()
            roots = self.client_ca.read_bytes() if self.client_ca else None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
            names = ", ".join(path.name for path in self.paths())
            raise NotAllowed(f"the TLS files {names} cannot be used: {why}") from None
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def _require_fit(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key, password="")
        if self.client_ca:
            context.load_verify_locations(self.client_ca)

    def paths(self) -> tuple[Path, ...]:
        """Return the files that are set."""
        return (self.cert, self.key, *([self.client_ca] if self.client_ca else []))

    def stamps(self) -> tuple[Stamp, ...]:
        """Return what differs after one of the files was replaced."""
        return tuple(stamp(path) for path in self.paths())


class _Current:
    def __init__(self, files: ServerFiles) -> None:
        self._files, self._stamps = files, files.stamps()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new files' content, or None when what is served stays; grpc asks per connection."""
        stamps = self._files.stamps()
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        try:
            found = self._files.read()
        except NotAllowed as error:
            LOG.error("the old TLS files stay in use: %s", error)
            return None
        LOG.info("the TLS files were read again")
        return found
