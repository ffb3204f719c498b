"""Writes the reference pages out of the settings model and the protos: `python docs/references.py FOLDER`."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc
from pydantic import BaseModel

from dedup_cli.settings import shown
from dedup_model.matching_config import MatchingConfig
from dedup_model.tree import entry_of, item_of, section_of

ROOT = Path(__file__).parents[1]
GENERATED = "Made by `make references`; do not edit.\n"
MESSAGE, SERVICE, ENUM = 4, 6, 5
"""Numbers of the fields of `FileDescriptorProto`: places of comments are paths of such numbers."""
Comments = dict[tuple[int, ...], str]


def write(folder: Path) -> None:
    """Write `settings.md` and a page for each proto file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")
    for file in _described():
        name = Path(file.name).stem
        (folder / f"{name}.md").write_text(proto_page(file), encoding="utf-8")


def settings_page() -> str:
    """Return every setting with its default, range and unit."""
    parts = ["# Settings\n", GENERATED, _whole_tree()]
    parts += _sections(MatchingConfig, "")
    return "\n".join(parts)


def _whole_tree() -> str:
    return (
        "Change one with `event-dedup config set PATH=VALUE`, or with `UpdateConfig`. A setting that"
        " nobody set has the bootstrap file's value, else the default below.\n"
    )


def _sections(model: type[BaseModel], prefix: str) -> Iterator[str]:
    nested = []
    rows = []
    for name, field in model.model_fields.items():
        path, annotation = f"{prefix}{name}", field.annotation
        if section := section_of(annotation):
            nested.append((section, path))
            continue
        rows.append(_row(path, field))
        inner = entry_of(annotation) or item_of(annotation)
        if inner:
            nested.append((inner, f"{path}.*" if entry_of(annotation) else f"{path}[]"))
    if rows:
        title = prefix.rstrip(".") or "The tree"
        yield f"## `{title}`\n\n{model.__doc__}\n\n| path | default | range | meaning |\n|---|---|---|---|"
        yield from rows
        yield ""
    for section, path in nested:
        yield from _sections(section, f"{path}.")


def _row(path: str, field: Any) -> str:
    cells = (f"`{path}`", _default(field), _range(field), _cell(field.description or ""))
    return "| " + " | ".join(cells) + " |"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if value is None:
        return "inherited"
    if isinstance(value, dict | list | tuple):
        return f"{len(value)} entries" if value else "none"
    return f"`{_cell(shown(value if not isinstance(value, float) else float(value)))}`"


def _range(field: Any) -> str:
    bounds = {type(rule).__name__: rule for rule in field.metadata}
    unit = (field.json_schema_extra or {}).get("unit", "")
    low, high = bounds.get("Ge"), bounds.get("Le")
    if low is None or high is None:
        return unit
    return f"{low.ge:g} to {high.le:g} {unit}".replace(" score", "").strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def proto_page(file: FileDescriptorProto) -> str:
    """Return the services, messages and enums of a file with their comments."""
    comments = _comments(file)
    parts = [f"# {file.package}: {Path(file.name).stem}\n", GENERATED]
    for index, service in enumerate(file.service):
        parts.append(_service(service, comments, (SERVICE, index)))
    for index, message in enumerate(file.message_type):
        parts += _message(message, comments, (MESSAGE, index), "")
    for index, enum in enumerate(file.enum_type):
        parts.append(_enum(enum, comments, (ENUM, index)))
    return "\n".join(parts)


def _comments(file: FileDescriptorProto) -> Comments:
    return {tuple(one.path): one.leading_comments.strip() for one in file.source_code_info.location}


def _service(service: ServiceDescriptorProto, comments: Comments, at: tuple[int, ...]) -> str:
    lines = [f"## service {service.name}\n", _prose(comments[at])]
    for index, method in enumerate(service.method):
        request = ("stream " if method.client_streaming else "") + _short(method.input_type)
        answer = ("stream " if method.server_streaming else "") + _short(method.output_type)
        lines.append(f"### {method.name}\n\n`{request}` → `{answer}`\n")
        lines.append(_prose(comments[(*at, 2, index)]))
    return "\n".join(lines)


def _message(
    message: DescriptorProto, comments: Comments, at: tuple[int, ...], prefix: str
) -> Iterator[str]:
    if message.options.map_entry:
        return
    name = f"{prefix}{message.name}"
    yield f"## {name}\n\n{_prose(comments.get(at, ''))}"
    if message.field:
        yield "| field | type | meaning |\n|---|---|---|"
        for index, field in enumerate(message.field):
            meaning = _cell(comments.get((*at, 2, index), ""))
            yield f"| `{field.name}` | {_type(field, message)} | {meaning} |"
        yield ""
    for index, inner in enumerate(message.nested_type):
        yield from _message(inner, comments, (*at, 3, index), f"{name}.")


def _enum(enum: EnumDescriptorProto, comments: Comments, at: tuple[int, ...]) -> str:
    rows = [
        f"| `{value.name}` | {_cell(comments.get((*at, 2, index), ''))} |"
        for index, value in enumerate(enum.value)
    ]
    head = f"## {enum.name}\n\n{_prose(comments.get(at, ''))}\n| value | meaning |\n|---|---|\n"
    return head + "\n".join(rows) + "\n"


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = _short(field.type_name) if field.type_name else kind
    for entry in message.nested_type:
        if entry.options.map_entry and entry.name == name:
            return f"map<string, {_type(entry.field[1], entry)}>"
    many = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"{'repeated ' if many else ''}{'optional ' if field.proto3_optional else ''}{name}"


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _prose(comment: str) -> str:
    return "\n".join(line.strip() for line in comment.splitlines()) + "\n"


def _described() -> list[FileDescriptorProto]:
    protos = ROOT / "protos"
    files = sorted(str(path.relative_to(protos)) for path in protos.glob("eventdedup/**/*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "protos"
        includes = [f"-I{protos}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
        options = ["--include_source_info", f"--descriptor_set_out={image}"]
        if protoc.main(["protoc", *includes, *options, *files]):
            raise SystemExit("protoc refused the protos")
        return list(FileDescriptorSet.FromString(image.read_bytes()).file)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
