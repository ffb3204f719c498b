"""Settings as people type and read them: `path=value` in, one line a leaf out."""

import json
from typing import Any

from dedup_model.change import path_problem
from dedup_model.errors import InvalidRequest, Violation, invalid
from dedup_model.tree import Document, find, leaf_paths, put
from dedup_rpc.wire import to_message
from eventdedup.config.v1.config_service_pb2 import SettingValue
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig


def parse(assignments: list[str]) -> tuple[MatchingConfig, list[str]]:
    """Return the body and the mask of `path=value` words.

    Values are JSON; what is no JSON counts as text. Raises `InvalidRequest` for unknown paths and
    for values that do not fit the setting's type.
    """
    pairs = [_split(word) for word in assignments]
    document: Document = {}
    for path, value in pairs:
        _require_fit(path, value)
        document = put(document, tuple(path.split(".")), value)
    return to_message(document, MatchingConfig()), [path for path, _ in pairs]


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
    problems = [(path, path_problem(path, whole=False)) for path in paths]
    violations = [Violation(path, "UNKNOWN_PATH", why) for path, why in problems if why]
    if violations:
        raise InvalidRequest(violations)


def _require_fit(path: str, value: Any) -> None:
    require_known([path])
    if value is None:
        raise invalid(path, "TYPE", "null is no value; use `config unset`")
    try:
        to_message(put({}, tuple(path.split(".")), value), MatchingConfig())
    except (TypeError, ValueError, KeyError, AttributeError):
        raise invalid(path, "TYPE", "the value does not fit the setting's type") from None


def shown(value: Any) -> str:
    """Return a value as it would be typed."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown_setting(value: SettingValue) -> str:
    """Return a value of a change; `-` when there is none."""
    kind = value.WhichOneof("kind")
    return shown(getattr(value, kind)) if kind else "-"


def leaves(effective: Document, below: str) -> list[tuple[str, Any]]:
    """Return `(path, value)` of every leaf at or below a path; all of them for an empty one."""
    found = [(".".join(path), find(effective, path)) for path in leaf_paths()]
    return [
        (path, value) for path, value in found if not below or f"{path}.".startswith(f"{below}.")
    ]
