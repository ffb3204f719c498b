"""The one reader and writer of YAML: no aliases, no tags, no duplicate keys, string keys, size and depth caps."""

import math
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from dedup_model.errors import InvalidRequest, invalid

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_DIGITS = 40
VARIABLE = "${"
"""What looks like a variable is refused, unless it stands in quotes: then it is a text."""

_NUMBERS = r"^[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"


class _Loader(yaml.SafeLoader):
    """Plain scalars are null, true, false, JSON numbers or strings: no `no`, `010` or `12:30`."""

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _at(mark, "YAML_ALIAS", "anchors and aliases are not allowed")
        if getattr(event, "tag", None):
            raise _at(mark, "YAML_TAG", "tags are not allowed")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _at(mark, "YAML_TOO_DEEP", f"nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Return a value; refuses numbers and texts that JSON could not hold."""
        if isinstance(node, ScalarNode) and node.style is None and VARIABLE in node.value:
            text = "variables are not expanded, and secrets do not belong here"
            raise _at(node.start_mark, "SECRET_IN_YAML", text)
        if isinstance(node, ScalarNode) and not _holds(node):
            raise _syntax(node.start_mark.line)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _at(key.start_mark, "YAML_KEY", "keys must be strings")
            if key.value in seen:
                raise _at(key.start_mark, "DUPLICATE_KEY", "the key stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", _NUMBERS, "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` takes for a number or a variable, and what breaks a line."""

    def represent_text(self, text: str) -> ScalarNode:
        """Return the node of a text."""
        odd = re.match(_NUMBERS, text) or VARIABLE in text or not text.isprintable()
        style = '"' if odd else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _holds(node: ScalarNode) -> bool:
    number = node.tag.endswith((":int", ":float"))
    if number:
        return len(node.value) <= MAX_DIGITS and math.isfinite(float(node.value))
    return not any("\ud800" <= character <= "\udfff" for character in node.value)


def _at(mark: Any, rule: str, message: str) -> InvalidRequest:
    return invalid(f"line {mark.line + 1}", rule, message)


def parse(text: str, empty: str = "") -> dict[str, Any]:
    """Return the mapping that a YAML text holds; an empty text is an empty mapping.

    Raises `InvalidRequest` that names the line; never a value of the text. With `empty`, a text that
    holds nothing is refused in these words.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise invalid("file", "YAML_TOO_LARGE", f"larger than {MAX_BYTES} bytes")
    text = text.removeprefix("\ufeff")
    try:
        document = _document(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _syntax(mark.line if mark else 0) from None
    except yaml.reader.ReaderError as error:
        raise _syntax(text.count("\n", 0, error.position)) from None
    if document is None and empty:
        raise invalid("file", "YAML_EMPTY", empty)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise invalid("file", "YAML_TOP", "the top of the file must be a mapping")
    return document


def _document(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except (ValueError, OverflowError):
        # the scanner makes characters and versions of numbers that are none: "\UFFFFFFFF"
        raise _syntax(loader.line) from None
    finally:
        loader.dispose()


def _syntax(line: int) -> InvalidRequest:
    return invalid(
        f"line {line + 1}", "YAML_SYNTAX", "not YAML, or a character or number it forbids"
    )


def load(path: Path, empty: str = "") -> dict[str, Any]:
    """Return the mapping in a YAML file; see `parse`. Raises `InvalidRequest` when unreadable."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise invalid(path.name, "YAML_TOO_LARGE", f"larger than {MAX_BYTES} bytes")
        return parse(path.read_text(encoding="utf-8"), empty)
    except (OSError, UnicodeDecodeError):
        raise invalid(path.name, "FILE_UNREADABLE", "cannot be read as UTF-8 text") from None


def dump(document: dict[str, Any]) -> str:
    """Return a document as YAML that `parse` reads back as it was."""
    dumped = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=True, width=100)
    return str(dumped)
