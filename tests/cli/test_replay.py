"""`event-dedup replay`: the same bytes, or what differs."""

import json

import pytest

from dedup_rpc.client import ConfigClient


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


def test_results_can_be_kept_for_comparison(run, receipt, tmp_path):
    assert run("replay", receipt, "-o", tmp_path / "again").status == 0
    for name in ("clusters.csv", "decisions.jsonl", "report.html"):
        again, first = (folder / name for folder in (tmp_path / "again", tmp_path / "out"))
        assert again.read_bytes() == first.read_bytes()


def test_a_file_that_changed_or_is_gone_stops_the_replay_before_it_runs(run, receipt, listings):
    listings.write_text(listings.read_text(encoding="utf-8") + " ", encoding="utf-8")
    answer = run("replay", receipt)
    assert answer.status == 1
    assert "blatt_events.json has changed" in answer.err
    listings.unlink()
    assert "is not there" in run("replay", receipt).err


def test_another_engine_is_named_when_the_bytes_differ(run, receipt):
    document = json.loads(receipt.read_text(encoding="utf-8"))
    outputs = {**document["outputs"], "clusters.csv": "0" * 64}
    edited(receipt, run={**document["run"], "engine_version": "0.9.0"}, outputs=outputs)
    answer = run("replay", receipt)
    assert answer.status == 1
    assert "engine: 0.9.0 then" in answer.err


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
        client.update(clear=["thresholds.high", "text.function_words"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"run": {}, "inputs": {}, "outputs": {}, "settings": {}, "floor": 0}']
)
def test_what_is_no_receipt_is_refused(run, tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_text(text, encoding="utf-8")
    answer = run("replay", path)
    assert answer.status == 1
    assert "receipt" in answer.err or "is no JSON" in answer.err
