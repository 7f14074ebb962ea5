"""Several seeds of one comparison: from what a verb printed to the page's figures, and how sure these are."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.errors import RunError
from fedapp.evaluation.arms import ARMS, CLASS_METRICS, UNGUARDED, VALUE_METRICS
from fedapp.evaluation.intervals import mean_interval
from fedapp.storage.damage import DamagedFileError
from simulation.results.clusters import cluster_sums, interval_of, joint_means
from simulation.results.comparisons import Comparison
from simulation.results.figures import Spread
from simulation.results.page import NAMES, rendered
from simulation.results.records import Record, file_record, read_record, read_records
from tests.simulation.results import made_up

GAIN = pl.col("combined_auc_pr") - pl.col("local_auc_pr")


def recorded(folder: Path, name: str, *seeds: int, metrics: tuple[str, ...] = CLASS_METRICS, noise: float = 0.01) -> dict[str, Record]:
    """Records of some seeds, filed and read back."""
    folder.mkdir(exist_ok=True)
    paths = [file_record(f"{name}-seed{seed}", made_up.printed(folder / f"run-{seed}", seed, metrics, noise), folder) for seed in seeds]
    return {path.stem: read_record(path) for path in paths}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    return recorded(tmp_path_factory.mktemp("records"), "compare-fsmol", 2, 1, 3)


def test_sums_of_clusters_are_of_the_tasks_that_count() -> None:
    table = made_up.tasks(1)
    expected: dict[tuple[str, str], list[float]] = {}
    for task in table.iter_rows(named=True):
        if task["counts"]:
            sums = expected.setdefault((task["partner"], task["group"]), [0, 0, 0])
            for place, value in enumerate((1, task["local_auc_pr"], task["merged_auc_pr"])):
                sums[place] += value
    for row in cluster_sums(table).iter_rows(named=True):
        assert row["metric"] == "auc_pr"
        assert [row[name] for name in ("tasks", "local", "merged")] == pytest.approx(expected.pop((row["partner"], row["group"])))
    assert not expected


def test_a_task_that_one_arm_has_no_figure_of_is_in_no_arms_sum_but_an_arm_without_any_leaves_the_others() -> None:
    table = made_up.tasks(1, VALUE_METRICS).with_columns(pl.lit(True).alias("counts"))
    hole = table.with_columns(pl.when(pl.col("task") > 0).then(pl.col("merged_spearman")).alias("merged_spearman"))
    sums = cluster_sums(hole)
    tasks = dict(sums.group_by("metric").agg(pl.col("tasks").sum()).iter_rows())
    assert tasks == {"spearman": len(table) - 2, "r2": len(table), "rmse": len(table)}
    assert sums.filter(pl.col("metric") == "spearman")["constant"].null_count() == len(sums) / 3
    assert set(joint_means([sums], "spearman")) == set(ARMS) - {UNGUARDED, "constant"}
    assert joint_means([sums], "auc_pr") == {}


def slow_interval(seeds: list[pl.DataFrame], resamples: int = 1500) -> tuple[float, float]:
    """The joint interval of combined over local, one draw after another."""
    draw, values = np.random.default_rng(7), []
    clusters = [[(row["tasks"], row["combined"] - row["local"]) for row in seed.iter_rows(named=True)] for seed in seeds]
    for _ in range(resamples):
        gains = []
        for seed in draw.integers(len(seeds), size=len(seeds)):
            own = [clusters[seed][place] for place in draw.integers(len(clusters[seed]), size=len(clusters[seed]))]
            gains.append(sum(gain for _, gain in own) / sum(tasks for tasks, _ in own))
        values.append(sum(gains) / len(gains))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def test_seeds_are_resampled_and_within_each_its_clusters() -> None:
    tables = [made_up.tasks(seed, noise=0.05) for seed in (1, 2, 3)]
    apart = [table.with_columns(pl.col("combined_auc_pr") + 0.05 * place) for place, table in enumerate(tables)]
    for seeds in (tables, apart):
        means = joint_means(sums := [cluster_sums(table) for table in seeds])
        gain = interval_of(means["combined"] - means["local"])
        assert gain.value == pytest.approx(np.mean([table.filter("counts").select(GAIN).mean().item() for table in seeds]))
        low, high = slow_interval(sums)
        assert gain.low == pytest.approx(low, abs=0.1 * (high - low)) and gain.high == pytest.approx(high, abs=0.1 * (high - low))
    alike, unlike = (joint_means([cluster_sums(table) for table in seeds]) for seeds in (tables, apart))
    widths = [np.ptp(np.quantile(means["combined"] - means["local"], [0.025, 0.975])) for means in (alike, unlike)]
    assert widths[1] > 2 * widths[0], "seeds that disagree make a gain unsure"


def test_of_one_seed_the_interval_is_that_over_its_tasks() -> None:
    table = made_up.tasks(4, noise=0.05)
    one = mean_interval(table.filter("counts"), GAIN)
    means = joint_means([cluster_sums(table)])
    gain = interval_of(means["combined"] - means["local"])
    assert gain.value == pytest.approx(one.value)
    assert one.low is not None and one.high is not None
    assert (gain.low, gain.high) == pytest.approx((one.low, one.high), abs=0.1 * (one.high - one.low))


def test_of_few_clusters_there_is_no_interval() -> None:
    few = cluster_sums(made_up.tasks(1).filter(pl.col("partner") == "alpha", pl.col("group").is_in(["target 0", "target 1"])))
    means = joint_means([few, cluster_sums(made_up.tasks(2))])
    assert interval_of(means["combined"] - means["local"]).low is None


def test_seeds_in_whatever_order_become_means_with_least_and_most(records: Mapping[str, Record]) -> None:
    compared = Comparison.of(list(records.values()))
    results = [records[f"compare-fsmol-seed{seed}"].result for seed in (1, 2, 3)]
    assert compared.seeds == [1, 2, 3]
    assert compared.names == [f"compare-fsmol-seed{seed}" for seed in (1, 2, 3)]
    assert compared.arms["local"]["auc_roc"] == Spread.of([result["local"]["auc_roc"] for result in results])
    assert compared.rows_in_sum == Spread(22, 21, 23)
    assert compared.choices == {"classification": {"federated": 3, "mean": 3}}
    assert [seen["compounds"] for seen in compared.named] == [10, 20, 30, 5, 5, 5]
    (part,) = [part for part in compared.breakdown if part.by == "labels" and part.least == 0]
    assert part.tasks == 12
    merged = part.gains["merged"]
    assert (merged.mean, merged.least, merged.most) == pytest.approx((0.052, 0.051, 0.053))


def test_gains_over_every_base_and_the_share_of_what_merging_gains_are_of_all_seeds(records: Mapping[str, Record]) -> None:
    compared = Comparison.of(list(records.values()))
    means = {
        arm: np.mean([record.result[arm]["auc_pr"] for record in records.values()])
        for arm in ("local", "local_twice", "combined", "pooled", "merged")
    }
    for base in ("local", "local_twice", "pooled", "merged"):
        gain = compared.gain("combined", base)
        assert gain is not None and gain.low is not None and gain.high is not None
        assert gain.value == pytest.approx(means["combined"] - means[base], abs=1e-5)
        assert gain.low < gain.value < gain.high
    share = compared.share("combined")
    assert share is not None and share.low is not None and share.high is not None
    assert share.value == pytest.approx((means["combined"] - means["local"]) / (means["merged"] - means["local"]), abs=1e-3)
    assert share.low < share.value < share.high
    assert compared.gain("unguarded") is compared.share("unguarded") is None, "an arm that was not trained"


def test_there_is_no_share_of_what_may_be_nothing(records: Mapping[str, Record]) -> None:
    compared = Comparison.of(list(records.values()))
    means = compared.means["auc_pr"]
    resamples = np.random.default_rng(1).normal(0.01, 0.02, len(means["local"]) - 1)
    for gain in (np.append(0.01, resamples), -0.1):
        assert replace(compared, means={"auc_pr": {**means, "merged": means["local"] + gain}}).share("combined") is None


def test_the_page_shows_each_comparison_with_all_arms_and_values_in_a_table_of_their_own(
    records: Mapping[str, Record], tmp_path: Path
) -> None:
    values = recorded(tmp_path, "values-fsmol", 1, metrics=VALUE_METRICS)
    others = {name: record for name, record in read_records().items() if not name.startswith(("compare-", "values-"))}
    page = rendered(records=others | dict(records) | values)
    shown, values_shown = (re.search(rf"### {title}\n(.*?)\n##", page, re.DOTALL) for title in ("Disjoint assays", "Measured values"))
    assert shown is not None and values_shown is not None
    compared = Comparison.of(list(records.values()))
    assert "Seeds 1 to 3: 2 simulated partners" in shown[1]
    for arm in compared.arms:
        assert f"{NAMES[arm]}" in shown[1]
        assert compared.arms[arm]["auc_pr"].text(3) in shown[1]
        assert NAMES[arm] in values_shown[1]
    assert "Not measured" not in shown[1] + values_shown[1]
    assert f"`{made_up.FACTS['command']}`, commit {made_up.FACTS['commit']}" in shown[1]
    assert "In the compare-fsmol comparison above that named compounds at 3 of 6 partners of all seeds, at most 1 of 10" in page
    assert "polyphony compare conf/panel.yaml` tells" in page, "what was not measured is said not to be"


def test_readmes_table_has_a_column_for_each_dealing_and_says_which_was_not_measured(records: Mapping[str, Record]) -> None:
    known = read_records()
    without = {name: record for name, record in known.items() if not name.startswith("compare-")}
    assert rendered("{% include 'gains.md.j2' %}", without) == "Not measured with this version yet.\n"
    table = rendered("{% include 'gains.md.j2' %}", without | dict(records))
    combined = Comparison.of(list(records.values())).arms["combined"]["auc_pr"].mean
    assert f"| **federated + own** | **{combined:.3f}** | not measured yet |" in table
    assert len(table.splitlines()) == 8


def test_a_comparison_is_filed_where_its_run_is_or_not_at_all(tmp_path: Path) -> None:
    text = made_up.printed(tmp_path / "run", 1)
    (tmp_path / "run" / "breakdown.parquet").unlink()
    with pytest.raises(RunError, match=r"breakdown\.parquet is not here"):
        file_record("compare-fsmol-seed1", text, tmp_path)
    (tmp_path / "run" / "breakdown.parquet").write_bytes(b"torn")
    with pytest.raises(DamagedFileError, match=r"breakdown\.parquet (is damaged|was altered)"):
        file_record("compare-fsmol-seed1", text, tmp_path)
    assert not list(tmp_path.glob("compare*"))


def test_a_records_tables_go_with_it_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    recorded(tmp_path, "compare-fsmol", 1)
    tables = sorted(tmp_path.glob("*.csv"))
    assert [path.name for path in tables] == ["compare-fsmol-seed1.breakdown.csv", "compare-fsmol-seed1.clusters.csv"]
    assert "/" not in "".join(path.read_text() for path in tables)
    tables[1].write_text("metric,partner\nauc_pr,alpha\n")
    with pytest.raises(DamagedFileError, match=r"compare-fsmol-seed1\.clusters\.csv"):
        read_records(tmp_path)
    tables[1].unlink()
    with pytest.raises(DamagedFileError, match=r"clusters\.csv is missing"):
        read_records(tmp_path)
    file_record("compare-fsmol-seed1", json.dumps({"tasks": 3, "provenance": made_up.FACTS}), tmp_path)
    assert not list(tmp_path.glob("*.csv")), "tables of a comparison that is no longer there"
