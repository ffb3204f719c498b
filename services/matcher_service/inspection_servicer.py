"""The handlers that look into a batch: decode, one call, encode."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceServicer
from matcher_service import convert, convert_inspection, convert_options
from matcher_service.config_client import ConfigLadder
from matcher_service.convert_options import Labels
from matcher_service.inspection import Inspector
from matcher_service.requests import Intake
from matcher_service.running import Running

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class InspectionServicer(MatcherServiceServicer):
    """Answers explanations and previews, each under the config that `configs` gives it."""

    def __init__(self, configs: ConfigLadder, intake: Intake, inspector: Inspector) -> None:
        self._configs, self._intake, self._inspector = configs, intake, inspector

    async def ExplainPair(
        self, request_iterator: AsyncIterator[pb.ExplainPairRequest], context: Context
    ) -> pb.ExplainPairResponse:
        """Explain two listings of a batch."""
        asked = convert_options.pair_options(await self._intake.opened(request_iterator))
        pinned = await self._configs.for_batch()
        one, other = asked.listings
        with self._intake.share() as share:
            raw = await self._intake.received(request_iterator, share)
            found = await self._inspector.pair(
                raw, pinned.snapshot.config, (one, other), asked.constraints
            )
        return convert_inspection.pair_answer(pinned, found)

    async def ExplainCluster(
        self, request_iterator: AsyncIterator[pb.ExplainClusterRequest], context: Context
    ) -> pb.ExplainClusterResponse:
        """Explain the event of a listing."""
        asked = convert_options.cluster_options(await self._intake.opened(request_iterator))
        pinned = await self._configs.for_batch()
        with self._intake.share() as share:
            raw = await self._intake.received(request_iterator, share)
            found = await self._inspector.cluster(
                raw, pinned.snapshot.config, asked.listings[0], asked.constraints
            )
        return convert_inspection.cluster_answer(pinned, found)

    async def PreviewConfig(
        self, request_iterator: AsyncIterator[pb.PreviewConfigRequest], context: Context
    ) -> AsyncIterator[pb.PreviewConfigResponse]:
        """Compare a batch under the config that holds and under a candidate."""
        asked = convert_options.preview_options(await self._intake.opened(request_iterator))
        pinned = await self._configs.for_batch()
        asked.require_base(pinned.snapshot.epoch, pinned.snapshot.revision)
        yield pb.PreviewConfigResponse(started=convert.run(pinned))
        labels = Labels(self._intake.listings)
        configs = pinned.snapshot.config, asked.candidate
        with self._intake.share() as share:
            others = {"labels": labels.add}
            raw = await self._intake.received(request_iterator, share, others)
            work = Running(
                lambda heard: self._inspector.preview(
                    raw, configs, labels.clusters, asked.constraints, asked.examples, heard
                )
            )
            async with aclosing(work.steps()) as steps:
                async for stage, done, total in steps:
                    step = pb.Progress(stage=stage, done=done, total=total)
                    yield pb.PreviewConfigResponse(progress=step)
            for chunk in convert_inspection.preview_chunks(work.result):
                yield pb.PreviewConfigResponse(changes=chunk)
        summary = convert_inspection.preview_summary(pinned, work.result)
        yield pb.PreviewConfigResponse(summary=summary)
