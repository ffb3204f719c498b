"""Lines that show how a pair's signals add up."""

from collections.abc import Iterable, Iterator
from typing import Protocol

MAX_SHOWN = 90
"""Characters of a text that are shown."""
VISIBLE = 0.0005
"""From this on the combined score is seen to differ from the sum of the parts."""


class Signal(Protocol):
    """A signal in [0, 1], its share of all weights, and what was compared."""

    @property
    def signal(self) -> str:
        """Its name."""

    @property
    def score(self) -> float:
        """Its score."""

    @property
    def share(self) -> float:
        """Its share of all weights."""

    @property
    def text_a(self) -> str:
        """What was compared of one listing."""

    @property
    def text_b(self) -> str:
        """What was compared of the other."""


def waterfall(signals: Iterable[Signal], combined: float, verdict: str) -> Iterator[str]:
    """Yield a line a signal, score times share with the texts, then the combined score."""
    total = 0.0
    for one in signals:
        part = one.score * one.share
        total += part
        yield (
            f"  {one.signal:<11} {one.score:.3f} x {one.share:.3f} = {part:.3f}"
            f"  {short(one.text_a)} | {short(one.text_b)}"
        )
    if abs(total - combined) > VISIBLE:
        yield f"  {'sum':<11} {total:.3f}"
    yield f"  {'combined':<11} {combined:.3f}  {verdict}"


def short(text: str) -> str:
    """Return a text in one line of at most MAX_SHOWN characters; `-` for an empty one."""
    plain = " ".join(text.split()) or "-"
    return plain if len(plain) <= MAX_SHOWN else plain[: MAX_SHOWN - 1] + "…"
