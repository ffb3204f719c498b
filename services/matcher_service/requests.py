"""What the requests of a stream bring: options once, then listings and what else a call takes."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dedup_model.errors import BatchLimit, DeadlineExceeded, LimitExceeded, invalid
from dedup_rpc.stalls import Stalls
from matcher_service.convert import Received

MIB = 1024 * 1024


@dataclass
class Share:
    """What one batch holds of what all batches may hold, in bytes."""

    intake: "Intake"
    size: int = 0

    def take(self, size: int) -> None:
        """Count input; raises `LimitExceeded` or `BatchLimit` when there is no room for it."""
        self.intake.require_room(self.size + size, self.intake.held + size)
        self.hold(size)

    def hold(self, size: int) -> None:
        """Count what the work has made, whether there is room or not: others come later then."""
        self.size += size
        self.intake.held += size


class Intake:
    """Takes the input of batches in, within the limits of the server.

    A stream has at most `listings`. No input is taken beyond `most_bytes` of what all batches hold
    from their first listing to the end of their calls. A stream whose caller sends nothing for
    `stall_seconds` before it half-closes ends.
    """

    def __init__(self, listings: int, most_bytes: int, stall_seconds: float) -> None:
        self.listings, self._most_bytes = listings, most_bytes
        self._stalls = Stalls(stall_seconds)
        self.held = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Yield the share of one batch; it is given back behind the block."""
        mine = Share(self)
        try:
            yield mine
        finally:
            self.held -= mine.size

    async def opened(self, requests: AsyncIterator[Any]) -> Any:
        """Return the options of the first message.

        Raises `InvalidRequest` when it has none, `DeadlineExceeded` for a caller that stalls.
        """
        first = await self._next(requests)
        if first is None or first.WhichOneof("message") != "options":
            raise invalid("message", "OPTIONS_FIRST", "the first message must carry the options")
        return first.options

    async def received(
        self,
        requests: AsyncIterator[Any],
        share: Share,
        others: Mapping[str, Callable[[Any], None]] | None = None,
    ) -> Received:
        """Return the listings of the messages to come, counted in `share`.

        `others` are given theirs, by the field's name. Raises `InvalidRequest` for a message
        without any of them, `LimitExceeded` and `BatchLimit` for too much, `DeadlineExceeded` for
        a caller that stalls.
        """
        raw = Received()
        while (request := await self._next(requests)) is not None:
            share.take(request.ByteSize())
            self._add(raw, request, others or {})
        return raw

    def require_room(self, mine: int, all_of_them: int) -> None:
        """Raise `LimitExceeded` when a batch alone is too large, `BatchLimit` when all of them are."""
        if mine > self._most_bytes:
            most = self._most_bytes // MIB
            text = f"a batch may bring at most {most} MiB here; send it in parts"
            raise LimitExceeded(text, limit_mib=str(most))
        if all_of_them > self._most_bytes:
            raise BatchLimit("the batches here hold as much as they may at once; try again later")

    def _add(
        self, raw: Received, request: Any, others: Mapping[str, Callable[[Any], None]]
    ) -> None:
        match request.WhichOneof("message"):
            case "listings":
                require_at_most(self.listings, len(raw) + len(request.listings.listings))
                raw.add(request.listings)
            case str(name) if name in others:
                others[name](getattr(request, name))
            case _:
                wanted = " and ".join(("listings", *others))
                raise invalid("message", "OPTIONS_FIRST", f"after the options only {wanted} follow")

    async def _next(self, requests: AsyncIterator[Any]) -> Any:
        """Return the next message, None at the end; raises `DeadlineExceeded`."""
        try:
            return await self._stalls.within(anext(requests, None))
        except TimeoutError:
            text = f"nothing was sent for {self._stalls.seconds:g} s; send the batch again"
            raise DeadlineExceeded(text) from None


def require_at_most(limit: int, count: int, otherwise: str = "") -> None:
    """Raise `LimitExceeded` for more listings than `limit`; `otherwise` says what to do then."""
    if count > limit:
        text = f"at most {limit} listings are allowed here{otherwise}"
        raise LimitExceeded(text, limit=str(limit))
