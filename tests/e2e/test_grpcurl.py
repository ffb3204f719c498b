"""What an operator does with nothing but grpcurl."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

CONFIG = "eventdedup.config.v1.ConfigService"
MATCHER = "eventdedup.matcher.v1.MatcherService"
GRPCURL = str(Path(sys.executable).parent / "grpcurl")


def listing(number, title, **more):
    return {
        "id": f"l-{number}",
        "title": title,
        "source_code": f"source{number}",
        "event_dates": [{"date": "2026-03-07", "start_time": "19:30"}],
        "location": {"name": "Bürgerhaus", "city": "Endingen"},
        **more,
    }


def head(grpcurl, address):
    return grpcurl(address, f"{CONFIG}/GetConfig").json


def test_list_names_both_services_beside_health_and_reflection(pair, grpcurl):
    config, matcher = pair
    assert {CONFIG, "grpc.health.v1.Health"} <= set(grpcurl(config.address, "list").out.split())
    assert {MATCHER, "grpc.health.v1.Health"} <= set(grpcurl(matcher.address, "list").out.split())


def test_describe_prints_the_rpcs_of_both_services(pair, grpcurl):
    config, matcher = pair
    told = grpcurl(config.address, "describe", CONFIG).out
    for name in ("GetConfig", "UpdateConfig", "SetSecret", "GetSnapshot", "WatchConfig"):
        assert f"rpc {name} (" in told
    told = grpcurl(matcher.address, "describe", MATCHER).out
    assert "rpc Deduplicate ( stream" in told
    assert "rpc DeduplicateBatch (" in told


def test_describe_prints_a_message_with_its_fields(pair, grpcurl):
    config, matcher = pair
    told = grpcurl(config.address, "describe", "eventdedup.config.v1.UpdateConfigRequest").out
    assert "google.protobuf.FieldMask update_mask = 2;" in told
    assert "eventdedup.config.v1.MatchingConfig config = 1;" in told
    told = grpcurl(matcher.address, "describe", "eventdedup.matcher.v1.Listing").out
    assert "optional string title = 2;" in told


def test_get_config_answers_an_empty_request_with_values_sources_and_no_secret(pair, grpcurl):
    got = head(grpcurl, pair[0].address)
    assert got["revision"]["etag"] == f"{got['epoch']}:{got['revision']['revision']}"
    assert got["effective"]["scoring"]["date"] == 0.3
    sources = {leaf["path"]: leaf["provenance"] for leaf in got["provenance"]}
    assert sources["scoring.date"] == "PROVENANCE_DEFAULT"
    assert "has_api_key" in got


def test_an_update_with_an_object_mask_changes_the_named_setting_alone(pair, grpcurl):
    address = pair[0].address
    before = head(grpcurl, address)
    body = {
        "config": {"geo": {"max_distance_km": 7.5, "neutral_score": 0.4}},
        "update_mask": {"paths": ["geo.max_distance_km"]},
        "reason": "grpcurl",
    }
    got = grpcurl("-d", json.dumps(body), address, f"{CONFIG}/UpdateConfig").json
    assert got["changed"] is True
    assert [change["path"] for change in got["changes"]] == ["geo.max_distance_km"]
    assert "geo.neutral_score: not in update_mask, ignored" in got["warnings"]
    after = head(grpcurl, address)
    assert after["effective"]["geo"]["max_distance_km"] == 7.5
    assert after["effective"]["geo"]["neutral_score"] == before["effective"]["geo"]["neutral_score"]
    assert int(after["revision"]["revision"]) == int(before["revision"]["revision"]) + 1
    assert after["revision"]["reason"] == "grpcurl"


def test_an_explicit_zero_and_false_count_as_values_and_are_shown(pair, grpcurl):
    address = pair[0].address
    body = {"config": {"date": {"far_factor": 0}, "blocking": {"use_venue": False}}}
    grpcurl("-d", json.dumps(body), address, f"{CONFIG}/UpdateConfig")
    overrides = head(grpcurl, address)["overrides"]
    assert overrides["blocking"]["use_venue"] is False
    assert overrides["date"]["far_factor"] == 0


def test_an_open_watch_prints_a_change_made_meanwhile(pair, grpcurl, tmp_path):
    address = pair[0].address
    seen = tmp_path / "watch.out"
    with seen.open("wb") as file:
        watch = subprocess.Popen(
            [GRPCURL, "-plaintext", address, f"{CONFIG}/WatchConfig"], stdout=file, stderr=file
        )
    try:
        assert waits_for(seen, '"effective"'), seen.read_text()
        body = {"config": {"title": {"primary_weight": 0.65}}}
        grpcurl("-d", json.dumps(body), address, f"{CONFIG}/UpdateConfig")
        assert waits_for(seen, '"title.primary_weight"'), seen.read_text()[-500:]
    finally:
        watch.terminate()
        watch.wait(timeout=10)


def waits_for(path, text):
    for _ in range(100):
        if text in path.read_text():
            return True
        time.sleep(0.05)
    return False


def test_an_error_prints_its_reason_and_all_violations_as_readable_json(pair, grpcurl):
    body = {
        "config": {"thresholds": {"high": 0.2, "low": 1.5}},
        "update_mask": {"paths": ["thresholds.high", "thresholds.low", "thresholds.lwo"]},
    }
    answer = grpcurl("-d", json.dumps(body), pair[0].address, f"{CONFIG}/UpdateConfig")
    assert answer.status != 0
    assert "Code: InvalidArgument" in answer.err
    info, bad = (json.loads(text) for text in re.findall(r"\{.*\}", answer.err))
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "eventdedup"
    assert bad["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert bad["field_violations"][0]["field"] == "update_mask.paths[2]"
    assert "@value" not in answer.err
    assert "not recognized" not in answer.err


def test_all_violations_of_a_merged_whole_come_at_once(pair, grpcurl):
    body = {"config": {"thresholds": {"low": 1.5}, "geo": {"neutral_score": -1}}}
    answer = grpcurl("-d", json.dumps(body), pair[0].address, f"{CONFIG}/UpdateConfig")
    assert "thresholds.low" in answer.err
    assert "geo.neutral_score" in answer.err


def test_a_secret_goes_in_on_standard_input_and_is_not_echoed(pair, grpcurl):
    body = json.dumps({"name": "ai.api_key", "value": "  grpcurl-secret-1  "})
    answer = grpcurl("-d", "@", pair[0].address, f"{CONFIG}/SetSecret", stdin=body)
    assert answer.status == 0
    assert answer.json["secret"]["is_set"] is True
    assert "grpcurl-secret" not in answer.out + answer.err
    config = grpcurl(pair[0].address, f"{CONFIG}/GetConfig")
    assert config.json["has_api_key"] is True
    assert "grpcurl-secret" not in config.out


def test_a_small_batch_from_standard_input_names_the_revision_that_it_ran_under(pair, grpcurl):
    config, matcher = pair
    body = {
        "options": {"decision_floor": 0},
        "listings": [
            listing(1, "Zunftabend Krakeelia der Katzenzunft"),
            listing(2, "Krakeelia Zunftabend der Katzenzunft"),
            listing(3, "Orgelkonzert zur Passion"),
            {"title": "ohne id"},
        ],
    }
    answer = grpcurl(
        "-d", "@", matcher.address, f"{MATCHER}/DeduplicateBatch", stdin=json.dumps(body)
    )
    summary = answer.json["summary"]
    now = head(grpcurl, config.address)
    assert summary["run"]["revision"] == now["revision"]["revision"]
    assert summary["run"]["epoch"] == now["epoch"]
    assert summary["run"]["digest"] == now["revision"]["digest"]
    assert summary["run"]["source"] == "CONFIG_SOURCE_LIVE"
    assert summary["run"]["engine_version"]
    assert summary["read"] == "4"
    assert summary["quarantined"] == "1"
    members = sorted(event["listing_ids"] for event in answer.json["results"]["events"])
    assert members == [["l-1", "l-2"], ["l-3"]]


def test_health_answers_serving_for_the_server_and_its_service(pair, grpcurl):
    for service, name in zip(pair, (CONFIG, MATCHER), strict=True):
        for asked in ("", name):
            body = json.dumps({"service": asked})
            got = grpcurl("-d", body, service.address, "grpc.health.v1.Health/Check")
            assert got.json == {"status": "SERVING"}


def test_an_unknown_method_and_an_unknown_field_fail_with_a_word_not_a_trace(pair, grpcurl):
    answer = grpcurl("-d", '{"nope": 1}', pair[0].address, f"{CONFIG}/GetConfig")
    assert answer.status != 0
    assert "nope" in answer.err
    assert "Traceback" not in answer.err
    assert grpcurl(pair[0].address, f"{CONFIG}/Nope").status != 0
