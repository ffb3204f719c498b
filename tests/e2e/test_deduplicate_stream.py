"""The streaming RPC, with good and bad clients."""

import queue
import threading
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dedup_rpc.channel import connect
from dedup_rpc.status import remote_error
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

METHOD = "/eventdedup.matcher.v1.MatcherService"
OPTIONS = pb.DeduplicateRequest(options=pb.BatchOptions(decision_floor=0))


@pytest.fixture(scope="module")
def stub(pair):
    with connect(pair[1].address) as channel:
        yield MatcherServiceStub(channel)


@pytest.fixture(scope="module")
def channel(pair):
    with connect(pair[1].address) as channel:
        yield channel


def some(count, title="Konzert {}", **more):
    return [
        pb.Listing(
            id=f"id-{i:05}",
            title=title.format(i),
            event_dates=[pb.EventDate(date=f"2026-03-{i % 28 + 1:02}", start_time="19:30")],
            location=pb.Location(city="Endingen"),
            **more,
        )
        for i in range(count)
    ]


def chunk(listings):
    return pb.DeduplicateRequest(listings=pb.ListingChunk(listings=listings))


def refusal(call):
    with pytest.raises(grpc.RpcError) as refused:
        list(call)
    return remote_error(refused.value)


def kinds(answers):
    return [answer.WhichOneof("message") for answer in answers]


def test_an_answer_starts_with_the_run_ends_with_the_summary_and_is_numbered_without_gaps(stub):
    listings = some(300)
    requests = [OPTIONS, chunk(listings[:100]), chunk(listings[100:]), chunk([])]
    answers = list(stub.Deduplicate(iter(requests), timeout=300))
    assert [answer.seq for answer in answers] == list(range(1, len(answers) + 1))
    found = kinds(answers)
    assert found[0] == "started"
    assert found[-1] == "summary"
    assert set(found[1:-1]) <= {"progress", "results"}
    assert found.index("results") > max(i for i, kind in enumerate(found) if kind == "progress")
    assert answers[0].started == answers[-1].summary.run
    assert answers[-1].summary.read == 300
    members = [
        name for answer in answers for event in answer.results.events for name in event.listing_ids
    ]
    assert sorted(members) == [listing.id for listing in listings]


def test_every_message_of_a_large_answer_stays_below_512_kib(stub):
    listings = some(60, description="Ein Abend mit Musik. " * 2500)
    requests = [OPTIONS, *(chunk(listings[i : i + 6]) for i in range(0, 60, 6))]
    answers = list(stub.Deduplicate(iter(requests), timeout=300))
    assert answers[-1].summary.quarantined == 0
    sizes = [answer.ByteSize() for answer in answers]
    assert sum(sizes) > 1024 * 1024
    assert max(sizes) < 512 * 1024


def test_one_event_with_very_many_categories_does_not_break_the_answer(stub):
    same = some(1)[0]
    listings = [
        pb.Listing(
            id=f"u{i:02}",
            title="Zunftabend Krakeelia der Katzenzunft",
            event_dates=same.event_dates,
            location=pb.Location(name="Bürgerhaus", city="Endingen"),
            categories=[f"{i}-{j}-{'x' * 390}" for j in range(1000)],
        )
        for i in range(14)
    ]
    requests = [OPTIONS, *(chunk([listing]) for listing in listings)]
    answers = list(stub.Deduplicate(iter(requests), timeout=300))
    assert answers[-1].summary.read == 14
    assert max(answer.ByteSize() for answer in answers) < 512 * 1024


def test_an_empty_batch_is_a_batch(stub):
    answers = list(stub.Deduplicate(iter([OPTIONS]), timeout=120))
    assert kinds(answers)[0] == "started"
    assert answers[-1].summary.read == 0
    assert answers[-1].summary.events == 0


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [chunk([pb.Listing(id="a", title="b")])],
        [pb.DeduplicateRequest()],
        [OPTIONS, OPTIONS],
        [OPTIONS, chunk(some(1)), OPTIONS],
        [OPTIONS, pb.DeduplicateRequest()],
    ],
    ids=["nothing", "listings first", "empty first", "twice", "late", "empty later"],
)
def test_options_come_first_and_once(stub, requests):
    error = refusal(stub.Deduplicate(iter(requests), timeout=120))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "OPTIONS_FIRST")


@pytest.mark.parametrize("floor", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_floor_out_of_range_is_refused_by_both_rpcs(stub, floor):
    options = pb.BatchOptions(decision_floor=floor)
    error = refusal(stub.Deduplicate(iter([pb.DeduplicateRequest(options=options)]), timeout=120))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.path for violation in error.violations] == ["options.decision_floor"]
    with pytest.raises(grpc.RpcError) as refused:
        stub.DeduplicateBatch(pb.DeduplicateBatchRequest(options=options), timeout=120)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_small_batch_takes_500_listings_and_refuses_501(stub):
    done = stub.DeduplicateBatch(pb.DeduplicateBatchRequest(listings=some(500)), timeout=300)
    assert done.summary.read == 500
    with pytest.raises(grpc.RpcError) as refused:
        stub.DeduplicateBatch(pb.DeduplicateBatchRequest(listings=some(501)), timeout=300)
    error = remote_error(refused.value)
    assert (error.code, error.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "LIMIT_EXCEEDED",
    )
    assert error.facts["limit"] == "500"
    assert "Deduplicate" in error.message


def test_an_answer_too_large_for_one_message_is_refused_with_the_way_out(stub):
    same = [pb.EventDate(date="2026-03-07", start_time="19:30")]
    place = pb.Location(city="Endingen", name="Bürgerhaus")
    listings = [
        pb.Listing(id=f"x{i}", title=f"Konzert {i * 31}", event_dates=same, location=place)
        for i in range(400)
    ]
    every = pb.BatchOptions(decision_floor=0)
    with pytest.raises(grpc.RpcError) as refused:
        stub.DeduplicateBatch(
            pb.DeduplicateBatchRequest(options=every, listings=listings), timeout=60
        )
    error = remote_error(refused.value)
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert error.facts == {"limit_mib": "3"}
    assert "Deduplicate" in error.message
    assert "decision_floor" in error.message
    streamed = stub.Deduplicate(
        iter([pb.DeduplicateRequest(options=every), chunk(listings)]), timeout=60
    )
    assert sum(len(answer.results.decisions) for answer in streamed) == 400 * 399 // 2
    few = pb.BatchOptions(decision_floor=0.99)
    request = pb.DeduplicateBatchRequest(options=few, listings=listings)
    assert stub.DeduplicateBatch(request, timeout=300).summary.read == 400


def test_listings_over_the_limit_of_the_server_are_refused_before_work_starts(launcher, pair):
    matcher = launcher.matcher(pair[0].address, MATCHER_MAX_LISTINGS="10")
    with connect(matcher.address) as channel:
        stub = MatcherServiceStub(channel)
        assert list(stub.Deduplicate(iter([OPTIONS, chunk(some(10))]), timeout=120))
        answers = stub.Deduplicate(iter([OPTIONS, chunk(some(6)), chunk(some(5))]), timeout=120)
        seen = [next(answers)]
        error = refusal(answers)
    assert kinds(seen) == ["started"]
    assert (error.code, error.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "LIMIT_EXCEEDED",
    )


@pytest.mark.parametrize("junk", [b"\xff" * 20, b"\x0a\x80", b"\x12\x04\x0a\x08\x0a\x05", b"\x00"])
def test_malformed_bytes_are_an_invalid_argument(channel, junk):
    batch = channel.unary_unary(f"{METHOD}/DeduplicateBatch", bytes, bytes)
    with pytest.raises(grpc.RpcError) as refused:
        batch(junk, timeout=10)
    error = remote_error(refused.value)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    stream = channel.stream_stream(f"{METHOD}/Deduplicate", bytes, bytes)
    for requests in ([junk], [OPTIONS.SerializeToString(), junk]):
        error = refusal(stream(iter(requests), timeout=10))
        assert (error.code, error.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "MALFORMED_REQUEST",
        )


def test_invalid_utf8_in_a_text_is_malformed(channel):
    good = pb.DeduplicateBatchRequest(listings=[pb.Listing(id="a", title="QQQQ")])
    bad = good.SerializeToString().replace(b"QQQQ", b"\xff\xfe\xfd\xfc")
    batch = channel.unary_unary(f"{METHOD}/DeduplicateBatch", bytes, bytes)
    with pytest.raises(grpc.RpcError) as refused:
        batch(bad, timeout=10)
    assert remote_error(refused.value).reason == "MALFORMED_REQUEST"


def test_a_message_over_1_mib_is_refused_and_the_server_goes_on(stub):
    heavy = pb.Listing(id="a", title="b", description="x" * (1024 * 1024 + 1))
    error = refusal(stub.Deduplicate(iter([OPTIONS, chunk([heavy])]), timeout=120))
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert list(stub.Deduplicate(iter([OPTIONS]), timeout=120))


def test_bad_listings_cost_only_themselves_each_with_field_and_reason(stub):
    dates = [pb.EventDate(date="2026-03-07", start_time="19:30")]
    bad = {
        "no-title": pb.Listing(event_dates=dates),
        "blank-title": pb.Listing(title="  \t ", event_dates=dates),
        "no-day": pb.Listing(title="x", event_dates=[pb.EventDate(start_time="19:30")]),
        "year-1": pb.Listing(title="x", event_dates=[pb.EventDate(date="0001-01-01")]),
        "year-9999": pb.Listing(title="x", event_dates=[pb.EventDate(date="9999-12-31")]),
        "backwards": pb.Listing(
            title="x", event_dates=[pb.EventDate(date="2026-03-07", end_date="2026-03-06")]
        ),
        "no-such-day": pb.Listing(title="x", event_dates=[pb.EventDate(date="2026-02-30")]),
        "long": pb.Listing(title="x", event_dates=dates, description="y" * (64 * 1024 + 1)),
    }
    odd = {
        "nan": pb.Location(geo=pb.Geo(latitude=float("nan"), longitude=7.8)),
        "pole": pb.Location(geo=pb.Geo(latitude=91, longitude=7.8)),
    }
    listings = [*some(2)]
    listings += [merged(name, one) for name, one in bad.items()]
    listings += [
        pb.Listing(id=name, title="x", event_dates=dates, location=place)
        for name, place in odd.items()
    ]
    listings.append(pb.Listing(title="without id", event_dates=dates))
    answers = list(stub.Deduplicate(iter([OPTIONS, chunk(listings)]), timeout=120))
    issues = [issue for answer in answers for issue in answer.results.quarantined]
    assert sorted(issue.listing_id for issue in issues) == sorted(["", *bad])
    assert all(issue.field and issue.reason for issue in issues)
    assert [listings[issue.position].id for issue in issues] == [i.listing_id for i in issues]
    repairs = {issue.listing_id for answer in answers for issue in answer.results.repairs}
    assert repairs == set(odd)
    assert answers[-1].summary.quarantined == len(bad) + 1
    assert answers[-1].summary.events >= 3


def test_a_title_of_nothing_but_invisible_characters_is_a_missing_title(stub):
    listing = pb.Listing(id="a", title="\u200b\u2060\ufeff")
    done = stub.DeduplicateBatch(pb.DeduplicateBatchRequest(listings=[listing]), timeout=120)
    assert [issue.field for issue in done.results.quarantined] == ["title"]


def merged(name, listing):
    whole = pb.Listing(id=name)
    whole.MergeFrom(listing)
    return whole


def test_a_client_that_leaves_stops_its_batch_and_harms_nobody(stub, pair):
    same = [pb.EventDate(date="2026-03-07", start_time="19:30")]
    place = pb.Location(city="Endingen", name="Bürgerhaus")
    listings = [
        pb.Listing(
            id=f"x{i}", title=f"Konzert Nr. {i} mit Chor {i * 7}", event_dates=same, location=place
        )
        for i in range(2500)
    ]
    requests = [OPTIONS, *(chunk(listings[i : i + 500]) for i in range(0, 2500, 500))]
    call = stub.Deduplicate(iter(requests), timeout=300)
    for answer in call:
        if answer.WhichOneof("message") == "progress":
            break
    call.cancel()
    open_end = queue.Queue()
    open_end.put(OPTIONS)
    waiting = stub.Deduplicate(iter(open_end.get, None), timeout=300)
    next(waiting)
    waiting.cancel()
    open_end.put(None)
    began = time.monotonic()
    done = stub.DeduplicateBatch(pb.DeduplicateBatchRequest(listings=some(3)), timeout=30)
    assert done.summary.read == 3
    assert time.monotonic() - began < 10
    assert is_idle(pair[1].process.pid)


def test_other_calls_are_answered_while_a_large_answer_is_made(stub, pair):
    same = [pb.EventDate(date="2026-03-07", start_time="19:30")]
    place = pb.Location(city="Endingen", name="Bürgerhaus")
    listings = [
        pb.Listing(id=f"x{i}", title=f"Konzert {i * 31}", event_dates=same, location=place)
        for i in range(900)
    ]
    requests = [OPTIONS, chunk(listings[:450]), chunk(listings[450:])]
    done = threading.Event()
    waits = []

    def ask():
        with connect(pair[1].address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while not done.wait(0.02):
                began = time.monotonic()
                health.Check(health_pb2.HealthCheckRequest(), timeout=30)
                waits.append(time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        decisions = sum(
            len(answer.results.decisions)
            for answer in stub.Deduplicate(iter(requests), timeout=300)
        )
    finally:
        done.set()
        asking.join(timeout=35)
    assert decisions == 900 * 899 // 2
    assert max(waits) < max(0.5, sum(waits) / 10)


def is_idle(pid):
    """Tell whether a process comes to use less than a tenth of a core, within 10 s."""
    for _ in range(20):
        before = cpu_ticks(pid)
        time.sleep(0.5)
        if cpu_ticks(pid) - before <= 5:
            return True
    return False


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
