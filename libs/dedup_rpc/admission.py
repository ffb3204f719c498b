"""Who is let in: the size of what a call shows, its time, its credentials, its roles, its pace."""

import logging
from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import grpc

from dedup_model.errors import (
    AmbiguousCredential,
    DeadlineExceeded,
    MetadataTooLarge,
    RateLimited,
    Unauthenticated,
)
from dedup_rpc.authz import Grants, Peer, Policy, Principal
from dedup_rpc.caller import CALLER
from dedup_rpc.limits import Limits, Pace, Strangers, address_of

LOG = logging.getLogger("event_dedup.rpc")
MAX_METADATA_BYTES = 8 * 1024
NOBODY = Principal("", frozenset())
"""Who calls a public method."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Door: TypeAlias = Callable[[Context, float], tuple[Principal, Peer]]


class Admission:
    """Lets calls in, in this order: size of the metadata, deadline, credentials, roles, pace.

    Wrong credentials are counted by address. From an address that showed too many, credentials are
    looked up but not judged: a known one is let through to the judgement, so principals behind the
    same address notice nothing, and all others are refused for a while without one. Certificates
    are not even read when no client can show one.
    """

    def __init__(
        self,
        policy: Policy,
        grants: Grants,
        public: Collection[str],
        limits: Limits,
        *,
        certificates: bool,
    ) -> None:
        self._policy, self._grants, self._public = policy, grants, frozenset(public)
        self._pace = Pace(limits.calls_per_second)
        self._strangers = Strangers(limits.refusals_per_second)
        self._names = _names if certificates else _no_names

    def is_public(self, path: str) -> bool:
        """Tell whether a method needs no credentials."""
        return path in self._public

    def door(self, path: str) -> Door:
        """Return what makes the caller of a method known, or raises why the call is refused.

        It returns what `judge` needs. The certificate is read there alone: grpc crashes when it is
        asked for after a call's end.
        """
        names, identified, pace = self._names, self._identified, self._pace.require
        require, public = self._grants.for_method(path), path in self._public
        set_caller = CALLER.set

        def admit(context: Context, now: float) -> tuple[Principal, Peer]:
            headers = _authorization(context.invocation_metadata())
            if context.time_remaining() == 0:
                raise DeadlineExceeded("the call's deadline has passed")
            peer = Peer(names(context), headers)
            if public:
                return NOBODY, peer
            principal = identified(peer, context)
            require(principal)
            pace(principal.name, now)
            set_caller(principal)
            return principal, peer

        return admit

    def judge(self, path: str, peer: Peer) -> None:
        """Raise when a caller that was let in would not be any more."""
        self._grants.require(self._policy.principal(peer), path)

    def _identified(self, peer: Peer, context: Context) -> Principal:
        if self._strangers:
            self._require_promising(peer, address_of(context.peer()))
        try:
            return self._policy.principal(peer)
        except (Unauthenticated, AmbiguousCredential) as refusal:
            self._refused(address_of(context.peer()), refusal.reason)
            raise

    def _require_promising(self, peer: Peer, address: str) -> None:
        if self._strangers.are_at(address) and not self._policy.knows(peer):
            raise RateLimited("too many wrong credentials came from this address; try later")

    def _refused(self, address: str, reason: str) -> None:
        self._strangers.refused(address)
        facts = {"peer": address, "reason": reason}
        if self._strangers.are_at(address):
            LOG.warning("%s shows too many wrong credentials", address, extra=facts)
        else:
            LOG.info("credentials of %s are refused", address, extra=facts)


def _authorization(metadata: Any) -> tuple[str, ...]:
    """Return the `authorization` headers; raises `MetadataTooLarge`."""
    size = 0
    found: tuple[str, ...] = ()
    for key, value in metadata or ():
        size += len(key) + len(value)
        if key == "authorization":
            found += (_text(value),)
    if size > MAX_METADATA_BYTES:
        raise MetadataTooLarge(f"the call's metadata exceeds {MAX_METADATA_BYTES} bytes")
    return found


def _names(context: Context) -> tuple[str, ...]:
    """Return the URI and DNS names in the certificate that TLS checked.

    A name of another kind counts for nothing, nor does one that has the form of the other kind: who
    issues certificates for mail addresses does not check that they are no URIs.
    """
    shown = context.auth_context()
    uris = (_text(name) for name in shown.get("peer_uri", ()))
    hosts = (_text(name) for name in shown.get("peer_dns", ()))
    return *(n for n in uris if ":" in n), *(n for n in hosts if ":" not in n)


def _no_names(_: Context) -> tuple[str, ...]:
    return ()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
