"""Partial update: what a body and its masks make of the stored overrides.

| path names | present in the body | absent |
|---|---|---|
| no mask at all | merged down to leaves and into map entries | kept |
| a section | replaces the section's overrides | clears them |
| a scalar | sets the override | clears it |
| a list | replaces the list | an empty list |
| a map | replaces the map | clears the override |
| a map entry | replaces the entry | deletes it |
| a value in a map entry | sets it | clears it |
| `*` | replaces all overrides | clears all of them |

The first edit of a map entry copies the inherited map whole. `clear` paths come last: each drops
the override at or below it, in lists and maps too, so that the inherited value shows through.
"""

import difflib
from dataclasses import dataclass, field

from dedup_model import rules
from dedup_model.errors import InvalidRequest, Violation, invalid
from dedup_model.matching_config import MatchingConfig
from dedup_model.text_rules import fold_category, is_category_key, shown_name
from dedup_model.tree import (
    Document,
    Path,
    Schema,
    entry_of,
    fields,
    find,
    is_list,
    leaf_paths,
    put,
    section_of,
)

EVERYTHING = "*"
MAX_PATHS = 1000


@dataclass(frozen=True)
class Change:
    """One partial update, decoded; `mask` is None when the request carries none."""

    body: Document = field(default_factory=dict)
    mask: tuple[str, ...] | None = None
    clear: tuple[str, ...] = ()

    def applied_to(self, overrides: Document, inherited: Document) -> Document:
        """Return the overrides after this change.

        `inherited` is the whole config below the overrides. Raises `InvalidRequest` that names
        every unknown mask path.
        """
        body = _folded(self.body)
        masks, cleared = self._paths()
        if self.mask is None or not self.mask:
            result = _merged(overrides, body, inherited)
        elif EVERYTHING in self.mask:
            result = body
        else:
            result = overrides
            for path in _without_children(masks):
                result = _masked(result, body, inherited, path)
        for path in cleared:
            result = _cleared(result, inherited, path)
        return result

    def _paths(self) -> tuple[list[Path], list[Path]]:
        """Return both masks as paths; raises `InvalidRequest` with all that name nothing."""
        mask = self.mask or ()
        violations = [*_unknown("update_mask", mask), *_unknown("clear_mask", self.clear)]
        if violations:
            raise InvalidRequest(violations)
        return [tuple(p.split(".")) for p in mask], [tuple(p.split(".")) for p in self.clear]

    def require_small(self) -> None:
        """Raise `InvalidRequest` for lists and maps beyond the mask that hold more than they may."""
        if not self.mask or EVERYTHING in self.mask:
            return
        masks = [tuple(path.split(".")) for path in self.mask]
        found = [
            v for v in rules.oversized(self.body) if not _below(tuple(v.path.split(".")), masks)
        ]
        if found:
            raise InvalidRequest(found)

    def unused(self) -> list[str]:
        """Return the paths of the body that no mask path covers."""
        if not self.mask or EVERYTHING in self.mask:
            return []
        masks = [tuple(path.split(".")) for path in self.mask]
        spelled = _spelled(_folded(self.body))
        return [".".join(map(shown_name, path)) for path in spelled if not _covered(path, masks)]


def _covered(path: Path, masks: list[Path]) -> bool:
    return _below(path, masks) or any(mask[: len(path)] == path for mask in masks)


def _below(path: Path, masks: list[Path]) -> bool:
    return any(path[: len(mask)] == mask for mask in masks)


def _spelled(body: Document) -> list[Path]:
    """Return the paths of a body down to the values of map entries."""
    paths: list[Path] = []
    for path in leaf_paths():
        value = find(body, path)
        if isinstance(value, dict):
            for key, entry in value.items():
                paths.extend([(*path, key, name) for name in entry] or [(*path, key)])
        elif value is not None:
            paths.append(path)
    return paths


def _folded(body: Document) -> Document:
    """Return the body with category names folded to their stored form."""
    section = body.get("category_weights")
    if not isinstance(section, dict):
        return body
    folded = dict(section)
    if isinstance(section.get("overrides"), dict):
        folded["overrides"] = {fold_category(k): v for k, v in section["overrides"].items()}
        if len(folded["overrides"]) < len(section["overrides"]):
            raise invalid("category_weights.overrides", "DUPLICATE_KEY", "two keys fold to one")
    if isinstance(section.get("priority"), list):
        folded["priority"] = [
            fold_category(key) if isinstance(key, str) else key for key in section["priority"]
        ]
    return {**body, "category_weights": folded}


def _merged(overrides: Document, body: Document, inherited: Document) -> Document:
    for path in leaf_paths():
        value = find(body, path)
        if isinstance(value, dict):
            value = _merged_map(_map_at(overrides, inherited, path), value) if value else None
        if value is not None and value != []:
            overrides = put(overrides, path, value)
    return overrides


def _merged_map(entries: Document, body: Document) -> Document:
    return entries | {key: {**entries.get(key, {}), **entry} for key, entry in body.items()}


def _map_at(overrides: Document, inherited: Document, path: Path) -> Document:
    own = find(overrides, path)
    return dict(find(inherited, path) or {}) if own is None else dict(own)


def _masked(overrides: Document, body: Document, inherited: Document, path: Path) -> Document:
    map_path = _in_map(path)
    value = find(body, path)
    if map_path:
        entries = _map_at(overrides, inherited, map_path)
        edited = _edited(entries, path[len(map_path) :], value)
        gone = value is None and edited == entries
        return overrides if gone else put(overrides, map_path, edited)
    if is_list(annotation_at(path)):
        return put(overrides, path, value or [])
    return put(overrides, path, value or None if isinstance(value, dict) else value)


def _cleared(overrides: Document, inherited: Document, path: Path) -> Document:
    map_path = _in_map(path)
    own = find(overrides, map_path) if map_path else None
    if map_path is None or own is None:
        return put(overrides, path, None) if map_path is None else overrides
    rest, below = path[len(map_path) :], find(inherited, path)
    if rest[0] not in own and len(rest) > 1:
        return overrides
    edited = _edited(own, rest, below)
    return put(overrides, map_path, None if edited == find(inherited, map_path) else edited)


def _edited(entries: Document, rest: Path, value: object) -> Document:
    key = rest[0]
    if value is None and key not in entries:
        return entries
    if len(rest) == 1:
        kept = {name: entry for name, entry in entries.items() if name != key}
        return kept if value is None else kept | {key: value}
    entry = {name: old for name, old in entries.get(key, {}).items() if name != rest[1]}
    return entries | {key: entry if value is None else entry | {rest[1]: value}}


def _without_children(paths: list[Path]) -> list[Path]:
    """Drop paths below another one: the parent wins."""
    return [
        path
        for path in dict.fromkeys(paths)
        if not any(other != path and path[: len(other)] == other for other in paths)
    ]


def annotation_at(path: Path) -> object:
    """Return the annotation of the field at a path; None inside a map and for no field."""
    schema: Schema = MatchingConfig
    annotation: object = schema
    for name in path:
        annotation = fields(schema).get(name)
        schema = section_of(annotation) or schema
    return annotation


def _in_map(path: Path) -> Path | None:
    """Return the path of the map that `path` points into, or None."""
    for length in range(1, len(path)):
        if entry_of(annotation_at(path[:length])):
            return path[:length]
    return None


def _unknown(mask: str, paths: tuple[str, ...]) -> list[Violation]:
    if len(paths) > MAX_PATHS:
        return [Violation(mask, "TOO_LARGE", f"at most {MAX_PATHS} paths")]
    return [
        Violation(f"{mask}.paths[{i}]", "UNKNOWN_PATH", problem)
        for i, path in enumerate(paths)
        if (problem := path_problem(path, whole=mask == "update_mask"))
    ]


def path_problem(path: str, *, whole: bool = True) -> str | None:
    """Return why `path` names nothing that can be set, or None when it does."""
    if path == EVERYTHING:
        return None if whole else "names no setting"
    schema: Schema | None = MatchingConfig
    names = path.split(".")
    known: list[str] = []
    while names:
        name = names.pop(0)
        if schema is None or name not in fields(schema):
            return f"names no setting{_close(known, name, schema)}"
        known.append(name)
        annotation = fields(schema)[name]
        schema = section_of(annotation)
        if names and (entry := entry_of(annotation)):
            known.append(names.pop(0))
            schema = entry if is_category_key(known[-1]) else None
            if schema is None:
                return "names no category; keys are a-z, 0-9 and _"
    return None


def _close(known: list[str], name: str, schema: Schema | None) -> str:
    close = difflib.get_close_matches(name[:100], list(fields(schema)) if schema else [], n=1)
    return f"; did you mean {'.'.join((*known, close[0]))}?" if close else ""


def path_in_map(path: str) -> Path | None:
    """Return the path of the map that a dotted path points into, or None."""
    return _in_map(tuple(path.split(".")))
