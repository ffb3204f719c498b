"""`event-dedup explain` and `event-dedup preview`."""

import json

import pytest

from dedup_rpc.client import ConfigClient

FAR = {"location": {"name": "Kurhaus", "city": "Kiel"}}


@pytest.fixture
def listings(tmp_path, listing):
    folder = tmp_path / "listings"
    folder.mkdir()
    found = [
        listing("a"),
        listing("b", "Orgelkonzert zum Frühling"),
        listing("c", "Weinprobe"),
        listing("d", "Kirmes", event_dates=[{"date": "2027-05-01"}], **FAR),
    ]
    (folder / "blatt_events.json").write_text(json.dumps({"events": found[:2]}), encoding="utf-8")
    lines = "".join(json.dumps(one) + "\n" for one in found[2:])
    (folder / "portal_events.jsonl").write_text(lines, encoding="utf-8")
    (folder / "notes.txt").write_text("no listings", encoding="utf-8")
    return folder


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("event_id,cluster_id\na,1\nb,1\nc,2\n", encoding="utf-8")
    return path


@pytest.fixture
def matched(serve, config_address, tmp_path):
    """A matcher of the shared ConfigService."""
    folder = tmp_path / "matched"
    folder.mkdir()
    with serve("matcher_service", folder, MATCHER_CONFIG_ADDRESS=config_address) as address:
        yield address


def test_a_pair_is_explained_with_its_waterfall(run, listings, matcher_address):
    answer = run("explain", "a", "b", "--on", listings, "--matcher", matcher_address)
    assert answer.status == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[:2] == ["a: Orgelkonzert", "b: Orgelkonzert zum Frühling"]
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert names[:4] == ["date", "geo", "title", "description"]
    assert "combined" in names
    assert "in one event; the pair is match (above_high)" in lines
    assert "shared keys: city, title, venue" in lines


def test_files_may_stand_as_a_pattern_of_the_shell_leaves_them(run, listings, matcher_address):
    files = sorted(listings.glob("*events*"))
    answer = run("explain", "c", "d", "--on", *files, "--matcher", matcher_address)
    assert answer.status == 0, answer.err
    assert "in two events; the pair is no_match (below_low)" in answer.out
    assert "none, so that the two are not compared" in answer.out


def test_one_id_explains_its_event(run, listings, matcher_address):
    answer = run("explain", "b", "--on", listings, "--matcher", matcher_address)
    assert answer.status == 0, answer.err
    assert "2 listings" in answer.out
    assert "weakest link" in answer.out
    assert "nearest outside:" in answer.out
    answer = run("explain", "d", "--on", listings, "--matcher", matcher_address)
    assert "1 listings" in answer.out
    assert "nothing outside comes near" in answer.out


def test_a_person_s_decision_is_told_with_name_and_reason(run, listings, matcher_address, tmp_path):
    path = tmp_path / "constraints.jsonl"
    keys = {f"listing_{x}": {"source_code": "blatt", "id": x} for x in "ab"}
    one = {**keys, "kind": "CANNOT_LINK", "reviewer": "Redaktion", "reason": "two organs"}
    path.write_text(json.dumps(one), encoding="utf-8")
    options = ("--constraints", path, "--matcher", matcher_address)
    answer = run("explain", "a", "b", "--on", listings, *options)
    assert "decided by Redaktion: two organs" in answer.out
    assert "the scores alone: match (above_high)" in answer.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a", "zz"), "LISTING_NOT_FOUND"),
        (("a", "b", "c"), "name two listings"),
        (("a", "a"), "two different listings"),
        (("a", "ü" * 180), "LISTING_NOT_FOUND"),
    ],
)
def test_a_wrong_question_is_answered_by_a_sentence(run, listings, matcher_address, words, told):
    answer = run("explain", *words, "--on", listings, "--matcher", matcher_address)
    assert answer.status == 1
    assert told in answer.err


def test_ids_that_are_numbers_or_have_blanks_are_explained(run, tmp_path, listing, matcher_address):
    path = tmp_path / "x.NDJSON"
    records = [listing(1, source_code="a"), listing(" w ", source_code="b")]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    for words in (("1", "w"), ("1",)):
        answer = run("explain", *words, "--on", tmp_path, "--matcher", matcher_address)
        assert answer.status == 0, answer.err
        assert "1: Orgelkonzert" in answer.out
    told = run("preview", "thresholds.high=0.999", "--on", path)
    assert told.status == 0, told.err
    assert "Orgelkonzert | Orgelkonzert" in told.out


def test_a_long_value_is_no_name_of_a_file(run, listings):
    places = ",".join(f'"Ort Nummer {n}"' for n in range(40))
    answer = run("preview", f"text.vague_places=[{places}]", "--on", listings)
    assert answer.status == 0, answer.err


def test_without_listings_it_says_what_is_missing(run, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = run("explain", "a", "b", "--on", tmp_path / "empty")
    assert answer.status == 1
    assert "names no file that ends in" in answer.err
    assert run("preview", "thresholds.high=0.8").status == 1


def test_a_private_pair_explains_under_a_file_of_settings(run, listings, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("thresholds: {high: 0.99}\n", encoding="utf-8")
    answer = run("explain", "a", "b", "--on", listings, "--config", path)
    assert answer.status == 0, answer.err
    assert "bounds: high 0.99" in answer.out


def test_a_preview_shows_counts_figures_and_flips_and_changes_nothing(
    run, listings, labels, matched, config_address
):
    with ConfigClient(config_address) as client:
        before = client.get().revision
        where = ("--matcher", matched, "--address", config_address)
        answer = run(
            "preview", "thresholds.high=0.99", "--on", listings, "--labels", labels, *where
        )
        assert answer.status == 0, answer.err
        assert client.get().revision == before
    assert "thresholds.high: 0.75 -> 0.99" in answer.out
    assert "1 match -> ambiguous" in answer.out
    assert "a | b: match" in answer.out
    assert "parted; labels: one event" in answer.out
    recall = next(line for line in answer.out.splitlines() if "pairwise recall" in line)
    assert recall.split()[-2:] == ["1.000", "0.000"]
    assert f"base: revision {before.number}" in answer.out


def test_an_applied_preview_is_a_revision_with_its_evidence(
    run, listings, labels, matched, config_address, tmp_path
):
    output = tmp_path / "preview.json"
    where = ("--matcher", matched, "--address", config_address)
    options = ("--labels", labels, "--apply", "--reason", "fewer merges", "-o", output)
    answer = run("preview", "thresholds.high=0.98", "--on", listings, *options, *where)
    assert answer.status == 0, answer.err
    with ConfigClient(config_address) as client:
        view = client.get()
        assert view.settings.config.thresholds.high == 0.98
        assert view.revision.reason == "fewer merges"
        assert view.evidence["kind"] == "preview"
        assert view.evidence["changed"] == ["thresholds.high"]
        assert view.evidence["before"]["f1"] > view.evidence["after"]["f1"]
        assert f"applied: revision {view.revision.number}" in answer.out
    whole = json.loads(output.read_text(encoding="utf-8"))
    assert whole["changes"]["flips"][0]["listing_a"] == "a"
    assert (
        run("preview", "--unset", "thresholds.high", "--on", listings, "--apply", *where).status
        == 0
    )
    with ConfigClient(config_address) as client:
        assert client.get().settings.config.thresholds.high == 0.75


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("thresholds.high=7",), "thresholds.high"),
        (("thresholds.hihg=0.8",), "thresholds.hihg"),
        ((), "name a change"),
        (("thresholds.high=0.8", "--apply"), "--apply"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_name(run, listings, words, told):
    answer = run("preview", *words, "--on", listings)
    assert answer.status == 1
    assert told in answer.err


@pytest.fixture
def weeks(tmp_path, listing):
    """Fifteen weeks of listings in two sources, and the true events."""
    rows, gold = {"blatt": [], "portal": []}, ["event_id,cluster_id"]
    for week in range(15):
        when = [{"date": f"2027-{1 + week // 4:02}-{1 + 7 * (week % 4):02}", "start_time": "19:00"}]
        for source, words in (("blatt", ""), ("portal", f" in Endingen {week}")):
            name = f"{source}-{week}"
            rows[source].append(listing(name, f"Orgelabend{words}", event_dates=when))
            gold.append(f"{name},{week}")
    for source, found in rows.items():
        path = tmp_path / f"{source}_events.json"
        path.write_text(json.dumps({"events": found}), encoding="utf-8")
    (tmp_path / "gold.csv").write_text("\n".join(gold) + "\n", encoding="utf-8")
    return tmp_path


def tune_options(weeks):
    files = [word for path in sorted(weeks.glob("*_events.json")) for word in ("--on", path)]
    return (*files, "--labels", weeks / "gold.csv")


def test_tune_proposes_what_carries_over_and_says_how_to_look_first(run, weeks):
    path = weeks / "settings.yaml"
    path.write_text("thresholds: {high: 0.99}\n", encoding="utf-8")
    answer = run("tune", *tune_options(weeks), "--config", path)
    assert answer.status == 0, answer.err
    assert "thresholds.high: 0.99 -> " in answer.out
    assert "event-dedup preview thresholds.high=" in answer.out
    assert run("tune", *tune_options(weeks)).out.count("no change is proposed") == 1


def test_an_applied_proposal_is_a_revision_with_its_evidence(run, weeks, config_address):
    with ConfigClient(config_address) as client:
        client.update({"thresholds.high": 0.99})
        options = ("--address", config_address, "--apply", "--reason", "labels of spring")
        answer = run("tune", *tune_options(weeks), *options)
        assert answer.status == 0, answer.err
        view = client.get()
        assert view.settings.config.thresholds.high < 0.99
        assert (view.revision.reason, view.evidence["kind"]) == ("labels of spring", "tune")
        assert view.evidence["cross_validated"]["f1"] > view.evidence["held"]["f1"]
        assert f"applied: revision {view.revision.number}" in answer.out
        again = run("tune", *tune_options(weeks), *options)
        assert "no change is proposed" in again.out
        assert client.get().revision == view.revision
        client.update(clear=["thresholds.high"])


@pytest.mark.parametrize("options", [("--apply",), ("nothing.json",)])
def test_tune_refuses_what_it_cannot_do(run, weeks, options):
    answer = run("tune", *tune_options(weeks), *options)
    assert answer.status in (1, 2)
    assert "--address" in answer.err or "is no file" in answer.err
