"""The report in a real browser: what it loads, shows, marks and exports."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from report_page.browser import CHROMIUM, Page, browser
from report_page.made import event, listing, many, pair, results

from dedup_report import Results, page

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
Opened = Callable[[Results], Page]
HOSTILE = "<script>hacked=1</script><img src=x onerror='hacked=1'></script>"

CONTRASTS = """(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => channels(text).slice(0, 3)
    .map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return (channels(colour)[3] ?? 1) === 0 && node.parentElement ? behind(node.parentElement) : colour;
  };
  const found = [];
  for (const node of document.body.querySelectorAll("*")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.matches("script, .unseen, title, :disabled")) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(node instanceof SVGElement ? style.fill : style.color), light(behind(node))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([contrast, node.tagName, String(node.className.baseVal ?? node.className), node.textContent.slice(0, 20)]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path]]:
    folder = tmp_path_factory.mktemp("chromium")
    with browser(folder) as tab:
        yield tab, folder


@pytest.fixture
def opened(chromium: tuple[Page, Path], tmp_path: Path) -> Opened:
    """Open the report of a batch, which must load nothing else and complain of nothing."""
    tab, _ = chromium
    path = tmp_path / "report.html"

    def show(batch: Results) -> Page:
        path.write_text(page(batch), encoding="utf-8")
        tab.look()
        tab.open(path)
        assert tab.requests == [path.as_uri()]
        assert tab.complaints == []
        return tab

    return show


def three() -> Results:
    """Return three listings of which two are one event, and two ambiguous pairs."""
    listings = [
        listing("a", "Orgelkonzert im Dom", "tagblatt"),
        listing("b", "Konzert im Dom", "portal"),
        listing("c", "Kirchenkonzert", "tagblatt"),
    ]
    listings[1].event_dates[0].start_time = "20:00"
    veto = {"title": 0.3, "decision": 2, "reason": "title_veto", "category": "fasnacht"}
    pairs = [pair("a", "b", 0.8), pair("a", "c", 0.7), pair("b", "c", 0.76, **veto)]
    merged = event(["a", "b"], "time_conflict", title="Orgelkonzert im Dom")
    return results(listings, [merged, event(["c"])], pairs)


def shaded() -> Results:
    """Return a batch that shows every shade of the matrix, a gap, a flag and each decision."""
    names = [(f"m{depth}{at}", f"n{depth}{at}") for depth in range(1, 6) for at in range(depth)]
    listings = [listing(one, source="base") for one, _ in names]
    listings += [listing(other, source=f"source{other[1]}") for _, other in names]
    listings[0].location.ClearField("name")
    pairs = [pair(*one, score / 10) for one, score in zip(names, (3, 6, 9) * 5, strict=True)]
    return results(listings, [event(one, "time_conflict") for one in names], pairs)


def shifted(score: float, odds: float) -> float:
    return score * odds / (1 - score + score * odds)


def texts(tab: Page, selector: str) -> list[str]:
    found: list[str] = tab.run(
        f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.innerText)"
    )
    return found


def click(tab: Page, selector: str, at: int = 0) -> None:
    tab.run(f"document.querySelectorAll({json.dumps(selector)})[{at}].click()")


def enter(tab: Page, selector: str, value: str, kind: str = "input") -> None:
    tab.run(
        f"(() => {{ const field = document.querySelector({json.dumps(selector)});"
        f" field.value = {json.dumps(value)};"
        f" field.dispatchEvent(new Event({json.dumps(kind)})); }})()"
    )


def exported(tab: Page, folder: Path) -> list[dict[str, object]]:
    path = folder / "downloads" / "constraints.jsonl"
    path.unlink(missing_ok=True)
    click(tab, "#download")
    ends = time.monotonic() + 20
    while not path.exists() and time.monotonic() < ends:
        time.sleep(0.05)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_hostile_texts_are_shown_as_texts(opened: Opened) -> None:
    listings = [listing("a" + HOSTILE, HOSTILE, HOSTILE), listing("b", HOSTILE)]
    names = ["a" + HOSTILE, "b"]
    batch = results(
        listings,
        [event(names, HOSTILE, title=HOSTILE)],
        [pair(*names, 0.6, category=HOSTILE, reason=HOSTILE, tier=HOSTILE)],
        warnings=[HOSTILE],
    )
    tab = opened(batch)
    tab.run("document.querySelector('.event .pairs').open = true")
    assert tab.run("typeof hacked") == "undefined"
    assert tab.run("document.querySelectorAll('img').length") == 0
    assert HOSTILE in texts(tab, ".event .row .title")
    assert HOSTILE in " ".join(texts(tab, ".warnings"))
    assert tab.complaints == []


def test_a_person_s_decision_is_shown_with_name_and_reason(opened: Opened) -> None:
    told = {"reason": "must_link", "tier": "person"}
    people = {**told, "reviewer": "Ada " + HOSTILE, "reviewer_reason": "one organ " + HOSTILE}
    listings = [listing(name) for name in "abc"]
    pairs = [pair("a", "b", 0.6, **people), pair("a", "c", 0.5, **told)]
    tab = opened(results(listings, [event("abc")], pairs))
    tab.run("document.querySelector('.event .pairs').open = true")
    found = " ".join(texts(tab, ".event .verdict"))
    assert f"Decided by Ada {HOSTILE}: “one organ {HOSTILE}”" in found
    assert "Decided by a person without a name." in found
    assert tab.run("typeof hacked") == "undefined"


def test_an_inline_handler_is_refused_by_the_page(opened: Opened) -> None:
    tab = opened(three())
    tab.run("document.body.insertAdjacentHTML('beforeend', '<i onclick=\"hacked=1\">x</i>')")
    click(tab, "body > i")
    assert tab.run("typeof hacked") == "undefined"
    assert any("Content Security Policy" in one for one in tab.complaints)


def test_ticks_become_a_constraints_file_and_survive_a_reload(
    opened: Opened, chromium: tuple[Page, Path]
) -> None:
    tab = opened(three())
    a, b, c = (
        {"source_code": source, "id": name}
        for source, name in (("tagblatt", "a"), ("portal", "b"), ("tagblatt", "c"))
    )
    assert tab.run("document.getElementById('judgements').hidden")
    click(tab, "#review .pair .same", 0)
    click(tab, "#review .pair .different", 1)
    enter(tab, "#judgements input", 'Ada "A." O\'Neil')
    enter(tab, "#review .pair:nth-of-type(2) .judging input", "other choir")
    tab.reload()
    assert "2 judged: 1 same, 1 different" in texts(tab, "#judgements")[0]
    reviewer = 'Ada "A." O\'Neil'
    told = exported(tab, chromium[1])
    assert [list(one) for one in told] == [
        ["listing_a", "listing_b", "kind", "reviewer", "reason"]
    ] * 2
    by_kind = {one["kind"]: one for one in told}
    assert {one["reviewer"] for one in told} == {reviewer}
    pairs = [(b, c), (a, c)]
    order = [tuple(texts(tab, f"#review .pair:nth-of-type({n}) .brief .origin")) for n in (1, 2)]
    names = {("portal b", "tagblatt c"): pairs[0], ("tagblatt a", "tagblatt c"): pairs[1]}
    for kind, shown in zip(("MUST_LINK", "CANNOT_LINK"), order, strict=True):
        assert (by_kind[kind]["listing_a"], by_kind[kind]["listing_b"]) == names[shown]
    assert by_kind["CANNOT_LINK"]["reason"] == "other choir"
    click(tab, "#review .pair .same", 0)
    assert [one["kind"] for one in exported(tab, chromium[1])] == ["CANNOT_LINK"]


def test_judgements_that_contradict_each_other_are_told(opened: Opened) -> None:
    tab = opened(three())
    tab.run("localStorage.clear()")
    tab.reload()
    click(tab, "#review .pair .same", 0)
    click(tab, "#review .pair .same", 1)
    assert "contradiction" not in texts(tab, "#judgements")[0]
    tab.run("document.querySelector('#events .event .pairs').open = true")
    click(tab, "#events .why .different")
    assert "1 contradiction" in texts(tab, "#judgements")[0]


def test_a_pair_is_judged_with_the_keyboard(opened: Opened) -> None:
    tab = opened(three())
    tab.run("localStorage.clear()")
    tab.reload()
    tab.run("document.querySelector('#review .pair').focus()")
    pressed = "document.activeElement.querySelector('[aria-pressed=true]')?.textContent ?? ''"
    tab.key("s")
    assert tab.run(pressed) == "Same event"
    tab.key("j")
    assert "Orgelkonzert im Dom" in tab.run("document.activeElement.innerText")
    tab.key("j")
    assert tab.run(pressed) == ""
    tab.key("d")
    assert tab.run(pressed) == "Different events"
    tab.key("k")
    tab.key("k")
    tab.key("u")
    assert tab.run(pressed) == ""
    assert "1 judged: 0 same, 1 different" in texts(tab, "#judgements")[0]


def test_a_letter_typed_into_a_reason_judges_nothing(opened: Opened) -> None:
    tab = opened(three())
    tab.run("localStorage.clear()")
    tab.reload()
    click(tab, "#review .pair .same")
    tab.run("document.querySelector('#review .pair .judging input').focus()")
    for key in "sdu":
        tab.key(key)
    assert tab.run("document.activeElement.value") == "sdu"
    assert "1 judged: 1 same" in texts(tab, "#judgements")[0]


def test_the_points_of_a_waterfall_add_up_to_the_combined_score(opened: Opened) -> None:
    unlike = {"date": 1.0, "geo": 0.5, "title": 0.9, "description": 0.2}
    plain = 0.3 * 1 + 0.25 * 0.5 + 0.3 * 0.9 + 0.15 * 0.2
    own = 0.2 * 1 + 0.2 * 0.5 + 0.5 * 0.9 + 0.1 * 0.2
    twice = shifted(shifted(plain, 0.5), 0.6)
    pairs = [
        pair("a", "b", plain, **unlike),
        pair("a", "c", own, category="fasnacht", **{**unlike, "decision": 2}),
        pair("b", "c", 0.61, **unlike),
        pair("a", "d", shifted(plain, 1.3), **{**unlike, "decision": 2}),
        pair("b", "e", twice, **unlike),
        pair("c", "e", shifted(plain, 0.6), **unlike),
    ]
    listings = [*map(listing, "abce"), listing("d", source="portal")]
    tab = opened(results(listings, [], pairs))
    rows = (
        "[...one.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((c) => c.innerText))"
    )
    tables = tab.run(f"[...document.querySelectorAll('#review .waterfall')].map((one) => {rows})")
    told = {}
    for table in tables:
        points = [
            float(row[3].replace("\N{MINUS SIGN}", "-").replace(" ", "")) for row in table[:-1]
        ]
        assert sum(points) == pytest.approx(float(table[-1][3]), abs=0.003)
        told[float(table[-1][3])] = [row[0] for row in table]
    signals = ["Date", "Place", "Title", "Description"]
    assert told[round(plain, 3)] == [*signals, "Combined"]
    assert told[round(own, 3)] == [*signals, "Combined"]
    assert told[0.61] == [*signals, "Other evidence", "Combined"]
    assert told[round(shifted(plain, 1.3), 3)] == [*signals, "Two sources", "Combined"]
    assert told[round(twice, 3)] == [*signals, "One source", "Two cities", "Combined"]
    assert told[round(shifted(plain, 0.6), 3)] == [*signals, "Two cities", "Combined"]


def test_differences_are_marked_and_the_reasons_are_in_words(opened: Opened) -> None:
    tab = opened(three())
    marks = texts(tab, "#events .comparison mark")
    assert marks == ["Konzert", "Sat 2026-03-07 20:00"]
    assert set(texts(tab, "#review .pair:nth-of-type(1) .title mark")) >= {"Kirchenkonzert"}
    verdicts = " ".join(texts(tab, "#review .pair .verdict"))
    assert "0.760 would be a match, but the titles score 0.300, below the veto 0.45." in verdicts
    assert "of the category fasnacht, which has its own weights" in verdicts
    assert "0.700 lies between 0.35 and 0.75, 0.050 short of a match." in verdicts
    assert "Needs review: its listings name different start times." in texts(tab, "#events .flag")


def test_only_the_page_on_screen_is_in_the_document(opened: Opened) -> None:
    tab = opened(many(120))
    assert len(texts(tab, "#events .event")) == len(texts(tab, "#review .pair")) == 50
    assert texts(tab, "#events .pager span") == ["1 to 50 of 120 events"]
    click(tab, "#events .pager button", 1)
    click(tab, "#events .pager button", 1)
    assert texts(tab, "#events .pager span") == ["101 to 120 of 120 events"]
    assert len(texts(tab, "#events .event")) == 20


def test_search_source_and_order_narrow_the_events(opened: Opened) -> None:
    tab = opened(many(120))
    enter(tab, "#events input[type=search]", "konzert 0007")
    assert texts(tab, "#events .row .title") == ["Konzert 0007"]
    enter(tab, "#events input[type=search]", "b0011 portal")
    assert texts(tab, "#events .row .title") == ["Konzert 0011"]
    enter(tab, "#events input[type=search]", "nothing like it")
    assert texts(tab, "#events .pager span") == ["No event fits."]
    enter(tab, "#events input[type=search]", "")
    click(tab, "#events .tick input")
    assert texts(tab, "#events .row .title") == []


def test_judged_pairs_can_be_hidden(opened: Opened) -> None:
    tab = opened(three())
    tab.run("localStorage.clear()")
    tab.reload()
    click(tab, "#review .pair .same")
    before = texts(tab, "#review .pair .brief")
    click(tab, "#review .tick input")
    after = texts(tab, "#review .pair .brief")
    assert after == before[2:]


def test_the_facts_need_no_script(opened: Opened, chromium: tuple[Page, Path]) -> None:
    tab, _ = chromium
    tab.scripts(on=False)
    try:
        opened(three())
        told = tab.call("DOM.getDocument")["root"]["nodeId"]
        body = tab.call("DOM.querySelector", nodeId=told, selector="body")["nodeId"]
        text = tab.call("DOM.getOuterHTML", nodeId=body)["outerHTML"]
    finally:
        tab.scripts(on=True)
    for fact in ("live from ConfigService", "high 0.75", "Sources that overlap", "need JavaScript"):
        assert fact in text
    assert 'class="card' not in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(opened: Opened, scheme: str) -> None:
    """WCAG 2.1, 1.4.3: a contrast of at least 4.5."""
    tab = opened(shaded())
    tab.run("localStorage.clear()")
    tab.reload()
    tab.look(scheme=scheme)
    click(tab, "#events .tick input", 1)
    tab.run("document.querySelectorAll('#events .pairs').forEach((one) => { one.open = true })")
    click(tab, "#review .pair .same")
    click(tab, "#review .pair .different", 1)
    contrasts = tab.run(CONTRASTS)
    shown = {style for *_, styles, _ in contrasts for style in styles.split()}
    assert shown >= {*(f"shade{depth}" for depth in range(6)), "none", "yes", "maybe", "no"}
    assert [one for one in contrasts if one[0] < 4.5] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_never_wider_than_the_screen(opened: Opened, width: int) -> None:
    tab = opened(three())
    tab.look(width)
    assert tab.run("document.documentElement.scrollWidth") <= width
