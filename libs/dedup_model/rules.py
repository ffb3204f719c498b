"""Reading and judging documents: every violation at once, and warnings for what merely looks odd."""

import copy
import difflib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dedup_model.errors import InvalidRequest, Violation, invalid
from dedup_model.matching_config import MatchingConfig
from dedup_model.text_rules import shown_name
from dedup_model.tree import (
    DEFAULTS,
    Document,
    Schema,
    canonical_json,
    entry_of,
    fields,
    ignored_paths,
    item_of,
    known,
    layer,
    put,
    section_of,
)

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_SET_ASIDE = 100
"""Broken places that are set aside to judge the rest; beyond them, rules between fields wait."""
SUM_TOLERANCE = 0.01
SIGNALS = ("date", "geo", "title", "description")

_RULES = {
    "extra_forbidden": "UNKNOWN_KEY",
    "finite_number": "NOT_FINITE",
    "greater_than_equal": "RANGE",
    "less_than_equal": "RANGE",
    "string_too_long": "TOO_LARGE",
    "string_too_short": "RANGE",
    "too_long": "TOO_LARGE",
    "string_pattern_mismatch": "PATTERN",
    "missing": "REQUIRED",
    "enum": "UNKNOWN_VALUE",
    "control_character": "CONTROL_CHARACTER",
    "secret_in_config": "SECRET_IN_CONFIG",
    "key_charset": "KEY_CHARSET",
}

Check: TypeAlias = tuple[tuple[str, ...], Callable[[MatchingConfig], bool], str]


def _ordered(low: str, high: str, unit: float = 1.0, *, equal: bool = True) -> Check:
    def holds(config: MatchingConfig) -> bool:
        lower, upper = _value(config, low), _value(config, high) * unit
        return lower < upper or (equal and lower == upper)

    return (low, high), holds, f"{low} must {'not exceed' if equal else 'be below'} {high}"


def _positive(*paths: str) -> Check:
    def holds(config: MatchingConfig) -> bool:
        return sum(_value(config, path) for path in paths) > 0

    return paths, holds, f"at least one of {', '.join(paths)} must be above 0"


def _value(config: MatchingConfig, path: str) -> float:
    node: Any = config
    for name in path.split("."):
        node = getattr(node, name)
    return float(node)


CHECKS: tuple[Check, ...] = (
    _ordered("thresholds.low", "thresholds.high", equal=False),
    _ordered("date.time_tolerance_minutes", "date.time_close_minutes"),
    _ordered("date.time_close_minutes", "date.time_gap_penalty_hours", 60.0),
    _ordered("title.blend_lower", "title.blend_upper"),
    _ordered("title.cross_source_type.blend_lower", "title.cross_source_type.blend_upper"),
    _ordered("ai.min_combined_score", "ai.max_combined_score"),
    _positive(*(f"scoring.{signal}" for signal in SIGNALS)),
    _positive("title.primary_weight", "title.secondary_weight"),
    _positive("title.cross_source_type.primary_weight", "title.cross_source_type.secondary_weight"),
)


def weights_of(config: MatchingConfig, category: str | None) -> tuple[float, ...]:
    """Return the four weights that hold for a category; unset ones come from `scoring`."""
    entry = config.category_weights.overrides.get(category) if category else None
    base = [getattr(config.scoring, signal) for signal in SIGNALS]
    own = [getattr(entry, signal) if entry else None for signal in SIGNALS]
    return tuple(b if o is None else o for b, o in zip(base, own, strict=True))


def validated(document: Document) -> MatchingConfig:
    """Return the config of a whole or partial document, defaults filled in.

    Raises `InvalidRequest` with every violation: types, ranges, unknown keys, rules between fields.
    """
    violations = _size_violations(document)
    try:
        config = MatchingConfig.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=True)
        violations += [_violation(detail) for detail in details]
        config = _without(document, [detail["loc"] for detail in details[:MAX_SET_ASIDE]])
    violations += cross_violations(config, {violation.path for violation in violations})
    if violations:
        raise InvalidRequest(violations)
    return config


def _size_violations(document: Document) -> list[Violation]:
    try:
        size = len(canonical_json(document))
    except (ValueError, TypeError):
        return []
    except RecursionError:
        return [Violation("config", "TOO_DEEP", "nested deeper than the settings are")]
    too_large = size > MAX_DOCUMENT_BYTES
    message = f"the whole config may hold {MAX_DOCUMENT_BYTES} bytes of JSON"
    return [Violation("config", "TOO_LARGE", message)] if too_large else []


def oversized(
    document: Document, schema: Schema = MatchingConfig, prefix: str = ""
) -> Iterator[Violation]:
    """Yield the lists and maps of a document that hold more than they may; judges nothing else."""
    for name, info in schema.model_fields.items():
        value, place = document.get(name), f"{prefix}{name}"
        most = max((getattr(rule, "max_length", 0) for rule in info.metadata), default=0)
        if most and isinstance(value, list | dict) and len(value) > most:
            yield Violation(place, "TOO_LARGE", f"at most {most} items")
        elif isinstance(value, dict) and (section := section_of(info.annotation)):
            yield from oversized(value, section, f"{place}.")
        elif isinstance(value, list) and (items := item_of(info.annotation)):
            for i, item in enumerate(value):
                yield from oversized(item, items, f"{place}.{i}.")


def _without(document: Document, places: list[tuple[int | str, ...]]) -> MatchingConfig:
    """Return the config with what is broken left out: defaults stand in for it."""
    for place in places:
        document = put(document, leaf, None) if (leaf := _leaf(place)) else {}
    try:
        return MatchingConfig.model_validate(document)
    except ValidationError:
        return MatchingConfig()


def _leaf(place: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the part of an error's place that names a leaf of the tree or an entry of a map."""
    path: list[str] = []
    schema: Schema | None = MatchingConfig
    entries = False
    for part in place:
        if schema is None and not entries:
            break
        path.append(str(part))
        annotation = fields(schema).get(str(part)) if schema else None
        schema, entries = section_of(annotation), entry_of(annotation) is not None
    return tuple(path)


def _violation(detail: ErrorDetails) -> Violation:
    place = tuple(shown_name(str(part)) for part in detail["loc"] if part != "[key]")
    path = ".".join(place)
    rule = _RULES.get(detail["type"], "TYPE")
    if rule == "UNKNOWN_KEY":
        return Violation(path, rule, "no such setting" + _suggestion(place))
    return Violation(path, rule, detail["msg"][:1].lower() + detail["msg"][1:])


def _suggestion(place: tuple[str, ...]) -> str:
    names = list(fields(_schema_at(place[:-1])))
    close = difflib.get_close_matches(place[-1], names, n=1)
    return f"; did you mean {'.'.join((*place[:-1], close[0]))}?" if close else ""


def _schema_at(place: tuple[str, ...]) -> Schema:
    schema: Schema = MatchingConfig
    for part in place:
        annotation = fields(schema).get(part)
        schema = section_of(annotation) or entry_of(annotation) or item_of(annotation) or schema
    return schema


def cross_violations(config: MatchingConfig, broken: AbstractSet[str]) -> list[Violation]:
    """Return the broken rules between fields, each on its first field; none with a broken field."""
    found = [
        Violation(paths[0], "CROSS_FIELD", description)
        for paths, holds, description in CHECKS
        if not (broken & {*paths}) and not holds(config)
    ]
    zero = [key for key in config.category_weights.overrides if sum(weights_of(config, key)) <= 0]
    text = "at least one weight must be above 0"
    places = [f"category_weights.overrides.{key}" for key in sorted(zero)]
    return found + [Violation(place, "CROSS_FIELD", text) for place in places]


def warnings(config: MatchingConfig) -> list[str]:
    """Return what is allowed but probably not meant, one sentence each."""
    return [*_sum_warnings(config), *_category_warnings(config), *_window_warnings(config)]


def _sum_warnings(config: MatchingConfig) -> list[str]:
    places = {"scoring": weights_of(config, None)} | {
        f"category_weights.overrides.{key}": weights_of(config, key)
        for key in sorted(config.category_weights.overrides)
    }
    return [
        f"{place}: weights sum to {sum(weights):g}, not 1.0; they are divided by their sum"
        for place, weights in places.items()
        if abs(sum(weights) - 1.0) > SUM_TOLERANCE
    ]


def _category_warnings(config: MatchingConfig) -> list[str]:
    section = config.category_weights
    unplaced = sorted(set(section.overrides) - set(section.priority))
    empty = sorted(set(section.priority) - set(section.overrides))
    return [
        *(f"category_weights.overrides.{key}: not in priority, never applies" for key in unplaced),
        *(f"category_weights.priority: {key} has no weights in overrides" for key in empty),
    ]


def _window_warnings(config: MatchingConfig) -> list[str]:
    ai, thresholds = config.ai, config.thresholds
    if ai.max_combined_score <= thresholds.low:
        return ["ai: the score window lies below thresholds.low, no pair falls into it"]
    if ai.min_combined_score >= thresholds.high and thresholds.title_veto <= 0:
        return ["ai: the score window lies above thresholds.high with the veto off, it is empty"]
    if ai.max_combined_score > thresholds.high and thresholds.title_veto <= 0:
        return ["ai: the score window ends above thresholds.high with the veto off; that is empty"]
    if ai.min_combined_score < thresholds.low:
        return ["ai: the score window begins below thresholds.low; that part of it is empty"]
    return []


def read(document: Document) -> tuple[MatchingConfig, list[str]]:
    """Read a document of any release: unknown keys are dropped and returned as paths.

    Raises `InvalidRequest` when what is known is not valid.
    """
    if not isinstance(document, dict):
        raise invalid("config", "TYPE", "must be an object")
    kept = known(document)
    return validated(kept), ignored_paths(document, kept)


def complete(document: Document) -> Document:
    """Return a document with the code's defaults where it has nothing."""
    return layer(copy.deepcopy(DEFAULTS), document)
