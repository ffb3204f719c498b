"""What stands in a report: facts, data, order and bounds; and that texts stay texts."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from report_page.made import RULES, event, listing, many, pair, results

from dedup_report import Limits, page
from dedup_report.charts import BINS, counts
from eventdedup.matcher.v1 import matcher_service_pb2 as pb

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "$style ${script} $$",
    "\u2028]]> &lt;b&gt;",
    "</title></style></template>",
]


class Elements(HTMLParser):
    """Elements with their attributes, the text of scripts and styles, and all visible text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.code, self.text, self._open = [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._open = tag
        if tag in ("script", "style"):
            self.code.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open in ("script", "style"):
            tag, attrs, text = self.code[-1]
            self.code[-1] = (tag, attrs, text + data)
        else:
            self.text += data


def data_of(text):
    found = [body for _, attrs, body in Elements(text).code if attrs.get("id") == "data"]
    assert len(found) == 1
    return json.loads(found[0])


def shown_pairs(data):
    return [(data["listings"][one[0]][0], data["listings"][one[1]][0]) for one in data["pairs"]]


def test_no_text_of_a_listing_becomes_markup():
    names = [f"{at} {text}" for at, text in enumerate(HOSTILE)]
    listings = [listing(name, text, text) for name, text in zip(names, HOSTILE, strict=True)]
    batch = results(
        listings,
        [event(sorted(names), "time_conflict", title=HOSTILE[0])],
        [pair(*sorted(names)[:2], 0.6, category=HOSTILE[0], reason=HOSTILE[2], tier=HOSTILE[1])],
        warnings=HOSTILE,
        unread=[(text, text) for text in HOSTILE],
        quarantined=[pb.ListingIssue(field=text, reason=text, position=99) for text in HOSTILE],
        rules=pb.Rules(
            high=1,
            weights=[pb.SignalWeights(category=text, date=1) for text in HOSTILE],
            changed=[pb.ChangedSetting(path=t, value=t, default_value=t) for t in HOSTILE],
        ),
    )
    harmless = Elements(page(results([listing("a")])))
    found = Elements(page(batch))
    assert len(found.code) == len(harmless.code) == 3
    kinds = {tag for tag, _ in found.found}
    assert not kinds & {"img", "template", "iframe", "object", "link"}
    assert not [attrs for _, attrs in found.found if any(name.startswith("on") for name in attrs)]
    for text in HOSTILE:
        assert text in found.text
    titles = [one[2] for one in data_of(page(batch))["listings"]]
    assert sorted(titles) == sorted(" ".join(text.split()) for text in HOSTILE)


def test_only_the_style_and_the_script_of_the_page_are_allowed_to_run():
    found = Elements(page(many(2)))
    policy = next(attrs["content"] for _, attrs in found.found if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    code = {tag: body for tag, attrs, body in found.code if "type" not in attrs}
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(code[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_a_page_refers_to_nothing_outside_itself():
    text = page(many(3))
    links = [attrs.get("href") or attrs.get("src") for _, attrs in Elements(text).found]
    assert all(link.startswith("#") for link in links if link)
    assert "@import" not in text
    assert "url(" not in text


def test_the_order_in_which_listings_were_sent_does_not_matter():
    listings = [listing(f"l{at}", source=f"s{at % 3}") for at in range(6)]
    copy = listing("l2", source="s2")
    copy.extra_json = '{"seen": 1}'
    bad = listing("l3", "Flohmarkt", "s0")
    events, pairs = [event(["l1", "l2", "l3"])], [pair("l1", "l2", 0.7), pair("l2", "l3", 0.8)]

    def told(sent):
        position = next(at for at, one in enumerate(sent) if one is bad)
        issue = pb.ListingIssue(listing_id="l3", position=position, field="id", reason="twice")
        return page(results(sent, events, pairs, quarantined=[issue]))

    sent = [*listings, copy, bad]
    assert told(sent) == told(sent[::-1]) == told(sent[3:] + sent[:3])
    assert "Flohmarkt" not in told(sent)


def test_review_starts_with_what_is_nearest_to_its_threshold():
    names = ["a", "b", "c", "d", "e"]
    pairs = [
        pair("a", "b", 0.5),
        pair("a", "c", 0.74),
        pair("a", "d", 0.9, title=0.4, decision=pb.DECISION_AMBIGUOUS, reason="title_veto"),
        pair("b", "c", 0.8),
        pair("d", "e", 0.77),
    ]
    batch = results(map(listing, names), [event(["d", "e"], "time_conflict")], pairs)
    data = data_of(page(batch))
    told = [data["events"][at][0] if kind else shown_pairs(data)[at] for kind, at in data["review"]]
    assert told == [("a", "c"), "ev_d_e", ("a", "d"), ("a", "b")]


def test_a_page_holds_no_more_than_its_limits_and_says_what_it_left_out():
    batch = many(40)
    whole = page(batch)
    assert "leaves out" not in whole
    small = page(batch, Limits(listings=30, judgements=5, pairs=8))
    data = data_of(small)
    assert len(data["listings"]) <= 30
    assert len(data["review"]) == 5
    assert len(data["pairs"]) == 8
    assert f"34 judgements, {40 - len(data['events'])} events" in small
    assert all(at < len(data["listings"]) for one in data["events"] for at in one[1])


def test_an_event_larger_than_the_room_is_left_out_whole():
    names = [f"l{at:02}" for at in range(20)]
    batch = results(map(listing, names), [event(names, "cluster_size")], [])
    data = data_of(page(batch, Limits(listings=19)))
    assert data["events"] == data["review"] == data["listings"] == []


def test_long_texts_are_cut_and_many_days_are_counted():
    long = listing("a", "x" * 5000)
    long.description = "word " * 10_000
    long.event_dates.extend([pb.EventDate(date="2026-04-01", end_date="2026-04-03")] * 50)
    data = data_of(page(results([long, listing("b")], [event(["a", "b"])], [])))
    row = next(one for one in data["listings"] if one[0] == "a")
    assert row[2] == "x" * 159 + "…"
    assert len(row[7]) <= 300
    assert row[3][:2] == ["Sat 2026-03-07 19:30", "Wed 2026-04-01 to Fri 2026-04-03"]
    assert row[3][-1] == "… 41 more"


def test_fields_that_a_source_spelled_in_another_type_are_shown():
    odd = pb.Listing(source_code="tagblatt")
    odd.extra_json = json.dumps(
        {"id": 17, "title": 1984, "location": {"city": "Lahr", "zipcode": 77933}, "event_dates": 5}
    )
    data = data_of(page(results([odd, listing("b")], [event(["17", "b"])], [])))
    row = next(one for one in data["listings"] if one[0] == "17")
    assert row[2:6] == ["1984", [], "", "77933 Lahr"]
    assert data["names"][row[1]] == "tagblatt"


def test_a_listing_that_was_not_sent_is_shown_by_its_id():
    data = data_of(page(results([listing("b")], [event(["a", "b"])], [])))
    assert sorted(one[0] for one in data["listings"]) == ["a", "b"]


def test_a_canonical_text_points_to_the_member_whose_text_it_is():
    listings = [listing("a", "Konzert"), listing("b", "Orgelkonzert")]
    merged = event(["a", "b"], title="Orgelkonzert")
    del merged.provenance[:]
    merged.provenance.extend(
        [
            pb.FieldProvenance(field="title", listing_ids=["b"]),
            pb.FieldProvenance(field="location.city", listing_ids=["a", "b"]),
            pb.FieldProvenance(field="location.street", listing_ids=["a"]),
        ]
    )
    told = data_of(page(results(listings, [merged], [])))["events"][0]
    assert told[2][0] == 1
    assert told[3] == [[1], [], [], [0, 1], [], []]


def test_the_matrix_counts_events_by_their_sources():
    sources = {"a": "one", "b": "two", "c": "two", "d": "one", "e": "two", "f": "three"}
    listings = [listing(name, source=source) for name, source in sources.items()]
    events = [event(["a", "b", "c"]), event(["d", "e"]), event(["f"])]
    text = page(results(listings, events, []))
    matrix = text[text.index('class="matrix"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", matrix[: matrix.index("</table>")])
    told = [re.sub(r"<[^>]*>", " ", row).split() for row in rows]
    assert told == [
        ["Source", "Listings", "Shared", "two", "one", "three"],
        ["two", "3", "100%", "1", "2", "·"],
        ["one", "2", "100%", "2", "·", "·"],
        ["three", "1", "0%", "·", "·", "·"],
    ]


@pytest.mark.parametrize("threshold", [0.35, 0.45, 0.65, 0.75])
def test_a_score_at_a_threshold_stands_right_of_its_line(threshold):
    found = counts([threshold, threshold - 1e-6])
    assert found.index(1) + 1 == round(threshold * BINS)
    assert found[round(threshold * BINS)] == 1


def test_every_returned_pair_stands_in_the_histogram_once():
    scores = [at / 1000 for at in range(1001)]
    assert sum(counts(scores)) == len(scores)
    batch = results(map(listing, "ab"), [], [pair("a", "b", score) for score in scores])
    chart = page(batch).split("Combined score", 2)[2]
    chart = chart[: chart.index("</svg>")]
    told = re.findall(r"<title>[\d.]+ to [\d.]+: (\d+) ", chart)
    assert sum(map(int, told)) == len(scores)


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        (0.65, "only pairs whose combined score is at least 0.65, or that people decided; "),
        (1e-9, "only pairs whose combined score is at least 1e-09, or that people decided; "),
        (0.0, "all compared pairs; "),
    ],
)
def test_the_caption_of_each_histogram_says_which_pairs_are_in_it(floor, words):
    text = page(results(map(listing, "ab"), [], [pair("a", "b", 0.8)], floor=floor))
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    told = [re.sub(r"<[^>]*>", "", caption) for caption in captions]
    names = ["Combined score", "Date", "Place", "Title", "Description"]
    assert told == [f"{name} {words}tallest bar 1 pairs" for name in names]


def test_the_facts_name_config_rules_and_reasons():
    issues = [
        pb.ListingIssue(field=f"event_dates[{at}].date", reason="not a date", position=90 + at)
        for at in range(3)
    ]
    rules = pb.Rules()
    rules.CopyFrom(RULES)
    rules.changed.add(path="thresholds.high", value="0.75", default_value="0.8")
    batch = results([listing("a")], quarantined=issues, rules=rules, unread=[("record", "broken")])
    told = Elements(page(batch)).text
    for fact in ("live from ConfigService", "d" * 64, "thresholds.high", "fasnacht", "0.50"):
        assert fact in told
    assert "event_dates[].datenot a date3" in told
    assert "recordbroken1" in told
    assert "1 not the default" in told


def test_an_empty_batch_has_a_page():
    found = Elements(page(results([])))
    assert "Deduplication report" in found.text
    assert data_of(page(results([])))["listings"] == []


def test_ids_and_sources_stand_as_the_engine_reads_them():
    one, other = listing("a\x07b", source="s\x07"), listing("c", source="t")
    made = results([one, other], [event(["ab", "c"])], [pair("ab", "c", 0.9)])
    assert made.source("ab") == "s"
    assert made.shown("ab").title
