"""The images: what their builds take in, and their steps run one by one where no engine is."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from deploy.conftest import DEPLOY, ROOT, TOOLS

FULL = os.environ.get("IMAGES") == "full"
"""Whether the steps are run: they fetch two sets of wheels, and take a minute."""
STEP = re.compile(r"^([A-Z]+) ((?:.*\\\n)*.*)$", re.M)


@dataclass(frozen=True)
class Step:
    stage: str
    base: str
    word: str
    rest: str


def steps() -> Iterator[Step]:
    """Yield every step with the name and the base of its stage."""
    stage = base = ""
    for word, rest in STEP.findall((DEPLOY / "Dockerfile").read_text()):
        if word == "FROM":
            base, _, stage = rest.split()
        yield Step(stage, base, word, rest.replace("\\\n", " "))


STEPS = list(steps())
FINAL = ("config-service", "matcher-service")


def of(stage: str, word: str) -> list[str]:
    return [step.rest for step in STEPS if (step.stage, step.word) == (stage, word)]


def copied() -> set[str]:
    """Return the paths that are taken from the project."""
    found = (shlex.split(step.rest)[:-1] for step in STEPS if step.word == "COPY")
    return {source for sources in found for source in sources if "--from" not in sources[0]}


def test_a_build_sees_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    seen = {line[1:] for line in lines if line.startswith("!")}
    assert seen == {source.partition("/")[0] for source in copied()}
    assert all((ROOT / source).exists() for source in copied())


def test_the_build_is_written_as_its_linter_asks() -> None:
    command = [str(TOOLS / "hadolint"), "--no-color", str(DEPLOY / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_dependencies_come_from_locks_with_hashes() -> None:
    installs = [
        command
        for step in STEPS
        if step.word == "RUN"
        for command in step.rest.split("&&")
        if " install " in command and "pip" in command
    ]
    assert len(installs) == 5
    for command in installs:
        assert "--require-hashes" in command or "--no-deps --no-index" in command


@pytest.mark.parametrize("stage", FINAL)
def test_an_image_runs_as_nobody_in_particular_and_holds_no_tool_to_build(stage: str) -> None:
    (base,) = {step.base for step in STEPS if step.stage == stage}
    assert base == "runtime"
    assert of("runtime", "USER") == ["10001:10001"]
    assert of("runtime", "STOPSIGNAL") == ["SIGTERM"]
    assert "pip uninstall --yes" in of("runtime", "RUN")[0]
    assert not of(stage, "RUN")
    assert not of(stage, "USER")
    assert of(stage, "COPY") == [f"--from={stage.partition('-')[0]}-environment /app /app"]
    assert of(stage, "ENTRYPOINT") == [f'["{stage}"]']
    assert f'CMD ["{stage}", "health"]' in of(stage, "HEALTHCHECK")[0]


@pytest.mark.skipif(not FULL, reason="fetches wheels for a minute: `make images` runs it")
def test_the_steps_of_both_environments_run_and_their_commands_start(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for source in copied():
        place = context / source
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, place)
    root = tmp_path / "root"
    told = map(int, re.findall(r"\b(\d+) MB", (ROOT / "docs/deployment.md").read_text()))
    for stage in ("wheel", "config-environment", "matcher-environment"):
        run_stage(stage, context, root)
        if stage != "wheel":
            service = stage.replace("environment", "service")
            shown = run(f"{root}/app/bin/{service} --help", root)
            assert f"usage: {service}" in shown
            assert not list(root.glob("app/bin/pip*"))
            assert megabytes(root / "app") == pytest.approx(next(told), rel=0.05)
            shutil.rmtree(root / "app")


def megabytes(folder: Path) -> float:
    """Return the size of a folder's files, as the page measures it."""
    command = ["du", "--apparent-size", "--summarize", "--block-size=1", str(folder)]
    return int(subprocess.check_output(command, timeout=60).split()[0]) / 1e6


def run_stage(stage: str, context: Path, root: Path) -> None:
    """Run the steps of a stage with absolute paths below `root`."""
    folder = root
    for step in (step for step in STEPS if step.stage == stage):
        if step.word == "WORKDIR":
            folder = root / step.rest.lstrip("/")
            folder.mkdir(parents=True)
        elif step.word == "COPY" and "--from" not in step.rest:
            *sources, target = step.rest.split()
            for source in sources:
                place = (root / target.lstrip("/")) if target[0] == "/" else folder / target
                copy_into(context / source, place / source if target == "./" else place)
        elif step.word == "RUN":
            run(
                re.sub(
                    r"(?<=[\s=])/(?=build|app|wheels|requirements)", f"{root}/", f" {step.rest}"
                ),
                folder,
            )


def copy_into(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place)
    else:
        shutil.copy(source, place)


def run(command: str, folder: Path) -> str:
    # the image's own Python has pip; the tests' need not
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=folder, env=variables, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
