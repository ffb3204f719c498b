"""Documents of the settings tree: walking, layering and comparing plain JSON values.

A document is a nested dict with the tree's shape, whole or partial. Its leaves are scalars, lists
and maps: a layer replaces a leaf whole, and a list or map has no half presence.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel

from dedup_model.matching_config import MatchingConfig
from dedup_model.setting import Section
from dedup_model.text_rules import shown_name

Document: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]
Schema: TypeAlias = type[Section]


@cache
def fields(schema: Schema) -> dict[str, Any]:
    """Return the fields of a section with their annotations, in declaration order."""
    return {name: info.annotation for name, info in schema.model_fields.items()}


def section_of(annotation: Any) -> Schema | None:
    """Return the section class of an annotation, or None for a leaf."""
    found = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if found else None


def entry_of(annotation: Any) -> Schema | None:
    """Return the entry class of a map annotation, or None when it is no map."""
    return section_of(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def item_of(annotation: Any) -> Schema | None:
    """Return the section class of a list's items, or None."""
    return section_of(get_args(annotation)[0]) if is_list(annotation) else None


def is_list(annotation: Any) -> bool:
    """Tell whether an annotation is a list."""
    return get_origin(annotation) is list


def leaf_paths(schema: Schema = MatchingConfig, prefix: Path = ()) -> Iterator[Path]:
    """Yield the path of every leaf: scalars, lists and maps."""
    for name, annotation in fields(schema).items():
        section = section_of(annotation)
        yield from leaf_paths(section, (*prefix, name)) if section else [(*prefix, name)]


def present_paths(document: Document) -> Iterator[Path]:
    """Yield the path of every leaf that a partial document holds."""
    return (path for path in leaf_paths() if find(document, path) is not None)


def nulls(document: Document, schema: Schema = MatchingConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of the sections and leaves that a document holds as null."""
    for name, annotation in fields(schema).items():
        value, section = document.get(name, {}), section_of(annotation)
        if value is None:
            yield f"{prefix}{name}"
        elif section and isinstance(value, dict):
            yield from nulls(value, section, f"{prefix}{name}.")


def find(document: Mapping[str, Any], path: Path) -> Any:
    """Return the value at `path`, or None when it is absent."""
    node: Any = document
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def put(document: Document, path: Path, value: Any) -> Document:
    """Return a copy of `document` with `value` at `path`; None removes it and empty parents."""
    head, rest = path[0], path[1:]
    child = put(document.get(head, {}), rest, value) if rest else value
    kept = {name: node for name, node in document.items() if name != head}
    return kept if child is None or (rest and child == {}) else {**kept, head: child}


def layer(base: Document, partial: Document, schema: Schema = MatchingConfig) -> Document:
    """Return `base` with every leaf that `partial` holds replaced.

    Keys and values that do not fit the tree are kept, for validation to name them.
    """
    return {
        name: _layered(section_of(fields(schema).get(name)), base.get(name), partial.get(name))
        for name in {**base, **partial}
    }


def _layered(section: Schema | None, base: Any, partial: Any) -> Any:
    if partial is None:
        return base
    both = isinstance(base or {}, dict) and isinstance(partial, dict)
    return layer(base or {}, partial, section) if section and both else partial


def picked(effective: Document, partial: Document) -> Document:
    """Return the leaves of `effective` that `partial` holds: `partial` in validated form."""
    chosen: Document = {}
    for path in present_paths(partial):
        chosen = put(chosen, path, find(effective, path))
    return chosen


def differing(document: Document, base: Document) -> Document:
    """Return the leaves of `document` that differ from `base`."""
    chosen: Document = {}
    for path in present_paths(document):
        value = find(document, path)
        if value != find(base, path):
            chosen = put(chosen, path, value)
    return chosen


def changes(old: Document, new: Document) -> list[tuple[str, Any, Any]]:
    """Return `(path, old, new)` of every leaf that differs; maps are compared entry by entry."""
    found: list[tuple[str, Any, Any]] = []
    for path in leaf_paths():
        before, after = find(old, path), find(new, path)
        if before != after:
            found.extend(_entry_changes(".".join(path), before, after))
    return found


def _entry_changes(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if not (isinstance(old, dict) or isinstance(new, dict)):
        return iter([(path, old, new)])
    before, after = old or {}, new or {}
    return (
        (f"{path}.{key}", before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def known(document: Document, schema: Schema = MatchingConfig) -> Document:
    """Return `document` without the keys that this release does not know."""
    return {
        name: _known_value(fields(schema)[name], value)
        for name, value in document.items()
        if name in fields(schema)
    }


def _known_value(annotation: Any, value: Any) -> Any:
    section, entry = section_of(annotation), entry_of(annotation)
    items = item_of(annotation)
    if section and isinstance(value, dict):
        return known(value, section)
    if entry and isinstance(value, dict):
        return {key: _known_part(child, entry) for key, child in value.items()}
    if items and isinstance(value, list):
        return [_known_part(child, items) for child in value]
    return value


def _known_part(value: Any, schema: Schema) -> Any:
    return known(value, schema) if isinstance(value, dict) else value


def ignored_paths(document: Any, kept: Any, prefix: str = "") -> list[str]:
    """Return the paths that `kept` lost of `document`; odd names are shown as `?`."""
    if isinstance(document, dict):
        pairs = [(str(key), value, kept.get(key)) for key, value in document.items()]
        gone = [f"{prefix}{shown_name(key)}" for key, _, _ in pairs if key not in kept]
        children = [(f"{prefix}{key}.", a, b) for key, a, b in pairs if key in kept]
    elif isinstance(document, list):
        gone = []
        children = [
            (f"{prefix}{i}.", a, b) for i, (a, b) in enumerate(zip(document, kept, strict=True))
        ]
    else:
        return []
    return gone + [
        path for child in children for path in ignored_paths(child[1], child[2], child[0])
    ]


def canonical_json(document: Any) -> bytes:
    """Return the one JSON text of a document: sorted keys, no spaces, UTF-8."""
    text = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def digest(document: Document) -> str:
    """Return the SHA-256 of a document's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def dump(config: MatchingConfig) -> Document:
    """Return a config as a document; unset optional values are left out."""
    return config.model_dump(mode="json", exclude_none=True)


DEFAULTS: Document = dump(MatchingConfig())
"""The whole tree with the code's defaults."""
