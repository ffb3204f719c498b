"""The options of a batch: judged, and turned into the engine's values."""

from collections.abc import Iterator
from dataclasses import dataclass

from dedup_model.errors import InvalidRequest, Violation
from dedup_rpc.wire import refuse_unknown_fields
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service.engine.constraints import Constraint, Key, Kind

DEFAULT_FLOOR = 0.65
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
    for index, one in enumerate(message.constraints):
        found += _violations(one, f"options.constraints[{index}]")
    if found:
        raise InvalidRequest(found)
    return Options(floor, tuple(map(_constraint, message.constraints)))


def _violations(one: pb.Constraint, path: str) -> Iterator[Violation]:
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
