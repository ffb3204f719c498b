"""HTML and SVG out of plain values, in which every text is escaped."""

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

VOID = {"br", "meta"}


class Markup(str):
    """A text that is markup already."""

    __slots__ = ()


Child: TypeAlias = str | int | Markup


def tag(name: str, *children: Child, **attributes: Child) -> Markup:
    """Return an element; `class_` gives `class`, other underscores become dashes."""
    listed = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    end = "" if name in VOID else f"</{name}>"
    return Markup(f"<{name}{listed}>{join(children)}{end}")


def join(children: Iterable[Child]) -> Markup:
    """Return children after one another, escaped unless they are markup."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(str(child)) for child in children
        )
    )


def table(head: Sequence[Child], rows: Iterable[Sequence[Child]], **attributes: Child) -> Markup:
    """Return a table whose first column names the rows; numbers stand to the right."""
    cells = [[tag("th", row[0], scope="row"), *map(_cell, row[1:])] for row in rows]
    sides = [_side(cell) for cell in cells[0]] if cells else [""] * len(head)
    named = zip(head, sides, strict=True)
    top = tag("tr", *(tag("th", cell, scope="col", class_=side) for cell, side in named))
    body = [tag("tr", *row) for row in cells]
    return tag("table", tag("thead", top), tag("tbody", *body), **attributes)


def _cell(value: Child) -> Markup:
    if isinstance(value, int):
        return tag("td", number(value), class_="n")
    return value if isinstance(value, Markup) and value.startswith("<td") else tag("td", value)


def _side(cell: Markup) -> str:
    return "n" if cell.startswith('<td class="n') else ""


def number(value: int) -> str:
    """Return a whole number with thousands apart."""
    return f"{value:,}".replace(",", "\u202f")


def json_text(value: Any) -> Markup:
    """Return compact JSON that may stand in a script element: no text in it can end one."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for risky in "<>&\u2028\u2029":
        text = text.replace(risky, f"\\u{ord(risky):04x}")
    return Markup(text)
