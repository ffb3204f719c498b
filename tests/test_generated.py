"""The generated code is what the protos say, and the released contract is still kept."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import licences

from dedup_model.tree import leaf_paths

ROOT = Path(__file__).parents[1]
BUF = Path(sys.executable).parent / "buf"


def script(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".py", ".pyi")
    }


def test_the_committed_code_is_what_the_protos_generate(tmp_path: Path) -> None:
    script("protos/generate.py").generate(tmp_path)
    assert contents(tmp_path / "eventdedup") == contents(ROOT / "libs/eventdedup")


def test_the_reference_pages_are_what_model_and_protos_say(tmp_path: Path) -> None:
    script("docs/references.py").write(tmp_path)
    (tmp_path / "licences.md").write_text(licences.page())
    pages = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert pages == {path.name: path.read_text() for path in (ROOT / "docs/reference").iterdir()}


def test_the_reference_names_every_setting(tmp_path: Path) -> None:
    page = script("docs/references.py").settings_page()
    paths = [".".join(path) for path in leaf_paths()]
    assert len(paths) > 50
    assert [path for path in paths if f"| `{path}` |" not in page] == []


def run_buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_protos_keep_the_released_contract() -> None:
    done = run_buf("breaking", "protos", "--against", "protos/released.binpb")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_field_that_goes_is_noticed_as_a_broken_contract(tmp_path: Path) -> None:
    for path in (ROOT / "protos").rglob("*"):
        if path.suffix in (".proto", ".yaml"):
            copy = tmp_path / path.relative_to(ROOT / "protos")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace("optional double title_veto = 3;", ""))
    done = run_buf("breaking", str(tmp_path), "--against", "protos/released.binpb")
    assert done.returncode != 0
    assert "title_veto" in done.stdout


def test_the_protos_pass_the_standard_lint_rules() -> None:
    done = run_buf("lint", "protos")
    assert done.returncode == 0, done.stdout + done.stderr
