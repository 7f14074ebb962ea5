"""The choice of the round."""

from pathlib import Path

import polars as pl
import pytest

from fedapp.evaluation.selection import METRICS_SCHEMA, best_round, judged_metrics, read_metrics, selected_rounds, validation_curve
from fedapp.storage.sealed_table import write_table


def metrics(validation: list[float | None], test: list[float]) -> pl.DataFrame:
    rows = [(number, "validation", 5, 5, value) for number, value in enumerate(validation, 1)]
    rows += [(number, "test", 5, 5, value) for number, value in enumerate(test, 1)]
    return pl.DataFrame(rows, schema=["round", "fold", "positives", "negatives", "auc_pr"], orient="row")


def test_the_validation_fold_alone_chooses() -> None:
    assert best_round(metrics([0.4, 0.6, 0.5], [0.9, 0.1, 0.99]), 5) == 2


def test_the_earliest_of_equal_rounds_is_chosen() -> None:
    assert best_round(metrics([0.4, 0.6, 0.6], [0.0, 0.0, 0.0]), 5) == 2


def test_without_a_defined_metric_the_last_round_is_chosen() -> None:
    assert best_round(metrics([None, None], [0.5, 0.4]), 5) == 2


def test_without_metrics_no_round_is_chosen() -> None:
    assert best_round(pl.DataFrame(), 5) is None


def test_the_curve_has_every_round() -> None:
    assert validation_curve(metrics([0.4, 0.6], [0.0, 0.0]), 5) == {1: 0.4, 2: 0.6}


def test_a_folder_is_read_by_round_and_half_written_files_are_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    for number in (2, 10, 1):
        write_table(tmp_path / "metrics" / f"round-{number:04d}.parquet", pl.DataFrame([{"round": number}], schema=METRICS_SCHEMA))
    (tmp_path / "metrics" / ".round-0011.parquet.x1").write_bytes(b"half")
    assert read_metrics(tmp_path)["round"].to_list() == [1, 2, 10]
    assert read_metrics(tmp_path / "absent").is_empty()


COLUMNS = ["partner", "round", "fold", "task", "positives", "negatives", "auc_pr"]


def table(*rows: tuple[str, int, str, int, int, float | None]) -> pl.DataFrame:
    """Rows of (partner, round, fold, task, compounds of each class, auc_pr)."""
    held = [(partner, number, fold, task, size, size, score) for partner, number, fold, task, size, score in rows]
    return pl.DataFrame(held, orient="row", schema={"partner": pl.String} | {name: METRICS_SCHEMA[name] for name in COLUMNS[1:]})


def test_the_round_with_the_best_validation_mean_is_selected_and_the_test_fold_has_no_say() -> None:
    metrics = table(
        ("A", 1, "validation", 0, 9, 0.5),
        ("A", 2, "validation", 0, 9, 0.7),
        ("A", 3, "validation", 0, 9, 0.6),
        ("A", 3, "test", 0, 9, 0.99),
    )
    assert selected_rounds(metrics, 5) == {"A": 2}


def test_each_partner_selects_its_own_round_and_the_earliest_of_equals() -> None:
    metrics = table(
        ("A", 1, "validation", 0, 9, 0.7),
        ("A", 2, "validation", 0, 9, 0.7),
        ("B", 1, "validation", 0, 9, 0.1),
        ("B", 2, "validation", 0, 9, 0.2),
    )
    assert selected_rounds(metrics, 5) == {"A": 1, "B": 2}


def test_tasks_with_too_few_compounds_do_not_select_unless_there_are_no_others() -> None:
    small = (("A", 1, "validation", 0, 2, 0.9), ("A", 2, "validation", 0, 2, 0.1))
    large = (("A", 1, "validation", 1, 9, 0.4), ("A", 2, "validation", 1, 9, 0.5))
    assert selected_rounds(table(*small, *large), 5) == {"A": 2}
    assert selected_rounds(table(*small), 5) == {"A": 1}


def test_a_partner_without_any_defined_value_selects_its_last_round() -> None:
    assert selected_rounds(table(("A", 1, "validation", 0, 9, None), ("A", 2, "validation", 0, 9, None)), 5) == {"A": 2}


def test_the_curve_is_the_mean_over_the_tasks_of_all_partners() -> None:
    metrics = table(("A", 1, "validation", 0, 9, 0.2), ("A", 1, "validation", 1, 9, 0.4), ("B", 1, "validation", 0, 9, 0.9))
    assert validation_curve(metrics, 5) == {1: 0.5}


def test_only_the_test_rows_of_the_selected_round_are_judged() -> None:
    metrics = table(("A", 1, "test", 0, 9, 0.1), ("A", 2, "test", 0, 9, 0.2), ("A", 2, "validation", 0, 9, 0.3))
    assert judged_metrics(metrics, {"A": 2})["auc_pr"].to_list() == [0.2]


def test_a_score_that_is_no_number_chooses_no_round_and_is_no_figure() -> None:
    nan = float("nan")
    assert validation_curve(metrics([0.4, nan, float("inf")], [0.0, 0.0, 0.0]), 5) == {1: 0.4}
    assert best_round(metrics([0.4, nan, 0.6], [0.0, 0.0, 0.0]), 5) == 3


def of_values(*rows: tuple[int, int, float | None]) -> pl.DataFrame:
    """Rows of (round, exact values, spearman) of one task of values each, on the validation fold."""
    columns = {"round": pl.Int32, "exact": pl.Int32, "spearman": pl.Float64}
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.lit("validation").alias("fold"))


def test_tasks_of_values_choose_by_their_rank_correlation() -> None:
    assert validation_curve(of_values((1, 10, 0.2), (2, 10, 0.5), (3, 10, 0.4)), 5) == {1: 0.2, 2: 0.5, 3: 0.4}
    assert best_round(of_values((1, 10, 0.2), (2, 10, 0.5), (3, 10, 0.4)), 5) == 2


def test_a_task_of_values_chooses_with_twice_as_many_exact_values_as_a_class_needs_labels() -> None:
    assert best_round(of_values((1, 9, 0.9), (1, 10, 0.1), (2, 9, 0.1), (2, 10, 0.2)), 5) == 2


def test_where_there_are_both_kinds_each_has_half_a_say_however_many_tasks_it_has() -> None:
    classes = metrics([0.6, 0.7], [0.0, 0.0])
    both = pl.concat([classes, classes, classes, of_values((1, 10, 0.5), (2, 10, 0.3))], how="diagonal_relaxed")
    assert validation_curve(both, 5) == pytest.approx({1: 0.55, 2: 0.5})
    assert validation_curve(both, 5, "auc_pr") == pytest.approx({1: 0.6, 2: 0.7})
    assert best_round(both, 5) == 1
