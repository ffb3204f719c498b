"""Work that takes too long is ended, by one timer for all of it."""

import asyncio

import pytest

from dedup_rpc.stalls import Stalls


async def test_a_piece_of_work_that_is_done_in_time_is_left_alone() -> None:
    stalls = Stalls(0.05)
    for _ in range(8):
        await stalls.within(asyncio.sleep(0.02))


async def test_work_that_stalls_ends_soon_after_its_time() -> None:
    loop = asyncio.get_running_loop()
    stalls, began = Stalls(0.2), loop.time()
    with pytest.raises(TimeoutError):
        await stalls.within(asyncio.sleep(5))
    assert 0.2 <= loop.time() - began < 1
    with pytest.raises(TimeoutError):
        await stalls.within(asyncio.sleep(5))


async def test_who_is_cancelled_while_work_stalls_stays_cancelled() -> None:
    task = asyncio.create_task(Stalls(5).within(asyncio.sleep(5)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_what_the_work_gives_comes_back_and_so_does_what_it_raises() -> None:
    stalls = Stalls(5)
    assert await stalls.within(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(TimeoutError, match="its own"):
        await stalls.within(failing())


async def failing() -> None:
    """Raise an error of the work's own."""
    raise TimeoutError("its own")
