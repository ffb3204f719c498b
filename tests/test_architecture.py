"""The import rules of the rooms, read from the code itself."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {
    "eventdedup": ROOT / "libs/eventdedup",
    "dedup_model": ROOT / "libs/dedup_model",
    "dedup_rpc": ROOT / "libs/dedup_rpc",
    "dedup_report": ROOT / "libs/dedup_report",
    "dedup_cli": ROOT / "libs/dedup_cli",
    "config_service": ROOT / "services/config_service",
    "matcher_service": ROOT / "services/matcher_service",
}
WIRE = {"google", "grpc", "grpc_health", "grpc_reflection", "grpc_status"}
TELEMETRY = {"opentelemetry", "prometheus_client", "uvloop"}
PYDANTIC = {"pydantic", "pydantic_core"}
LIBS = {"dedup_model", "dedup_rpc", "eventdedup"}
ALLOWED = {
    "eventdedup": {"eventdedup"} | WIRE,
    "dedup_model": {"dedup_model", "yaml"} | PYDANTIC,
    "dedup_rpc": {"dedup_rpc", "dedup_model", "eventdedup"} | PYDANTIC | WIRE | TELEMETRY,
    "config_service": {"config_service", "sqlalchemy", "alembic", "cryptography"} | LIBS | WIRE,
    "matcher_service": {"matcher_service", "numpy", "scipy", "rapidfuzz"} | LIBS | WIRE | PYDANTIC,
    "dedup_report": {"dedup_report", "dedup_model", "dedup_rpc", "eventdedup"},
    "dedup_cli": {"dedup_cli", "config_service", "matcher_service", "typer", "rich", "pyarrow"}
    | {"dedup_report", "numpy"}
    | LIBS
    | WIRE,
}
ENGINE = {"matcher_service", "dedup_model", "numpy", "scipy", "rapidfuzz"}
OWNERS = {
    "cryptography": {"services/config_service/cipher.py"},
    "yaml": {"libs/dedup_model/strict_yaml.py"},
    "alembic": {
        "services/config_service/setup.py",
        "services/config_service/migrations/env.py",
        "services/config_service/migrations/versions/0001_settings.py",
        "services/config_service/migrations/versions/0002_idempotency.py",
        "services/config_service/migrations/versions/0003_audit_clients.py",
    },
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module or ""


def files(room: str) -> list[Path]:
    return sorted(OURS[room].rglob("*.py"))


def top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("room", OURS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    for path in files(room):
        foreign = {top(name) for name in imports(path)} - set(sys.stdlib_module_names)
        assert foreign <= ALLOWED[room], f"{path}: {foreign - ALLOWED[room]}"


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_with_an_owner_is_imported_by_it_alone(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for room in OURS
        for path in files(room)
        if library in map(top, imports(path))
    }
    assert users == OWNERS[library]


def test_the_engine_knows_no_transport_no_storage_and_no_clock() -> None:
    for path in sorted((OURS["matcher_service"] / "engine").rglob("*.py")):
        names = set(imports(path))
        foreign = {top(name) for name in names} - set(sys.stdlib_module_names)
        assert foreign <= ENGINE, path
        inside = {name for name in names if top(name) == "matcher_service"}
        assert all(name.startswith("matcher_service.engine") for name in inside), path
        assert not {"time", "random", "asyncio", "logging", "os", "io"} & set(map(top, names)), path


def test_protobuf_messages_stay_at_the_servicer() -> None:
    at_the_door = {"servicer.py", "convert.py", "serving.py", "config_client.py"}
    at_the_door |= {"admin_servicer.py", "convert_clients.py", "convert_options.py"}
    at_the_door |= {"inspection_servicer.py", "convert_inspection.py"}
    for room in ("config_service", "matcher_service"):
        for path in files(room):
            if "eventdedup" in map(top, imports(path)):
                assert path.name in at_the_door, path


def test_no_file_is_a_drawer_for_everything() -> None:
    names = {path.stem for room in OURS for path in files(room)}
    assert not names & {"utils", "common", "core", "helpers", "services", "interfaces", "manager"}


def test_no_file_grows_past_three_hundred_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for room in OURS
        if room != "eventdedup"
        for path in files(room)
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_every_file_says_what_it_owns() -> None:
    for room in OURS:
        if room != "eventdedup":
            for path in files(room):
                assert ast.get_docstring(ast.parse(path.read_text())), path
