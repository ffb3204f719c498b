"""Who calls and what they may do: principals, their credentials and their roles, default deny.

`authz.yaml` lists principals. Each has roles, and either identities of client certificates (a URI
or DNS subject alternative name, exactly as in the certificate) or bearer tokens, kept as SHA-256:

    principals:
      - name: matcher
        roles: [matcher]
        identities: ["spiffe://example.org/matcher"]
      - name: anna
        roles: [editor]
        tokens:
          - {sha256: "<64 hex digits>", expires: "2027-01-31T00:00:00Z"}
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dedup_model import strict_yaml
from dedup_model.errors import (
    AmbiguousCredential,
    DedupError,
    InvalidRequest,
    PermissionDenied,
    Unauthenticated,
    Violation,
    invalid,
)
from dedup_rpc.changing import stamp

LOG = logging.getLogger("event_dedup.authz")
ROLES = ("reader", "editor", "matcher", "auditor", "admin", "caller", "operator")
TOKEN_BYTES = 32
RELOAD_SECONDS = 1.0
NAME = r"^[A-Za-z0-9][A-Za-z0-9@._:/-]{0,99}$"
"""What a principal may be called."""
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Principal:
    """An authenticated caller."""

    name: str
    roles: frozenset[str]


@dataclass(frozen=True)
class Peer:
    """What a call shows of its caller: certificate names and `authorization` headers."""

    identities: tuple[str, ...] = ()
    authorization: tuple[str, ...] = field(default=(), repr=False)


class Policy(Protocol):
    """Tells who a peer is."""

    def principal(self, peer: Peer) -> Principal:
        """Return the principal; raises `Unauthenticated` or `AmbiguousCredential`."""
        ...

    def knows(self, peer: Peer) -> bool:
        """Tell at little cost whether some credential of the peer is a principal's."""
        ...


@dataclass(frozen=True)
class Development:
    """Everybody is `dev` with all roles: for loopback addresses alone."""

    def principal(self, peer: Peer) -> Principal:
        """Return `dev`."""
        return _DEV

    def knows(self, peer: Peer) -> bool:
        """Return True."""
        return True


_DEV = Principal("dev", frozenset(ROLES))


class _Token(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires: datetime


class _Principal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    name: str = Field(pattern=NAME)
    roles: list[str] = Field(min_length=1)
    identities: list[str] = []
    tokens: list[_Token] = []


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    principals: list[_Principal]


@dataclass(frozen=True)
class Table:
    """The principals of one `authz.yaml`."""

    by_identity: Mapping[str, Principal]
    by_token: Mapping[str, tuple[datetime, Principal]] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> "Table":
        """Return the table of a file; raises `InvalidRequest` that names every bad entry."""
        try:
            file = _File.model_validate(strict_yaml.load(path))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise InvalidRequest(
                [Violation(".".join(map(str, d["loc"])), "AUTHZ", d["msg"]) for d in details]
            ) from None
        return cls._of(file.principals)

    @classmethod
    def _of(cls, entries: Iterable[_Principal]) -> "Table":
        by_identity: dict[str, Principal] = {}
        by_token: dict[str, tuple[datetime, Principal]] = {}
        for i, entry in enumerate(entries):
            principal = Principal(entry.name, frozenset(entry.roles))
            _require_sound(i, entry, by_identity, by_token)
            by_identity |= dict.fromkeys(entry.identities, principal)
            by_token |= {token.sha256: (token.expires, principal) for token in entry.tokens}
        return cls(by_identity, by_token)

    def principal(self, peer: Peer, now: datetime) -> Principal:
        """Return who a peer is; raises `Unauthenticated` or `AmbiguousCredential`."""
        found = {*self._of_certificate(peer), *self._of_token(peer, now)}
        if len(found) > 1:
            raise AmbiguousCredential("the credentials name more than one principal")
        if not found:
            raise Unauthenticated("valid credentials are required")
        return found.pop()

    def knows(self, peer: Peer) -> bool:
        """Tell whether some name or token of a peer is in the table."""
        named = any(name in self.by_identity for name in peer.identities)
        return named or any(_digest(header) in self.by_token for header in peer.authorization)

    def _of_certificate(self, peer: Peer) -> set[Principal]:
        if sum("://" in name for name in peer.identities) > 1:
            raise AmbiguousCredential("the certificate holds several URI names")
        return {self.by_identity[name] for name in peer.identities if name in self.by_identity}

    def _of_token(self, peer: Peer, now: datetime) -> set[Principal]:
        if len(peer.authorization) > 1:
            raise AmbiguousCredential("more than one authorization header")
        given = _digest(peer.authorization[0]) if peer.authorization else None
        found = [
            (expires, principal)
            for stored, (expires, principal) in self.by_token.items()
            if given is not None and hmac.compare_digest(stored, given)
        ]
        if given is not None and not any(expires > now for expires, _ in found):
            raise Unauthenticated("valid credentials are required")
        return {principal for _, principal in found}


def _require_sound(
    i: int,
    entry: _Principal,
    identities: Mapping[str, Principal],
    tokens: Mapping[str, tuple[datetime, Principal]],
) -> None:
    place = f"principals.{i}"
    if unknown := sorted(set(entry.roles) - set(ROLES)):
        raise invalid(
            f"{place}.roles", "AUTHZ", f"{', '.join(unknown)}: known are {', '.join(ROLES)}"
        )
    if any("*" in name or name in identities for name in entry.identities):
        raise invalid(f"{place}.identities", "AUTHZ", "no wildcards, and each name once")
    if any(token.sha256 in tokens or not token.expires.tzinfo for token in entry.tokens):
        raise invalid(f"{place}.tokens", "AUTHZ", "each token once, with a time zone in `expires`")


def _digest(header: str) -> str:
    """Return the digest of a header's token; of the whole header when it has not the form of one."""
    match = _BEARER.fullmatch(header)
    return token_digest(match[1] if match else f"malformed {header}")


def token_digest(token: str) -> str:
    """Return what `authz.yaml` holds of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """Return a new random token of 256 bits, 43 characters."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class AuthzFile:
    """The table of a file that may change while the process runs; a bad file keeps the old table."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._now, self._monotonic = path, now, monotonic
        self._stamp, self._looked = stamp(path), monotonic()
        self._table = Table.load(path)

    def principal(self, peer: Peer) -> Principal:
        """Return who a peer is; raises `Unauthenticated` or `AmbiguousCredential`."""
        if self._monotonic() - self._looked >= RELOAD_SECONDS:
            self._look()
        return self._table.principal(peer, self._now())

    def knows(self, peer: Peer) -> bool:
        """Tell whether some name or token of a peer is in the table as last read."""
        return self._table.knows(peer)

    def _look(self) -> None:
        self._looked, found = self._monotonic(), stamp(self._path)
        if found == self._stamp:
            return
        self._stamp = found
        try:
            self._table = Table.load(self._path)
            LOG.info("%s was read again", self._path.name)
        except DedupError as error:
            LOG.error("%s is bad, the old table stays: %s", self._path.name, error.message)


@dataclass(frozen=True)
class Grants:
    """Which roles may call a method: `/package.Service/Method` -> roles."""

    roles: Mapping[str, frozenset[str]]

    def require(self, principal: Principal, method: str) -> None:
        """Raise `PermissionDenied` when no role of the principal may call the method."""
        self.for_method(method)(principal)

    def for_method(self, method: str) -> Callable[[Principal], None]:
        """Return what raises `PermissionDenied` for who may not call the method."""
        allowed = self.roles.get(method, frozenset())

        def require(principal: Principal) -> None:
            if allowed.isdisjoint(principal.roles):
                text = "the caller's roles do not allow this call"
                raise PermissionDenied(text, required_role=", ".join(sorted(allowed)) or "none")

        return require
