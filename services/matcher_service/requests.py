"""What the requests of a stream bring: options once, then listings and what else a call takes."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from dedup_model.errors import LimitExceeded, invalid
from matcher_service.convert import Received


async def opened(requests: AsyncIterator[Any]) -> Any:
    """Return the options of the first message; raises `InvalidRequest` when it has none."""
    async for request in requests:
        if request.WhichOneof("message") == "options":
            return request.options
        break
    raise invalid("message", "OPTIONS_FIRST", "the first message must carry the options")


async def received(
    requests: AsyncIterator[Any], limit: int, others: Mapping[str, Callable[[Any], None]]
) -> Received:
    """Return the listings of the messages to come, and give `others` theirs, by the field's name.

    Raises `InvalidRequest` for a message without any of them, `LimitExceeded` for more than `limit`
    listings.
    """
    raw = Received()
    async for request in requests:
        match request.WhichOneof("message"):
            case "listings":
                require_at_most(limit, len(raw) + len(request.listings.listings))
                raw.add(request.listings)
            case str(name) if name in others:
                others[name](getattr(request, name))
            case _:
                wanted = " and ".join(("listings", *others))
                raise invalid("message", "OPTIONS_FIRST", f"after the options only {wanted} follow")
    return raw


def require_at_most(limit: int, count: int) -> None:
    """Raise `LimitExceeded` for more listings than `limit`."""
    if count > limit:
        raise LimitExceeded(f"at most {limit} listings are allowed here", limit=str(limit))
