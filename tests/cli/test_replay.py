"""`event-dedup replay`: the same bytes, or what differs."""

import json

import pytest
from matcher.model_server import model_server, verdict

from dedup_model.release import release
from dedup_rpc.client import ConfigClient

DIGEST = "0" * 64
RUN = {"revision": 1, "digest": DIGEST, "engine_version": "1"}
COUNTS = {
    "read": 2, "quarantined": 0, "unreadable_records": 0, "ambiguous": 0, "needs_review": 0,
}  # fmt: skip
RECEIPT = {
    "run": RUN,
    "counts": COUNTS,
    "inputs": {"a.json": DIGEST},
    "outputs": {"clusters.csv": DIGEST},
    "settings": {},
    "floor": 0.5,
}


@pytest.fixture
def listings(tmp_path, listing):
    path = tmp_path / "blatt_events.json"
    found = [listing("a"), listing("b", "Orgelkonzert zum Frühling"), listing("c", "Weinprobe")]
    path.write_text(json.dumps({"events": found}), encoding="utf-8")
    return path


@pytest.fixture
def receipt(dedup, listings, tmp_path):
    dedup(listings)
    return tmp_path / "out/summary.json"


def edited(path, **changes):
    document = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_batch_that_runs_again_gives_the_same_bytes(run, receipt, matcher_address):
    answer = run("replay", receipt, "--matcher", matcher_address)
    assert answer.status == 0, answer.err
    assert "identical: 6 files, byte by byte" in answer.out
    assert run("replay", receipt).status == 0


def test_a_changed_setting_is_named_with_both_values(run, receipt, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("thresholds: {high: 0.99}\n", encoding="utf-8")
    answer = run("replay", receipt, "--config", path)
    assert answer.status == 1
    assert "thresholds.high: default then, 0.99 now" in answer.err
    assert "clusters.csv" in answer.err


def test_results_can_be_kept_for_comparison_with_a_receipt_of_their_own(run, receipt, tmp_path):
    again = tmp_path / "again"
    assert run("replay", receipt, "-o", again).status == 0
    for name in ("clusters.csv", "decisions.jsonl", "report.html"):
        assert (again / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    kept, first = (json.loads((f / "summary.json").read_text()) for f in (again, tmp_path / "out"))
    for document in (kept, first):
        assert document.pop("started_at")
        assert document.pop("seconds") > 0
    assert kept == first
    assert run("replay", again / "summary.json").status == 0


def test_the_results_of_the_receipt_are_never_written_over(run, receipt, tmp_path):
    before = receipt.read_bytes()
    answer = run("replay", receipt, "-o", tmp_path / "again/../out")
    assert answer.status == 2
    assert "another folder" in answer.err
    assert receipt.read_bytes() == before


def test_a_file_that_was_read_twice_is_read_twice_again(run, dedup, listings, receipt):
    results = dedup(listings, listings)
    assert results.counts["collapsed"] == 3
    answer = run("replay", receipt)
    assert answer.status == 0, answer.err


def test_a_file_that_changed_or_is_gone_stops_the_replay_before_it_runs(run, receipt, listings):
    listings.write_text(listings.read_text(encoding="utf-8") + " ", encoding="utf-8")
    answer = run("replay", receipt)
    assert answer.status == 1
    assert "blatt_events.json has changed" in answer.err
    listings.unlink()
    assert "is not there" in run("replay", receipt).err


def with_other_clusters(receipt, **changes):
    document = json.loads(receipt.read_text(encoding="utf-8"))
    outputs = {**document["outputs"], "clusters.csv": DIGEST}
    return edited(receipt, outputs=outputs, **changes)


def test_another_engine_is_named_when_the_bytes_differ(run, receipt):
    told = json.loads(receipt.read_text(encoding="utf-8"))["run"]
    answer = run("replay", with_other_clusters(receipt, run={**told, "engine_version": "0.9.0"}))
    assert answer.status == 1
    assert "engine: 0.9.0 then" in answer.err
    assert "release" not in answer.err


def test_another_release_of_the_command_line_is_named_when_the_bytes_differ(run, receipt):
    answer = run("replay", with_other_clusters(receipt, release="0.0.9"))
    assert answer.status == 1
    assert f"release of event-dedup: 0.0.9 then, {release()} now" in answer.err
    assert "engine" not in answer.err


def test_bytes_that_differ_for_no_reason_that_a_receipt_knows_are_not_explained_away(run, receipt):
    answer = run("replay", with_other_clusters(receipt))
    assert answer.status == 1
    assert "files: clusters.csv" in answer.err
    assert "yet settings, engine, release and verdicts are those of the receipt" in answer.err


def test_a_receipt_of_the_first_release_is_one_still(run, receipt):
    document = json.loads(receipt.read_text(encoding="utf-8"))
    for name in ("release", "files"):
        del document[name]
    receipt.write_text(json.dumps(document), encoding="utf-8")
    assert run("replay", receipt).status == 0
    assert "unknown then" in run("replay", with_other_clusters(receipt)).err


AI = "thresholds: {high: 0.99, low: 0.0}\nai: {min_combined_score: 0.0, max_combined_score: 1.0}\n"


@pytest.fixture
def asking(serve, tmp_path):
    """Serve a matcher that asks a model, which says `same` of every pair."""
    settings = tmp_path / "asking.yaml"
    settings.write_text(AI, encoding="utf-8")
    with model_server(verdict("same")) as model:
        extra = {
            "MATCHER_CONFIG_RUNGS": "bootstrap",
            "MATCHER_BOOTSTRAP_FILE": str(settings),
            "MATCHER_AI_BASE_URL": model.url,
            "EVENT_DEDUP_GEMINI_API_KEY": "canary-51c2",
        }
        with serve("matcher_service", tmp_path, **extra) as address:
            yield address, model


def test_the_model_s_verdicts_are_the_same_or_named(run, asking, listings, tmp_path):
    address, model = asking
    receipt = tmp_path / "out/summary.json"
    assert run("dedup", listings, "-o", tmp_path / "out", "--matcher", address).status == 0
    assert model.requests
    told = json.loads(receipt.read_text(encoding="utf-8"))["ai"]
    assert len(told["verdicts"]) == 64
    assert run("replay", receipt, "--matcher", address).status == 0
    model.answers[:] = [verdict("different")]
    answer = run("replay", receipt, "--matcher", address)
    assert answer.status == 1
    assert "verdicts differ" in answer.err
    del told["verdicts"]
    answer = run("replay", edited(receipt, ai=told), "--matcher", address)
    assert "the language model was asked then" in answer.err


def test_a_model_that_is_not_asked_again_is_told_with_the_matcher_s_words(
    run, asking, listings, tmp_path
):
    address, _ = asking
    path = tmp_path / "no_key.yaml"
    path.write_text(AI.replace("ai: {", "ai: {enabled: true, "), encoding="utf-8")
    assert run("dedup", listings, "-o", tmp_path / "out", "--matcher", address).status == 0
    answer = run("replay", tmp_path / "out/summary.json", "--config", path)
    assert answer.status == 1
    assert "verdicts differ" in answer.err
    assert "the matcher says: pairs were left ambiguous without AI" in answer.err
    assert "canary-51c2" not in answer.err + (tmp_path / "out/summary.json").read_text()


def test_people_s_decisions_are_part_of_the_batch(run, listings, tmp_path, matcher_address):
    path = tmp_path / "constraints.jsonl"
    keys = {f"listing_{x}": {"source_code": "blatt", "id": x} for x in "ab"}
    path.write_text(json.dumps({**keys, "kind": "CANNOT_LINK"}), encoding="utf-8")
    options = ("-o", tmp_path / "out", "--constraints", path, "--matcher", matcher_address)
    assert run("dedup", listings, *options).status == 0
    assert run("replay", tmp_path / "out/summary.json").status == 0
    path.write_text("", encoding="utf-8")
    assert "constraints.jsonl has changed" in run("replay", tmp_path / "out/summary.json").err


def test_a_batch_of_an_old_revision_runs_again_after_the_settings_changed(
    run, serve, config_address, listings, tmp_path
):
    folder = tmp_path / "matched"
    folder.mkdir()
    receipt = tmp_path / "out/summary.json"
    with (
        ConfigClient(config_address) as client,
        serve("matcher_service", folder, MATCHER_CONFIG_ADDRESS=config_address) as matcher,
    ):
        client.update({"thresholds.high": 0.97, "text.function_words": []})
        assert run("dedup", listings, "-o", tmp_path / "out", "--matcher", matcher).status == 0
        client.update({"thresholds.high": 0.5})
        answer = run("replay", receipt, "--matcher", matcher)
        assert answer.status == 1
        assert "thresholds.high: 0.97 then, 0.5 now" in answer.err
        answer = run("replay", receipt, "--address", config_address)
        assert answer.status == 0, answer.err
        document = json.loads(receipt.read_text(encoding="utf-8"))
        edited(receipt, run={**document["run"], "epoch": "another"})
        assert "another epoch" in run("replay", receipt, "--address", config_address).err
        edited(receipt, run={**document["run"], "revision": 0})
        assert "without --address" in run("replay", receipt, "--address", config_address).err
        edited(receipt, run={**document["run"], "revision": 9999})
        assert "REVISION" in run("replay", receipt, "--address", config_address).err.upper()
        client.update(clear=["thresholds.high", "text.function_words"])


@pytest.mark.parametrize(
    "text", [b"", b"\xff\x00", b"[]", b"{}", b"null", b'"x"', b"[" * 200_000, b'{"run": {}}']
)
def test_what_is_no_receipt_is_refused(run, tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_bytes(text)
    answer = run("replay", path)
    assert answer.status == 1
    assert "receipt" in answer.err or "is no JSON" in answer.err


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("run", [None, [], "x", {}, {**RUN, "digest": ""}, {**RUN, "engine_version": 1}]),
        ("run", [{**RUN, "revision": one} for one in ("x", -1, 1.5, True, 2**63)]),
        ("run", [{**RUN, "ignored_paths": "x"}, {"revision": 1, "digest": DIGEST}]),
        ("inputs", [None, [], {}, "x", {"a.json": 5}, {"a.json": None}]),
        ("files", [None, [], {}, [5], ["b.json"], ["a.json", "b.json"]]),
        ("constraints", [None, [], "x", {"c.jsonl": 5}, {"c": DIGEST, "d": DIGEST}]),
        ("outputs", [None, [], {}, {"../secret": DIGEST}, {"clusters.csv": 5}]),
        ("settings", [None, [], {"thresholds.high": 0.9}]),
        ("floor", [None, "0.5", True, -0.1, 1.1, 10**400, float("nan"), float("inf")]),
        ("ai", [None, [], "x", 5]),
        ("counts", [None, [], {}, {**COUNTS, "read": "5"}, {**COUNTS, "ambiguous": True}]),
    ],
)
def test_a_receipt_with_a_part_of_another_shape_is_refused_by_its_name(run, tmp_path, name, values):
    path = tmp_path / "summary.json"
    for value in values:
        path.write_text(json.dumps({**RECEIPT, name: value}), encoding="utf-8")
        answer = run("replay", path)
        assert answer.status == 1, value
        assert f"summary.json, {name}: " in answer.err, value


def test_all_that_is_wrong_with_a_receipt_is_named_at_once(run, tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({**RECEIPT, "outputs": {}, "floor": 7}), encoding="utf-8")
    told = run("replay", path).err
    assert "outputs: " in told
    assert "floor: " in told


def test_what_a_receipt_of_a_later_release_adds_is_no_fault(run, receipt):
    told = json.loads(receipt.read_text(encoding="utf-8"))["run"]
    answer = run("replay", edited(receipt, run={**told, "more": 1}, more=[1]))
    assert answer.status == 0, answer.err
