"""The handlers of MatcherService: decode, one call, encode."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import grpc

from dedup_model.errors import LimitExceeded, invalid
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceServicer
from matcher_service import convert
from matcher_service.batch import Outcome, Runner
from matcher_service.config_client import BatchConfig, ConfigLadder
from matcher_service.convert_options import Options, options

MAX_SMALL_BATCH = 500
MAX_SMALL_ANSWER = 3 * 1024 * 1024
PROGRESS_SECONDS = 0.1

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Servicer(MatcherServiceServicer):
    """Answers the RPCs; every batch asks `configs` for its config first, and is told to `done`."""

    def __init__(
        self,
        configs: ConfigLadder,
        max_listings: int,
        runner: Runner,
        done: Callable[[Outcome], None],
    ) -> None:
        self._configs, self._max_listings, self._done = configs, max_listings, done
        self._runner = runner

    async def DeduplicateBatch(
        self, request: pb.DeduplicateBatchRequest, context: Context
    ) -> pb.DeduplicateBatchResponse:
        """Run one small batch."""
        chosen = options(request.options)
        _require_at_most(MAX_SMALL_BATCH, len(request.listings))
        pinned = await self._configs.for_batch()
        raw = convert.raw_listings(request.listings)
        outcome = await self._runner.run(pinned, raw, chosen.floor, _unheard, chosen.constraints)
        self._done(outcome)
        response = pb.DeduplicateBatchResponse(summary=convert.summary(outcome))
        for chunk in convert.chunks(outcome):
            response.results.MergeFrom(chunk)
        if response.ByteSize() > MAX_SMALL_ANSWER:
            raise LimitExceeded("the answer is too large for one message; use Deduplicate")
        return response

    async def Deduplicate(
        self, request_iterator: AsyncIterator[pb.DeduplicateRequest], context: Context
    ) -> AsyncIterator[pb.DeduplicateResponse]:
        """Run one batch over a stream."""
        numbers = itertools.count(1)
        async for message in self._answers(request_iterator):
            message.seq = next(numbers)
            yield message

    async def _answers(
        self, requests: AsyncIterator[pb.DeduplicateRequest]
    ) -> AsyncIterator[pb.DeduplicateResponse]:
        chosen = await _opened(requests)
        pinned = await self._configs.for_batch()
        yield pb.DeduplicateResponse(started=convert.run(pinned))
        raw = await self._received(requests)
        yield _progress("receive", len(raw), len(raw))
        async for message in self._worked(pinned, raw, chosen):
            yield message

    async def _worked(
        self, pinned: BatchConfig, raw: convert.Received, chosen: Options
    ) -> AsyncIterator[pb.DeduplicateResponse]:
        """Yield the batch's progress while it runs, then its results."""
        latest: list[tuple[str, int, int]] = []
        work = self._runner.run(
            pinned, raw, chosen.floor, lambda *step: latest.append(step), chosen.constraints
        )
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=PROGRESS_SECONDS)
                if latest:
                    yield _progress(*latest[-1])
                    latest.clear()
            outcome = await task
            self._done(outcome)
        finally:
            task.cancel()
        for chunk in convert.chunks(outcome):
            yield pb.DeduplicateResponse(results=chunk)
            await asyncio.sleep(0)
        yield pb.DeduplicateResponse(summary=convert.summary(outcome))

    async def _received(self, requests: AsyncIterator[pb.DeduplicateRequest]) -> convert.Received:
        raw = convert.Received()
        async for request in requests:
            if request.WhichOneof("message") != "listings":
                raise invalid("message", "OPTIONS_FIRST", "after the options only listings follow")
            _require_at_most(self._max_listings, len(raw) + len(request.listings.listings))
            raw.add(request.listings)
        return raw


async def _opened(requests: AsyncIterator[pb.DeduplicateRequest]) -> Options:
    async for request in requests:
        if request.WhichOneof("message") == "options":
            return options(request.options)
        break
    raise invalid("message", "OPTIONS_FIRST", "the first message must carry the options")


def _unheard(_stage: str, _done: int, _total: int) -> None:
    """Drop the progress of a batch whose answer is one message."""


def _progress(stage: str, done: int, total: int) -> pb.DeduplicateResponse:
    return pb.DeduplicateResponse(progress=pb.Progress(stage=stage, done=done, total=total))


def _require_at_most(limit: int, count: int) -> None:
    if count > limit:
        raise LimitExceeded(f"at most {limit} listings are allowed here", limit=str(limit))
