"""SIGKILL at the system calls with which one update reaches the disk, PostgreSQL and the client."""

import itertools
from collections.abc import Iterable

from reliability import planted
from reliability.harness import FULL
from reliability.postgres_server import PostgresServer
from reliability.scene import Scene, after_some_updates, before_a_checkpoint
from reliability.tracing import needs_strace

pytestmark = needs_strace


def spread(count: int) -> Iterable[int]:
    """Return which calls are met: every one, or the first, the last and some between."""
    if FULL:
        return itertools.count(1)
    return sorted({1 + round(part * (count - 1) / 3) for part in range(4)})


async def strikes(scene: Scene, call: str) -> int:
    """Strike a copy of the scene at the calls of an update; returns how many were met."""
    met = 0
    with scene.copied() as copied:
        numbers = spread(await copied.count(call))
    for number in numbers:
        with scene.copied() as copied:
            reached, found = await copied.strike(call, number)
        assert not found, (call, number, found)
        if not reached:
            break
        met += 1
    print(f"{call}: {met} kills")
    return met


async def test_a_kill_at_any_write_of_an_update_leaves_all_or_nothing() -> None:
    async with after_some_updates() as scene:
        assert await strikes(scene, "pwrite64") >= 3
        assert await strikes(scene, "fdatasync") >= 1
        assert await strikes(scene, "sendmsg") >= 1


async def test_a_kill_at_any_write_of_a_checkpoint_leaves_all_or_nothing() -> None:
    async with before_a_checkpoint() as scene:
        assert await strikes(scene, "fdatasync") >= 2
        assert await strikes(scene, "pwrite64") >= 3


async def test_a_kill_at_any_message_to_postgresql_leaves_all_or_nothing(
    killable_postgres: PostgresServer,
) -> None:
    async with after_some_updates(url=killable_postgres.create()) as scene:
        for call in ("sendto", "sendmsg"):
            met = 0
            for number in spread(await scene.count(call)):
                reached, found = await scene.strike(call, number)
                assert not found, (call, number, found)
                if not reached:
                    break
                met += 1
            print(f"{call}: {met} kills")
            assert met


async def test_the_experiment_notices_head_and_history_in_two_transactions() -> None:
    async with after_some_updates(planted.two_transactions) as scene:
        for number in itertools.count(1):
            with scene.copied() as copied:
                reached, found = await copied.strike("fdatasync", number)
            if found or not reached:
                break
    assert any("is not the newest revision" in sentence for sentence in found)
