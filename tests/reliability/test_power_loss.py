"""Loss of power under SQLite, replayed from a record of the service's own writes and syncs."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from reliability import planted
from reliability.checker import Checker
from reliability.harness import FULL, Serve, short_folder
from reliability.power_loss import CALLS, Disk, Kind, Step, steps
from reliability.scene import Scene, before_a_checkpoint, freshly_migrated
from reliability.tracing import needs_strace, recorded, when_traced
from reliability.workload import Client, Write

pytestmark = needs_strace

UPDATES, RANDOM_IMAGES, WHOLE_CHECK_EVERY = (12, 4, 50) if FULL else (3, 1, 40)
SEED, MEMORY = 20260207, Path("/dev/shm")
"""Images are of megabytes, and their recovery needs no disk."""


@dataclass
class Record:
    """What a service wrote, and when its client was told of each update."""

    disk: Disk
    steps: list[Step]
    acknowledged: list[tuple[float, Write]] = field(default_factory=list)

    def crashes(self, dice: random.Random) -> Iterator[tuple[dict[str, bytes], list[Write]]]:
        """Yield images and what was acknowledged before them, for a crash before each step."""
        for step in [*self.steps, None]:
            known = [write for at, write in self.acknowledged if step is None or at < step.at]
            for image in self.disk.images(dice, RANDOM_IMAGES):
                yield image, known
            if step:
                self.disk.take(step)


async def record(scene: Scene, target: Serve = when_traced) -> Record:
    """Let the service of a scene run and make some updates, and record what it writes."""
    made, log, acknowledged = scene.service, scene.service.folder / "calls", []
    made.target = target
    disk = Disk(made.folder)
    made.launch()
    with recorded(made.pid, CALLS, log):
        await asyncio.to_thread(made.wait_until_listening)
        client = Client(made.address, scene.journal)
        for _ in range(UPDATES):
            write = scene.next()
            await client.settle(write)
            acknowledged.append((time.time(), write))
        await client.channel.close()
        made.kill()
    return Record(disk, steps(log, made.folder), acknowledged)


def judged(scene: Scene, seen: Record) -> tuple[int, list[str]]:
    """Return how many images were recovered, and what does not hold in the first bad one."""
    number, dice = 0, random.Random(SEED)
    with short_folder(MEMORY if MEMORY.is_dir() else None) as folder:
        for image, known in seen.crashes(dice):
            number += 1
            found = lost(folder, image, known)
            if not found and number % WHOLE_CHECK_EVERY == 0:
                env = replace(scene.service.env, database_url=write_image(folder, image))
                found = Checker(scene.journal).check(env, known)
            if found:
                return number, found
    return number, []


def write_image(folder: Path, image: dict[str, bytes]) -> str:
    """Write the files of an image, nothing beside them; returns the database's URL."""
    for old in folder.iterdir():
        old.unlink()
    for name, content in image.items():
        (folder / name).write_bytes(content)
    return f"sqlite:///{folder / 'config.db'}"


def lost(folder: Path, image: dict[str, bytes], known: list[Write]) -> list[str]:
    """Recover an image with SQLite alone; returns what is broken or lost."""
    write_image(folder, image)
    with closing(sqlite3.connect(folder / "config.db")) as connection:
        try:
            connection.execute("PRAGMA synchronous = OFF")
            sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute("SELECT reason, revision FROM config_revisions").fetchall()
            head = connection.execute("SELECT revision FROM config_settings").fetchone()
        except sqlite3.DatabaseError as error:
            return [f"the database is broken: {error}"]
    at = dict(rows)
    missing = [f"{w.reason} is lost" for w in known if at.get(w.reason) != w.revision]
    whole = sorted(at.values()) == list(range(1, len(rows) + 1)) and head == (len(rows),)
    return missing + ([] if sound and whole else ["the database is not whole"])


async def test_no_acknowledged_update_is_lost_with_the_power() -> None:
    with freshly_migrated() as scene:
        seen = await record(scene)
    assert any(step.kind is Kind.CREATE for step in seen.steps)
    require_nothing_lost(scene, seen)


async def test_no_acknowledged_update_is_lost_with_the_power_around_a_checkpoint() -> None:
    async with before_a_checkpoint() as scene:
        seen = await record(scene)
    assert any(step.path.suffix == ".db" and step.data for step in seen.steps)
    require_nothing_lost(scene, seen)


def require_nothing_lost(scene: Scene, seen: Record) -> None:
    images, found = judged(scene, seen)
    print(f"{len(seen.steps)} steps, {images} images")
    assert not found
    assert images > 100


async def test_the_experiment_notices_synchronous_normal() -> None:
    with freshly_migrated() as scene:
        seen = await record(scene, planted.normal_sync_when_traced)
    _, found = judged(scene, seen)
    assert any("is lost" in sentence for sentence in found)
