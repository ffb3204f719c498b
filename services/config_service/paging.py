"""Pages of a list: how much they hold, and opaque tokens that say where the next one begins."""

import base64
import re
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from google.protobuf.message import Message

from dedup_model.errors import invalid

DEFAULT_SIZE, MAX_SIZE = 50, 500
MAX_BYTES = 1024 * 1024
"""Of a page with more than one item: clients take 4 MiB."""
M = TypeVar("M", bound=Message)
_TOKEN = re.compile(r"(?P<list>[^ ]+) (?P<before>[1-9][0-9]{0,17})")


def size(asked: int) -> int:
    """Return the size of a page; raises `InvalidRequest`."""
    if not 0 <= asked <= MAX_SIZE:
        raise invalid("page_size", "RANGE", f"0 to {MAX_SIZE}")
    return asked or DEFAULT_SIZE


def fitting(items: Iterable[M], most: int) -> list[M]:
    """Return the items of a page: at most so many, and not more than fit, but one."""
    kept: list[M] = []
    size = 0
    for item in islice(items, most):
        size += item.ByteSize()
        if kept and size > MAX_BYTES:
            break
        kept.append(item)
    return kept


def token(listed: str, before: int) -> str:
    """Return the token of the page below a number, in the list of one name."""
    return base64.urlsafe_b64encode(f"{listed} {before}".encode()).decode()


def start(given: str, listed: str) -> int | None:
    """Return the number that a page lies below, None for the first one; raises `InvalidRequest`."""
    if not given:
        return None
    try:
        match = _TOKEN.fullmatch(base64.urlsafe_b64decode(given).decode())
    except ValueError:
        match = None
    if not match or match["list"] != listed:
        raise invalid("page_token", "PAGE_TOKEN", "not a token of this list")
    return int(match["before"])
