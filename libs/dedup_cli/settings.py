"""Settings as people type and read them: `path=value` in, one line a leaf out."""

import json
from typing import Any

from dedup_model.change import annotation_at, path_in_map, path_problem
from dedup_model.errors import InvalidRequest, Violation, invalid
from dedup_model.matching_config import SECRET_NAMES
from dedup_model.tree import Document, Path, entry_of, find, is_list, leaf_paths, put
from dedup_rpc.wire import to_document, to_message
from eventdedup.config.v1.config_service_pb2 import SettingValue
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig


def parse(assignments: list[str]) -> tuple[MatchingConfig, list[str]]:
    """Return the body and the mask of `path=value` words.

    Values are JSON; what is no JSON counts as text; null deletes a map entry. Raises `InvalidRequest` for unknown paths and
    for values that do not fit the setting's type.
    """
    pairs = [_split(word) for word in assignments]
    document: Document = {}
    for path, value in pairs:
        _require_fit(path, value)
        if value is not None:
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
    if any(path in SECRET_NAMES for path in paths):
        raise invalid(SECRET_NAMES[0], "SECRET", "is a secret: use `config set-secret`")
    problems = [(path, path_problem(path, whole=False)) for path in paths]
    violations = [Violation(path, "UNKNOWN_PATH", why) for path, why in problems if why]
    if violations:
        raise InvalidRequest(violations)


def _require_fit(path: str, value: Any) -> None:
    require_known([path])
    if value is None and path_in_map(path) is None:
        raise invalid(path, "TYPE", "null deletes map entries alone; use `config unset`")
    place = tuple(path.split("."))
    try:
        message = to_message(put({}, place, value), MatchingConfig())
    except (TypeError, ValueError, AttributeError):
        message = MatchingConfig()
    sent = find(to_document(message), place)
    if sent != value and not (sent is None and value == _empty(place)):
        raise invalid(path, "TYPE", "the value does not fit the setting's type")


def _empty(path: Path) -> Any:
    """Return what stands for an empty list or map, which is absent in a message; None for others."""
    annotation = annotation_at(path)
    return [] if is_list(annotation) else {} if entry_of(annotation) else None


def shown(value: Any) -> str:
    """Return a value as it would be typed."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown_setting(value: SettingValue) -> str:
    """Return a value of a change; `-` when there is none."""
    kind = value.WhichOneof("kind")
    return shown(getattr(value, kind)) if kind else "-"


def leaves(effective: Document, below: str) -> list[tuple[str, Any]]:
    """Return `(path, value)` of every leaf at or below a path; all of them for an empty one."""
    found = [(".".join(path), _present(effective, path)) for path in leaf_paths()]
    chosen = [
        (path, value) for path, value in found if not below or f"{path}.".startswith(f"{below}.")
    ]
    return chosen or _inside_a_map(effective, below)


def _present(effective: Document, path: Path) -> Any:
    """Return a leaf; an empty list or map is absent in a message."""
    value = find(effective, path)
    return _empty(path) if value is None else value


def _inside_a_map(effective: Document, path: str) -> list[tuple[str, Any]]:
    value = find(effective, tuple(path.split(".")))
    if value is None:
        raise invalid(path, "NOT_SET", "there is no such entry")
    return [(path, value)]
