"""The files that `event-dedup dedup` writes, and the private pair."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "listings").iterdir())
EVENT_DEDUP = str(Path(sys.executable).parent / "event-dedup")
FILES = (
    "canonical.json",
    "canonical.jsonl",
    "clusters.csv",
    "decisions.jsonl",
    "quarantine.jsonl",
    "report.html",
)
SCORES = ("date", "geo", "title", "description", "combined")


@pytest.fixture
def results(dedup):
    return dedup(*EXAMPLES)


def ids_of(path):
    text = path.read_text()
    records = (
        json.loads(text)["events"]
        if path.suffix == ".json"
        else [json.loads(line) for line in text.splitlines()]
    )
    return [record.get("id") for record in records]


def test_every_file_is_written_and_the_summary_holds_their_digests(results):
    assert sorted(path.name for path in results.folder.iterdir()) == sorted(
        [*FILES, "summary.json"]
    )
    digests = {
        name: hashlib.sha256((results.folder / name).read_bytes()).hexdigest() for name in FILES
    }
    assert results.summary["outputs"] == digests


def test_the_summary_is_a_receipt_of_the_run(results):
    run = results.summary["run"]
    assert run["source"] == "bootstrap"
    assert len(run["digest"]) == 64
    assert run["engine_version"]
    counts = results.counts
    given = [name for path in EXAMPLES for name in ids_of(path)]
    assert counts["read"] == len(given)
    assert counts["events"] == len(results.canonical["events"])
    assert counts["quarantined"] == len(results.lines("quarantine.jsonl"))
    assert counts["read"] == len(results.clusters()) + counts["quarantined"] + counts["collapsed"]
    sizes = [len(line["listing_ids"]) for line in results.lines("canonical.jsonl")]
    assert counts["largest_cluster"] == max(sizes)
    assert counts["merged_events"] == sum(size > 1 for size in sizes)
    assert results.summary["seconds"] > 0
    assert results.summary["started_at"]
    assert sorted(results.summary["inputs"]) == sorted(map(str, EXAMPLES))


def test_every_place_in_the_summary_has_the_same_shape(results, dedup, tmp_path):
    path = tmp_path / "x_1.jsonl"
    path.write_text('{\n{"id": "a", "title": ""}\n')
    places = dedup(path).summary["quarantined_at"]
    assert len(places) == 2
    for place in places:
        assert set(place) == {"listing_id", "file", "position", "field", "reason"}


def test_the_summary_holds_the_digests_of_the_inputs(results):
    """Section 9: a receipt names the digests of its input."""
    text = (results.folder / "summary.json").read_text()
    for path in EXAMPLES:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text


def test_clusters_csv_names_every_accepted_listing_once_with_an_event(results):
    rows = (results.folder / "clusters.csv").read_text().splitlines()
    assert rows[0] == "event_id,cluster_id"
    assert len(rows) - 1 == len(results.clusters())
    given = {name for path in EXAMPLES for name in ids_of(path)}
    refused = {
        entry["listing_id"]
        for entry in results.lines("quarantine.jsonl")
        if entry["reason"] != "another listing has this id"
    }
    assert set(results.clusters()) == given - refused
    events = {event["id"] for event in results.canonical["events"]}
    assert set(results.clusters().values()) == events


def test_canonical_jsonl_holds_the_same_events_with_their_provenance(results):
    events = {event["id"]: event for event in results.canonical["events"]}
    found = results.lines("canonical.jsonl")
    assert [line["id"] for line in found] == sorted(events)
    clusters = results.clusters()
    for line in found:
        assert line["event"] == events[line["id"]]
        assert line["listing_ids"] == sorted(line["listing_ids"])
        assert {clusters[name] for name in line["listing_ids"]} == {line["id"]}
        assert ("match_confidence" in line) == (len(line["listing_ids"]) > 1)
        for field in line["provenance"]:
            assert set(field) == {"field", "listing_ids"}
            assert set(field["listing_ids"]) <= set(line["listing_ids"])


def test_decisions_hold_scores_verdict_and_reason_of_pairs_at_or_above_the_floor(results):
    found = results.lines("decisions.jsonl")
    assert found
    clusters = results.clusters()
    for pair in found:
        assert pair["listing_a"] < pair["listing_b"]
        assert {pair["listing_a"], pair["listing_b"]} <= set(clusters)
        assert all(0 <= pair.get(name, 0.0) <= 1 for name in SCORES)
        assert pair["combined"] >= 0.65
        assert pair["decision"] in ("match", "ambiguous", "no_match")
        assert pair["reason"] in ("above_high", "title_veto", "between", "below_low")
        assert pair["tier"] == "deterministic"
    keys = [(pair["listing_a"], pair["listing_b"]) for pair in found]
    assert keys == sorted(set(keys))


def test_decisions_always_carry_all_four_scores_and_the_combined_one(dedup):
    for pair in dedup(*EXAMPLES, options=("--floor", "0")).lines("decisions.jsonl"):
        assert set(SCORES) <= set(pair)


def test_quarantine_lines_name_listing_source_field_and_reason(results):
    entries = results.lines("quarantine.jsonl")
    assert {entry["listing_id"] for entry in entries} >= {"dn-0036", "vr-0033"}
    for entry in entries:
        assert set(entry) == {"listing_id", "source_code", "field", "reason"}
        assert entry["reason"]


def test_canonical_json_can_be_fed_back_and_gives_the_same_events(dedup, results, tmp_path):
    first = {event["id"]: event for event in results.canonical["events"]}
    again = tmp_path / "again.json"
    again.write_bytes((results.folder / "canonical.json").read_bytes())
    second = dedup(again)
    assert second.counts["read"] == len(first)
    assert second.counts["quarantined"] == 0
    assert second.counts["unreadable_records"] == 0
    assert second.counts["repaired"] == 0
    single = [line for line in second.lines("canonical.jsonl") if len(line["listing_ids"]) == 1]
    assert len(single) > len(first) * 0.8
    for line in single:
        old = first[line["listing_ids"][0]]
        new = {**line["event"], "id": old["id"], "source_code": old.get("source_code")}
        assert new == {**old, "source_code": old.get("source_code")}


def test_a_floor_of_one_leaves_few_decisions_and_a_floor_of_zero_all(dedup):
    some = len(dedup(*EXAMPLES).lines("decisions.jsonl"))
    everything = dedup(*EXAMPLES, options=("--floor", "0"))
    assert len(everything.lines("decisions.jsonl")) == everything.counts["candidate_pairs"] > some
    ones = dedup(*EXAMPLES, options=("--floor", "1")).lines("decisions.jsonl")
    assert len(ones) < some
    assert all(pair["combined"] == 1 for pair in ones)


@pytest.mark.parametrize("floor", ["-0.1", "1.1", "x", "nan"])
def test_a_floor_out_of_range_is_refused(run, tmp_path, matcher_address, floor):
    arguments = ("-o", tmp_path / "out", "--matcher", matcher_address, "--floor", floor)
    assert run("dedup", EXAMPLES[0], *arguments).status in (1, 2)
    assert not (tmp_path / "out").exists()


def test_the_printed_summary_agrees_with_the_files(results):
    counts, out = results.counts, results.answer.out
    assert f"{counts['read']} listings -> {counts['events']} events" in out
    assert f"{counts['candidate_pairs']} pairs compared: {counts['matches']} match" in out
    assert f"results in {results.folder}" in out


def test_without_a_matcher_it_says_that_a_private_pair_runs_under_the_defaults(run, tmp_path):
    answer = run("dedup", EXAMPLES[0], "-o", tmp_path / "out")
    assert answer.status == 0
    assert "standalone, defaults: a private pair" in answer.err
    assert "config: revision 1 (live)" in answer.out


def test_a_config_file_is_named_and_used(run, tmp_path):
    plain, strict = tmp_path / "plain", tmp_path / "strict"
    run("dedup", *EXAMPLES, "-o", plain)
    settings = tmp_path / "strict.yaml"
    settings.write_text("thresholds:\n  high: 0.999\n")
    answer = run("dedup", *EXAMPLES, "-o", strict, "--config", settings)
    assert answer.status == 0
    assert f"standalone, {settings}" in answer.err
    one, two = (json.loads((folder / "summary.json").read_text()) for folder in (plain, strict))
    assert one["run"]["digest"] != two["run"]["digest"]
    assert two["counts"]["matches"] < one["counts"]["matches"]


def test_a_config_file_with_bad_settings_fails_with_each_of_them(run, tmp_path):
    settings = tmp_path / "bad.yaml"
    settings.write_text("thresholds:\n  high: 7\n  hihg: 0.5\ngeo:\n  neutral_score: -1\n")
    answer = run("dedup", EXAMPLES[0], "-o", tmp_path / "out", "--config", settings)
    assert answer.status == 1
    for path in ("thresholds.high", "thresholds.hihg", "geo.neutral_score"):
        assert path in answer.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"a: &a [x]\nb: *a\n",
        b"thresholds: {high: 0.8, high: 0.9}\n",
        b"thresholds: !!python/object/apply:os.system ['true']\n",
        b"- 1\n",
        b"\xff\xfe\x00",
        b"a: [" * 30_000,
        b"thresholds:\n\thigh: 0.8\n",
        b"x: 1\n---\ny: 2\n",
        b"thresholds: {high: .nan}\n",
        b"ai: {api_key: AIzaSyA-canary-canary-canary-canary-012}\n",
        b"#" * 400_000,
    ],
    ids=[
        "alias",
        "twice",
        "tag",
        "list",
        "bytes",
        "deep",
        "tab",
        "two documents",
        "nan",
        "secret",
        "large",
    ],
)
def test_a_config_file_that_is_no_settings_file_fails_with_a_line(run, tmp_path, content):
    settings = tmp_path / "odd.yaml"
    settings.write_bytes(content)
    answer = run("dedup", EXAMPLES[0], "-o", tmp_path / "out", "--config", settings)
    assert answer.status == 1
    assert answer.err.strip()
    assert "canary" not in answer.err


def test_a_config_file_and_a_matcher_exclude_each_other(run, tmp_path):
    settings = tmp_path / "a.yaml"
    settings.write_text("{}\n")
    arguments = ("-o", tmp_path / "out", "--config", settings, "--matcher", "127.0.0.1:1")
    answer = run("dedup", EXAMPLES[0], *arguments)
    assert answer.status == 2
    assert "--config is for a private pair" in answer.err


def test_a_private_pair_leaves_no_files_behind(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [EVENT_DEDUP, "dedup", str(EXAMPLES[0]), "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=scratch,
        env={"PATH": "/usr/bin", "TMPDIR": str(scratch), "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(scratch.iterdir()) == []
    assert "WARNING" not in done.stderr


def test_a_private_pair_runs_although_the_folder_for_temporary_files_has_a_long_name(tmp_path):
    """A Unix socket's path may have 107 characters."""
    scratch = tmp_path / ("long" * 25)
    scratch.mkdir()
    done = subprocess.run(
        [EVENT_DEDUP, "dedup", str(EXAMPLES[0]), "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin", "TMPDIR": str(scratch), "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_results_are_replaced_together_or_not_at_all(
    run, dedup, matcher_address, results, tmp_path
):
    before = {path.name: path.read_bytes() for path in results.folder.iterdir()}
    answer = run("dedup", EXAMPLES[0], "-o", results.folder, "--matcher", "127.0.0.1:1")
    assert answer.status == 1
    assert {path.name: path.read_bytes() for path in results.folder.iterdir()} == before
    dedup(EXAMPLES[0])
    after = {path.name: path.read_bytes() for path in results.folder.iterdir()}
    assert after.keys() == before.keys()
    assert after["summary.json"] != before["summary.json"]


def test_a_folder_whose_files_cannot_all_be_replaced_has_no_receipt(run, matcher_address, results):
    report = results.folder / "report.html"
    report.unlink()
    report.mkdir()
    answer = run("dedup", EXAMPLES[0], "-o", results.folder, "--matcher", matcher_address)
    assert answer.status == 1
    assert "report.html" in answer.err
    assert not (results.folder / "summary.json").exists()
    assert not list(results.folder.glob(".*"))


def test_a_folder_that_cannot_be_made_is_told_before_the_batch_runs(run, tmp_path):
    answer = run("dedup", EXAMPLES[0], "-o", "/proc/none/out")
    assert answer.status == 1
    assert "/proc/none" in answer.err
    assert "private pair" not in answer.err


def test_letters_that_a_terminal_cannot_show_are_written_as_numbers(tmp_path):
    listings = str(EXAMPLES[0].parent)
    done = subprocess.run(
        [EVENT_DEDUP, "explain", "sp-0064", "tb-0042", "--on", listings],
        env={"PATH": "/usr/bin", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\xfc" in done.stdout
