"""Which settings a batch runs under, from a change to the last rung of the fallback ladder."""

import queue
import time

import grpc
import pytest

from dedup_rpc.channel import connect
from dedup_rpc.status import remote_error
from eventdedup.config.v1 import config_service_pb2 as config_pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.config.v1.matching_config_pb2 import MatchingConfig, Thresholds
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

LIVE, MEMORY = pb.CONFIG_SOURCE_LIVE, pb.CONFIG_SOURCE_MEMORY
FILE, BOOTSTRAP = pb.CONFIG_SOURCE_FILE, pb.CONFIG_SOURCE_BOOTSTRAP


def listings():
    place = pb.Location(name="Bürgerhaus", city="Endingen")
    dates = [pb.EventDate(date="2026-03-07", start_time="19:30")]
    titles = ("Zunftabend Krakeelia", "Krakeelia Zunftabend", "Orgelkonzert")
    return [
        pb.Listing(id=f"l-{i}", title=title, event_dates=dates, location=place)
        for i, title in enumerate(titles)
    ]


def batch(address):
    with connect(address) as channel:
        request = pb.DeduplicateBatchRequest(listings=listings())
        return MatcherServiceStub(channel).DeduplicateBatch(request, timeout=20)


def set_high(address, high):
    with connect(address) as channel:
        request = config_pb.UpdateConfigRequest(
            config=MatchingConfig(thresholds=Thresholds(high=high))
        )
        return ConfigServiceStub(channel).UpdateConfig(request, timeout=10).revision


def test_the_next_batch_uses_a_changed_setting_and_names_its_revision(pair):
    config, matcher = pair
    set_high(config.address, 0.5)
    loose = batch(matcher.address)
    assert loose.summary.matches == 1
    changed = set_high(config.address, 0.999)
    strict = batch(matcher.address)
    assert strict.summary.run.revision == changed.revision == loose.summary.run.revision + 1
    assert strict.summary.run.digest == changed.digest != loose.summary.run.digest
    assert strict.summary.matches == 0
    assert (loose.summary.rules.high, strict.summary.rules.high) == (0.5, 0.999)


def test_a_running_batch_keeps_the_settings_that_it_started_with(pair):
    config, matcher = pair
    before = set_high(config.address, 0.51)
    requests = queue.Queue()
    requests.put(pb.DeduplicateRequest(options=pb.BatchOptions()))
    with connect(matcher.address) as channel:
        stub = MatcherServiceStub(channel)
        answers = stub.Deduplicate(iter(requests.get, None), timeout=30)
        assert next(answers).started.revision == before.revision
        after = set_high(config.address, 0.998)
        requests.put(pb.DeduplicateRequest(listings=pb.ListingChunk(listings=listings())))
        requests.put(None)
        summary = list(answers)[-1].summary
    assert summary.run.revision == before.revision
    assert summary.run.digest == before.digest
    assert summary.matches == 1
    assert batch(matcher.address).summary.run.revision == after.revision


def test_the_ladder_goes_from_live_to_memory_to_file_to_bootstrap_and_back_to_live(
    launcher, tmp_path
):
    state, yaml = tmp_path / "state", tmp_path / "bootstrap.yaml"
    yaml.write_text("thresholds:\n  high: 0.97\n")
    with_state = {"MATCHER_STATE_DIR": str(state), "MATCHER_BOOTSTRAP_FILE": str(yaml)}
    config = launcher.config()
    matcher = launcher.matcher(config.address, **with_state)
    changed = set_high(config.address, 0.81)
    live = batch(matcher.address).summary
    assert (live.run.source, live.run.revision) == (LIVE, changed.revision)
    assert (state / "last-good.json").stat().st_mode & 0o777 == 0o600

    assert config.stop() == 0
    memory = batch(matcher.address).summary
    assert memory.run.source == MEMORY
    assert_same_config(memory.run, live.run)
    assert any("live" in warning for warning in memory.warnings)

    assert matcher.stop() == 0
    again = launcher.matcher(config.address, matcher.address, wait=False, **with_state)
    bare = launcher.matcher(
        config.address,
        wait=False,
        MATCHER_BOOTSTRAP_FILE=str(yaml),
        EVENT_DEDUP_GEMINI_API_KEY="environment-key",
        MATCHER_AI_BASE_URL="http://127.0.0.1:1",
    )
    live_only = launcher.matcher(config.address, wait=False, MATCHER_CONFIG_RUNGS="live")
    for one in (again, bare, live_only):
        one.wait_until_serving()
    filed = batch(again.address).summary
    assert filed.run.source == FILE
    assert_same_config(filed.run, live.run)

    bootstrap = batch(bare.address).summary
    assert (bootstrap.run.source, bootstrap.run.revision) == (BOOTSTRAP, 0)
    assert bootstrap.matches == 0
    assert any("does not answer" in warning for warning in bootstrap.warnings)
    assert dict(bootstrap.ai.failures) == {"unavailable": bootstrap.ai.asked}
    assert "environment-key" not in bare.log.read_text()

    with pytest.raises(grpc.RpcError) as refused:
        batch(live_only.address)
    error = remote_error(refused.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "CONFIG_UNAVAILABLE")

    launcher.config(config.address)
    for one in (again, bare, live_only):
        run = comes_back(one.address)
        assert (run.source, run.revision) == (LIVE, changed.revision)


def assert_same_config(one, two):
    assert (one.epoch, one.revision, one.digest) == (two.epoch, two.revision, two.digest)


def comes_back(address):
    """Return the run of the first batch that ran live, of at most 10."""
    run = pb.Run()
    for _ in range(10):
        try:
            run = batch(address).summary.run
        except grpc.RpcError:
            continue
        if run.source == LIVE:
            break
    return run


def test_a_damaged_last_good_file_is_not_believed(launcher, tmp_path):
    state = tmp_path / "state"
    config = launcher.config()
    matcher = launcher.matcher(config.address, MATCHER_STATE_DIR=str(state))
    batch(matcher.address)
    config.stop()
    matcher.stop()
    path = state / "last-good.json"
    path.write_text(path.read_text().replace("0.75", "0.55", 1))
    again = launcher.matcher(
        config.address, MATCHER_STATE_DIR=str(state), MATCHER_CONFIG_RUNGS="live,memory,file"
    )
    with pytest.raises(grpc.RpcError) as refused:
        batch(again.address)
    assert remote_error(refused.value).reason == "CONFIG_UNAVAILABLE"


def test_the_first_batch_after_an_outage_runs_under_the_newest_revision(launcher):
    """No batch has run yet: only the matcher's watch can have told it."""
    config = launcher.config()
    matcher = launcher.matcher(config.address)
    number = set_high(config.address, 0.81).revision
    ends = time.monotonic() + 20
    while f"revision {number}" not in matcher.log.read_text() and time.monotonic() < ends:
        time.sleep(0.05)
    config.stop()
    run = batch(matcher.address).summary.run
    assert (run.revision, run.source) == (number, MEMORY)
