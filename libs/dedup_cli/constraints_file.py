"""Reading people's decisions: the constraints file that a batch's report exports."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from dedup_model.errors import InvalidRequest, Violation, invalid
from eventdedup.matcher.v1 import matcher_service_pb2 as pb
from matcher_service.convert_options import constraint_faults

MAX_BYTES = 1_000_000
"""Of all constraints as one message; a matcher receives up to 1 MiB."""
KINDS = ("MUST_LINK", "CANNOT_LINK")
SHAPE = "kind, listing_a, listing_b, reviewer and reason"
LISTING_SHAPE = "id and source_code"


def read_constraints(path: Path) -> list[pb.Constraint]:
    """Return the constraints of a JSON Lines file; blank lines are skipped.

    Raises `InvalidRequest`, which names the lines that are none, or the size that is too large.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid(str(path), "ENCODING", "must be UTF-8") from None
    found: list[pb.Constraint] = []
    violations: list[Violation] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            found.extend(_constraints(line))
        except (ValueError, RecursionError) as problem:
            violations.append(Violation(f"{path}, line {number}", "CONSTRAINT", str(problem)))
    if violations:
        raise InvalidRequest(violations)
    size = pb.BatchOptions(constraints=found).ByteSize()
    if size > MAX_BYTES:
        raise invalid(str(path), "SIZE", f"{size} bytes of constraints; at most {MAX_BYTES}")
    return found


def _constraints(line: str) -> Iterator[pb.Constraint]:
    if not line.strip():
        return
    document = _object(line)
    if document.get("kind") not in KINDS:
        raise ValueError("kind must be MUST_LINK or CANNOT_LINK")
    kind = f"CONSTRAINT_KIND_{document['kind']}"
    try:
        one = json_format.ParseDict({**document, "kind": kind}, pb.Constraint())
    except json_format.ParseError:
        raise ValueError(f"holds {SHAPE}, each listing {LISTING_SHAPE}, and texts alone") from None
    if faults := [
        f"{fault.path}: {fault.description}" for fault in constraint_faults(one, "decision")
    ]:
        raise ValueError("; ".join(faults))
    yield one


def _object(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        raise ValueError("not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document
