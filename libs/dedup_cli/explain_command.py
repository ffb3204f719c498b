"""`event-dedup explain`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer
from rich.markup import escape

from dedup_cli.batch_client import chunked
from dedup_cli.console import OUT, explained
from dedup_cli.constraints_file import read_constraints
from dedup_cli.credentials import with_credentials
from dedup_cli.reading import Record
from dedup_cli.sources import (
    Matcher,
    On,
    Pair,
    People,
    Settings,
    Titles,
    pair_at,
    records_of,
    told_apart,
)
from dedup_cli.waterfall import short, waterfall
from dedup_model.errors import invalid
from dedup_rpc.channel import Credentials, connect
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from eventdedup.matcher.v1.matcher_service_pb2_grpc import MatcherServiceStub

APP = typer.Typer(add_completion=False)

PAIR = 2


@APP.command()
@with_credentials
def explain(
    listings: Annotated[
        list[str], typer.Argument(help="Two ids, or one to explain its whole event.")
    ],
    on: On = [],  # noqa: B006
    matcher: Matcher = "",
    config: Settings = None,
    constraints: People = None,
    *,
    credentials: Credentials,
) -> None:
    """Tell why two listings are one event or two, or what holds an event together."""
    with explained(matcher or "the private pair"):
        names, files = told_apart(listings, on)
        if not 1 <= len(names) <= PAIR:
            raise invalid("listings", "COUNT", "name two listings, or one of an event")
        people = read_constraints(constraints) if constraints else []
        records = records_of(files)
        titles = Titles(records)
        with pair_at(matcher, "", config, credentials) as pair:
            lines = (
                _pair_lines(_asked_pair(pair, names, records, people), titles)
                if len(names) == PAIR
                else _cluster_lines(_asked_cluster(pair, names[0], records, people), titles)
            )
        OUT.print(escape("\n".join(lines)))


def _asked_pair(
    pair: Pair, names: Sequence[str], records: Sequence[Record], people: Iterable[pb.Constraint]
) -> pb.ExplainPairResponse:
    options = pb.ExplainPairOptions(listing_a=names[0], listing_b=names[1], constraints=people)

    def requests() -> Iterator[pb.ExplainPairRequest]:
        yield pb.ExplainPairRequest(options=options)
        for chunk in chunked(records):
            yield pb.ExplainPairRequest(listings=chunk)

    with connect(pair.matcher, pair.credentials) as channel:
        return MatcherServiceStub(channel).ExplainPair(requests())


def _asked_cluster(
    pair: Pair, name: str, records: Sequence[Record], people: Iterable[pb.Constraint]
) -> pb.ExplainClusterResponse:
    options = pb.ExplainClusterOptions(listing=name, constraints=people)

    def requests() -> Iterator[pb.ExplainClusterRequest]:
        yield pb.ExplainClusterRequest(options=options)
        for chunk in chunked(records):
            yield pb.ExplainClusterRequest(listings=chunk)

    with connect(pair.matcher, pair.credentials) as channel:
        return MatcherServiceStub(channel).ExplainCluster(requests())


def _pair_lines(answer: pb.ExplainPairResponse, titles: Titles) -> list[str]:
    found, one = answer.pair, answer.pair.decision
    return [
        *(f"{name}: {short(titles[name])}" for name in (one.listing_a, one.listing_b)),
        "",
        *waterfall(found.signals, one.combined, _odds(found)),
        "",
        *_sentences(answer),
        _ran_under(answer.run),
    ]


def _odds(found: pb.PairExplanation) -> str:
    return f"odds x {found.odds:g}" if found.odds != 1 else ""


def _sentences(answer: pb.ExplainPairResponse) -> Iterator[str]:
    found, rules = answer.pair, answer.rules
    one = found.decision
    where = "one event" if found.together else "two events"
    weights = f", weights of {one.category}" if one.category else ""
    yield f"in {where}; the pair is {_verdict(one)}{weights}"
    yield f"bounds: high {rules.high:g}, low {rules.low:g}, title veto {rules.title_veto:g}"
    yield f"shared keys: {', '.join(found.keys) or 'none, so that the two are not compared'}"
    if one.tier == "person":
        yield f"decided by {one.reviewer or 'a person'}: {one.reviewer_reason or 'no reason given'}"
        yield f"the scores alone: {_verdict(found.scores_alone)}"
    if found.together and one.decision != pb.DECISION_MATCH:
        yield "joined through other listings; explain one of the two to see its event"
    if not found.together and one.decision == pb.DECISION_MATCH:
        yield "kept apart by other listings of the two events"
    if found.is_asked:
        yield "the language model is asked about such a pair; its answer is not in here"


def _verdict(one: pb.PairDecision) -> str:
    decision = pb.Decision.Name(one.decision).removeprefix("DECISION_").lower()
    return f"{decision} ({one.reason})"


def _ran_under(run: pb.Run) -> str:
    return f"config: revision {run.revision}, digest {run.digest[:12]}, engine {run.engine_version}"


def _cluster_lines(answer: pb.ExplainClusterResponse, titles: Titles) -> list[str]:
    event = answer.event
    return [
        f"{event.id}: {short(event.event.title)}",
        f"{len(event.listing_ids)} listings",
        *(_member(one, titles) for one in answer.members),
        *(_split(answer.split) if answer.HasField("split") else ()),
        *(["nearest outside:"] if answer.nearest else ["nothing outside comes near"]),
        *(_near(one, titles) for one in answer.nearest),
        _ran_under(answer.run),
    ]


def _member(one: pb.MemberExplanation, titles: Titles) -> str:
    likest = one.likest
    other = likest.listing_b if likest.listing_a == one.listing_id else likest.listing_a
    return (
        f"  {one.listing_id}: {short(titles[one.listing_id])}\n"
        f"    likest {other} {likest.combined:.3f}, {_verdict(likest)};"
        f" mean with all {one.mean:.3f}"
    )


def _split(one: pb.Split) -> Iterator[str]:
    yield f"weakest link {one.mean:.3f}: {', '.join(one.part_a)} | {', '.join(one.part_b)}"
    yield (
        f"  a split there parts {one.matches} matches and {one.must_links} must-links of"
        f" {one.compared} compared pairs; the likest is {_pair(one.strongest)}"
    )


def _near(one: pb.PairDecision, titles: Titles) -> str:
    return f"  {_pair(one)}: {short(titles[one.listing_a])} | {short(titles[one.listing_b])}"


def _pair(one: pb.PairDecision) -> str:
    return f"{one.listing_a} | {one.listing_b} {one.combined:.3f}, {_verdict(one)}"
