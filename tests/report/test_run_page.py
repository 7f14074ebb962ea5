import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from fedapp.data.integrity import HEADER, TASKS
from fedapp.errors import RunError
from fedapp.evaluation.arms import LABELS
from fedapp.report import drawing, run_page
from fedapp.report.run_page import write_report
from fedapp.storage.digests import file_digests
from fedapp.storage.json_file import read_json, write_sealed
from fedapp.storage.sealed_table import write_table
from tests.helpers.sealed import seal
from tests.report.html_page import written
from tests.report.synthetic import COMPARED

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_resamples")
COMPUTED = "Labels are computed from the structures; they are not bioactivity."


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests read the page's words; drawing is tested beside, and takes a second a page."""
    monkeypatch.setattr(drawing, "drawn", lambda name, alt, draw, height=0: "<svg></svg>")


def test_the_page_of_a_comparison_gives_the_verdict_and_the_means_of_the_saved_comparison(synthetic: Make) -> None:
    run = synthetic(tasks=400, rounds=20)
    saved = json.loads((run / "comparison.json").read_text())
    text = written(run).text
    verdict = text[: text.index("Held against")]
    assert f"combined models reach {saved['combined']['auc_pr']:.3f}, each partner alone {saved['local']['auc_pr']:.3f}" in verdict
    assert f"over {saved['tasks']} tasks" in verdict
    assert "95 % interval" in verdict
    for arm in COMPARED:
        row = text[text.index(f"{LABELS[arm]} {saved[arm]['auc_pr']:.3f}", text.index("In figures")) :]
        assert f"{saved[arm]['auc_roc']:.3f} {saved[arm]['bce']:.3f}" in row
    assert "percentile bootstrap over tasks only" in text


def test_plots_come_first_and_tables_after(synthetic: Make) -> None:
    text = written(synthetic(tasks=120, values=60)).text
    places = ["AUC-PR of every arm", "Gain by similarity", "Spearman of every arm", "Error of predicted values, in units of p"]
    places += ["Learning curves", "In figures", "Best and worst tasks"]
    found = [text.index(place) for place in places]
    assert found == sorted(found)
    for title in ("size of the partner", "number of labels", "partners that measure the same"):
        assert text.count(f"Gain by {title}") == 2, "for each kind of task"


def test_pages_of_values_alone_have_no_column_of_classes(synthetic: Make) -> None:
    text = written(synthetic(tasks=0, values=60)).text
    figures = text[text.index("In figures") : text.index("Best and worst")]
    assert "AUC-PR" not in figures
    assert "Spearman" in figures
    assert "RMSE, units of p" in figures
    assert "Compounds with a clear answer" not in text


@pytest.mark.parametrize("arms", [("local", "federated"), ("local", "combined"), ("federated",), ("local",)])
def test_a_comparison_of_few_arms_has_a_page(synthetic: Make, arms: tuple[str, ...]) -> None:
    text = written(synthetic(tasks=60, values=30, arms=arms)).text
    assert "In figures" in text
    assert "Held against" not in text or "R²" in text
    assert ("What training together gains" in text) == ("local" in arms and len(arms) > 1)


def test_a_partner_none_of_whose_tasks_counts_has_its_row(synthetic: Make) -> None:
    run = synthetic(tasks=90)
    table = pl.read_parquet(run / "comparison.parquet").filter(pl.col("partner") != "Birch")
    write_table(run / "comparison.parquet", table)
    assert re.search(r"Birch [\d,]+ [\d,]+ \d+ 0 – – – – – –", written(run).text)


def test_the_page_has_a_row_for_every_partner_with_its_compounds_and_scores(synthetic: Make) -> None:
    run = synthetic(tasks=120)
    text = written(run).text
    for name, saved in json.loads((run / "comparison.json").read_text())["partners"].items():
        compounds = json.loads((run / "partners" / name / "dataset" / "dataset.json").read_text())["compounds"]
        row = text[text.index(f"{name} {compounds:,}") :]
        assert f"{saved['local']['auc_pr']:.3f}" in row
        assert f"{saved['federated']['auc_pr']:.3f}" in row


def test_a_note_on_computed_labels_stands_on_top_and_among_the_limits(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate", note=COMPUTED)).text
    assert text.count(COMPUTED) == 2
    assert text.index(COMPUTED) < text.index("Result")


def test_plain_aggregation_is_called_by_its_name_on_top_and_again_below(synthetic: Make) -> None:
    text = written(synthetic(row_guard=10)).text
    assert text.count("The coordinator saw every update in the clear.") == 2
    assert text.index("in the clear") < text.index("In figures")
    assert text.count("for comparison only: each partner's update reached the coordinator unmasked") == 2


def test_secure_aggregation_says_what_holds_and_gets_no_warning(synthetic: Make) -> None:
    page = written(synthetic(kind="simulate", secure=True, row_guard=10))
    assert "in the clear" not in page.text
    assert "The coordinator saw neither an update nor the sum of the updates nor the trunk." in page.text
    assert "fingerprint bit 10 or more of its training compounds hold" in page.text
    assert "there is no differential privacy" in page.text
    assert not [attributes for _, attributes in page.elements if "warn" in attributes.get("class", "") or attributes.get("class") == "loud"]


def test_a_row_guard_that_is_off_is_a_warning_under_secure_aggregation_too(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate", secure=True, row_guard=0)).text
    assert text.count("The row guard was off.") == 2
    assert text.index("The row guard was off.") < text.index("Result")


def test_a_comparison_with_an_unguarded_arm_has_its_row_and_says_what_the_guard_costs(synthetic: Make) -> None:
    run = synthetic(tasks=400, rounds=20, row_guard=10)
    saved = json.loads((run / "comparison.json").read_text())
    text = written(run).text
    assert f"Without row guard {saved['unguarded']['auc_pr']:.3f}" in text
    assert re.search("The row guard (makes no clear difference|costs|gains)", text)
    assert "Without row guard: the same federation with every row trained and sent" in text


def test_a_comparison_without_an_unguarded_arm_does_not_speak_of_it(synthetic: Make) -> None:
    assert "Without row guard" not in written(synthetic()).text


def test_the_rounds_table_has_set_up_first_and_the_finish_on_its_own(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate", secure=True, row_guard=10, rounds=4)).text
    table = text[text.index("Rounds, traffic and time") :]
    assert re.search(r"set-up 5 3 / 3 .* 1 3 3 / 3 .* 4 3 3 / 3 .* finish 1 3 / 3", table)
    set_up = "set-up: AdvertiseKeys, ShareKeys, MaskedInputCollection, ConsistencyCheck, Unmasking; "
    assert f"Exchanges of {set_up}a round: MaskedInputCollection, ConsistencyCheck, Unmasking; finish: Finish." in table


def test_clipped_coordinates_are_counted_over_all_partners_and_rounds(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate", secure=True, row_guard=10, rounds=4)).text
    assert "12 of the 12,000,000 coordinates that partners sent in 4 rounds were clipped (0.0001 %), most in round 2." in text


def test_replies_that_were_not_accepted_are_told_with_phase_and_round(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate", secure=True, row_guard=10, missing={"Birch": 3})).text
    assert "MaskedInputCollection, round 3: no reply. ConsistencyCheck, round 3: no reply." in text


def test_an_unfinished_comparison_is_named_as_such_and_shows_the_federated_arm_alone(synthetic: Make) -> None:
    text = written(synthetic(rounds=9, done=4)).text
    assert "This run is unfinished" in text
    assert "4 rounds of 9" in text
    assert "The comparison of the arms has not been made" in text
    assert "Share of the pooled gain" not in text
    assert "So far: 4 rounds." in text


def test_a_finished_run_is_not_called_unfinished(synthetic: Make) -> None:
    assert "unfinished" not in written(synthetic(kind="simulate")).text


def test_a_run_that_flower_finished_on_its_own_counts_as_finished(synthetic: Make) -> None:
    run = synthetic(kind="simulate", state="running")
    assert "unfinished" in written(run).text
    seal(run / "coordinator" / "outcome.json", '{"state": "finished", "error": ""}')
    assert "unfinished" not in written(run).text


def test_a_partner_that_missed_a_round_is_named_with_the_round(synthetic: Make) -> None:
    text = written(synthetic(missing={"Birch": 3})).text
    assert "A partner failed in mid-run." in text
    assert "Birch did not train in round 3." in text
    assert "2 / 3" in text


def test_a_partner_that_left_an_error_is_named_with_its_reason(synthetic: Make) -> None:
    run = synthetic(done=2, state="failed", error="a partner failed")
    seal(run / "partners" / "Cedar" / "error.json", '{"error": "training diverged in round 3", "hint": ""}')
    text = written(run).text
    assert "Cedar stopped with: training diverged in round 3." in text
    assert "It stopped with: a partner failed." in text


def test_a_simulation_alone_says_what_guessing_gives_and_claims_no_gain(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate")).text
    assert "guessing would give" in text
    assert "this run does not tell" in text
    assert "Gain" not in text


def test_a_run_without_any_evaluated_round_has_a_page_that_says_so(synthetic: Make) -> None:
    text = written(synthetic(kind="simulate", done=0)).text
    assert "no round has been evaluated" in text
    assert "not evaluated yet" in text


def test_tasks_that_do_not_count_are_counted_by_reason(synthetic: Make) -> None:
    run = synthetic(tasks=300)
    text = written(run).text
    counted = json.loads((run / "comparison.json").read_text())["tasks"]
    assert f"{counted} of 300 tasks count." in text
    reasons = re.findall(r"fewer than 5 (?:actives|inactives|actives and fewer than 5 inactives) in the test fold (\d+)", text)
    assert sum(map(int, reasons)) == 300 - counted


def test_an_auxiliary_screen_in_percent_is_listed_as_values_that_are_not_judged(synthetic: Make) -> None:
    run = synthetic()
    path = run / "partners" / "Alder" / "dataset" / "tasks.parquet"
    tasks = pl.read_parquet(path)
    screen = {"task": len(tasks), "group": "primary screen", "kind": "regression", "unit": "%", "exact": 460, "censored": 0}
    added = pl.DataFrame([screen | {"auxiliary": True}])
    pl.concat([tasks, added], how="diagonal_relaxed").write_parquet(path)
    header = read_json(path.with_name(HEADER))
    write_sealed(path.with_name(HEADER), header | {"files": file_digests(path.parent, [TASKS])})
    text = written(run).text
    assert "auxiliary: trained on for the others' sake 1" in text
    assert "Alder primary screen value in % not judged" in text


def test_calibration_is_a_column_where_it_is_known_and_else_it_is_said_who_tells(synthetic: Make) -> None:
    run = synthetic()
    table = pl.read_parquet(run / "comparison.parquet").with_columns(pl.lit(0.4).alias("combined_efficiency_05"))
    write_table(run / "comparison.parquet", table)
    text = written(run).text
    assert "Arm Clear, 5 %" in text and "is told by polyphony compare alone" in text
    saved = json.loads((run / "comparison.json").read_text())
    saved["combined"]["calibration_error"] = 0.123
    seal(run / "comparison.json", json.dumps(saved))
    text = written(run).text
    assert "Arm Calibration error Clear, 5 %" in text and "polyphony compare alone" not in text and "0.123" in text


def test_every_table_has_headers_with_a_scope(synthetic: Make) -> None:
    page = written(synthetic())
    heads = [attributes for tag, attributes in page.elements if tag == "th"]
    assert heads
    assert all(attributes.get("scope") in {"col", "row"} for attributes in heads)


def test_a_comparison_file_without_the_needed_columns_is_named_and_left_out(synthetic: Make) -> None:
    run = synthetic()
    (run / "comparison.parquet").write_bytes((run / "partners" / "Alder" / "dataset" / "tasks.parquet").read_bytes())
    assert "comparison.parquet lacks" in written(run).text


def test_a_count_that_differs_between_the_comparison_files_is_named(synthetic: Make) -> None:
    run = synthetic()
    saved = json.loads((run / "comparison.json").read_text())
    seal(run / "comparison.json", json.dumps(saved | {"tasks": 7}))
    assert "comparison.json counts 7 tasks" in written(run).text


def test_a_missing_folder_is_an_error_that_names_the_runs_there_are(synthetic: Make, tmp_path: Path) -> None:
    run = synthetic()
    with pytest.raises(RunError, match="no run folder") as caught:
        write_report(tmp_path / "absent")
    assert str(run) in caught.value.hint


def test_a_folder_that_no_run_wrote_is_an_error_and_gets_no_page(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run\.json") as caught:
        write_report(tmp_path)
    assert caught.value.hint
    seal(tmp_path / "run.json", '{"kind": "holiday"}')
    with pytest.raises(RunError, match="does not describe a run"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_missing_template_is_an_error_with_a_hint(synthetic: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = synthetic(kind="simulate")
    monkeypatch.setattr(run_page, "TEMPLATES", tmp_path / "empty")
    with pytest.raises(RunError, match=r"report\.html\.j2 is not installed") as caught:
        write_report(run)
    assert "wheel" in caught.value.hint
