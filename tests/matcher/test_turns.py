"""Batches take turns: so many at once, callers in turn, and refusals that say when to come back."""

import asyncio
from collections.abc import Callable

import pytest

from dedup_model.errors import BatchLimit
from dedup_rpc.status import status_of
from matcher_service.turns import LONGEST_HINT, SHORTEST_HINT, Turns


def unheard(_: int) -> None:
    """Drop how many go first."""


class Crowd:
    """Batches that run until they are let go; `begun` names them in the order of their turns."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.begun = turns, list[str]()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def comes(
        self, name: str, told: Callable[[int], None] = unheard, *, begun: bool = False
    ) -> None:
        """Let a batch come; its caller is its name's first letter."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, told, begun))
        await self.settled()

    async def ends(self, name: str) -> None:
        """Let a batch end."""
        self._ends[name].set()
        await self.tasks[name]
        await self.settled()

    async def leaves(self, name: str) -> None:
        """Cancel a batch."""
        self.tasks[name].cancel()
        await self.settled()

    async def settled(self) -> None:
        """Let everybody do what it can."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def _run(self, name: str, told: Callable[[int], None], begun: bool) -> None:
        async with self.turns.one(name[0], told, begun=begun):
            self.begun.append(name)
            await self._ends[name].wait()


async def test_no_more_run_at_once_than_there_are_places() -> None:
    crowd = Crowd(Turns(2, 10))
    for name in ("a1", "a2", "a3", "a4"):
        await crowd.comes(name)
    assert crowd.begun == ["a1", "a2"]
    assert (crowd.turns.running, crowd.turns.waiting) == (2, 2)
    await crowd.ends("a2")
    assert crowd.begun == ["a1", "a2", "a3"]
    for name in ("a1", "a3", "a4"):
        await crowd.ends(name)
    assert (crowd.turns.running, crowd.turns.waiting) == (0, 0)


async def test_who_sends_one_batch_does_not_wait_behind_all_of_those_of_another() -> None:
    crowd = Crowd(Turns(1, 10))
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        await crowd.comes(name)
    for name in ("a1", "a2", "b1", "c1", "a3", "b2", "a4"):
        await crowd.ends(name)
    assert crowd.begun == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


async def test_a_waiting_batch_hears_how_many_go_first() -> None:
    crowd, heard = Crowd(Turns(1, 10)), list[int]()
    await crowd.comes("a1")
    await crowd.comes("a2")
    await crowd.comes("a3", heard.append)
    await crowd.comes("b1")
    await crowd.leaves("b1")
    await crowd.ends("a1")
    assert heard == [1, 2, 1, 0]


async def test_when_no_more_may_wait_the_newcomer_of_the_busiest_caller_is_refused() -> None:
    crowd = Crowd(Turns(1, 2))
    for name in ("a1", "a2", "a3", "a4"):
        await crowd.comes(name)
    with pytest.raises(BatchLimit):
        await crowd.tasks["a4"]
    for name in ("a1", "a2", "a3"):
        await crowd.ends(name)


async def test_a_caller_that_has_filled_the_queue_gives_way_to_another_one() -> None:
    crowd = Crowd(Turns(1, 2))
    for name in ("a1", "a2", "a3", "b1", "c1"):
        await crowd.comes(name)
    with pytest.raises(BatchLimit):
        await crowd.tasks["a3"]
    with pytest.raises(BatchLimit):  # one each: nobody has more than the newcomer would
        await crowd.tasks["c1"]
    for name in ("a1", "a2", "b1"):
        await crowd.ends(name)


async def test_without_a_queue_who_finds_no_place_is_refused() -> None:
    crowd = Crowd(Turns(1, 0))
    await crowd.comes("a1")
    await crowd.comes("b1")
    with pytest.raises(BatchLimit):
        await crowd.tasks["b1"]


async def test_who_leaves_the_queue_or_is_called_as_it_leaves_holds_no_place() -> None:
    crowd = Crowd(Turns(1, 10))
    for name in ("a1", "a2", "b1"):
        await crowd.comes(name)
    await crowd.leaves("a2")
    assert crowd.turns.waiting == 1
    crowd.tasks["a1"].cancel()
    await asyncio.sleep(0)  # its place goes to b1, which leaves before it hears of it
    crowd.tasks["b1"].cancel()
    await crowd.settled()
    assert (crowd.turns.running, crowd.turns.waiting) == (0, 0)
    await crowd.comes("c1")
    assert crowd.begun[-1] == "c1"
    await crowd.ends("c1")


async def test_who_is_refused_while_it_leaves_is_gone() -> None:
    crowd = Crowd(Turns(1, 2))
    for name in ("a1", "a2", "a3"):
        await crowd.comes(name)
    newcomer = asyncio.create_task(crowd.comes("b1"))
    await asyncio.sleep(0)
    crowd.tasks["a3"].cancel()
    await newcomer
    await crowd.ends("a1")
    assert crowd.begun == ["a1", "a2"]
    await crowd.ends("a2")
    await crowd.ends("b1")
    assert (crowd.turns.running, crowd.turns.waiting) == (0, 0)


async def test_a_batch_that_has_begun_goes_first_and_is_never_refused() -> None:
    crowd = Crowd(Turns(1, 1))
    for name in ("a1", "b1"):
        await crowd.comes(name)
    await crowd.comes("c1", begun=True)
    for name in ("a1", "c1", "b1"):
        await crowd.ends(name)
    assert crowd.begun == ["a1", "c1", "b1"]


async def test_a_refusal_says_when_to_try_again_by_what_turns_take() -> None:
    turns = Turns(1, 0)
    turns._seconds = 20.0
    crowd = Crowd(turns)
    await crowd.comes("a1")
    for turn_seconds, hint in ((0.0, SHORTEST_HINT), (7.25, 7.25), (1e6, LONGEST_HINT)):
        turns._seconds = turn_seconds
        await crowd.comes("a2")
        with pytest.raises(BatchLimit) as refused:
            await crowd.tasks["a2"]
        assert refused.value.retry_seconds == hint
        assert "BATCH_LIMIT" in str(status_of(refused.value)[1])
    await crowd.ends("a1")
