"""`event-dedup config` against a real ConfigService."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

EVENT_DEDUP = str(Path(sys.executable).parent / "event-dedup")


@pytest.fixture
def config(run, config_address):
    """Run a `config` command at the shared service."""

    def command(name, *arguments, stdin=""):
        return run("config", name, *arguments, "--address", config_address, stdin=stdin)

    return command


@pytest.fixture
def etag(config):
    def current():
        return re.match(r"etag (\S+)", config("get", "thresholds").out)[1]

    return current


def words(text):
    return [line.split() for line in text.splitlines()]


def test_get_shows_value_and_source_of_every_setting_of_a_section(config):
    answer = config("get", "scoring")
    assert answer.status == 0
    assert re.match(r"etag [0-9a-f-]{36}:\d+\n", answer.out)
    assert ["scoring.date", "0.3", "default"] in words(answer.out)
    assert ["scoring.title", "0.3", "default"] in words(answer.out)
    assert "thresholds" not in answer.out
    assert "ai.api_key: " in answer.out


def test_get_without_a_path_shows_every_section(config):
    out = config("get").out
    for path in ("scoring.date", "text.synonyms", "category_weights.overrides", "ai.model"):
        assert path in out


def test_get_as_json_is_json_with_values_in_their_types(config):
    found = json.loads(config("get", "cluster", "--json").out)
    assert found == {"cluster.max_cluster_size": 15, "cluster.min_internal_similarity": 0.4}


def test_get_shows_a_single_map_entry(config):
    answer = config("get", "category_weights.overrides.fasnacht", "--json")
    assert answer.status == 0
    found = json.loads(answer.out)
    assert found
    assert "0.25" in answer.out
    one = json.loads(config("get", "category_weights.overrides.fasnacht.title", "--json").out)
    assert list(one.values()) == [0.25]


def test_set_stores_the_value_and_says_what_changed(config):
    answer = config("set", "geo.max_distance_km=7.5", "ai.model=gemini-x", "--reason", "why [x]")
    assert answer.status == 0
    assert "  geo.max_distance_km: 10.0 -> 7.5" in answer.out
    assert "  ai.model: gemini-2.5-flash -> gemini-x" in answer.out
    assert ["geo.max_distance_km", "7.5", "override"] in words(config("get", "geo").out)
    assert "why [x]" in config("history", "--limit", "1").out


def test_set_of_what_already_holds_makes_no_revision(config, etag):
    config("set", "geo.neutral_score=0.44")
    before = etag()
    answer = config("set", "geo.neutral_score=0.44")
    assert answer.status == 0
    assert "nothing changes" in answer.out
    assert etag() == before


def test_a_dry_run_shows_and_stores_nothing(config, etag):
    before = etag()
    answer = config("set", "thresholds.high=0.81", "--dry-run")
    assert answer.status == 0
    assert "would change:" in answer.out
    assert "thresholds.high: 0.75 -> 0.81" in answer.out
    assert etag() == before


def test_a_dry_run_of_a_bad_value_fails_like_the_real_one(config, etag):
    before = etag()
    for more in ((), ("--dry-run",)):
        answer = config("set", "thresholds.high=0.1", *more)
        assert answer.status == 1
        assert "thresholds.low must be below thresholds.high" in answer.err
    assert etag() == before


def test_an_unknown_path_fails_with_the_name_that_was_probably_meant(config):
    for command in (
        ("get", "thresholds.hihg"),
        ("set", "thresholds.hihg=0.8"),
        ("unset", "thresholds.hihg"),
    ):
        answer = config(*command)
        assert answer.status == 1
        assert re.search(r"thresholds\.hihg: .*did you mean (thresholds\.)?high\?", answer.err)
        assert answer.out == ""


@pytest.mark.parametrize(
    "word",
    [
        "thresholds.high=abc",
        'thresholds.high="0.8"',
        "thresholds.high=[1]",
        "thresholds.high={}",
        "thresholds.high=null",
        "thresholds.high=",
        "thresholds.high=true",
        "date.time_tolerance_minutes=5.5",
        "date.time_tolerance_minutes=true",
        "date.time_tolerance_minutes=99999999999999",
        "blocking.use_city=yes",
        "blocking.use_city=1",
        "thresholds=0.8",
        "category_weights.priority=fasnacht",
        "category_weights.priority=[1]",
        "text.synonyms=[1]",
        'text.prefixes=[{"text": "x", "separator": "nope"}]',
        "canonical.field_strategies.title=nope",
        "category_weights.overrides=5",
        "category_weights.overrides.konzert=5",
        "category_weights.overrides.konzert.title=x",
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_named_by_its_path(config, etag, word):
    before = etag()
    answer = config("set", word)
    assert answer.status == 1
    assert word.partition("=")[0] in answer.err
    assert etag() == before


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "-0.1", "1.0000001", "1e308"])
def test_a_number_out_of_range_is_refused(config, value):
    answer = config("set", f"thresholds.title_veto={value}")
    assert answer.status == 1
    assert "thresholds.title_veto" in answer.err


def test_a_word_without_an_equals_sign_is_explained(config):
    answer = config("set", "thresholds.high", "0.8")
    assert answer.status == 1
    assert "write path=value" in answer.err


def test_one_bad_word_among_good_ones_changes_nothing(config, etag):
    before = etag()
    assert config("set", "geo.max_distance_km=3.3", "geo.neutral_score=7").status == 1
    assert etag() == before


def test_a_value_of_a_map_entry_can_be_set_and_the_entry_deleted(config):
    path = "category_weights.overrides.konzert"
    answer = config("set", f"{path}.title=0.5")
    assert answer.status == 0
    assert f'  {path}: - -> {{"title":0.5}}' in answer.out
    assert "not in priority" in answer.out
    kept = json.loads(config("get", "category_weights.overrides", "--json").out)
    entries = kept["category_weights.overrides"]
    assert entries["konzert"] == {"title": 0.5}
    assert entries["fasnacht"]["title"] == 0.25
    answer = config("unset", path)
    assert answer.status == 0
    kept = json.loads(config("get", "category_weights.overrides", "--json").out)
    assert set(kept["category_weights.overrides"]) == {"fasnacht", "versammlung"}
    config("unset", "category_weights.overrides")


def test_unset_of_a_map_entry_that_is_not_there_changes_nothing(config, etag):
    config("unset", "category_weights.overrides")
    before = etag()
    answer = config("unset", "category_weights.overrides.gibtsnicht")
    assert answer.status == 0
    assert "nothing changes" in answer.out
    assert etag() == before


def test_lists_are_given_as_json_and_unset_brings_the_inherited_one_back(config):
    path = "category_weights.priority"
    assert config("set", f'{path}=["versammlung", "fasnacht"]').status == 0
    assert json.loads(config("get", path, "--json").out)[path] == ["versammlung", "fasnacht"]
    assert config("set", f"{path}=[]").status == 0
    assert json.loads(config("get", path, "--json").out)[path] == []
    assert config("unset", path).status == 0
    assert json.loads(config("get", path, "--json").out)[path] == ["fasnacht", "versammlung"]


def test_lists_of_objects_are_given_as_json(config):
    answer = config(
        "set", 'text.city_aliases=[{"city": "Freiburg", "aliases": ["FR", "Fribourg"]}]'
    )
    assert answer.status == 0
    found = json.loads(config("get", "text.city_aliases", "--json").out)["text.city_aliases"]
    assert found == [{"city": "Freiburg", "aliases": ["FR", "Fribourg"]}]


def test_a_stale_etag_is_refused_with_the_current_one_and_the_paths_in_conflict(config, etag):
    stale = etag()
    config("set", "date.close_factor=0.22")
    answer = config("set", "date.close_factor=0.23", "--etag", stale)
    assert answer.status == 1
    assert "ABORTED REVISION_CONFLICT" in answer.err
    assert "date.close_factor" in answer.err
    assert etag() in answer.err
    assert config("set", "date.close_factor=0.23", "--etag", etag()).status == 0
    assert config("set", "date.close_factor=0.24", "--etag", "nonsense").status == 1


def test_unset_brings_the_inherited_value_back(config):
    config("set", "date.far_factor=0.07")
    answer = config("unset", "date.far_factor", "--dry-run")
    assert "date.far_factor: 0.07 -> 0.0" in answer.out
    assert ["date.far_factor", "0.07", "override"] in words(config("get", "date").out)
    answer = config("unset", "date.far_factor")
    assert answer.status == 0
    assert ["date.far_factor", "0.0", "default"] in words(config("get", "date").out)


def test_diff_compares_two_revisions_and_by_default_the_last_two(config, etag):
    config("set", "title.blend_lower=0.41")
    config("set", "title.blend_upper=0.81")
    head = int(etag().rpartition(":")[2])
    last = config("diff").out
    assert f"{head - 1} -> {head}" in last
    assert "title.blend_upper: 0.8 -> 0.81" in last
    assert "title.blend_lower" not in last
    both = config("diff", str(head - 2), str(head)).out
    assert "title.blend_lower: 0.4 -> 0.41" in both
    assert "title.blend_upper: 0.8 -> 0.81" in both
    beyond = config("diff", "1", str(head + 1))
    assert beyond.status == 1
    assert "FUTURE_REVISION" in beyond.err


def test_history_lists_revisions_newest_first(config, etag):
    config("set", "title.blend_lower=0.42", "--reason", "first of two")
    config("set", "title.blend_lower=0.43", "--reason", "second of two")
    rows = words(config("history", "--limit", "2").out)[1:]
    head = int(etag().rpartition(":")[2])
    assert [row[0] for row in rows] == [str(head), str(head - 1)]
    assert rows[0][-3:] == ["second", "of", "two"]
    assert all("title.blend_lower" in row for row in rows)


def test_rollback_returns_to_the_overrides_of_an_old_revision(config, etag):
    config("set", "title.secondary_weight=0.35")
    back = etag().rpartition(":")[2]
    config("set", "title.secondary_weight=0.36")
    answer = config("rollback", back, "--dry-run")
    assert "would change:" in answer.out
    answer = config("rollback", back)
    assert answer.status == 0
    assert "title.secondary_weight: 0.36 -> 0.35" in answer.out
    head = etag()
    assert int(head.rpartition(":")[2]) == int(back) + 2
    assert "nothing changes" in config("rollback", back).out
    assert config("rollback", "99999").status == 1
    assert config("rollback", "0").status == 1
    assert etag() == head


def test_get_shows_an_old_revision(config, etag):
    config("set", "date.close_factor=0.31")
    old = etag().rpartition(":")[2]
    config("set", "date.close_factor=0.32")
    assert ["date.close_factor", "0.31", "override"] in words(
        config("get", "date", "--revision", old).out
    )
    assert config("get", "--revision", "99999").status == 1


def test_watch_shows_the_present_state_and_stops_after_the_count(config, etag):
    answer = config("watch", "--count", "1")
    assert answer.status == 0
    assert f"revision {etag().rpartition(':')[2]}:" in answer.out


def test_watch_of_every_revision_shows_each_one(config, config_address):
    process = subprocess.Popen(
        [EVENT_DEDUP, "config", "watch", "--every", "--count", "2", "--address", config_address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stop = threading.Event()

    def change():
        for number in range(60):
            config("set", f"date.time_gap_penalty_factor={0.01 + number / 1000:.3f}")
            if stop.wait(0.1):
                return

    changing = threading.Thread(target=change)
    changing.start()
    try:
        out, err = process.communicate(timeout=20)
    finally:
        stop.set()
        changing.join()
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    numbers = [int(number) for number in re.findall(r"^revision (\d+): date\.", out, re.MULTILINE)]
    assert len(numbers) == 2
    assert numbers[1] == numbers[0] + 1


def test_watch_goes_on_after_the_service_was_restarted(serve, tmp_path, run):
    seen = tmp_path / "watch.out"
    with serve("config_service", tmp_path) as address, seen.open("wb") as file:
        process = subprocess.Popen(
            [EVENT_DEDUP, "config", "watch", "--address", address], stdout=file, stderr=file
        )
        assert waits_for(seen, "revision 1")
    try:
        time.sleep(0.5)
        with serve("config_service", tmp_path, address):
            assert run("config", "set", "thresholds.high=0.8", "--address", address).status == 0
            assert waits_for(seen, "revision 2"), seen.read_text()
    finally:
        process.kill()
        process.wait()


def waits_for(path, text):
    for _ in range(80):
        if text in path.read_text():
            return True
        time.sleep(0.05)
    return False


def test_a_secret_is_read_from_standard_input_and_never_shown(config):
    answer = config("set-secret", stdin="geheim-4711\n")
    assert answer.status == 0
    assert re.search(r"ai\.api_key set: version \d+, fingerprint [0-9a-f]{12}", answer.out)
    assert "ai.api_key: set" in config("get", "ai").out
    for command in (("get",), ("get", "--json"), ("history",), ("diff",)):
        shown = config(*command)
        assert "geheim-4711" not in shown.out + shown.err
    answer = config("clear-secret")
    assert answer.status == 0
    assert "ai.api_key cleared" in answer.out
    assert "was not set" in config("clear-secret").out
    assert "ai.api_key: not set" in config("get", "ai").out


def test_an_empty_or_blank_secret_is_refused(config):
    for value in ("", "  \n", "x" * 5000, "a\x00b"):
        answer = config("set-secret", stdin=value)
        assert answer.status == 1
        assert "SECRET_FORMAT" in answer.err
    assert config("set-secret", "other", stdin="x").status == 1


def test_a_secret_that_is_no_utf_8_text_is_refused_and_not_echoed(config):
    answer = config("set-secret", stdin="Canary".encode("utf-16"))
    assert answer.status == 1
    assert answer.err == "standard input: not UTF-8 text\n"


@pytest.mark.parametrize(
    "command",
    [
        ("set", "thresholds.high=0.8", "--reason", "\udcff"),
        ("set", "thresholds.high=0.8", "--etag", "\udcff"),
        ("clear-secret", "\udcff"),
    ],
)
def test_an_argument_that_is_no_utf_8_text_is_told_of_in_a_sentence(config, command):
    answer = config(*command)
    assert answer.status == 1
    assert "is not UTF-8 text" in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_port_that_is_none_is_told_of(run):
    answer = run("config", "get", "--address", "127.0.0.1:115587")
    assert (answer.status, answer.err) == (1, "127.0.0.1:115587: a port is at most 65535\n")


def test_a_secret_given_as_an_argument_is_refused_and_not_echoed(config, etag):
    before = etag()
    key = "AIzaSyA-canary-canary-canary-canary-012"
    for command in (
        ("set", f"ai.api_key={key}"),
        ("set", f"ai.model={key}"),
        ("set-secret", "ai.api_key", key),
        ("set-secret", key),
    ):
        answer = config(*command, stdin="")
        assert answer.status != 0
        if command[0] == "set":
            assert key not in answer.out + answer.err
    assert etag() == before


def test_set_of_the_api_key_says_how_secrets_are_set(config):
    answer = config("set", "ai.api_key=x")
    assert answer.status == 1
    assert "set-secret" in answer.err


def test_without_a_service_every_command_fails_with_one_helpful_line(run):
    for command in (
        ("get",),
        ("set", "thresholds.high=0.8"),
        ("unset", "thresholds.high"),
        ("diff",),
        ("history",),
        ("rollback", "1"),
        ("watch",),
        ("clear-secret",),
    ):
        answer = run("config", *command, "--address", "127.0.0.1:1")
        assert answer.status == 1
        assert answer.err.splitlines() == ["no service answers at 127.0.0.1:1; is it running?"]
        assert answer.out == ""


def test_an_address_that_is_none_fails_with_a_line_and_no_traceback(run):
    for address in ("nonsense", "127.0.0.1:99999", "http://127.0.0.1:1"):
        answer = run("config", "get", "--address", address)
        assert answer.status == 1
        assert len(answer.err.splitlines()) == 1


def test_history_is_whole_when_piped(config, config_address):
    """A pipe has no width: nothing may be cut or broken over lines."""
    reason = "because of the many cancelled evenings in the valley this winter"
    config("set", "title.cross_source_type.blend_lower=0.26", "--reason", reason)
    done = subprocess.run(
        [EVENT_DEDUP, "config", "history", "--limit", "1", "--address", config_address],
        capture_output=True,
        text=True,
        timeout=20,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        check=False,
    )
    rows = done.stdout.splitlines()
    assert len(rows) == 2
    assert reason in rows[1]
    assert "title.cross_source_type.blend_lower" in rows[1]


def test_what_changed_in_a_map_can_be_seen(config):
    """A change is shown whole: cut lines look alike before and after."""
    out = config("set", "category_weights.overrides.versammlung.title=0.44").out
    old, new = re.search(r"category_weights\.overrides[\w.]*: (.*) -> (.*)", out).groups()
    assert old != new
    assert "0.44" in new
    config("unset", "category_weights.overrides")
