"""What ConfigService promises of its settings, in memory: as small as can be, without its code.

Settings are flat: the path of a leaf and its value; lists and the one map are leaves.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Flat = dict[str, Any]
MAP = "category_weights.overrides"
LISTS = ("category_weights.priority",)
SCORES = ("thresholds.high", "thresholds.low", "geo.neutral_score", "geo.min_confidence")
WEIGHTS = ("scoring.date",)
HIGH, LOW = "thresholds.high", "thresholds.low"
SECRET_PATH = "secrets.ai.api_key"


class Refused(Exception):
    """A request that the service has to refuse, with the name of its status and its reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.seen = (code, reason)


@dataclass(frozen=True)
class Step:
    """One revision."""

    number: int
    overrides: Flat
    origin: str
    reason: str = ""
    changed: tuple[str, ...] = ()


@dataclass
class Model:
    """The settings with their history, the secret, and the epoch."""

    inherited: Flat
    steps: list[Step] = field(default_factory=list)
    secret: str | None = None
    secret_version: int = 0
    compacted: int = 0

    def __post_init__(self) -> None:
        self.steps = self.steps or [Step(1, {}, "INITIAL")]

    @property
    def head(self) -> int:
        """Return the newest revision."""
        return self.steps[-1].number

    def overrides(self, number: int | None = None) -> Flat:
        """Return the overrides of a revision; the head's unless said."""
        return self.step(self.head if number is None else number).overrides

    def effective(self, number: int | None = None) -> Flat:
        """Return everything that holds in a revision; the head unless said."""
        return self.inherited | self.overrides(number)

    def step(self, number: int) -> Step:
        """Return a revision; raises `Refused` when it is not there."""
        if number > self.head:
            raise Refused("OUT_OF_RANGE", "FUTURE_REVISION")
        if 1 <= number <= self.compacted:
            raise Refused("OUT_OF_RANGE", "REVISION_COMPACTED")
        if number < 1:
            raise Refused("NOT_FOUND", "REVISION_NOT_FOUND")
        return self.steps[number - 1]

    def copy(self) -> "Model":
        """Return a model that goes its own way from here."""
        return replace(self, steps=list(self.steps))

    def require(self, etag: int | None) -> None:
        """Raise `Refused` for an etag that is not the head's; None is no etag."""
        if etag is not None and etag != self.head:
            raise Refused("ABORTED", "REVISION_CONFLICT")

    def update(
        self,
        body: Flat,
        mask: Sequence[str],
        clear: Sequence[str],
        *,
        etag: int | None,
        reason: str,
    ) -> bool:
        """Change overrides; tells whether anything changed."""
        if "*" in mask and etag is None:
            raise Refused("INVALID_ARGUMENT", "REQUIRED")
        self.require(etag)
        own = copy.deepcopy(self.overrides())
        if not mask:
            self._merge(own, body)
        elif "*" in mask:
            own = dict(body)
        else:
            for path in outermost(mask):
                self._mask(own, body, path)
        for path in clear:
            self._clear(own, path)
        self._check(self.inherited | own)
        return self._append(own, "UPDATE", reason)

    def rollback(self, number: int, *, etag: int | None, reason: str) -> bool:
        """Take the overrides of an old revision; tells whether anything changed."""
        self.require(etag)
        return self._append(self.step(number).overrides, "ROLLBACK", reason)

    def set_secret(self, value: str | None, *, etag: int | None, reason: str) -> bool:
        """Set or, with None, clear the secret; tells whether anything changed."""
        self.require(etag)
        if value is None and self.secret is None:
            return False
        self.secret, self.secret_version = value, self.secret_version + 1
        step = Step(self.head + 1, self.overrides(), "SECRET", reason, (SECRET_PATH,))
        self.steps.append(step)
        return True

    def compact(self, kept: int) -> None:
        """Forget all but the newest revisions."""
        self.compacted = max(self.compacted, min(self.head - kept, self.head - 1))

    def history(self, prefix: str = "") -> list[int]:
        """Return the numbers of the revisions that changed something below a prefix."""
        return [
            step.number
            for step in reversed(self.steps)
            if step.number > self.compacted
            and (not prefix or any(f"{path}.".startswith(f"{prefix}.") for path in step.changed))
        ]

    def difference(self, left: int, right: int) -> dict[str, tuple[Any, Any]]:
        """Return old and new value of every path that two revisions differ in."""
        return differences(self.effective(left), self.effective(right))

    def _merge(self, own: Flat, body: Flat) -> None:
        for path, value in body.items():
            if path == MAP:
                entries = self._entries(own)
                own[MAP] = entries | {k: entries.get(k, {}) | entry for k, entry in value.items()}
            else:
                own[path] = value

    def _entries(self, own: Flat) -> dict[str, Flat]:
        return copy.deepcopy(own.get(MAP, self.inherited[MAP]))

    def _mask(self, own: Flat, body: Flat, path: str) -> None:
        if path.startswith(f"{MAP}."):
            self._mask_entry(own, body.get(MAP, {}), path.removeprefix(f"{MAP}.").split("."))
        elif path in LISTS:
            own[path] = body.get(path, [])
        else:
            drop(own, path)
            own |= {name: value for name, value in body.items() if below(name, path)}

    def _mask_entry(self, own: Flat, given: dict[str, Flat], names: list[str]) -> None:
        key, entries = names[0], self._entries(own)
        before = copy.deepcopy(entries)
        if len(names) == 1:
            entries.pop(key, None)
            if key in given:
                entries[key] = given[key]
        else:
            value = given.get(key, {}).get(names[1])
            if value is not None:
                entries[key] = entries.get(key, {}) | {names[1]: value}
            elif key in entries:
                entries[key].pop(names[1], None)
        if entries != before or (key in given and (len(names) == 1 or names[1] in given[key])):
            own[MAP] = entries

    def _clear(self, own: Flat, path: str) -> None:
        if not path.startswith(f"{MAP}."):
            drop(own, path)
        elif MAP in own:
            names = path.removeprefix(f"{MAP}.").split(".")
            self._clear_entry(own[MAP], names)
            if own[MAP] == self.inherited[MAP]:
                del own[MAP]

    def _clear_entry(self, entries: dict[str, Flat], names: list[str]) -> None:
        inherited = self.inherited[MAP].get(names[0])
        if len(names) == 1:
            entries.pop(names[0], None)
            if inherited is not None:
                entries[names[0]] = copy.deepcopy(inherited)
        elif names[0] in entries:
            entries[names[0]].pop(names[1], None)
            if inherited and names[1] in inherited:
                entries[names[0]][names[1]] = inherited[names[1]]

    def _check(self, effective: Flat) -> None:
        broken = {path for path in SCORES if not 0 <= effective[path] <= 1}
        broken |= {path for path in WEIGHTS if not 0 <= effective[path] <= 10}
        rules = {"RANGE"} if broken else set()
        if not broken & {HIGH, LOW} and not effective[LOW] < effective[HIGH]:
            rules.add("CROSS_FIELD")
        if rules:
            reason = rules.pop() if len(rules) == 1 else "INVALID_REQUEST"
            raise Refused("INVALID_ARGUMENT", reason)

    def _append(self, own: Flat, origin: str, reason: str) -> bool:
        if own == self.overrides():
            return False
        changed = tuple(changes(self.inherited, self.overrides(), own))
        self.steps.append(Step(self.head + 1, copy.deepcopy(own), origin, reason, changed))
        return True


def below(path: str, parent: str) -> bool:
    """Tell whether a path is another one or lies below it."""
    return f"{path}.".startswith(f"{parent}.")


def drop(own: Flat, path: str) -> None:
    """Remove what is at a path or below it."""
    for name in [name for name in own if below(name, path)]:
        del own[name]


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths that lie below no other one."""
    unique = list(dict.fromkeys(paths))
    return [p for p in unique if not any(p != other and below(p, other) for other in unique)]


def differences(old: Flat, new: Flat) -> dict[str, tuple[Any, Any]]:
    """Return old and new value of what differs; of the map each entry for itself."""
    found = {p: (old[p], new[p]) for p in old if p != MAP and old[p] != new[p]}
    before, after = old[MAP], new[MAP]
    return found | {
        f"{MAP}.{key}": (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    }


def changes(inherited: Flat, old: Flat, new: Flat) -> dict[str, tuple[Any, Any]]:
    """Return what differs in effect, and overrides that come or go without an effect."""
    before, after = inherited | old, inherited | new
    found = differences(before, after)
    silent = [p for p in old.keys() ^ new.keys() if not any(below(name, p) for name in found)]
    return found | {path: (before[path], after[path]) for path in silent}
