"""Explanations and previews over the wire, with good and bad clients."""

import grpc
import pytest

from dedup_rpc.channel import connect
from dedup_rpc.client import ConfigClient
from dedup_rpc.status import remote_error
from dedup_rpc.wire import to_message
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

TITLES = {"a": "Orgelabend", "b": "Orgelabend", "c": "Weinprobe", "d": "Orgelabend mit Wein"}
LISTINGS = [
    pb.Listing(
        id=name,
        title=title,
        source_code="blatt",
        event_dates=[pb.EventDate(date="2027-02-06", start_time="19:00")],
        location=pb.Location(city="Lahr"),
    )
    for name, title in TITLES.items()
]
CHUNK = pb.ListingChunk(listings=LISTINGS)


@pytest.fixture(scope="module")
def stub(pair):
    with connect(pair[1].address) as channel:
        yield MatcherServiceStub(channel)


@pytest.fixture(scope="module")
def client(pair):
    with ConfigClient(pair[0].address) as client:
        yield client


@pytest.fixture
def candidate(client):
    """Return the options of a preview of some changed settings."""

    def options(values, **more):
        edit = client.update(values, validate_only=True)
        made = pb.PreviewOptions(base_epoch=edit.epoch, base_revision=edit.revision.number, **more)
        to_message(edit.settings.document, made.candidate)
        return made

    return options


def pair_requests(one="a", other="b", chunk=CHUNK, **more):
    options = pb.ExplainPairOptions(listing_a=one, listing_b=other, **more)
    return iter([pb.ExplainPairRequest(options=options), pb.ExplainPairRequest(listings=chunk)])


def cluster_requests(name, chunk=CHUNK, **more):
    options = pb.ExplainClusterOptions(listing=name, **more)
    return iter(
        [pb.ExplainClusterRequest(options=options), pb.ExplainClusterRequest(listings=chunk)]
    )


def preview_requests(options, *others, chunk=CHUNK):
    yield pb.PreviewConfigRequest(options=options)
    yield from others
    yield pb.PreviewConfigRequest(listings=chunk)


def labelled(**clusters):
    labels = [pb.Label(listing_id=name, cluster_id=true) for name, true in clusters.items()]
    return pb.PreviewConfigRequest(labels=pb.LabelChunk(labels=labels))


def refusal(call):
    with pytest.raises(grpc.RpcError) as refused:
        list(call) if isinstance(call, grpc.RpcError) else call()
    return remote_error(refused.value)


def key(name):
    return pb.ListingKey(source_code="blatt", id=name)


def cannot(one, other):
    return pb.Constraint(
        listing_a=key(one),
        listing_b=key(other),
        kind=pb.CONSTRAINT_KIND_CANNOT_LINK,
        reviewer="Redaktion",
    )


def test_a_pair_is_explained_under_a_named_revision(stub, client):
    found = stub.ExplainPair(pair_requests("b", "a"), timeout=30)
    assert found.run.revision == client.get().revision.number
    assert found.run.digest == client.get().revision.digest
    assert (found.pair.decision.listing_a, found.pair.decision.listing_b) == ("a", "b")
    assert found.pair.together
    assert list(found.pair.keys) == ["city", "title"]
    assert found.pair.decision.decision == pb.DECISION_MATCH
    assert found.rules.high == client.get().settings.config.thresholds.high
    parts = sum(one.score * one.share for one in found.pair.signals)
    assert found.pair.mean == pytest.approx(parts)


def test_a_person_s_decision_is_in_the_explanation_of_pair_and_event(stub):
    people = [cannot("a", "b")]
    found = stub.ExplainPair(pair_requests(constraints=people), timeout=30).pair
    assert not found.together
    assert (found.decision.reason, found.decision.reviewer) == ("cannot_link", "Redaktion")
    assert found.scores_alone.decision == pb.DECISION_MATCH
    event = stub.ExplainCluster(cluster_requests("a", constraints=people), timeout=30)
    assert "b" not in event.event.listing_ids
    assert stub.ExplainCluster(cluster_requests("a"), timeout=30).event.listing_ids[:2] == [
        "a",
        "b",
    ]


def test_an_event_of_one_listing_has_no_members_to_explain(stub):
    found = stub.ExplainCluster(cluster_requests("c"), timeout=30)
    assert list(found.event.listing_ids) == ["c"]
    assert not found.HasField("split")
    assert not found.members
    assert found.nearest


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        (lambda: pair_requests("a", "zz"), "LISTING_NOT_FOUND"),
        (lambda: pair_requests("a", "a"), "SAME_LISTING"),
        (lambda: pair_requests("", "a"), "LENGTH"),
        (lambda: pair_requests("x" * 201, "a"), "LENGTH"),
        (lambda: pair_requests(constraints=[pb.Constraint()]), "INVALID_REQUEST"),
        (lambda: iter([pb.ExplainPairRequest(listings=CHUNK)]), "OPTIONS_FIRST"),
        (lambda: iter([*pair_requests(), *pair_requests()]), "OPTIONS_FIRST"),
        (lambda: iter([]), "OPTIONS_FIRST"),
    ],
)
def test_a_bad_question_about_a_pair_is_refused_by_name(stub, requests, reason):
    error = refusal(lambda: stub.ExplainPair(requests(), timeout=30))
    assert error.reason == reason
    assert error.code.name in ("INVALID_ARGUMENT", "NOT_FOUND")


def test_a_quarantined_listing_is_told_from_an_absent_one(stub):
    chunk = pb.ListingChunk(listings=[*LISTINGS, pb.Listing(id="broken")])
    error = refusal(lambda: stub.ExplainCluster(cluster_requests("broken", chunk), timeout=30))
    assert error.reason == "LISTING_NOT_FOUND"
    assert "was quarantined" in error.message
    error = refusal(lambda: stub.ExplainCluster(cluster_requests("zz"), timeout=30))
    assert "is not in the batch" in error.message


def test_a_preview_tells_what_two_batches_would(stub, candidate):
    answers = list(
        stub.PreviewConfig(preview_requests(candidate({"thresholds.high": 0.9999})), timeout=30)
    )
    kinds = [one.WhichOneof("message") for one in answers]
    assert (kinds[0], kinds[-1]) == ("started", "summary")
    assert set(kinds[1:-1]) <= {"progress", "changes"}
    summary = answers[-1].summary
    assert summary.before.counts.run == answers[0].started
    batch = stub.DeduplicateBatch(pb.DeduplicateBatchRequest(listings=LISTINGS), timeout=30)
    for name in ("read", "candidate_pairs", "matches", "ambiguous", "events", "merged_events"):
        assert getattr(summary.before.counts, name) == getattr(batch.summary, name)
    (changed,) = summary.changed
    assert (changed.path, changed.value) == ("thresholds.high", "0.9999")
    assert summary.after.counts.matches < summary.before.counts.matches
    assert not summary.before.HasField("figures")


def test_figures_come_with_labels_and_go_into_the_evidence(stub, client, candidate):
    options = candidate({"thresholds.high": 0.9999})
    requests = preview_requests(options, labelled(a="1", b="1"), labelled(c="2", d="3"))
    (*_, last) = stub.PreviewConfig(requests, timeout=30)
    figures = last.summary.before.figures
    assert (figures.labelled, figures.true_pairs) == (4, 1)
    assert figures.pairwise.recall == 1
    evidence = dict(last.summary.evidence)
    assert evidence["base"]["revision"] == client.get().revision.number
    assert evidence["before"]["f1"] == pytest.approx(figures.pairwise.f1, abs=1e-6)
    assert "Orgelabend" not in str(evidence)


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([labelled(a="1"), labelled(a="2")], "REPEATED"),
        ([labelled(a="")], "REQUIRED"),
        ([pb.PreviewConfigRequest(options=pb.PreviewOptions())], "OPTIONS_FIRST"),
    ],
)
def test_a_bad_label_or_a_second_question_is_refused(stub, candidate, others, reason):
    options = candidate({"thresholds.high": 0.9})
    call = stub.PreviewConfig(preview_requests(options, *others), timeout=30)
    assert refusal(lambda: list(call)).reason == reason


def test_a_candidate_must_be_whole_and_valid(stub, candidate):
    partial = pb.PreviewOptions()
    partial.candidate.thresholds.high = 0.8
    error = refusal(lambda: list(stub.PreviewConfig(preview_requests(partial), timeout=30)))
    assert error.reason == "INCOMPLETE"
    wrong = candidate({"thresholds.high": 0.9})
    wrong.candidate.thresholds.high = 7
    error = refusal(lambda: list(stub.PreviewConfig(preview_requests(wrong), timeout=30)))
    assert {one.path for one in error.violations} >= {"thresholds.high"}
    many = candidate({"thresholds.high": 0.9}, max_examples=10_001)
    error = refusal(lambda: list(stub.PreviewConfig(preview_requests(many), timeout=30)))
    assert error.reason == "RANGE"


def test_a_candidate_of_another_base_is_refused(stub, candidate):
    stale = candidate({"thresholds.high": 0.9})
    stale.base_revision += 1
    error = refusal(lambda: list(stub.PreviewConfig(preview_requests(stale), timeout=30)))
    assert (error.code.name, error.reason) == ("ABORTED", "REVISION_CONFLICT")
    assert error.facts["base_revision"] == str(stale.base_revision)
    stale.base_epoch = ""
    assert list(stub.PreviewConfig(preview_requests(stale), timeout=30))[-1].HasField("summary")


def test_a_preview_stores_nothing(stub, client, candidate):
    before = client.get().revision.number
    list(stub.PreviewConfig(preview_requests(candidate({"thresholds.high": 0.9})), timeout=30))
    assert client.get().revision.number == before
