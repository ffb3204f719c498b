"""What a command says before its own libraries are loaded."""

import subprocess
import sys
from pathlib import Path

ENTER = "from dedup_rpc.door import enter; enter('event-dedup', 'inner', 'cli')"


def entered(folder: Path, inner: str) -> "subprocess.CompletedProcess[str]":
    (folder / "inner.py").write_text(inner, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", ENTER],
        env={"PYTHONPATH": f"{folder}:{':'.join(filter(None, sys.path))}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_command_that_is_stopped_while_it_loads_ends_without_a_word(tmp_path: Path) -> None:
    done = entered(tmp_path, "raise KeyboardInterrupt")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_library_that_is_missing_is_named_with_its_extra(tmp_path: Path) -> None:
    done = entered(tmp_path, "import a_library_that_nobody_has")
    assert done.returncode == 78
    assert (
        "a_library_that_nobody_has is not installed: pip install 'event-dedup[cli]'" in done.stderr
    )
