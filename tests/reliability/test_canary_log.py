"""A planted log line with the request is found where the real service leaves nothing to find."""

import pytest
from reliability import planted
from reliability.harness import Serve, serve
from reliability.scene import freshly_migrated
from reliability.workload import new_id

CANARY = "canary-5d1c07b2-do-not-leak"


async def files_with_the_canary(target: Serve) -> set[str]:
    """Set the canary as the secret; returns the names of the files that hold it afterwards."""
    with freshly_migrated(target) as scene:
        async with scene.client() as client:
            await client.settle(scene.journal.begin(None, CANARY, request_id=new_id()))
        files = [path for path in scene.service.folder.rglob("*") if path.is_file()]
        assert {"service.log", "config.db-wal"} <= {path.name for path in files}
        return {path.name for path in files if CANARY.encode() in path.read_bytes()}


@pytest.mark.parametrize(("target", "found"), [(serve, set()), (planted.chatty, {"service.log"})])
async def test_the_secret_is_in_no_file_unless_a_log_line_holds_the_request(
    target: Serve, found: set[str]
) -> None:
    assert await files_with_the_canary(target) == found
