"""The pages of the site as what they show: headings, and the blocks of code under them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from markdown.extensions.toc import slugify

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOKEN = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$"
    r"|^#+ (?P<heading>[^\n]+)$",
    re.M | re.S,
)
ANYTHING = "..."


@dataclass(frozen=True)
class Block:
    heading: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the blocks of code of a page below `docs/`, each with its nearest heading."""
    found, heading = [], ""
    for token in TOKEN.finditer((DOCS / page).read_text(encoding="utf-8")):
        if token["heading"]:
            heading = token["heading"]
        else:
            found.append(Block(heading, token["language"], dedent(token["code"])))
    return found


def anchors(page: str) -> set[str]:
    """Return what links to a page below `docs/` may name: its headings, as the site writes them."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return {slugify(one["heading"], "-") for one in TOKEN.finditer(text) if one["heading"]}


def documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents that follow each other in a text."""
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()


def holds(whole: Any, part: Any) -> bool:
    """Tell whether `part` is in `whole`: some keys of objects, some items of lists, `...` anything.

    A false, like any default, is not printed and counts as there.
    """
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            holds(whole.get(key, False), one) for key, one in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(holds(has, one) for has in whole) for one in part
        )
    return bool(whole) if part == ANYTHING else bool(whole == part)
