"""The commands that keep a store, run as an operator runs them: exit codes and sentences."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from config_service import setup
from config_service.__main__ import main
from config_service.cipher import new_key, parse_ring
from config_service.edits import Meta, SetSecret, Update
from config_service.env import Env
from config_service.sole import sole_server
from dedup_model.change import Change

CANARY = "Canary-Command-77"
Sql = Callable[..., Any]


@dataclass
class Commands:
    """Runs `config-service` in this process, or as one, on one database."""

    variables: dict[str, str]
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command; returns what it writes, to stdout when it works and to stderr when not."""
        self.capture.readouterr()
        ended = 0
        try:
            main(arguments)
        except SystemExit as error:
            ended = int(error.code or 0)
        found = self.capture.readouterr()
        assert ended == code, found.err
        self.said.append(found.out + found.err)
        return found.err if code else found.out

    def variable(self, name: str, value: str) -> None:
        self.patch.setenv(name, value)

    def process(
        self, *arguments: str, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        kept = {n: v for n, v in os.environ.items() if not n.startswith("CONFIG_")}
        return subprocess.run(
            [sys.executable, "-m", "config_service", *arguments],
            capture_output=True, text=True, timeout=60, cwd=cwd, check=False,
            env=kept | {n: v for n, v in os.environ.items() if n.startswith("CONFIG_")},
        )  # fmt: skip


@pytest.fixture
def run(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands({}, capsys, monkeypatch)


@pytest.fixture
def ring(tmp_path: Path, run: Commands) -> Path:
    path = tmp_path / "ring"
    path.write_text(new_key())
    run.variable("CONFIG_KEYRING_FILE", str(path))
    return path


@pytest.fixture
def filled(env: Env, ring: Path) -> Env:
    env = replace(env, keyring_file=ring)
    store = setup.migrate(env)
    store.apply(SetSecret("ai.api_key", CANARY, Meta("ann")))
    store.apply(Update(Change({"geo": {"neutral_score": 0.25}}), Meta("ann")))
    store.close()
    return env


def test_a_generated_key_is_a_ring(run: Commands) -> None:
    lines = [run("keys", "generate") for _ in range(3)]
    assert len({parse_ring(line.splitlines()).primary for line in lines}) == 3


def test_a_rotation_by_hand(run: Commands, filled: Env, ring: Path, tmp_path: Path) -> None:
    old, new = ring.read_text(), run("keys", "generate").strip()
    first, second = (parse_ring([key]).primary for key in (old, new))
    assert run("keys", "status") == f"{first}  writes  cells 6  in 0 of 0 running servers\n"
    ring.write_text(f"{new}\n{old}\n")
    shown = run("keys", "status").splitlines()
    assert shown[0].startswith(f"{second}  writes  cells 0")
    assert shown[1].startswith(f"{first}  reads  cells 6")
    assert run("keys", "rewrap") == f"6 cells sealed anew under {second}, 0 under other keys\n"
    assert run("keys", "rewrap").startswith("0 cells")
    alone = tmp_path / "alone"
    alone.write_text(new)
    said = run("keys", "verify", "--keyring-file", str(alone))
    assert re.fullmatch(r"everything opens; 4 audit events, the last [0-9a-f]{64}\n", said)
    alone.write_text(old)
    assert second in run("keys", "verify", "--keyring-file", str(alone), code=78)
    ring.write_text(new)
    assert run("keys", "verify").startswith("everything opens")
    assert not any(key in text for key in (old, new, CANARY) for text in run.said[1:])


def test_a_key_that_is_not_in_the_ring_is_named(run: Commands, filled: Env, sql: Sql) -> None:
    sql("UPDATE config_revisions SET document = 'cse2.0123456789ab.xx' WHERE revision = 1")
    assert "0123456789ab  NOT IN THE RING  cells 1" in run("keys", "status")


def test_verify_names_what_does_not_open_and_fails(run: Commands, filled: Env, sql: Sql) -> None:
    sql("UPDATE config_revisions SET document = substr(document, 1, 90) WHERE revision = 1")
    sql("UPDATE audit_events SET principal = 'mallory' WHERE sequence = 2")
    error = run("keys", "verify", code=78)
    assert error == "config-service: the store is not whole\n"
    assert "config_revisions.document of row 1" in run.said[-1]
    assert "event 2 was altered" in run.said[-1]


@pytest.mark.parametrize("words", [["keys", "status"], ["keys", "rewrap"], ["keys", "verify"],
                                   ["store", "new-epoch"], ["store", "compact"],
                                   ["load", "overrides.yaml"]])  # fmt: skip
def test_a_mistyped_file_is_no_new_store_in_which_all_is_well(
    run: Commands, ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "overrides.yaml").write_text("{}")
    error = run("--database-url", "sqlite:///bakcup.db", *words, code=78)
    assert error == "config-service: there is no store at bakcup.db\n"
    assert not list(tmp_path.glob("bakcup*"))


@pytest.mark.parametrize("words", [["keys", "status"], ["keys", "rewrap"], ["keys", "verify"],
                                   ["store", "new-epoch"], ["store", "compact"]])  # fmt: skip
def test_a_command_without_a_ring_that_opens_the_store_is_refused(
    run: Commands, filled: Env, ring: Path, words: list[str], sql: Sql
) -> None:
    before = sql("SELECT * FROM config_settings")
    for text in (new_key(), "", "broken"):
        ring.write_text(text)
        error = run(*words, code=78)
        assert len(error.splitlines()) == 1
        assert error.startswith("config-service: ")
    ring.unlink()
    assert "cannot be read" in run(*words, code=78)
    assert sql("SELECT * FROM config_settings") == before


def test_a_new_epoch_keeps_revisions_and_changes_etags(
    run: Commands, filled: Env, sql: Sql
) -> None:
    ((old, revision),) = sql("SELECT epoch, revision FROM config_settings")
    said = run("store", "new-epoch")
    ((new, same),) = sql("SELECT epoch, revision FROM config_settings")
    assert (said, same) == (f"epoch {new}\n", revision)
    assert new != old


def test_compact_does_what_the_variables_say(run: Commands, filled: Env, sql: Sql) -> None:
    assert run("store", "compact") == "0 revisions removed\n"
    sql("UPDATE config_revisions SET created_at = '2020' || substr(created_at, 5)")
    run.variable("CONFIG_KEEP_REVISIONS", "1")
    run.variable("CONFIG_KEEP_DAYS", "30")
    assert run("store", "compact") == "2 revisions removed\n"
    assert sql("SELECT revision FROM config_revisions") == [(3,)]


def test_a_reset_needs_the_flag(run: Commands, filled: Env, sql: Sql) -> None:
    before = sql("SELECT * FROM config_settings")
    assert "--i-accept-loss" in run("store", "reset", code=2)
    assert sql("SELECT * FROM config_settings") == before


def test_a_reset_keeps_the_old_store_aside_and_begins_a_new_one(
    run: Commands, filled: Env, ring: Path, tmp_path: Path, sql: Sql
) -> None:
    lost, store_id = ring.read_text(), sql("SELECT store_id FROM config_settings")
    ring.write_text(new_key())
    assert "lacks the key" in run("keys", "status", code=78)
    said = run("store", "reset", "--i-accept-loss")
    kept = next(
        path for path in tmp_path.glob("c.db.lost_*") if path.suffix not in ("-wal", "-shm")
    )
    assert kept.name in said
    assert "the history, the secrets" in said
    assert sql("SELECT store_id FROM config_settings") != store_id
    assert sql("SELECT revision FROM config_revisions") == [(1,)]
    assert run("keys", "verify").startswith("everything opens; 1 audit events")
    ring.write_text(lost)
    shutil.copyfile(kept, tmp_path / "back.db")
    for end in ("-wal", "-shm"):
        if (part := kept.with_name(kept.name + end)).exists():
            shutil.copyfile(part, tmp_path / f"back.db{end}")
    run.variable("CONFIG_DATABASE_URL", f"sqlite:///{tmp_path / 'back.db'}")
    assert run("keys", "verify").startswith("everything opens; 3 audit events")


def test_a_reset_that_could_not_begin_a_new_store_moves_nothing(
    run: Commands, filled: Env, ring: Path, tmp_path: Path
) -> None:
    for text in ("", "broken"):
        ring.write_text(text)
        run("store", "reset", "--i-accept-loss", code=78)
    ring.unlink()
    run("store", "reset", "--i-accept-loss", code=78)
    bad = tmp_path / "boot.yaml"
    bad.write_text("thresholds: {high: 7}")
    ring.write_text(new_key())
    run.variable("CONFIG_BOOTSTRAP_FILE", str(bad))
    assert "thresholds.high" in run("store", "reset", "--i-accept-loss", code=78)
    assert not list(tmp_path.glob("*lost*"))
    assert (tmp_path / "c.db").exists()


def test_a_reset_of_nothing_is_refused(run: Commands, ring: Path, tmp_path: Path) -> None:
    assert "no store" in run("store", "reset", "--i-accept-loss", code=78)
    assert not list(tmp_path.glob("*lost*"))


def test_a_reset_while_a_server_runs_is_refused(run: Commands, filled: Env, tmp_path: Path) -> None:
    with sole_server(filled.database_url):
        assert "another server runs" in run("store", "reset", "--i-accept-loss", code=78)
    assert not list(tmp_path.glob("*lost*"))


async def test_a_second_server_on_one_sqlite_file_is_refused_by_a_sentence(
    run: Commands, filled: Env, serve: Any
) -> None:
    await serve(filled)
    second = run.process("serve", "--address", "127.0.0.1:0")
    assert second.returncode == 78
    assert second.stderr.splitlines()[-1] == (
        "config-service: another server runs on this SQLite file: stop it, or use PostgreSQL"
    )
    status = run.process("keys", "status")
    assert (status.returncode, "writes" in status.stdout) == (0, True)


async def test_a_server_may_start_after_one_that_was_stopped(filled: Env, serve: Any) -> None:
    await (await serve(filled)).stop(0)
    await serve(filled)


def test_load_makes_the_overrides_those_of_a_file(
    run: Commands, filled: Env, tmp_path: Path, sql: Sql
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("thresholds: {high: 0.8}\n")
    plan = run("load", str(file), "--dry-run")
    assert plan.splitlines() == [
        "  thresholds.high: 0.75 -> 0.8",
        "  geo.neutral_score: 0.25 -> 0.5",
        "would become revision 4",
    ]
    assert sql("SELECT max(revision) FROM config_revisions") == [(3,)]
    done = run("load", str(file), "--reason", "as agreed")
    assert done.splitlines() == [*plan.splitlines()[:2], "became revision 4"]
    assert sql("SELECT origin, reason FROM config_revisions WHERE revision = 4") == [
        ("import", "as agreed")
    ]
    for options in ([], ["--dry-run"]):
        assert run("load", str(file), *options) == "nothing changes; revision 4\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thresholds: {high: 7}", "thresholds.high: "),
        ("a: 1\na: 2", "line 2: "),
        ("ai: {api_key: Canary-Load-1}", "ai.api_key"),
        ("ai: {model: ${KEY}}", "line 1: "),
        ("- 1", "file: "),
    ],
)
def test_load_refuses_a_bad_file_by_path_or_line(
    run: Commands, filled: Env, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    error = run("load", str(file), code=78)
    assert error.startswith(said)
    assert "Canary" not in error


def test_load_refuses_a_file_of_nothing_and_clears_all_when_told_to(
    run: Commands, filled: Env, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("# thresholds: {high: 0.8}\n")
    told = run("load", str(file), code=78)
    assert told == "file: empty; write {} to clear all overrides (YAML_EMPTY)\n"
    file.write_text("thresholds:\n")
    told = run("load", str(file), code=78)
    assert told == "thresholds: null; leave it out to inherit it (REQUIRED)\n"
    file.write_text("{}\n")
    run("load", str(file))
    assert setup.open_store(filled).state().revision.layers.overrides == {}


def test_an_argument_or_a_file_that_is_no_utf_8_text_is_told_of_in_a_sentence(
    run: Commands, filled: Env, tmp_path: Path
) -> None:
    said = "config-service: an argument or a file is not UTF-8 text\n"
    assert (
        run("--database-url", "postgresql://\udcff@127.0.0.1:1/d", "keys", "status", code=78)
        == said
    )
    (tmp_path / "url").write_bytes("sqlite:///c.db".encode("utf-16"))
    run.patch.delenv("CONFIG_DATABASE_URL")
    run.variable("CONFIG_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert run("keys", "status", code=78) == said


def test_load_refuses_what_is_no_file_and_a_reason_too_long(
    run: Commands, filled: Env, tmp_path: Path
) -> None:
    assert "settings.yaml" in run("load", str(tmp_path / "settings.yaml"), code=78)
    (tmp_path / "settings.yaml").write_text("{}")
    reason = "x" * 1001
    assert run("load", str(tmp_path / "settings.yaml"), "--reason", reason, code=78).startswith(
        "reason: "
    )


def test_a_load_is_seen_by_a_running_server(run: Commands, filled: Env, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("thresholds: {high: 0.8}\n")
    done = run.process("load", str(file))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "became revision 4")
    with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        found = connection.execute("SELECT author FROM config_revisions WHERE revision = 4")
        assert found.fetchone()[0].startswith("config-service load")
