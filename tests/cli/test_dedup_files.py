"""What `event-dedup dedup` makes of files, good and bad."""

import datetime
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

DAY = "2026-03-07"
LOCATION_TEXTS = ("name", "city", "district", "street", "street_no", "zipcode")


@pytest.fixture
def file(tmp_path):
    """Write a file: text, bytes, or anything else as JSON."""

    def write(name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
        return path

    return write


def lines(*records):
    return "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in records)


def accepted(results):
    return sorted(results.clusters())


def test_json_of_the_earlier_form_is_read_with_its_metadata(dedup, file, listing):
    document = {
        "events": [listing("a"), listing("b", "Flohmarkt", source_code="own")],
        "metadata": {"sourceKey": "tagblatt", "anything": [1, None]},
    }
    results = dedup(file("x_1.json", document))
    assert accepted(results) == ["a", "b"]
    events = results.events()
    assert events["a"]["source_code"] == "tagblatt"
    assert events["b"]["source_code"] == "own"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("stadtportal_2026-02.jsonl", "stadtportal"),
        ("a_b_c.ndjson", "a"),
        ("plain.jsonl", "plain.jsonl"),
    ],
)
def test_the_source_code_comes_from_the_name_of_the_file(dedup, file, listing, name, source):
    results = dedup(file(name, lines(listing())))
    assert results.events()["a"]["source_code"] == source


def test_the_cleaned_city_of_the_earlier_system_stands_before_the_raw_one(dedup, file, listing):
    place = {"city": "79312 Emmendingen", "_sanitizeResult": {"city": "Emmendingen"}}
    odd = [
        {"city": "Lahr", "_sanitizeResult": value}
        for value in (None, "Emmendingen", {"city": ""}, {"city": 5}, {"city": None}, [])
    ]
    records = [listing(f"o{i}", f"Titel{i}", location=one) for i, one in enumerate(odd)]
    results = dedup(file("s.jsonl", lines(listing("a", location=place), *records)))
    events = results.events()
    assert events["a"]["location"]["city"] == "Emmendingen"
    assert {events[f"o{i}"]["location"]["city"] for i in range(len(odd))} == {"Lahr"}


def test_parquet_with_the_same_columns_gives_the_same_results_as_json_lines(
    dedup, file, listing, tmp_path
):
    geo = {"latitude": 48.1, "longitude": 7.7, "confidence": 0.9, "country": "DE"}
    records = [
        listing(
            f"p{i}",
            title,
            location={"name": "Saal", "city": "Lahr", "geo": geo},
            categories=["Konzert"],
            is_family_event=i % 2 == 0 or None,
        )
        for i, title in enumerate(["Chorkonzert", "Chor-Konzert", "Flohmarkt"])
    ]
    path = tmp_path / "feed_1.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    names = ("canonical.json", "canonical.jsonl", "clusters.csv", "decisions.jsonl")
    found = dedup(path)
    assert accepted(found) == ["p0", "p1", "p2"]
    columns = {name: (found.folder / name).read_bytes() for name in names}
    again = dedup(file("feed_2.jsonl", lines(*records)))
    assert columns == {name: (again.folder / name).read_bytes() for name in names}


def test_parquet_days_and_times_in_their_own_types_are_read(dedup, tmp_path):
    path = tmp_path / "typed_1.parquet"
    rows = [
        {
            "id": number,
            "title": f"Konzert {number}",
            "event_dates": [{"date": day, "start_time": datetime.time(19, 30)}],
        }
        for number, day in ((1, datetime.date(2026, 3, 7)), (2, datetime.date(2026, 3, 8)))
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    events = dedup(path).events()
    assert events["1"]["event_dates"] == [{"date": "2026-03-07", "start_time": "19:30"}]
    assert events["2"]["event_dates"] == [{"date": "2026-03-08", "start_time": "19:30"}]


def test_parquet_timestamps_are_read_as_their_day(dedup, tmp_path):
    path = tmp_path / "stamps_1.parquet"
    rows = [{"id": "a", "title": "x", "event_dates": [{"date": datetime.datetime(2026, 3, 7)}]}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert dedup(path).events()["a"]["event_dates"][0]["date"] == DAY


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(dedup, file, listing):
    text = "\ufeff" + lines(listing("a"), listing("b", "Flohmarkt")).replace("\n", "\r\n")
    document = ("\ufeff" + json.dumps({"events": [listing("c", "Vortrag")]})).encode()
    results = dedup(file("a.jsonl", text), file("b.json", document))
    assert accepted(results) == ["a", "b", "c"]
    assert results.counts["unreadable_records"] == 0


def test_an_empty_file_of_json_lines_is_an_empty_batch(dedup, file):
    for content in ("", "\n\n  \n"):
        results = dedup(file("a.jsonl", content))
        assert results.counts["read"] == 0
        assert results.canonical["events"] == []
        assert accepted(results) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.json", b""),
        ("words.json", b"not json at all"),
        ("half.json", b'{"events": [{"id": "a", '),
        ("deep.json", b"[" * 100_000),
        ("deeper.json", b'{"events": ' + b"[" * 100_000),
        ("object.json", b'{"listings": []}'),
        ("map.json", b'{"events": {"a": 1}}'),
        ("number.json", b"5"),
        ("latin.json", '{"events": {"ä": 1}}'.encode("latin-1")),
        ("utf_16.json", '{"events": []}'.encode("utf-16")),
        ("words.parquet", b"not parquet at all"),
        ("magic.parquet", b"PAR1" + b"\x00" * 40 + b"PAR1"),
        ("empty.parquet", b""),
    ],
)
def test_a_file_that_is_none_of_the_forms_fails_with_its_name_before_anything_is_written(
    run, file, tmp_path, matcher_address, name, content
):
    out = tmp_path / "out"
    answer = run("dedup", file(name, content), "-o", out, "--matcher", matcher_address)
    assert answer.status == 1
    assert name in answer.err
    assert not out.exists()


def test_a_parquet_file_with_a_damaged_page_fails_with_its_name(
    run, tmp_path, matcher_address, listing
):
    path = tmp_path / "damaged_1.parquet"
    records = [listing(f"p{i}", f"Titel {i * 7919}") for i in range(400)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    whole = bytearray(path.read_bytes())
    for start in range(60, len(whole) // 2, 40):
        whole[start : start + 8] = b"\xff" * 8
    path.write_bytes(whole)
    answer = run("dedup", path, "-o", tmp_path / "out", "--matcher", matcher_address)
    assert answer.status == 1
    assert "damaged_1.parquet" in answer.err


def test_a_wrong_suffix_fails_with_the_suffixes_that_are_known(
    run, file, tmp_path, matcher_address, listing
):
    for name in ("a.csv", "a.JSON.gz", "noending"):
        path = file(name, lines(listing()))
        answer = run("dedup", path, "-o", tmp_path / "out", "--matcher", matcher_address)
        assert answer.status == 1
        assert name in answer.err
        assert ".jsonl" in answer.err


def test_a_suffix_in_capitals_is_the_same_suffix(dedup, file, listing):
    assert accepted(dedup(file("EXPORT.JSON", {"events": [listing()]}))) == ["a"]


def test_a_missing_file_and_a_folder_are_wrong_usage(run, tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        answer = run("dedup", path, "-o", tmp_path / "out")
        assert answer.status == 2
        assert path.name in answer.err


def test_broken_lines_cost_only_themselves_and_are_named_by_their_place(dedup, file, listing):
    broken = ["{\n", '"text"\n', "[" * 100_000 + "\n", "17\n", "null\n", "[]\n", '{"id": "\n']
    text = lines(listing("a"), *broken, listing("b", "Flohmarkt"))
    results = dedup(file("feed_1.jsonl", text))
    assert accepted(results) == ["a", "b"]
    assert results.counts["unreadable_records"] == len(broken)
    assert results.counts["read"] == 2
    entries = results.lines("quarantine.jsonl")
    assert {entry["source_code"] for entry in entries} == {"feed"}
    assert {entry["field"] for entry in entries} == {"record"}
    places = [place["position"] for place in results.summary["quarantined_at"]]
    assert sorted(places) == list(range(1, len(broken) + 1))
    files = {place["file"] for place in results.summary["quarantined_at"]}
    assert {Path(name).name for name in files} == {"feed_1.jsonl"}
    assert files <= results.summary["inputs"].keys()


def test_bytes_that_are_no_utf8_cost_only_their_line(dedup, file, listing):
    bad = '{"id": "x", "title": "Fröhlich"}\n'.encode("latin-1")
    content = lines(listing("a")).encode() + bad + b"\x00\xff\n" + lines(listing("b", "B")).encode()
    results = dedup(file("feed_1.jsonl", content))
    assert accepted(results) == ["a", "b"]
    assert results.counts["unreadable_records"] == 2
    assert {line["reason"] for line in results.lines("quarantine.jsonl")} == {"not UTF-8"}


def test_bytes_that_are_no_utf8_in_a_document_cost_only_their_record(dedup, file, listing):
    document = json.dumps(
        {"events": [listing("a"), {"id": "x", "title": "Fr#hlich"}, listing("b")]}
    )
    results = dedup(file("feed_1.json", document.encode().replace(b"#", b"\xf6")))
    assert accepted(results) == ["a", "b"]
    assert [line["reason"] for line in results.lines("quarantine.jsonl")] == ["not UTF-8"]


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_number_of_very_many_digits_costs_at_most_its_field(dedup, file, listing, suffix, digits):
    geo = {"latitude": "#", "longitude": 7.0}
    records = [listing("a", location={"city": "Neuheim", "geo": geo}), listing("b", "Markt", n="#")]
    text = lines(*records) if suffix == "jsonl" else json.dumps({"events": records})
    results = dedup(file(f"feed_1.{suffix}", text.replace('"#"', "9" * digits)))
    assert accepted(results) == ["a", "b"]
    repaired = {place["field"] for place in results.summary["repaired_at"]}
    assert repaired == {"location.geo.latitude", "location.geo"}


def test_a_cleaned_city_counts_beside_a_number_for_a_postal_code(dedup, file, listing):
    place = {"city": "Ort OT Weiler roh", "zipcode": 77933, "_sanitizeResult": {"city": "Weiler"}}
    results = dedup(file("feed_1.jsonl", lines(listing("a", location=place))))
    assert results.lines("canonical.jsonl")[0]["event"]["location"]["city"] == "Weiler"


def test_times_that_python_has_no_type_for_cost_at_most_their_record(dedup, tmp_path, listing):
    path = tmp_path / "feed_1.parquet"
    seen = pyarrow.array([1772900000123456789] * 3, pyarrow.timestamp("ns"))
    columns = {
        "id": ["a", "b", "c"],
        "title": ["Markt", "Konzert", "Lesung"],
        "seen": pyarrow.StructArray.from_arrays([seen], names=["at"]),
        "lasts": pyarrow.array([60, 61, None], pyarrow.duration("ns")),
        "event_dates": pyarrow.array(
            [[{"date": 20_000, "start_time": 68_400_000_000_001}], [{"date": 2**31 - 1}], []],
            pyarrow.list_(
                pyarrow.struct({"date": pyarrow.date32(), "start_time": pyarrow.time64("ns")})
            ),
        ),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    results = dedup(path)
    assert accepted(results) == ["a", "c"]
    assert [line["field"] for line in results.lines("quarantine.jsonl")] == ["record"]


def test_records_that_are_no_objects_inside_a_document_cost_only_themselves(dedup, file, listing):
    document = {"events": [None, 5, "x", [], listing("a"), True], "metadata": {"sourceKey": "s"}}
    results = dedup(file("x_1.json", document))
    assert accepted(results) == ["a"]
    assert results.counts["unreadable_records"] == 5


def test_not_a_number_coordinates_are_dropped_and_reported(dedup, file, listing):
    odd = ["NaN", "Infinity", "-Infinity", "1e400", "91", '"north"', "[]", "-90.0001", "481.2"]
    text = "".join(
        lines(
            listing(f"o{i}", f"Titel {i}", location={"geo": {"latitude": "HERE", "longitude": 7.8}})
        ).replace('"HERE"', value)
        for i, value in enumerate(odd)
    )
    results = dedup(file("feed_1.jsonl", text))
    assert len(accepted(results)) == len(odd)
    repaired = {place["listing_id"] for place in results.summary["repaired_at"]}
    assert repaired == {f"o{i}" for i in range(len(odd))}
    assert "geo" not in str([event.get("location") for event in results.events().values()])


def test_not_a_number_anywhere_else_breaks_nothing(dedup, file):
    text = '{"id": "a", "title": "x", "score": NaN, "more": [Infinity, {"y": -Infinity}]}\n'
    results = dedup(file("feed_1.jsonl", text))
    assert accepted(results) == ["a"]
    for name in ("canonical.json", "canonical.jsonl", "summary.json"):
        assert "NaN" not in (results.folder / name).read_text()


def test_a_text_of_one_megabyte_costs_only_its_listing(dedup, file, listing):
    big = "Musik " * 175_000
    results = dedup(
        file(
            "feed_1.jsonl",
            lines(
                listing("a"),
                listing("b", description=big),
                listing("c", "Flohmarkt", description="x" * 70_000),
                listing("d", big),
                listing(big, "Vortrag"),
                listing("e", "Lesung", unknown=big),
                listing("f", "Kino"),
            ),
        )
    )
    assert accepted(results) == ["a", "f"]
    entries = results.lines("quarantine.jsonl")
    assert len(entries) == 5
    assert all(entry["reason"] for entry in entries)
    assert len((results.folder / "quarantine.jsonl").read_bytes()) < 5000


def test_a_listing_that_is_too_large_to_send_is_named_by_its_id(dedup, file, listing):
    results = dedup(file("feed_1.jsonl", lines(listing("gross", description="x" * 1_000_000))))
    assert [entry["listing_id"] for entry in results.lines("quarantine.jsonl")] == ["gross"]


def test_equal_copies_collapse_and_different_ones_are_refused_in_any_order(dedup, file, listing):
    one, two = listing("a", "Flohmarkt"), listing("a", "Flohmarkt am See")
    found = []
    for records in ([one, one, two], [two, one, one], [one, two, one]):
        results = dedup(file("feed_1.jsonl", lines(*records)))
        assert results.counts["read"] == 3
        assert results.counts["quarantined"] + results.counts["collapsed"] == 2
        assert [e["reason"] for e in results.lines("quarantine.jsonl")] == [
            "another listing has this id"
        ] * results.counts["quarantined"]
        found.append(results.canonical)
    assert found[0] == found[1] == found[2]


def test_the_same_file_given_twice_changes_nothing_but_the_counts(dedup, file, listing):
    path = file("feed_1.jsonl", lines(listing("a"), listing("b", "Flohmarkt")))
    once = dedup(path).canonical
    results = dedup(path, path)
    assert results.canonical == once
    assert results.counts["collapsed"] == 2


@pytest.mark.parametrize("value", [None, "", "   ", [], {}, True, 1.5])
def test_a_listing_without_a_usable_id_or_title_is_quarantined(dedup, file, listing, value):
    text = lines(listing("a"), {**listing("b"), "title": value}, {**listing("c"), "id": value})
    results = dedup(file("feed_1.jsonl", text))
    assert accepted(results) == ["a"]
    assert sorted(entry["field"] for entry in results.lines("quarantine.jsonl")) == ["id", "title"]


@pytest.mark.parametrize(
    "value",
    [5, "morgen", ["morgen"], [None], [[]], [{}], [{"date": 5}], [{"date": "2026-13-01"}]],
    ids=str,
)
def test_days_that_cannot_be_read_quarantine_the_listing(dedup, file, listing, value):
    text = lines(listing("a"), {**listing("b", "Flohmarkt"), "event_dates": value})
    results = dedup(file("feed_1.jsonl", text))
    assert accepted(results) == ["a"]
    entry = results.lines("quarantine.jsonl")[0]
    assert entry["listing_id"] == "b"
    assert entry["field"].startswith("event_dates")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("short_description", [[], {}, True, 1.5]),
        ("description", [[], {}, True, 1.5]),
        ("source_type", [[], {}, True]),
        ("highlights", ["one", 5, {}, [1, None], [["x"]]]),
        ("categories", ["Konzert", 5, {}, [1, None], [{"x": 1}]]),
        ("location", ["Lahr", 5, [], True]),
        ("is_family_event", ["ja", 1, [], "true"]),
        ("is_child_focused", ["ja", 1, []]),
        ("admission_free", ["ja", 1, {}]),
    ],
)
def test_an_optional_field_of_the_wrong_type_keeps_the_listing_and_is_reported(
    dedup, file, listing, field, values
):
    records = [{**listing(f"w{i}", f"Titel {i}"), field: one} for i, one in enumerate(values)]
    results = dedup(file("feed_1.jsonl", lines(*records)))
    assert len(accepted(results)) == len(values)
    reported = {
        place["listing_id"]
        for place in results.summary["repaired_at"]
        if place["field"].startswith(field)
    }
    assert reported == {record["id"] for record in records}


def test_a_part_of_a_place_of_the_wrong_type_is_reported(dedup, file, listing):
    records = [
        listing(f"w-{name}", f"Titel {name}", location={name: []}) for name in LOCATION_TEXTS
    ]
    records.append(listing("w-geo", "Titel geo", location={"geo": "48.1,7.7"}))
    results = dedup(file("feed_1.jsonl", lines(*records)))
    assert len(accepted(results)) == 7
    reported = {place["listing_id"] for place in results.summary["repaired_at"]}
    assert reported == {record["id"] for record in records}


def test_numbers_where_texts_are_meant_are_read_as_texts(dedup, file, listing):
    place = {"city": "Lahr", "zipcode": 77933, "street": "Ringstraße", "street_no": 12}
    results = dedup(file("feed_1.jsonl", lines(listing(4711, 1984, location=place))))
    event = results.events()["4711"]
    assert event["title"] == "1984"
    assert event["location"]["zipcode"] == "77933"
    assert event["location"]["street_no"] == "12"


def test_odd_times_are_repaired_and_reported(dedup, file, listing):
    times = {"19.30": "19:30", "19:30 Uhr": "19:30", "9:05": "09:05", "19:30:00": "19:30"}
    records = [
        listing(f"t{i}", event_dates=[{"date": f"{i + 1:02}.03.2026", "start_time": one}])
        for i, one in enumerate(times)
    ]
    results = dedup(file("feed_1.jsonl", lines(*records)))
    events = results.events()
    for i, meant in enumerate(times.values()):
        wanted = [{"date": f"2026-03-{i + 1:02}", "start_time": meant}]
        assert events[f"t{i}"]["event_dates"] == wanted
    assert results.counts["repaired"] == len(times)


@pytest.mark.parametrize("depth", [300, 900, 950, 970, 980, 985, 990, 1000, 5000])
def test_deep_nesting_in_an_unknown_field_costs_at_most_its_listing(dedup, file, listing, depth):
    deep = json.dumps(listing("b"))[:-1] + ', "more": ' + "[" * depth + "]" * depth + "}\n"
    results = dedup(file("feed_1.jsonl", lines(listing("a"), deep)))
    assert "a" in accepted(results)


def test_lone_surrogates_and_nul_break_nothing(dedup, file, listing):
    texts = ["a\\ud800b", "\\udfff", "x\\u0000y", "\\u202eab\\u2066", "\\ud83d\\ude00"]
    raw = "".join(
        lines(listing(f"s{i}", "HERE", source_code="HERE", more={"HERE": "HERE"})).replace(
            "HERE", text
        )
        for i, text in enumerate(texts)
    )
    raw += lines(listing("big", source_code="HERE", description="x" * 600_000)).replace(
        "HERE", "\\ud800"
    )
    results = dedup(file("feed_1.jsonl", raw))
    assert results.counts["read"] == len(texts)
    assert results.counts["unreadable_records"] == 1


def test_a_key_that_stands_twice_and_an_id_with_odd_characters_break_nothing(dedup, file, listing):
    twice = '{"id": "a", "id": "b", "title": "x"}\n'
    odd = listing('comma, "quote"\nline', "Flohmarkt")
    results = dedup(file("feed_1.jsonl", twice + lines(odd)))
    assert accepted(results)[0] == "b"
    assert len(accepted(results)) == 2


def test_a_thousand_categories_and_dates_break_nothing(dedup, file, listing):
    many = listing("m", categories=[f"c{i}" for i in range(20_000)], highlights=["h"] * 20_000)
    days = [
        {"date": f"20{i // 336 + 10}-{i // 28 % 12 + 1:02}-{i % 28 + 1:02}"} for i in range(20_000)
    ]
    results = dedup(file("feed_1.jsonl", lines(listing("a"), many, listing("n", event_dates=days))))
    assert "a" in accepted(results)


def test_a_matcher_that_is_not_there_fails_with_one_line(run, file, tmp_path, listing):
    path = file("feed_1.jsonl", lines(listing()))
    out = tmp_path / "out"
    answer = run("dedup", path, "-o", out, "--matcher", "127.0.0.1:1")
    assert answer.status == 1
    assert answer.err.strip() == "no service answers at 127.0.0.1:1; is it running?"
    assert not out.exists()


def test_an_output_folder_that_is_a_file_fails_with_a_line(
    run, file, tmp_path, matcher_address, listing
):
    path, out = file("feed_1.jsonl", lines(listing())), Path(tmp_path / "taken")
    out.write_text("x")
    answer = run("dedup", path, "-o", out, "--matcher", matcher_address)
    assert answer.status == 1
    assert "taken" in answer.err
