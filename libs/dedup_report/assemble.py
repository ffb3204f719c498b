"""The page: template, style, script and data in one text that loads nothing."""

import base64
import hashlib
from importlib.resources import files
from string import Template

from dedup_report import charts, facts
from dedup_report.embedded import data
from dedup_report.markup import Markup, json_text, number, tag
from dedup_report.results import Results
from dedup_report.selection import Limits, Selection, select

SCRIPTS = ("dom.js", "data.js", "judgements.js", "pairs.js", "events.js", "review.js", "start.js")
DEFAULT_LIMITS = Limits()


def page(results: Results, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return the report of a batch as one HTML page.

    The same listings under the same revision from the same source give the same text, in any order
    of input. It holds at most what `limits` allow, and says what it left out.
    """
    chosen = select(results, limits)
    style, script = _file("report.css"), "(() => {\n" + "".join(map(_file, SCRIPTS)) + "})();\n"
    return Template(_file("report.html")).substitute(
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        data=json_text(data(results, chosen)),
        listings=number(results.summary.read),
        events=number(results.summary.events),
        headline=facts.headline(results),
        warnings=facts.warnings(results),
        run=facts.run(results),
        rules=facts.rules(results),
        changed=facts.changed(results),
        issues=facts.issues(results),
        pair_counts=facts.pair_counts(results),
        combined=charts.combined(results),
        signals=charts.signals(results),
        overlap=facts.overlap(results),
        left_out=_left_out(chosen),
    )


def _file(name: str) -> str:
    return (files("dedup_report") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the source expression of the content security policy for an inline element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _left_out(chosen: Selection) -> Markup:
    found = [f"{number(count)} {kind}" for kind, count in chosen.left_out.items() if count]
    words = "To stay readable this page leaves out: " + ", ".join(found) + "."
    where = " They are in canonical.jsonl and decisions.jsonl beside it."
    return tag("p", words + where, class_="note") if found else Markup()
