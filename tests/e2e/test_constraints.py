"""People's decisions over the wire, with the real servers."""

import grpc
import pytest

from dedup_rpc.channel import connect
from dedup_rpc.status import remote_error
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

MUST, CANNOT = pb.CONSTRAINT_KIND_MUST_LINK, pb.CONSTRAINT_KIND_CANNOT_LINK


@pytest.fixture(scope="module")
def stub(pair):
    with connect(pair[1].address) as channel:
        yield MatcherServiceStub(channel)


def listing(name, title="Orgelabend"):
    return pb.Listing(
        id=name,
        title=title,
        source_code="blatt",
        event_dates=[pb.EventDate(date="2027-02-06", start_time="19:00")],
        location=pb.Location(city="Lahr"),
    )


def constraint(a, b, kind, **more):
    keys = {
        "listing_a": pb.ListingKey(source_code="blatt", id=a),
        "listing_b": pb.ListingKey(source_code="blatt", id=b),
    }
    return pb.Constraint(**keys, kind=kind, **more)


def batch(*constraints, listings):
    options = pb.BatchOptions(constraints=constraints)
    return pb.DeduplicateBatchRequest(options=options, listings=listings)


def streamed(stub, request):
    """Return the results of the same batch over the stream."""
    messages = [
        pb.DeduplicateRequest(options=request.options),
        pb.DeduplicateRequest(listings=pb.ListingChunk(listings=request.listings)),
    ]
    found = pb.ResultChunk()
    for answer in stub.Deduplicate(iter(messages), timeout=60):
        found.MergeFrom(answer.results)
    return found


def test_both_rpcs_obey_people_and_say_who_decided(stub):
    request = batch(
        constraint("a", "b", CANNOT, reviewer="Redaktion", reason="two organs"),
        constraint("c", "a", MUST),
        listings=[listing("a"), listing("b"), listing("c", "Weinprobe")],
    )
    answer = stub.DeduplicateBatch(request, timeout=60)
    assert {tuple(event.listing_ids) for event in answer.results.events} == {("a", "c"), ("b",)}
    told = {(one.listing_a, one.listing_b): one for one in answer.results.decisions}
    assert told["a", "b"].reason == "cannot_link"
    assert told["a", "b"].tier == told["a", "c"].tier == "person"
    assert (told["a", "b"].reviewer, told["a", "b"].reviewer_reason) == ("Redaktion", "two organs")
    assert answer.summary.constraints_obeyed == 2
    assert streamed(stub, request) == answer.results


def test_contradictions_and_absent_listings_are_told_in_the_warnings(stub):
    request = batch(
        constraint("a", "b", CANNOT),
        constraint("a", "b", MUST),
        constraint("a", "gone", MUST),
        listings=[listing("a"), listing("b")],
    )
    summary = stub.DeduplicateBatch(request, timeout=60).summary
    assert (summary.constraints_contradictory, summary.constraints_absent) == (2, 1)
    assert (
        "the must_link of blatt/a and blatt/b contradicts others; cannot-links are obeyed"
        in summary.warnings
    )
    assert "constraints on listings that are not in this batch: 1" in summary.warnings


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (constraint("a", "a", MUST), "options.constraints[1]"),
        (constraint("a", "b", 0), "options.constraints[1].kind"),
        (constraint("a", "b", 9), "options.constraints[1].kind"),
        (constraint("", "b", MUST), "options.constraints[1].listing_a.id"),
        (constraint("a", "b" * 201, MUST), "options.constraints[1].listing_b.id"),
        (constraint("a", "b", MUST, reviewer="x" * 201), "options.constraints[1].reviewer"),
        (constraint("a", "b", MUST, reason="x" * 1001), "options.constraints[1].reason"),
    ],
)
def test_a_constraint_that_breaks_a_rule_is_refused_with_its_place(stub, wrong, place):
    request = batch(constraint("a", "b", MUST), wrong, listings=[listing("a")])
    for call in (
        lambda: stub.DeduplicateBatch(request, timeout=20),
        lambda: streamed(stub, request),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert [one.path for one in remote_error(refused.value).violations] == [place]
