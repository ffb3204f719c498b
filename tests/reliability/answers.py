"""What must hold in the service's answers after each start."""

from collections.abc import Iterator
from typing import Any

import grpc
from reliability.workload import DEADLINE_SECONDS, TRIES, Client, Write

from dedup_model import tree
from dedup_rpc.wire import to_document
from eventdedup.config.v1 import config_service_pb2 as pb

NEWEST = 200


class Answers:
    """Reads of one client, compared with what was acknowledged before them."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def check(self, acknowledged: list[Write]) -> list[str]:
        """Return what does not hold."""
        newest = max((write.revision for write in acknowledged), default=1)
        head = await self._ask("GetConfig", pb.GetConfigRequest())
        known = {"known_epoch": head.epoch, "min_revision": newest}
        snapshot = await self._ask("GetSnapshot", pb.GetSnapshotRequest(**known))
        page = await self._ask("ListRevisions", pb.ListRevisionsRequest(page_size=NEWEST))
        found = [*self._fresh(newest, head, snapshot), *self._listed(page, acknowledged)]
        for write in acknowledged[-1:]:
            request = pb.GetConfigRequest(revision=write.revision)
            found += self._shown(write, await self._ask("GetConfig", request))
        return found

    async def _ask(self, method: str, request: Any) -> Any:
        for _ in range(TRIES):
            try:
                return await getattr(self.client.stub, method)(request, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await self.client.reconnect()
        raise AssertionError("the service stays away")

    def _fresh(self, newest: int, head: Any, snapshot: Any) -> Iterator[str]:
        if head.revision.revision < newest:
            yield f"GetConfig answers {head.revision.revision} after {newest} was acknowledged"
        if snapshot.revision < newest:
            yield f"GetSnapshot answers {snapshot.revision} after {newest} was acknowledged"

    def _listed(self, page: Any, acknowledged: list[Write]) -> Iterator[str]:
        listed = {revision.reason: revision.revision for revision in page.revisions}
        numbers = [revision.revision for revision in page.revisions]
        if numbers != list(range(numbers[0], numbers[-1] - 1, -1)):
            yield "ListRevisions leaves revisions out"
        for write in acknowledged:
            if write.revision >= numbers[-1] and listed.get(write.reason) != write.revision:
                yield f"ListRevisions does not show {write.reason} as {write.revision}: it is lost"

    def _shown(self, write: Write, config: Any) -> Iterator[str]:
        effective = to_document(config.effective)
        if write.path and tree.find(effective, write.path) != write.value:
            yield f"GetConfig does not show {write.reason} in its revision"
