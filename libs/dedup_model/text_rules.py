"""What a plain text setting may hold: no control characters, no secrets, foldable category names."""

import re

from pydantic_core import PydanticCustomError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_SECRET = re.compile(
    r"AIza[\w-]{20,}|\bsk-[\w-]{16,}|-----BEGIN |\bgAAAA[\w-]{20,}|\bcse2\.|^plain:|"
    r"\bgh[pousr]_\w{20,}|\bAKIA[A-Z0-9]{12,}|\bey[\w-]{15,}\.ey[\w-]{15,}"
)
_SECRET_IN_ANY_CASE = re.compile(_SECRET.pattern.replace("sk-", "sk[-_]"), re.IGNORECASE)
_PLAIN_NAME = re.compile(r"\w+")
_CATEGORY = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
MAX_CATEGORY_LENGTH = 64


def plain_text(value: str) -> str:
    """Return `value`, or raise when it holds control characters or looks like a secret."""
    if _CONTROL.search(value):
        raise PydanticCustomError("control_character", "must not hold control characters")
    if _SECRET.search(value):
        raise PydanticCustomError("secret_in_config", "looks like a secret; use SetSecret for keys")
    return value


def text_problem(value: str) -> tuple[str, str] | None:
    """Return the rule that a text breaks, as `UPPER_SNAKE`, with its description; None if none."""
    try:
        plain_text(value)
    except PydanticCustomError as error:
        return error.type.upper(), error.message()
    return None


def shown_name(name: str) -> str:
    """Return a name from outside if it may stand in a message, else `?`."""
    plain = len(name) <= MAX_CATEGORY_LENGTH and _PLAIN_NAME.fullmatch(name)
    return name if plain and not _SECRET_IN_ANY_CASE.search(name) else "?"


def fold_category(name: str) -> str:
    """Fold a category name to the form keys have: lower case, `ae oe ue ss`, `_` between words."""
    return re.sub(r"[\s/&+,._-]+", "_", name.strip().lower().translate(_UMLAUTS)).strip("_")


def is_category_key(name: str) -> bool:
    """Tell whether a name has the form of a stored category key."""
    return len(name) <= MAX_CATEGORY_LENGTH and bool(_CATEGORY.fullmatch(name))


def category_key(value: str) -> str:
    """Return `value` when it is a folded category key, or raise."""
    if _SECRET_IN_ANY_CASE.search(value):
        raise PydanticCustomError("secret_in_config", "looks like a secret; use SetSecret for keys")
    if not is_category_key(value):
        raise PydanticCustomError("key_charset", "must be 1 to 64 characters of a-z, 0-9 and _")
    return value
