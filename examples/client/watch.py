"""Follow the settings for as long as this process lives, whatever happens to the service."""

import asyncio
import sys

from dedup_rpc.client import AsyncConfigClient


async def main(address: str, count: int) -> None:
    async with AsyncConfigClient(address) as client, client.watch() as states:
        async for state in states:
            print(state.revision.number, state.config.thresholds.high, *state.changed_paths)
            if state.resync:
                print("the store was restored: what was known before is void")
            count -= 1
            if not count:
                break


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    asyncio.run(main(address, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
