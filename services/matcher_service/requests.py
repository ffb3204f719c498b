"""What the requests of a stream bring: options once, then listings and what else a call takes."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

from dedup_model.errors import BatchLimit, DeadlineExceeded, LimitExceeded, invalid
from dedup_rpc.stalls import Stalls
from matcher_service.convert import Received

MIB = 1024 * 1024

Take: TypeAlias = Callable[[int], None]
"""Counts bytes of input; raises `LimitExceeded` or `BatchLimit`."""


async def opened(requests: AsyncIterator[Any]) -> Any:
    """Return the options of the first message; raises `InvalidRequest` when it has none."""
    async for request in requests:
        if request.WhichOneof("message") == "options":
            return request.options
        break
    raise invalid("message", "OPTIONS_FIRST", "the first message must carry the options")


class Intake:
    """Takes the input of batches in, within the limits of the server.

    A stream has at most `listings`. All batches together, from their first listing to the end of
    their calls, hold at most `most_bytes` of messages. A stream whose caller sends nothing for
    `stall_seconds` before it half-closes ends.
    """

    def __init__(self, listings: int, most_bytes: int, stall_seconds: float) -> None:
        self.listings, self._most_bytes = listings, most_bytes
        self._stalls = Stalls(stall_seconds)
        self.held = 0

    @contextmanager
    def share(self) -> Iterator[Take]:
        """Yield what counts the bytes of one batch; they are given back behind the block."""
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            self._require_room(mine + size, self.held + size)
            mine += size
            self.held += size

        try:
            yield take
        finally:
            self.held -= mine

    @asynccontextmanager
    async def received(
        self,
        requests: AsyncIterator[Any],
        others: Mapping[str, Callable[[Any], None]] | None = None,
    ) -> AsyncIterator[Received]:
        """Yield the listings of the messages to come, held while the block runs.

        `others` are given theirs, by the field's name. Raises `InvalidRequest` for a message
        without any of them, `LimitExceeded` and `BatchLimit` for too much, `DeadlineExceeded` for
        a caller that stalls.
        """
        with self.share() as take:
            raw = Received()
            async for request in self._in_time(requests):
                take(request.ByteSize())
                self._add(raw, request, others or {})
            yield raw

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

    async def _in_time(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            while True:
                yield await self._stalls.within(anext(requests))
        except StopAsyncIteration:
            return
        except TimeoutError:
            text = f"nothing was sent for {self._stalls.seconds:g} s; send the batch again"
            raise DeadlineExceeded(text) from None

    def _require_room(self, mine: int, all_of_them: int) -> None:
        if mine > self._most_bytes:
            most = self._most_bytes // MIB
            text = f"a batch may bring at most {most} MiB here; send it in parts"
            raise LimitExceeded(text, limit_mib=str(most))
        if all_of_them > self._most_bytes:
            raise BatchLimit("the server holds as much input as it takes at once; try again later")


def require_at_most(limit: int, count: int, otherwise: str = "") -> None:
    """Raise `LimitExceeded` for more listings than `limit`; `otherwise` says what to do then."""
    if count > limit:
        text = f"at most {limit} listings are allowed here{otherwise}"
        raise LimitExceeded(text, limit=str(limit))
