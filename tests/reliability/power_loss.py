"""A disk that loses power: which images of the files a crash may leave, from a record of the calls.

What was written before a file's last sync is on the disk. Of what came after, any part may be: each
sector of 512 bytes alone. A new file's name is on the disk once its folder was synced.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

SECTOR = 512
CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate", "openat", "unlink")
_LINE = re.compile(r"(?P<pid>\d+) +(?P<at>[\d.]+) (?P<text>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)(?P<rest>.*)", re.S)
_HEX = re.compile(r'[<"]((?:\\x[0-9a-f]{2})*)[>"]')


class Kind(StrEnum):
    """What a call does to a file."""

    WRITE = "write"
    SIZE = "size"
    SYNC = "sync"
    CREATE = "create"
    REMOVE = "remove"


@dataclass(frozen=True)
class Step:
    """One call, `at` the time of its begin; for SIZE the `offset` is the new size."""

    at: float
    kind: Kind
    path: Path
    offset: int = 0
    data: bytes = field(default=b"", repr=False)


def steps(log: Path, folder: Path) -> list[Step]:
    """Return what a recorded process did in a folder, in the order in which its calls began.

    Raises AssertionError for a call that this disk does not know how to lose.
    """
    begun: dict[str, tuple[str, str]] = {}
    found: list[Step] = []
    for line in log.read_text().splitlines():
        match = _LINE.fullmatch(line)
        if not match or match["text"].startswith(("+++", "---")):
            continue
        pid, at, text = match["pid"], match["at"], match["text"]
        if text.endswith("<unfinished ...>"):
            begun[pid] = at, text.removesuffix("<unfinished ...>")
            continue
        if _RESUMED.match(text):
            at, first = begun.pop(pid)
            text = first + _RESUMED.sub("", text)
        if step := _step(float(at), text):
            found.append(step)
    found.sort(key=lambda step: step.at)
    return [step for step in found if folder in (step.path, step.path.parent)]


def _step(at: float, text: str) -> Step | None:
    match = _CALL.fullmatch(text)
    if not match or int(match["result"]) < 0:
        return None
    name, arguments = match["name"], match["arguments"]
    texts = [bytes.fromhex(part.replace("\\x", "")) for part in _HEX.findall(arguments)]
    if name == "openat":
        path = Path(texts[-1].decode())
        return Step(at, Kind.CREATE, path) if "O_CREAT" in arguments else None
    path = Path(texts[0].decode())
    match name:
        case "pwrite64":
            data, offset = texts[1], int(arguments.rpartition(", ")[2])
            assert len(data) == int(match["result"]), "a write was cut short"
            return Step(at, Kind.WRITE, path, offset, data)
        case "fdatasync" | "fsync":
            return Step(at, Kind.SYNC, path)
        case "unlink":
            return Step(at, Kind.REMOVE, path)
        case "ftruncate":
            return Step(at, Kind.SIZE, path, int(arguments.rpartition(", ")[2]))
    raise AssertionError(f"{name} is not known here")


class Disk:
    """The files of one folder through a sequence of steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = [path for path in folder.iterdir() if _is_kept(path)]
        self._durable = {path: bytearray(path.read_bytes()) for path in files}
        self._named = set(files)
        self._exists = set(files)
        self._pending: list[Step] = []

    def take(self, step: Step) -> None:
        """Let one more step happen."""
        if step.path == self._folder:
            self._named = set(self._exists)
        elif not _is_kept(step.path):
            return
        elif step.kind is Kind.SYNC:
            for pending in self._of(step.path):
                _write(self._durable.setdefault(step.path, bytearray()), pending)
            self._pending = [kept for kept in self._pending if kept.path != step.path]
        elif step.kind is Kind.CREATE:
            self._exists.add(step.path)
        else:
            assert step.kind is not Kind.REMOVE, f"{step.path.name} was removed"
            self._pending.append(step)

    def _of(self, path: Path) -> list[Step]:
        return [step for step in self._pending if step.path == path]

    def images(self, dice: random.Random, many: int) -> Iterator[dict[str, bytes]]:
        """Yield what a loss of power now may leave, by file name.

        Nothing of what is not synced; all of it; all but one write; one write alone, torn; and
        `many` times sectors at random, with and without the names that are not synced.
        """
        whole = [list(range(_sectors(step))) for step in self._pending]
        nothing: list[list[int]] = [[] for _ in whole]
        yield self._image(nothing, self._named)
        if not whole and self._named == self._exists:
            return
        yield self._image(whole, self._exists)
        for _ in range(many if whole else 0):
            chosen = dice.randrange(len(whole))
            torn = whole[chosen][: dice.randint(0, len(whole[chosen]))]
            yield self._image([*whole[:chosen], [], *whole[chosen + 1 :]], self._exists)
            yield self._image([*nothing[:chosen], torn, *nothing[chosen + 1 :]], self._exists)
            some = [[sector for sector in part if dice.random() < 0.5] for part in whole]
            yield self._image(some, dice.choice([self._named, self._exists]))

    def _image(self, kept: list[list[int]], names: set[Path]) -> dict[str, bytes]:
        files = {path: bytearray(self._durable.get(path, b"")) for path in names}
        for step, sectors in zip(self._pending, kept, strict=True):
            for sector in sectors if step.path in files else ():
                _write(files[step.path], _sector(step, sector))
        return {path.name: bytes(content) for path, content in files.items()}


def _is_kept(path: Path) -> bool:
    return path.name.endswith((".db", "-wal", "-journal"))


def _bounds(step: Step) -> tuple[int, int]:
    if step.kind is Kind.SIZE:
        return 0, 0
    return step.offset // SECTOR, (step.offset + len(step.data) - 1) // SECTOR


def _sectors(step: Step) -> int:
    """Return how many parts of a step the disk keeps or loses each alone."""
    first, last = _bounds(step)
    return last - first + 1


def _sector(step: Step, number: int) -> Step:
    """Return the part of a write that falls into its `number`-th sector; a size has one part."""
    if step.kind is Kind.SIZE:
        return step
    begins = (_bounds(step)[0] + number) * SECTOR
    start, end = max(begins, step.offset), min(begins + SECTOR, step.offset + len(step.data))
    data = step.data[start - step.offset : end - step.offset]
    return Step(step.at, step.kind, step.path, start, data)


def _write(content: bytearray, step: Step) -> None:
    if step.kind is Kind.SIZE:
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    end = step.offset + len(step.data)
    content.extend(bytes(max(0, end - len(content))))
    content[step.offset : end] = step.data
