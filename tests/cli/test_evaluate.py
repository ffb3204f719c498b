"""`event-dedup evaluate`: the figures, by hand."""

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
