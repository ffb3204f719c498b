"""Bad files and variables of the process, row by row of the bad-input table: it does not start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from reliability.bad_inputs import row

from config_service.__main__ import main

CANNOT_RUN = 78
BOMB = "a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"
BOOTSTRAPS = {
    "an alias bomb": (BOMB, "line 1", "YAML_ALIAS"),
    "a recursive alias": ("a: &a [*a]", "line 1", "YAML_ALIAS"),
    "20,000 levels": ("[" * 20_000, "line 1", "YAML_TOO_DEEP"),
    "300 KiB": ("#" * 300 * 1024, "bootstrap.yaml", "YAML_TOO_LARGE"),
    "a key twice": ("geo: {}\ngeo: {}\n", "line 2", "DUPLICATE_KEY"),
    "a Python object": ("geo: !!python/object/apply:os.system [id]", "line 1", "YAML_TAG"),
    "binary": ("geo: !!binary aGk=", "line 1", "YAML_TAG"),
    "a set": ("geo: !!set {a}", "line 1", "YAML_TAG"),
    "no for a flag": ("ai: {enabled: no}", "ai.enabled", "TYPE"),
    "a time for a number": ("geo: {max_distance_km: 12:30:45}", "geo.max_distance_km", "TYPE"),
    "an octal number": ("geo: {max_distance_km: 010}", "geo.max_distance_km", "TYPE"),
    "an underscore": ("geo: {max_distance_km: 1_000}", "geo.max_distance_km", "TYPE"),
    "not a number": ("geo: {neutral_score: .nan}", "geo.neutral_score", "TYPE"),
    "infinite": ("geo: {neutral_score: .inf}", "geo.neutral_score", "TYPE"),
    "a whole number as key": ("1: 2", "line 1", "YAML_KEY"),
    "null as key": ("~: 2", "line 1", "YAML_KEY"),
    "a list as key": ("? [a]\n: 2", "line 1", "YAML_KEY"),
    "two documents": ("geo: {}\n---\nai: {}\n", "line", "YAML_SYNTAX"),
    "a scalar at the top": ("5", "file", "YAML_TOP"),
    "a tab": ("geo:\n\tneutral_score: 1", "line 2", "YAML_SYNTAX"),
    "NUL": ("geo: \x00", "line 1", "YAML_SYNTAX"),
    "a variable": ("ai:\n  model: ${GEMINI_API_KEY}", "line 2", "SECRET_IN_YAML"),
    "a secret": ("ai: {model: AIzaSyA1234567890abcdefghij}", "ai.model", "SECRET_IN_CONFIG"),
}


@pytest.fixture(autouse=True)
def _nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("CONFIG_", "EVENT_DEDUP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONFIG_DATABASE_URL", f"sqlite:///{tmp_path / 'c.db'}")


@row("Y1", "Y2", "Y3", "Y4", "Y5", "Y6", "Y7", "Y8")
@pytest.mark.parametrize(("content", "place", "rule"), BOOTSTRAPS.values(), ids=list(BOOTSTRAPS))
def test_a_bad_bootstrap_file_is_refused_where_it_is_bad_and_nothing_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
    place: str,
    rule: str,
) -> None:
    file = tmp_path / "bootstrap.yaml"
    file.write_text(content)
    monkeypatch.setenv("CONFIG_BOOTSTRAP_FILE", str(file))
    monkeypatch.setenv("GEMINI_API_KEY", "canary")
    with pytest.raises(SystemExit) as ended:
        main(["migrate"])
    told = capsys.readouterr().err
    assert ended.value.code == CANNOT_RUN
    assert told.startswith(place)
    assert f"({rule})" in told
    assert "AIza" not in told
    assert "canary" not in told
    assert not (tmp_path / "c.db").exists()


@row("Y7")
@pytest.mark.parametrize("content", ["", "# nothing\n", "\ufeffgeo: {neutral_score: 0.4}\n"])
def test_an_empty_bootstrap_file_and_a_byte_order_mark_are_no_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "bootstrap.yaml").write_text(content)
    monkeypatch.setenv("CONFIG_BOOTSTRAP_FILE", str(tmp_path / "bootstrap.yaml"))
    main(["migrate"])
    assert (tmp_path / "c.db").exists()


@row("Y9")
@pytest.mark.parametrize("value", ["0,8", "nan", "inf", "-1", "1e400", "0x1", "seconds"])
@pytest.mark.parametrize("name", ["CONFIG_POLL_SECONDS", "CONFIG_KEEP_DAYS"])
def test_a_bad_number_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["migrate"])
    told = capsys.readouterr().err
    assert ended.value.code == CANNOT_RUN
    assert told.startswith(f"config-service: {name} must be a number from ")
    assert value not in told.partition("must be")[0]


@row("Y9", "Y11")
def test_an_empty_variable_is_not_set_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    variables = {name: text for name, text in os.environ.items() if not name.startswith("CONFIG_")}
    variables["CONFIG_DATABASE_URL"] = f"sqlite:///{tmp_path / 'c.db'}"
    variables |= {"CONFIG_POLL_SECONDS": "", "CONFIG_KEYRNG_FILE": "canary", "LOG_LEVEL": "info"}
    command = [sys.executable, "-m", "config_service", "migrate"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "CONFIG_KEYRNG_FILE is no variable of this service" in done.stderr
    assert "canary" not in done.stderr + done.stdout
