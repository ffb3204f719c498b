"""Settings as people type and read them: `path=value` in, one line a leaf out."""

import json
from typing import Any

from dedup_model.change import path_in_map, path_problem
from dedup_model.errors import InvalidRequest, Violation, invalid
from dedup_model.matching_config import SECRET_NAMES
from dedup_model.tree import Document, canonical_json, find, leaf_paths


def parse(assignments: list[str]) -> dict[str, Any]:
    """Return the values of `path=value` words by path.

    Values are JSON; what is no JSON counts as text; null deletes a map entry. Raises `InvalidRequest`
    for unknown paths.
    """
    values = dict(map(_split, assignments))
    require_known(list(values))
    for path, value in values.items():
        if value is None and path_in_map(path) is None:
            raise invalid(path, "TYPE", "null deletes map entries alone; use `config unset`")
    return values


def _split(word: str) -> tuple[str, Any]:
    path, equals, text = word.partition("=")
    if not equals:
        raise invalid(path, "SYNTAX", "write path=value, such as thresholds.high=0.8")
    return path, _value(text)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def require_known(paths: list[str]) -> None:
    """Raise `InvalidRequest` for paths that name no setting."""
    if any(path in SECRET_NAMES for path in paths):
        raise invalid(SECRET_NAMES[0], "SECRET", "is a secret: use `config set-secret`")
    problems = [(path, path_problem(path, whole=False)) for path in paths]
    violations = [Violation(path, "UNKNOWN_PATH", why) for path, why in problems if why]
    if violations:
        raise InvalidRequest(violations)


def shown(value: Any) -> str:
    """Return a value as it would be typed."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown_side(value: Any) -> str:
    """Return one side of a change; `-` when there is no value."""
    if value is None:
        return "-"
    nested = isinstance(value, list | dict)
    return canonical_json(value).decode() if nested else shown(value)


def leaves(effective: Document, below: str) -> list[tuple[str, Any]]:
    """Return `(path, value)` of every leaf at or below a path; all of them for an empty one."""
    found = [(".".join(path), find(effective, path)) for path in leaf_paths()]
    chosen = [
        (path, value) for path, value in found if not below or f"{path}.".startswith(f"{below}.")
    ]
    return chosen or _inside_a_map(effective, below)


def _inside_a_map(effective: Document, path: str) -> list[tuple[str, Any]]:
    value = find(effective, tuple(path.split(".")))
    if value is None:
        raise invalid(path, "NOT_SET", "there is no such entry")
    return [(path, value)]
