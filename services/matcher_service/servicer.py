"""The handlers of MatcherService: decode, one call, encode."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from dedup_model.errors import LimitExceeded
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service import convert
from matcher_service.batch import Outcome, Runner
from matcher_service.config_client import BatchConfig, ConfigLadder
from matcher_service.convert_options import Options, options
from matcher_service.inspection import Inspector
from matcher_service.inspection_servicer import InspectionServicer
from matcher_service.requests import MIB, Intake, Share, require_at_most
from matcher_service.running import Running

MAX_SMALL_BATCH = 500
MAX_SMALL_ANSWER = 3 * MIB
DECISION_BYTES = 400
"""What a decision takes in memory until its client has read it."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Servicer(InspectionServicer):
    """Answers the RPCs; every batch asks `configs` for its config first, and is told to `done`."""

    def __init__(
        self,
        configs: ConfigLadder,
        intake: Intake,
        runner: Runner,
        done: Callable[[Outcome], None],
    ) -> None:
        super().__init__(configs, intake, Inspector(runner.workers, runner.most_pairs))
        self._runner, self._done = runner, done

    async def DeduplicateBatch(
        self, request: pb.DeduplicateBatchRequest, context: Context
    ) -> pb.DeduplicateBatchResponse:
        """Run one small batch."""
        chosen = options(request.options)
        require_at_most(MAX_SMALL_BATCH, len(request.listings), "; send more through Deduplicate")
        with self._intake.share() as share:
            share.take(request.ByteSize())
            pinned = await self._configs.for_batch()
            raw = convert.raw_listings(request.listings)
            outcome = await self._runner.run(
                pinned, raw, chosen.floor, _unheard, chosen.constraints
            )
        self._done(outcome)
        return _whole(outcome)

    async def Deduplicate(
        self, request_iterator: AsyncIterator[pb.DeduplicateRequest], context: Context
    ) -> AsyncIterator[pb.DeduplicateResponse]:
        """Run one batch over a stream."""
        numbers = itertools.count(1)
        async with aclosing(self._answers(request_iterator)) as messages:
            async for message in messages:
                message.seq = next(numbers)
                yield message

    async def _answers(
        self, requests: AsyncIterator[pb.DeduplicateRequest]
    ) -> AsyncGenerator[pb.DeduplicateResponse, None]:
        chosen = options(await self._intake.opened(requests))
        pinned = await self._configs.for_batch()
        yield pb.DeduplicateResponse(started=convert.run(pinned))
        with self._intake.share() as share:
            raw = await self._intake.received(requests, share)
            yield _progress("receive", len(raw), len(raw))
            async with aclosing(self._worked(pinned, raw, chosen, share)) as messages:
                async for message in messages:
                    yield message

    async def _worked(
        self, pinned: BatchConfig, raw: convert.Received, chosen: Options, share: Share
    ) -> AsyncGenerator[pb.DeduplicateResponse, None]:
        """Yield the batch's progress while it runs, then its results."""
        batch = Running(
            lambda heard: self._runner.run(pinned, raw, chosen.floor, heard, chosen.constraints)
        )
        async with aclosing(batch.steps()) as steps:
            async for step in steps:
                yield _progress(*step)
        self._done(batch.result)
        share.hold(DECISION_BYTES * len(batch.result.result.decisions))
        for chunk in convert.chunks(batch.result):
            yield pb.DeduplicateResponse(results=chunk)
            await asyncio.sleep(0)
        yield pb.DeduplicateResponse(summary=convert.summary(batch.result))


def _whole(outcome: Outcome) -> pb.DeduplicateBatchResponse:
    """Return the answer in one message; raises `LimitExceeded` as soon as it is too large."""
    response = pb.DeduplicateBatchResponse(summary=convert.summary(outcome))
    for chunk in convert.chunks(outcome):
        response.results.MergeFrom(chunk)
        if response.ByteSize() > MAX_SMALL_ANSWER:
            raise LimitExceeded(
                f"the answer is larger than {MAX_SMALL_ANSWER // MIB} MiB, the most for one message:"
                " send the batch through Deduplicate, or raise options.decision_floor",
                limit_mib=str(MAX_SMALL_ANSWER // MIB),
            )
    return response


def _unheard(_stage: str, _done: int, _total: int) -> None:
    """Drop the progress of a batch whose answer is one message."""


def _progress(stage: str, done: int, total: int) -> pb.DeduplicateResponse:
    return pb.DeduplicateResponse(progress=pb.Progress(stage=stage, done=done, total=total))
