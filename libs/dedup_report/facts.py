"""The facts of a batch as HTML: counts, run, rules, what was left out, which sources overlap."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from dedup_report.markup import Child, Markup, join, number, table, tag
from dedup_report.results import Results
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

MAX_SOURCES = 20
MAX_REASONS = 50
TIMES = "\u00d7"
RUNGS = {
    pb.CONFIG_SOURCE_LIVE: "live from ConfigService",
    pb.CONFIG_SOURCE_MEMORY: "last good in memory",
    pb.CONFIG_SOURCE_FILE: "last good on disk",
    pb.CONFIG_SOURCE_BOOTSTRAP: "bootstrap file or defaults",
}


def headline(results: Results) -> Markup:
    """Return the counts that matter first."""
    counts = results.summary
    tiles = (
        (counts.read, "listings read", ""),
        (counts.events, "events", ""),
        (counts.merged_events, "of several listings", "yes"),
        (counts.ambiguous, "ambiguous pairs", "maybe"),
        (counts.needs_review, "events flagged", "maybe" if counts.needs_review else ""),
        (counts.quarantined + len(results.unread), "quarantined", ""),
    )
    return tag("ul", *(_tile(*tile) for tile in tiles), class_="tiles")


def _tile(value: int, words: str, style: str) -> Markup:
    return tag("li", tag("b", number(value)), " ", tag("span", words), class_=style)


def warnings(results: Results) -> Markup:
    """Return the batch's warnings; nothing when there are none."""
    found = [*results.summary.warnings]
    ignored = results.summary.run.ignored_paths
    found += [f"Settings of a newer release were ignored: {', '.join(ignored)}"] if ignored else []
    lines = [tag("li", warning) for warning in found]
    return tag("ul", *lines, class_="warnings") if lines else Markup()


def run(results: Results) -> Markup:
    """Return which config and which engine gave the results."""
    one, changed = results.summary.run, results.summary.rules.changed
    return _facts(
        ("Config revision", number(one.revision) if one.revision else "none"),
        ("Config source", RUNGS.get(one.source, "unknown")),
        ("Config digest", tag("code", one.digest)),
        ("Engine version", one.engine_version),
        ("Settings", f"{len(changed)} not the default" if changed else "the defaults"),
    )


def _facts(*rows: tuple[str, str]) -> Markup:
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in rows))


def pair_counts(results: Results) -> Markup:
    """Return how many pairs got which decision."""
    counts = results.summary
    told_apart = counts.candidate_pairs - counts.matches - counts.ambiguous
    vetoed = sum(pair.reason == "title_veto" for pair in results.decisions)
    rows = (
        ("Match", counts.matches, "at or above high"),
        (
            "Ambiguous",
            counts.ambiguous,
            f"between, or vetoed ({vetoed} of those returned)",
        ),
        ("No match", told_apart, "at or below low"),
        ("Compared", counts.candidate_pairs, "pairs that share a day and a key"),
        (
            "Returned",
            len(results.decisions),
            f"at or above {results.floor:g}, or decided by people",
        ),
    )
    return table(("Decision", "Pairs", "Meaning"), rows)


def rules(results: Results) -> Markup:
    """Return the thresholds and weights."""
    one = results.summary.rules
    thresholds = _facts(
        ("Match at or above", f"{one.high:g}"),
        ("No match at or below", f"{one.low:g}"),
        ("Title veto below", f"{one.title_veto:g}" if one.title_veto else "off"),
        ("Odds of one source", _factor(one.same_source_odds)),
        ("Odds of two sources", _factor(one.other_source_odds)),
        ("Odds of two cities", _factor(one.other_city_odds)),
    )
    head = ("Weights", "Date", "Place", "Title", "Description")
    return join((thresholds, table(head, map(_weights, one.weights))))


def _factor(odds: float) -> str:
    return f"{TIMES} {odds or 1:g}"


def _weights(one: pb.SignalWeights) -> list[Markup | str]:
    values = (one.date, one.geo, one.title, one.description)
    cells = [tag("td", f"{value:.2f}", class_="n") for value in values]
    return [one.category or "all other pairs", *cells]


def changed(results: Results) -> Markup:
    """Return the settings that are not the defaults; nothing when all are."""
    found = results.summary.rules.changed
    if not found:
        return Markup()
    rows = [
        (tag("code", one.path), tag("code", one.value), tag("code", one.default_value))
        for one in found
    ]
    listed = table(("Setting", "Value", "Default"), rows)
    title = tag("h3", "Settings that are not the defaults")
    return tag("div", title, listed, class_="panel wide")


def issues(results: Results) -> Markup:
    """Return what was left out and what was repaired, by field and reason."""
    bad = [(one.field, one.reason) for one in results.quarantined] + [*results.unread]
    mended = [(one.field, one.reason) for one in results.repairs]
    return join(
        tag("div", _issues(title, found), class_="panel")
        for title, found in (("Quarantined", bad), ("Repaired", mended))
    )


def _issues(title: str, found: Iterable[tuple[str, str]]) -> Markup:
    counts = Counter((re.sub(r"\[\d+\]", "[]", field), reason) for field, reason in found)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if not ordered:
        return tag("p", f"{title}: none.")
    rows = [(tag("code", field), reason, count) for (field, reason), count in ordered[:MAX_REASONS]]
    more = len(ordered) - len(rows)
    note = tag("p", f"{more} further reasons.") if more else Markup()
    return join((table((title, "Reason", "Cases"), rows), note))


def overlap(results: Results) -> Markup:
    """Return the matrix of sources: how many events have listings of both.

    The diagonal counts events with several listings of one source. At most MAX_SOURCES sources,
    those with the most events of several listings first.
    """
    listings = Counter(results.source(name) for name in results.accepted)
    both, shared = _overlaps(results)
    sources = sorted(listings, key=lambda name: (-shared[name], name))[:MAX_SOURCES]
    most = max(both.values(), default=1)
    rows: list[Sequence[Child]] = [
        (
            tag("bdi", name),
            listings[name],
            tag("td", f"{shared[name] / listings[name]:.0%}", class_="n"),
            *(_shade(both[min(name, other), max(name, other)], most) for other in sources),
        )
        for name in sources
    ]
    more = len(listings) - len(sources)
    note = tag("p", f"{more} further sources are not shown.") if more else Markup()
    head = ("Source", "Listings", "Shared", *(tag("bdi", name) for name in sources))
    return join((tag("div", table(head, rows, class_="matrix"), class_="scroll"), note))


def _overlaps(results: Results) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Return events by pair of sources, and listings in events of several by source."""
    both: Counter[tuple[str, str]] = Counter()
    shared: Counter[str] = Counter()
    for event in results.shared:
        members = Counter(results.source(name) for name in event.listing_ids)
        shared += members
        both.update(combinations(sorted(members), 2))
        both.update((name, name) for name, count in members.items() if count > 1)
    return both, shared


def _shade(count: int, most: int) -> Markup:
    depth = -(-5 * count // most)
    return tag("td", number(count) if count else "·", class_=f"n shade{depth}")
