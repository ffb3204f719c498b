"""SIGTERM, taken ports, and ways to run that are refused."""

import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import pytest

from dedup_rpc.channel import connect
from eventdedup.config.v1 import config_service_pb2 as config_pb
from eventdedup.config.v1.config_service_pb2_grpc import ConfigServiceStub
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub


@dataclass
class Stopped:
    """What became of services that got SIGTERM together: status and seconds, and the watch."""

    ends: dict[str, tuple[int, float]]
    watched: list[config_pb.WatchConfigResponse]


def crowd():
    """Return the requests of a batch of which every pair has to be compared."""
    dates = [pb.EventDate(date="2026-03-07", start_time="19:30")]
    place = pb.Location(name="Bürgerhaus", city="Endingen")
    listings = [
        pb.Listing(
            id=f"x{i}",
            title=f"Konzert {i * 31} mit dem Chor {i * 7919}",
            event_dates=dates,
            location=place,
        )
        for i in range(1500)
    ]
    yield pb.DeduplicateRequest(options=pb.BatchOptions())
    for i in range(0, 1500, 300):
        yield pb.DeduplicateRequest(listings=pb.ListingChunk(listings=listings[i : i + 300]))


def open_input(requests):
    yield pb.DeduplicateRequest(options=pb.BatchOptions())
    requests.get(timeout=60)


@pytest.fixture(scope="module")
def stopped(make_launcher):
    launcher = make_launcher("stopped")
    config, idle = launcher.pair()
    busy = launcher.matcher("127.0.0.1:1", MATCHER_CONFIG_RUNGS="bootstrap")
    services = {"config": config, "idle": idle, "busy": busy}
    release = queue.Queue()
    seen = []
    with (
        connect(config.address) as one,
        connect(idle.address) as two,
        connect(busy.address) as three,
    ):
        watch = ConfigServiceStub(one).WatchConfig(config_pb.WatchConfigRequest())
        seen.append(next(watch))
        waiting = MatcherServiceStub(two).Deduplicate(open_input(release))
        assert next(waiting).WhichOneof("message") == "started"
        working = MatcherServiceStub(three).Deduplicate(crowd(), timeout=60)
        while next(working).progress.stage not in ("block", "score"):
            pass
        reader = threading.Thread(target=lambda: seen.extend(watch))
        reader.start()
        began = time.monotonic()
        for service in services.values():
            service.process.terminate()
        ends = ended(services, began)
        reader.join(timeout=60)
        release.put(None)
    return Stopped(ends, seen)


def ended(services, began):
    """Return status and seconds of every process that ended within 30 s."""
    ends = {}
    while len(ends) < len(services) and time.monotonic() - began < 30:
        for name, service in services.items():
            if name not in ends and service.process.poll() is not None:
                ends[name] = service.process.returncode, time.monotonic() - began
        time.sleep(0.02)
    return ends


def test_sigterm_ends_a_config_service_with_an_open_watch_which_is_told_to_go_away(stopped):
    status, seconds = stopped.ends["config"]
    assert status == 0
    assert seconds < 10
    assert stopped.watched[0].WhichOneof("event") == "state"
    assert stopped.watched[-1].WhichOneof("event") == "go_away"
    assert stopped.watched[-1].go_away.reason == "shutdown"


def test_sigterm_ends_a_matcher_that_waits_for_the_rest_of_a_batch_in_time(stopped):
    status, seconds = stopped.ends["idle"]
    assert status == 0
    assert seconds < 10


def test_sigterm_ends_a_matcher_in_the_midst_of_a_busy_batch_in_time(stopped):
    status, seconds = stopped.ends["busy"]
    assert status == 0
    assert seconds < 10


def run_service(package, folder, **variables):
    return subprocess.run(
        [sys.executable, "-m", package, "serve"],
        cwd=folder,
        env={"PATH": "/usr/bin", **PYTHON_PATH, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


PYTHON_PATH = {"PYTHONPATH": ":".join(sys.path)}


def test_a_taken_port_ends_the_second_service_with_one_line(launcher, tmp_path):
    config = launcher.config()
    other = f"sqlite:///{tmp_path / 'other.db'}"
    done = run_service(
        "config_service", tmp_path, CONFIG_ADDRESS=config.address, CONFIG_DATABASE_URL=other
    )
    assert done.returncode == 78
    assert f"cannot listen on {config.address}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_beyond_this_machine_is_refused_by_both_services(tmp_path):
    for package, name in (("config_service", "CONFIG"), ("matcher_service", "MATCHER")):
        done = run_service(package, tmp_path, **{f"{name}_ADDRESS": "0.0.0.0:0"})
        assert done.returncode == 78
        assert "loopback" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_bad_variable_is_named_without_its_value(tmp_path):
    done = run_service("matcher_service", tmp_path, MATCHER_MAX_LISTINGS="0,8-canary")
    assert done.returncode == 78
    assert "MATCHER_MAX_LISTINGS" in done.stderr
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_is_warned_about_without_its_value(launcher):
    config, matcher = launcher.pair(MATCHER_MAX_LISTING="7-canary", CONFIG_POLL_SECOND="7-canary")
    assert "MATCHER_MAX_LISTING" in matcher.log.read_text()
    assert "CONFIG_POLL_SECOND" in config.log.read_text()
    assert "canary" not in matcher.log.read_text() + config.log.read_text()
