"""Between explanations and previews and the messages of `eventdedup.matcher.v1`."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from dedup_model.tree import changes, digest, dump
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service import convert
from matcher_service.config_client import BatchConfig
from matcher_service.engine.cluster_explanation import ClusterExplanation, Member, Split
from matcher_service.engine.constraints import Constraint, Key
from matcher_service.engine.evaluation import Rates
from matcher_service.engine.explanation import PairExplanation, SignalExplanation
from matcher_service.engine.pipeline import ENGINE_VERSION
from matcher_service.engine.preview import Against, Disagreement, Flip, Groups, Regrouping, Run
from matcher_service.inspection import Preview

MAX_CHANGES = 100
"""Changed settings that the evidence tells."""


def pair_answer(pinned: BatchConfig, one: PairExplanation) -> pb.ExplainPairResponse:
    """Return the answer about two listings."""
    explained = pb.PairExplanation(
        decision=convert.decision(one.decision),
        scores_alone=convert.decision(one.scores_alone),
        signals=map(_signal, one.signals),
        mean=one.mean,
        odds=one.odds,
        keys=one.keys,
        together=one.together,
        is_asked=one.is_asked,
    )
    rules = convert.rules(pinned.snapshot.config)
    return pb.ExplainPairResponse(run=convert.run(pinned), rules=rules, pair=explained)


def _signal(one: SignalExplanation) -> pb.SignalExplanation:
    return pb.SignalExplanation(
        signal=one.signal, score=one.score, share=one.share, text_a=one.text_a, text_b=one.text_b
    )


def cluster_answer(pinned: BatchConfig, one: ClusterExplanation) -> pb.ExplainClusterResponse:
    """Return the answer about an event."""
    return pb.ExplainClusterResponse(
        run=convert.run(pinned),
        rules=convert.rules(pinned.snapshot.config),
        event=convert.event(one.event),
        members=map(_member, one.members),
        split=_split(one.split) if one.split else None,
        nearest=map(convert.decision, one.nearest),
    )


def _member(one: Member) -> pb.MemberExplanation:
    likest = convert.decision(one.likest)
    return pb.MemberExplanation(listing_id=one.listing_id, likest=likest, mean=one.mean)


def _split(one: Split) -> pb.Split:
    return pb.Split(
        part_a=one.part_a,
        part_b=one.part_b,
        mean=one.mean,
        compared=one.compared,
        matches=one.matches,
        must_links=one.must_links,
        strongest=convert.decision(one.strongest),
    )


def preview_chunks(preview: Preview) -> Iterator[pb.PreviewChunk]:
    """Yield what changes in messages of about `convert.CHUNK_BYTES`."""
    found = preview.comparison
    return convert.packed(
        pb.PreviewChunk,
        chain(
            (("flips", _flip(one)) for one in found.flips),
            (("regroupings", _regrouping(one)) for one in found.regroupings),
            (("disagreements", _disagreement(one)) for one in found.disagreements),
        ),
    )


def _flip(one: Flip) -> pb.Flip:
    return pb.Flip(
        listing_a=one.pair[0],
        listing_b=one.pair[1],
        before=convert.decision(one.before) if one.before else None,
        after=convert.decision(one.after) if one.after else None,
        together_before=one.together_before,
        together_after=one.together_after,
        same=one.same,
    )


def _regrouping(one: Regrouping) -> pb.Regrouping:
    return pb.Regrouping(before=_groups(one.before), after=_groups(one.after))


def _groups(groups: Groups) -> list[pb.ListingGroup]:
    return [pb.ListingGroup(listing_ids=group) for group in groups]


def _disagreement(one: Disagreement) -> pb.Disagreement:
    return pb.Disagreement(
        constraint=_constraint(one.constraint),
        before=_named(one.before),
        after=_named(one.after),
        is_new=one.is_new,
    )


def _constraint(one: Constraint) -> pb.Constraint:
    return pb.Constraint(
        listing_a=_key(one.listing_a),
        listing_b=_key(one.listing_b),
        kind=pb.ConstraintKind.Value(f"CONSTRAINT_KIND_{one.kind.upper()}"),
        reviewer=one.reviewer,
        reason=one.reason,
    )


def _key(key: Key) -> pb.ListingKey:
    return pb.ListingKey(source_code=key.source_code, id=key.id)


def _named(decision: str) -> "pb.Decision.ValueType":
    return pb.Decision.Value(f"DECISION_{decision.upper()}")


def preview_summary(pinned: BatchConfig, preview: Preview) -> pb.PreviewSummary:
    """Return what a preview comes to."""
    found, before, after = preview.comparison, preview.before, preview.after
    candidate = pb.Run(digest=_digest(after), engine_version=ENGINE_VERSION)
    summary = pb.PreviewSummary(
        before=_side(convert.run(pinned), before, found.against_before),
        after=_side(candidate, after, found.against_after),
        changed=convert.changed(dump(before.batch.config), dump(after.batch.config)),
        flips=[
            pb.FlipCount(before=_named(was), after=_named(now), pairs=count)
            for (was, now), count in found.decisions.items()
        ],
        pairs_joined=found.joined,
        pairs_parted=found.parted,
        regroupings=found.regrouped,
        disagreements=len(found.disagreements),
        new_disagreements=sum(one.is_new for one in found.disagreements),
    )
    summary.evidence.update(_evidence(pinned, preview))
    return summary


def _digest(run: Run) -> str:
    return digest(dump(run.batch.config))


def _side(run: pb.Run, side: Run, against: Against | None) -> pb.PreviewSide:
    counts = convert.counted(run, side.batch.config, side.result.counts)
    return pb.PreviewSide(counts=counts, figures=_figures(against) if against else None)


def _figures(against: Against) -> pb.LabelFigures:
    whole = against.whole
    return pb.LabelFigures(
        pairwise=_rates(whole.pairwise),
        b_cubed=_rates(whole.b_cubed),
        cross_source=_rates(against.cross),
        labelled=whole.labelled,
        true_pairs=whole.true_pairs,
        found_pairs=whole.found_pairs,
        right_pairs=whole.right_pairs,
    )


def _rates(rates: Rates) -> pb.Rates:
    return pb.Rates(precision=rates.precision, recall=rates.recall, f1=rates.f1)


def _evidence(pinned: BatchConfig, preview: Preview) -> dict[str, Any]:
    """Return the figures in short; texts of events do not come in."""
    found, snapshot = preview.comparison, pinned.snapshot
    sides = (dump(preview.before.batch.config), dump(preview.after.batch.config))
    return {
        "kind": "preview",
        "engine_version": ENGINE_VERSION,
        "base": {"epoch": snapshot.epoch, "revision": snapshot.revision, "digest": snapshot.digest},
        "candidate_digest": _digest(preview.after),
        "changed": [path for path, _, _ in changes(*sides)][:MAX_CHANGES],
        "flips": {f"{was} to {now}": count for (was, now), count in found.decisions.items()},
        "pairs_joined": found.joined,
        "pairs_parted": found.parted,
        "new_disagreements": sum(one.is_new for one in found.disagreements),
        "before": _short(preview.before, found.against_before),
        "after": _short(preview.after, found.against_after),
    }


def _short(run: Run, against: Against | None) -> dict[str, Any]:
    counts = {name: run.result.counts[name] for name in ("read", "matches", "ambiguous", "events")}
    if against is None:
        return counts
    rates = against.whole.pairwise
    figures = {"precision": rates.precision, "recall": rates.recall, "f1": rates.f1}
    return (
        counts | {"labelled": against.whole.labelled} | {k: round(v, 6) for k, v in figures.items()}
    )
