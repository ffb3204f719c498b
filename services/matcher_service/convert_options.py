"""The options of calls: judged, and turned into the engine's values."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dedup_model import rules, tree
from dedup_model.errors import InvalidRequest, RevisionConflict, Violation, invalid
from dedup_model.matching_config import SCHEMA_VERSION, MatchingConfig
from dedup_rpc.client import documents
from dedup_rpc.wire import refuse_unknown_fields
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service.engine.constraints import Constraint, Key, Kind

DEFAULT_FLOOR = 0.65
DEFAULT_EXAMPLES = 200
MAX_EXAMPLES = 10_000
MAX_NAME = 200
MAX_REASON = 1000
_KINDS = {
    pb.CONSTRAINT_KIND_MUST_LINK: Kind.MUST_LINK,
    pb.CONSTRAINT_KIND_CANNOT_LINK: Kind.CANNOT_LINK,
}


@dataclass(frozen=True)
class Options:
    """How to run a batch: the lowest combined score returned, 0 to 1, and people's decisions."""

    floor: float
    constraints: tuple[Constraint, ...]


def options(message: pb.BatchOptions) -> Options:
    """Return the options; raises `InvalidRequest`, which names every rule that they break."""
    refuse_unknown_fields(message)
    floor = message.decision_floor if message.HasField("decision_floor") else DEFAULT_FLOOR
    found = [] if 0 <= floor <= 1 else [Violation("options.decision_floor", "RANGE", "0 to 1")]
    return Options(floor, _constraints(message.constraints, found))


@dataclass(frozen=True)
class Asked:
    """Which listings to explain, and people's decisions."""

    listings: tuple[str, ...]
    constraints: tuple[Constraint, ...]


def pair_options(message: pb.ExplainPairOptions) -> Asked:
    """Return which two listings to explain, sorted; raises `InvalidRequest`."""
    refuse_unknown_fields(message)
    found = list(_unnamed(message, ("listing_a", "listing_b")))
    if message.listing_a == message.listing_b:
        found.append(Violation("options", "SAME_LISTING", "two different listings"))
    listings = sorted((message.listing_a, message.listing_b))
    return Asked(tuple(listings), _constraints(message.constraints, found))


def cluster_options(message: pb.ExplainClusterOptions) -> Asked:
    """Return whose event to explain; raises `InvalidRequest`."""
    refuse_unknown_fields(message)
    found = list(_unnamed(message, ("listing",)))
    return Asked((message.listing,), _constraints(message.constraints, found))


@dataclass(frozen=True)
class PreviewOptions:
    """The candidate, the epoch and revision that it was made from, and how much to tell."""

    candidate: MatchingConfig
    base: tuple[str, int]
    constraints: tuple[Constraint, ...]
    examples: int

    def require_base(self, epoch: str, revision: int) -> None:
        """Raise `RevisionConflict` when another config holds than the candidate was made from."""
        if self.base[0] and self.base != (epoch, revision):
            raise RevisionConflict(
                "another config holds here than the candidate was made from",
                base_revision=str(self.base[1]),
                revision=str(revision),
            )


def preview_options(message: pb.PreviewOptions) -> PreviewOptions:
    """Return what to preview; raises `InvalidRequest`."""
    refuse_unknown_fields(message)
    examples = message.max_examples if message.HasField("max_examples") else DEFAULT_EXAMPLES
    found = []
    if not 0 <= examples <= MAX_EXAMPLES:
        found.append(Violation("options.max_examples", "RANGE", f"0 to {MAX_EXAMPLES}"))
    constraints = _constraints(message.constraints, found)
    base = message.base_epoch, message.base_revision
    return PreviewOptions(_candidate(message), base, constraints, examples)


def _candidate(message: pb.PreviewOptions) -> MatchingConfig:
    """Return the candidate, which must be whole: what is left out would silently be a default."""
    document = documents.effective(message.candidate, SCHEMA_VERSION)
    missing = [
        ".".join(path)
        for path in tree.leaf_paths()
        if tree.find(document, path) is None and tree.find(tree.DEFAULTS, path) is not None
    ]
    if missing:
        raise invalid(
            f"options.candidate.{missing[0]}",
            "INCOMPLETE",
            "send a whole config, such as UpdateConfig with validate_only answers",
        )
    return rules.validated(document)


@dataclass
class Labels:
    """The true event of each labelled listing, from messages as they come."""

    most: int
    clusters: dict[str, str] = field(default_factory=dict)

    def add(self, chunk: pb.LabelChunk) -> None:
        """Take labels in; raises `InvalidRequest`."""
        for one in chunk.labels:
            if not one.listing_id or not one.cluster_id:
                raise invalid("labels", "REQUIRED", "a label names a listing and its true event")
            if one.listing_id in self.clusters:
                raise invalid("labels", "REPEATED", "a listing is labelled once")
            self.clusters[one.listing_id] = one.cluster_id
        if len(self.clusters) > self.most:
            raise invalid("labels", "LENGTH", f"at most {self.most} labels")


def _unnamed(message: Any, names: Sequence[str]) -> Iterator[Violation]:
    for name in names:
        if not 1 <= len(getattr(message, name)) <= MAX_NAME:
            yield Violation(f"options.{name}", "LENGTH", f"1 to {MAX_NAME} characters")


def _constraints(
    messages: Iterable[pb.Constraint], found: list[Violation]
) -> tuple[Constraint, ...]:
    """Return people's decisions; raises `InvalidRequest` with what was `found` and what they break."""
    for index, one in enumerate(messages):
        found += constraint_faults(one, f"options.constraints[{index}]")
    if found:
        raise InvalidRequest(found)
    return constraints_of(messages)


def constraints_of(messages: Iterable[pb.Constraint]) -> tuple[Constraint, ...]:
    """Return people's decisions that were judged before."""
    return tuple(map(_constraint, messages))


def constraint_faults(one: pb.Constraint, path: str) -> Iterator[Violation]:
    """Yield what is wrong with a person's decision that stands at `path`."""
    if one.kind not in _KINDS:
        yield Violation(f"{path}.kind", "REQUIRED", "MUST_LINK or CANNOT_LINK")
    for name in ("listing_a", "listing_b"):
        if not 1 <= len(getattr(one, name).id) <= MAX_NAME:
            yield Violation(f"{path}.{name}.id", "LENGTH", f"1 to {MAX_NAME} characters")
    if one.listing_a == one.listing_b:
        yield Violation(path, "SAME_LISTING", "two different listings")
    for name, limit in (("reviewer", MAX_NAME), ("reason", MAX_REASON)):
        if len(getattr(one, name)) > limit:
            yield Violation(f"{path}.{name}", "LENGTH", f"up to {limit} characters")


def _constraint(one: pb.Constraint) -> Constraint:
    a, b = one.listing_a, one.listing_b
    keys = Key(a.source_code, a.id), Key(b.source_code, b.id)
    return Constraint(*keys, _KINDS[one.kind], one.reviewer, one.reason)
