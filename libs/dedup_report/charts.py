"""Histograms of the scores, as SVG that needs no script."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dedup_report.markup import Markup, join, number, tag
from dedup_report.results import Results
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

BINS = 40
SIGNALS = (("date", "Date"), ("geo", "Place"), ("title", "Title"), ("description", "Description"))
KINDS = (
    (pb.DECISION_NO_MATCH, "no match", "no"),
    (pb.DECISION_AMBIGUOUS, "ambiguous", "maybe"),
    (pb.DECISION_MATCH, "match", "yes"),
)
LEFT, TOP, BOTTOM = 8, 22, 22

Line: TypeAlias = tuple[float, str]


@dataclass(frozen=True)
class Plot:
    """The area of a chart, in units of its picture."""

    width: int
    height: int

    def x(self, score: float) -> str:
        """Return where a score stands."""
        return f"{LEFT + score * self.width:.1f}"

    @property
    def bottom(self) -> int:
        """Return where the axis stands."""
        return TOP + self.height


def combined(results: Results) -> Markup:
    """Return the histogram of the combined scores with both thresholds and the floor."""
    rules, plot = results.summary.rules, Plot(1000, 220)
    lines = [(rules.low, "low"), (rules.high, "high")]
    under = _unknown(results.floor, plot) if results.floor else Markup()
    return _chart("Combined score", "combined", results, plot, under, lines)


def signals(results: Results) -> Markup:
    """Return one small histogram a signal."""
    veto = results.summary.rules.title_veto
    lines = {"title": [(veto, "veto")] if veto else []}
    charts = (
        _chart(label, name, results, Plot(480, 90), Markup(), lines.get(name, []))
        for name, label in SIGNALS
    )
    return tag("div", *charts, class_="small-charts")


def counts(values: Iterable[float]) -> list[int]:
    """Return how many scores fall into each of BINS equal parts of [0, 1]; 1 is in the last."""
    found = [0] * BINS
    for value in values:
        # scores and thresholds are multiples of 1e-9: what is at an edge belongs to its right
        found[min(int(value * BINS + 1e-7), BINS - 1)] += 1
    return found


def _chart(
    label: str, name: str, results: Results, plot: Plot, under: Markup, lines: Iterable[Line]
) -> Markup:
    stacks = [
        counts(getattr(pair, name) for pair in results.decisions if pair.decision == kind)
        for kind, _, _ in KINDS
    ]
    top = max(map(sum, zip(*stacks, strict=True))) or 1
    note = f"{_listed(results)}; tallest bar {number(top)} pairs"
    caption = tag("figcaption", label, " ", tag("span", note))
    drawn = [under, *_bars(stacks, top, plot), *_axis(plot), *(_line(*one, plot) for one in lines)]
    box = f"0 0 {plot.width + 2 * LEFT} {plot.bottom + BOTTOM}"
    picture = tag("svg", *drawn, viewBox=box, role="img", aria_label=f"Histogram of {label}")
    return tag("figure", caption, picture, class_="chart")


def _listed(results: Results) -> str:
    """Return which pairs the charts can show: those that the matcher returned."""
    if not results.floor:
        return "all compared pairs"
    return f"only pairs whose combined score is at least {results.floor:g}, or that people decided"


def _bars(stacks: Sequence[Sequence[int]], top: int, plot: Plot) -> Iterator[Markup]:
    width = f"{plot.width / BINS - 2:.1f}"
    for index, column in enumerate(zip(*stacks, strict=True)):
        base, span = float(plot.bottom), f"{index / BINS:.3f} to {(index + 1) / BINS:.3f}"
        for count, (_, word, style) in zip(column, KINDS, strict=True):
            if count:
                size = max(count / top * plot.height, 1.5)
                base -= size
                hint = tag("title", f"{span}: {number(count)} {word}")
                place = {"x": plot.x(index / BINS), "y": f"{base:.1f}", "width": width}
                yield tag("rect", hint, **place, height=f"{size:.1f}", class_=style)


def _unknown(floor: float, plot: Plot) -> Markup:
    """Return the part below the floor, whose pairs a matcher does not return."""
    width = f"{floor * plot.width:.1f}"
    area = tag("rect", x=LEFT, y=TOP, width=width, height=plot.height, class_="unknown")
    place = {"x": plot.x(floor / 4), "y": str(TOP + plot.height // 2)}
    return join((area, tag("text", f"below {floor:g}: not returned", **place, class_="middle")))


def _line(value: float, word: str, plot: Plot) -> Markup:
    x = plot.x(value)
    line = tag("line", x1=x, x2=x, y1=TOP - 4, y2=plot.bottom, class_="threshold")
    return join((line, tag("text", f"{word} {value:g}", x=x, y=TOP - 8, class_="middle strong")))


def _axis(plot: Plot) -> Iterator[Markup]:
    ends = {"x1": plot.x(0), "x2": plot.x(1)}
    yield tag("line", **ends, y1=plot.bottom, y2=plot.bottom, class_="axis")
    for quarter, anchor in enumerate(("start", "middle", "middle", "middle", "end")):
        at = quarter / 4
        yield tag("text", f"{at:g}", x=plot.x(at), y=plot.bottom + 16, class_=anchor)
