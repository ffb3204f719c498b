"""`event-dedup evaluate`: the figures, by hand."""

import json
import re

import pytest


@pytest.fixture
def evaluate(run, tmp_path):
    def figures(found, gold):
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / "clusters.csv").write_text(table(found), encoding="utf-8")
        labels = tmp_path / "labels.csv"
        labels.write_text(gold if isinstance(gold, str) else table(gold), encoding="utf-8")
        return run("evaluate", tmp_path / "results", "--labels", labels)

    return figures


def table(clusters):
    rows = [f"{name},{cluster}" for cluster, names in clusters.items() for name in names]
    return "\n".join(["event_id,cluster_id", *rows]) + "\n"


def rates(answer, kind):
    assert answer.status == 0, answer.err
    line = next(line for line in answer.out.splitlines() if line.strip().startswith(kind))
    return line.split()[1:]


def test_a_perfect_result_has_ones_everywhere(evaluate):
    answer = evaluate({"x": "ab", "y": "c"}, {"1": "ab", "2": "c"})
    assert rates(answer, "pairwise") == ["1.000", "1.000", "1.000"]
    assert rates(answer, "B-cubed") == ["1.000", "1.000", "1.000"]
    assert "pairs: 1 right of 1 found, 1 true" in answer.out


def test_pairwise_and_b_cubed_of_a_small_case_by_hand(evaluate):
    """Found {a b c} {d e}, true {a b} {c d e}.

    Pairs found ab ac bc de, true ab cd ce de: 2 right of 4 and 4.
    B-cubed precision: a 2/3, b 2/3, c 1/3, d 1, e 1: 11/15; recall: a 1, b 1, c 1/3, d 2/3, e 2/3.
    """
    answer = evaluate({"x": "abc", "y": "de"}, {"1": "ab", "2": "cde"})
    assert rates(answer, "pairwise") == ["0.500", "0.500", "0.500"]
    assert rates(answer, "B-cubed") == ["0.733", "0.733", "0.733"]
    assert "pairs: 2 right of 4 found, 4 true" in answer.out


def test_everything_in_one_cluster_has_full_recall(evaluate):
    """Precision: 2 of 6 pairs; B-cubed 4 x 2/4."""
    answer = evaluate({"x": "abcd"}, {"1": "ab", "2": "cd"})
    assert rates(answer, "pairwise") == ["0.333", "1.000", "0.500"]
    assert rates(answer, "B-cubed") == ["0.500", "1.000", "0.667"]


def test_everything_alone_has_full_precision(evaluate):
    """No pair found, 2 true; B-cubed recall 4 x 1/2."""
    answer = evaluate({"w": "a", "x": "b", "y": "c", "z": "d"}, {"1": "ab", "2": "cd"})
    assert rates(answer, "pairwise") == ["1.000", "0.000", "0.000"]
    assert rates(answer, "B-cubed") == ["1.000", "0.500", "0.667"]


def test_a_labelled_listing_missing_from_the_results_stands_alone(evaluate):
    """Found {a b}, c and d missing; true {a b c} {d}: 1 of 1 found, of 3 true.

    B-cubed recall: a 2/3, b 2/3, c 1/3, d 1: 2/3.
    """
    answer = evaluate({"x": "ab"}, {"1": "abc", "2": "d"})
    assert rates(answer, "pairwise") == ["1.000", "0.333", "0.500"]
    assert rates(answer, "B-cubed") == ["1.000", "0.667", "0.800"]
    assert "4 labelled listings, 2 of them not in the results" in answer.out


def test_listings_without_a_label_do_not_count_but_are_named(evaluate):
    answer = evaluate({"x": "abz", "y": "q"}, {"1": "ab"})
    assert rates(answer, "pairwise") == ["1.000", "1.000", "1.000"]
    assert rates(answer, "B-cubed") == ["1.000", "1.000", "1.000"]
    assert "2 listings without a label" in answer.out


def test_cluster_names_of_the_two_files_need_not_agree_and_may_collide(evaluate):
    answer = evaluate({"missing c": "ab", "2": "d"}, {"1": "ab", "2": "c", "3": "d"})
    assert rates(answer, "pairwise") == ["1.000", "1.000", "1.000"]


def test_labels_may_carry_a_bom_more_columns_and_another_order(evaluate):
    gold = "\ufeffcluster_id,note,event_id\n1,x,a\n1,,b\n"
    assert rates(evaluate({"x": "ab"}, gold), "pairwise") == ["1.000", "1.000", "1.000"]


@pytest.mark.parametrize(
    "gold",
    ["", "id,cluster\na,1\n", "event_id;cluster_id\na;1\n", "event_id\na\n", "\n\n"],
    ids=["empty", "other names", "semicolons", "one column", "blank lines"],
)
def test_wrong_columns_fail_with_the_columns_that_are_needed(evaluate, gold):
    answer = evaluate({"x": "ab"}, gold)
    assert answer.status == 1
    assert re.search(r"labels\.csv: must have the columns event_id and cluster_id", answer.err)


def test_a_row_without_a_cluster_is_an_error_not_a_cluster(evaluate):
    answer = evaluate({"x": "ab"}, "event_id,cluster_id\na,1\nb\nc\n")
    assert answer.status == 1
    assert "labels.csv" in answer.err


def test_a_listing_labelled_twice_is_an_error(evaluate):
    answer = evaluate({"x": "ab"}, "event_id,cluster_id\na,1\nb,1\na,2\n")
    assert answer.status == 1
    assert "labels.csv" in answer.err


def test_labels_that_are_no_text_fail_with_a_line(evaluate, run, tmp_path):
    evaluate({"x": "ab"}, {"1": "ab"})
    for content in (b"event_id,cluster_id\n\xe4,1\n", b"\x00\x01\x02", b"PAR1" + bytes(range(256))):
        labels = tmp_path / "odd.csv"
        labels.write_bytes(content)
        answer = run("evaluate", tmp_path / "results", "--labels", labels)
        assert answer.status == 1
        assert "odd.csv" in answer.err


def test_a_folder_without_results_fails_with_a_line(run, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(table({"1": "ab"}))
    answer = run("evaluate", tmp_path, "--labels", labels)
    assert answer.status == 1
    assert "clusters.csv: No such file or directory" in answer.err


def test_the_merge_distance_counts_splits_and_merges(evaluate):
    """Found {a b c} {d e}, true {a b} {c d e}: c splits off and joins d and e."""
    answer = evaluate({"x": "abc", "y": "de"}, {"1": "ab", "2": "cde"})
    assert "merge distance 2: 1 splits and 1 merges" in answer.out
    assert "0.800 found pairs a listing, largest cluster 3" in answer.out


def test_the_merge_distance_of_a_perfect_result_is_zero(evaluate):
    assert "merge distance 0: 0 splits and 0 merges" in evaluate({"x": "ab"}, {"1": "ab"}).out


def test_without_a_summary_the_figures_about_pairs_are_refused_with_a_reason(evaluate):
    answer = evaluate({"x": "ab"}, {"1": "ab"})
    assert (
        "no figures about compared pairs and sources: the folder has no summary.json" in answer.out
    )
    assert "cross-source" not in answer.out


@pytest.fixture
def batch(dedup, listing, tmp_path):
    """Results of four listings: two of one concert, its namesake elsewhere, one under another name.

    `a` and `b` are merged, `c` shares neither town nor venue nor word with `d`.
    """
    elsewhere = {"name": "Kirche St. Anna", "city": "Lahr"}
    listings = [
        listing("a", "Harfenklänge im Advent", source_code="one"),
        listing("b", "Harfenklänge im Advent", source_code="two"),
        listing("c", "Ökumenische Andacht", source_code="one", location=elsewhere),
        listing("d", "Orgelpunkt", source_code="two", location={"name": "Münster"}),
    ]
    file = tmp_path / "listings.jsonl"
    file.write_text("\n".join(map(json.dumps, listings)), encoding="utf-8")
    return dedup(file)


@pytest.fixture
def judge(run, batch, tmp_path):
    def figures(gold, *options):
        labels = tmp_path / "gold.csv"
        labels.write_text(table(gold), encoding="utf-8")
        answer = run("evaluate", batch.folder, "--labels", labels, *options)
        assert answer.status == 0, answer.err
        return answer

    return figures


def test_a_true_pair_that_shares_no_key_lowers_blocking_completeness(judge):
    """True pairs ab and cd; only ab shares a key: completeness 1/2, 1 of 6 pairs compared."""
    answer = judge({"1": "ab", "2": "cd"})
    assert "completeness 0.5000 (1 of 2 true pairs compared)" in answer.out
    assert "reduction ratio 0.83333 (1 pairs compared)" in answer.out


def test_a_missed_pair_that_was_never_compared_says_so_and_what_it_would_be(judge):
    answer = judge({"1": "ab", "2": "cd"}, "--errors", "5")
    assert "missed: c (one) | d (two)" in answer.out
    assert "andacht oekumenische | orgelpunkt" in answer.out
    assert "never compared (no shared key); would be" in answer.out
    assert "wrong:" not in answer.out


def test_a_wrong_pair_shows_scores_times_weights_that_add_up(judge):
    answer = judge({"1": "a", "2": "b", "3": "c", "4": "d"}, "--errors", "5")
    assert "wrong: a (one) | b (two)" in answer.out
    parts = re.findall(r"(\d\.\d+) x (\d\.\d+) = (\d\.\d+)", answer.out)
    combined = float(re.search(r"(?:sum|combined) +(\d\.\d+)", answer.out)[1])
    assert "  match (above_high); low" in answer.out
    assert len(parts) == 4
    for score, weight, product in parts:
        assert float(score) * float(weight) == pytest.approx(float(product), abs=0.001)
    assert sum(float(product) for *_, product in parts) == pytest.approx(combined, abs=0.003)
    assert "missed:" not in answer.out


def test_errors_are_shown_up_to_the_asked_number(judge):
    gold = {"1": "a", "2": "bcd"}
    assert judge(gold).out.count("missed:") == 0
    assert judge(gold, "--errors", "2").out.count("missed:") == 2
    assert judge(gold, "--errors", "9").out.count("missed:") == 3


def test_cross_source_figures_leave_pairs_of_one_source_out(judge):
    """True pairs ab and bd: bd is of one source, so all 1 cross-source pairs are found."""
    answer = judge({"1": "abd", "2": "c"})
    assert rates(answer, "pairwise") == ["1.000", "0.333", "0.500"]
    assert rates(answer, "cross-source") == ["1.000", "0.500", "0.667"]


def test_the_counts_of_the_run_are_given_for_a_thousand_listings(judge):
    assert "a thousand listings: 0.0 quarantined, 0.0 ambiguous pairs" in judge({"1": "ab"}).out


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"run": 5, "inputs": {}}'])
def test_a_damaged_receipt_is_named(run, batch, tmp_path, text):
    (batch.folder / "summary.json").write_text(text, encoding="utf-8")
    (tmp_path / "gold.csv").write_text(table({"1": "ab"}), encoding="utf-8")
    answer = run("evaluate", batch.folder, "--labels", tmp_path / "gold.csv")
    assert answer.status == 1
    assert "summary.json" in answer.err


@pytest.mark.parametrize("gold", [{}, {"1": ["zz"]}])
def test_labels_of_other_listings_give_no_figures(evaluate, gold):
    answer = evaluate({"x": "ab"}, gold)
    assert answer.status == 1
    assert "labels.csv" in answer.err
    assert "names no listing of these results" in answer.err


def test_listings_that_changed_since_the_run_are_not_used(judge, tmp_path):
    (tmp_path / "listings.jsonl").write_text("{}", encoding="utf-8")
    assert "listings.jsonl is no longer what the run has read" in judge({"1": "ab"}).out


def test_settings_that_the_run_did_not_have_are_not_used(judge, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("thresholds: {high: 0.8}", encoding="utf-8")
    answer = judge({"1": "ab"}, "--config", settings)
    assert "the run had other settings; give them with --config" in answer.out


def test_canonical_events_are_compared_with_the_true_ones(judge, tmp_path):
    """Of two true events the first is right, the second has another time, venue and a longer title."""

    def true(cluster, title, time, venue):
        dates = [{"date": "2026-03-07", "start_time": time, "end_date": None}]
        return {
            "cluster_id": cluster, "title": title, "event_dates": dates, "location": {"name": venue}
        }  # fmt: skip

    truth = tmp_path / "gold_events.jsonl"
    events = [
        true("1", "HARFENKLAENGE", "19:30", "Bürgerhaus"),
        true("2", "Andacht mit Kaffee", "19:00", "Kapelle"),
        true("3", "Nirgends gelistet", "19:00", None),
    ]
    truth.write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
    answer = judge({"1": "ab", "2": "c"}, "--truth", truth)
    assert (
        "of 2 true ones: title 0.500, days 1.000, days and times 0.500, venue 0.500" in answer.out
    )


def test_the_settings_of_the_run_give_its_figures(dedup, run, listing, tmp_path):
    """Under a high threshold of 1 the run merged nothing; it is judged under the same settings."""
    settings, file, labels = (tmp_path / name for name in ("s.yaml", "l.jsonl", "g.csv"))
    settings.write_text("thresholds: {high: 1.0}", encoding="utf-8")
    pair = [listing("a", "Harfenklang", source_code="one"), listing("b", "Harfenklänge")]
    file.write_text("\n".join(map(json.dumps, pair)), encoding="utf-8")
    labels.write_text(table({"1": "ab"}), encoding="utf-8")
    done = run("dedup", file, "-o", tmp_path / "out", "--config", settings)
    assert done.status == 0, done.err
    options = ("--config", settings, "--errors", "1")
    answer = run("evaluate", tmp_path / "out", "--labels", labels, *options)
    assert rates(answer, "pairwise") == ["1.000", "0.000", "0.000"]
    assert "ambiguous (between); low 0.35, high 1, title veto 0.45" in answer.out


def test_of_pairs_never_compared_the_likeliest_comes_first(run, dedup, listing, tmp_path):
    """Three listings without a shared key; `a` and `b` have one time and text, `c` another."""
    titles = {"a": "Zitherspiel", "b": "Zwetschgenfest", "c": "Ökumenische Andacht"}
    listings = [
        listing(name, title, location=None, description="Beginn pünktlich.")
        for name, title in titles.items()
    ]
    listings[2] |= {"description": "Mit Kirchenkaffee und Basar."}
    listings[2]["event_dates"][0]["start_time"] = "08:00"
    file, labels = tmp_path / "strangers.jsonl", tmp_path / "g.csv"
    file.write_text("\n".join(map(json.dumps, listings)), encoding="utf-8")
    labels.write_text(table({"1": "abc"}), encoding="utf-8")
    answer = run("evaluate", dedup(file).folder, "--labels", labels, "--errors", "3")
    assert answer.out.count("never compared (no shared key)") == 3
    scores = [float(one) for one in re.findall(r"combined +(\d\.\d+)", answer.out)]
    assert scores == sorted(scores, reverse=True)
    assert re.findall(r"missed: (\w) .*\| (\w) ", answer.out)[0] == ("a", "b")


def test_pairs_that_clustering_joined_or_parted_against_their_verdict_say_so(judge, batch):
    """The results are made to part the match ab and to join ac, which was never compared."""
    (batch.folder / "clusters.csv").write_text(table({"x": "ac", "y": "b"}), encoding="utf-8")
    answer = judge({"1": "ab", "2": "c"}, "--errors", "1")
    missed, wrong = re.findall(r"combined .*", answer.out)
    assert missed.endswith("title veto 0.45; parted when clusters were made")
    assert "never compared (no shared key); joined through other listings; would be" in wrong
