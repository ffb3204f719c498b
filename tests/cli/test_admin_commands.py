"""`event-dedup config clients|export|import` and `event-dedup audit` against a real ConfigService."""

import re

import pytest
import yaml

from dedup_rpc.client import BatchStats, ConfigClient, Rejection, StatusReport


@pytest.fixture
def command(run, config_address):
    def invoke(*arguments, stdin=""):
        return run(*arguments, "--address", config_address, stdin=stdin)

    return invoke


@pytest.fixture
def client(config_address):
    with ConfigClient(config_address) as connected:
        yield connected


def test_clients_shows_who_runs_what_and_what_was_rejected(command, client):
    epoch = client.get().epoch
    stats = (BatchStats(1, 3, 200, 0.25, 0.05, 4),)
    client.report_status(StatusReport("pod-a", "0.1.0", epoch, 1, 1, "live", None, stats))
    odd = Rejection(7, "thresholds.high: 0 to 1 [x]")
    client.report_status(StatusReport("pod-b", "0.1.0", "", 7, 0, "bootstrap", odd))
    answer = command("config", "clients")
    assert answer.status == 0
    assert re.search(r"pod-a +dev +1 +\d+ +live +3, 25\.0% merged, 5\.0% ambiguous", answer.out)
    assert re.search(r"pod-b +dev +0 +another epoch +bootstrap +- ", answer.out)
    assert "pod-b rejected revision 7: thresholds.high: 0 to 1 [x]" in answer.out


def test_clients_shows_a_revision_that_looks_like_a_mistake(command, client):
    epoch = client.get().epoch
    stats = tuple(BatchStats(n, 3, 200, rate, 0.05, 4) for n, rate in ((1, 0.2), (2, 0.9)))
    client.report_status(StatusReport("pod-a", "", epoch, 2, 2, "live", None, stats))
    out = command("config", "clients").out
    assert "revision 2 looks like a mistake: merge rate 0.2" in out


def test_an_export_goes_back_in_after_a_change(command, tmp_path):
    file = tmp_path / "settings.yaml"
    command("config", "set", "thresholds.high=0.81", "text.synonyms=[]")
    assert command("config", "export", "-o", file).out == ""
    exported = yaml.safe_load(file.read_text())
    assert exported["thresholds"] == {"high": 0.81}
    assert exported["text"] == {"synonyms": []}
    command("config", "set", "thresholds.high=0.7")
    plan = command("config", "import", file, "--dry-run")
    assert "would change:" in plan.out
    assert "thresholds.high: 0.7 -> 0.81" in plan.out
    done = command("config", "import", file, "--reason", "back")
    assert re.search(r"revision \d+\n", done.out)
    assert "nothing changes" in command("config", "import", file).out


def test_an_export_can_show_everything_that_holds_and_an_old_revision(command):
    whole = yaml.safe_load(command("config", "export", "--effective").out)
    assert {"scoring", "thresholds", "text", "ai"} <= set(whole)
    first = command("config", "export", "--revision", "1")
    assert yaml.safe_load(first.out) == {}
    assert command("config", "export", "--revision", "99999").status == 1


def test_an_import_reads_standard_input_and_names_mistakes(command, client):
    before = client.get().etag
    for text, named in (
        ("thresholds: {hihg: 0.8}", "thresholds.hihg"),
        ("thresholds: {high: 7}", "thresholds.high"),
        ("a: 1\na: 2", "line 2"),
    ):
        answer = command("config", "import", "-", stdin=text)
        assert answer.status == 1
        assert named in answer.err
    assert client.get().etag == before
    assert command("config", "import", "-", stdin="thresholds: {high: 0.82}").status == 0
    assert client.get().config.thresholds.high == 0.82


def test_a_file_that_is_not_there_or_no_text_fails_with_a_line(command, tmp_path):
    (tmp_path / "image.yaml").write_bytes(b"\xff\xfe\x00")
    for file in ("image.yaml", "missing.yaml"):
        answer = command("config", "import", tmp_path / file)
        assert answer.status == 1
        assert len(answer.err.splitlines()) == 1
        assert file in answer.err


def test_a_stale_etag_is_refused_on_import(command):
    answer = command("config", "import", "-", "--etag", "x:1", stdin="thresholds: {high: 0.8}")
    assert answer.status == 1


def test_the_audit_log_is_listed_and_checked(command):
    command("config", "set", "geo.neutral_score=0.41", "--reason", "for the log")
    command("config", "set-secret", stdin="canary-9918")
    listed = command("audit", "list", "--limit", "2")
    rows = [line.split() for line in listed.out.splitlines()[1:]]
    assert [row[4] for row in rows] == ["SetSecret", "UpdateConfig"]
    assert "canary-9918" not in listed.out
    only = command("audit", "list", "--action", "SetSecret", "--principal", "dev").out
    assert "UpdateConfig" not in only
    checked = command("audit", "verify")
    assert checked.status == 0
    assert re.search(r"^intact, \d+ events$", checked.out, re.MULTILINE)
    (known,) = re.findall(r"--known: (\d+:[0-9a-f]{64})$", checked.out, re.MULTILINE)
    command("config", "set", "geo.neutral_score=0.42")
    assert command("audit", "verify", "--known", known).status == 0
    number, mac = known.split(":")
    other = command("audit", "verify", "--known", f"{number}:{'0' * len(mac)}")
    assert other.status == 1
    assert "NOT INTACT" in other.out
    for wrong in ("nonsense", "0:aa", "1:", ":aa", "-1:aa", f"{'9' * 19}:aa", "1"):
        assert command("audit", "verify", "--known", wrong).status == 2


def test_without_a_service_every_command_fails_with_one_helpful_line(run):
    for command in (
        ("config", "clients"),
        ("config", "export"),
        ("audit", "list"),
        ("audit", "verify"),
    ):
        answer = run(*command, "--address", "127.0.0.1:1")
        assert answer.status == 1
        assert answer.err.splitlines() == ["no service answers at 127.0.0.1:1; is it running?"]
