"""Who asks for a write, why, on which ground, and what makes a repeat of it safe."""

from typing import Any

from config_service.edits import Meta
from config_service.idempotency import Claim
from dedup_rpc.guard import caller


def meta(request: Any) -> Meta:
    """Return who asks, why, and on which ground."""
    return Meta(author=caller().name, reason=request.reason, etag=request.etag)


def claim(request: Any) -> Claim | None:
    """Return what makes a repeat of a request safe; None when it carries no id."""
    if not request.request_id:
        return None
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    name = type(request).__name__.encode()
    return Claim(
        caller().name, request.request_id, name + content.SerializeToString(deterministic=True)
    )
