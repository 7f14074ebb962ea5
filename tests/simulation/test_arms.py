"""The arms of the comparison."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.config import Config, load_config
from fedapp.data.dataset import Dataset, save
from fedapp.errors import RunError
from fedapp.files import read_json
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.partner import Partner
from fedapp.selection import read_metrics
from simulation.arms import compare_arms, local_arm, pooled_arm, summarise
from simulation.follow import Event
from strategies.averaging import average
from tests.model import synthetic

ROUNDS = 3


@pytest.fixture
def config() -> Config:
    rounds = f"federation.rounds={ROUNDS}"
    return load_config(overrides=("chemistry.bits=256", "model.hidden=[8]", "training.batch_size=64", "evaluation.min_per_class=3", rounds))


def on_disk(folder: Path, name: str, tasks: int) -> Dataset:
    held = synthetic.dataset(name, tasks=tasks)
    structures = pl.DataFrame({"smiles": [f"{name}{row}" for row in range(len(held.folds))], "fold": held.folds})
    rows = np.repeat(np.arange(len(held.folds)), np.diff(held.y_indptr))
    labels = pl.DataFrame({"row": rows, "task": held.y_tasks, "label": held.y_labels})
    header = {"name": name, "bits": held.bits, "folds": 5, "note": "", "dropped": {}}
    return save(folder, header, structures, held.x_indptr, held.x_indices, labels, held.tasks)


@pytest.fixture
def datasets(tmp_path: Path) -> dict[str, Dataset]:
    return {name: on_disk(tmp_path / "partners" / name / "dataset", name, tasks) for name, tasks in (("alpha", 4), ("beta", 6))}


def federate(run: Path, datasets: dict[str, Dataset], config: Config) -> None:
    trunk = trunk_arrays(Trunk(256, [8], config.seed))
    partners = [Partner(run / "partners" / name, dataset, config) for name, dataset in datasets.items()]
    for number in range(1, ROUNDS + 1):
        trunk = average((partner.fit(trunk, {"round": number})[0] for partner in partners), trunk)
    for partner in partners:
        partner.evaluate(trunk, {"round": ROUNDS})


def test_the_local_arm_reports_every_round_of_every_partner(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    events = list(local_arm(tmp_path, datasets, config))
    assert [(event.arm, event.partner, event.round) for event in events] == [
        ("local", name, number) for name in ("alpha", "beta") for number in (1, 2, 3)
    ]
    assert all(event.auc_pr and 0 < event.auc_pr <= 1 and event.loss and event.loss > 0 for event in events)
    assert [path.name for path in sorted((tmp_path / "local" / "alpha").iterdir())] == [
        "loss",
        "metrics",
        "model.json",
        "model.safetensors",
    ]


def test_the_local_arm_is_a_partner_fed_its_own_trunk(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    list(local_arm(tmp_path, datasets, config))
    partner, trunk = Partner(tmp_path / "by hand", datasets["alpha"], config), trunk_arrays(Trunk(256, [8], config.seed))
    for number in range(1, ROUNDS + 1):
        trunk, _, _ = partner.fit(trunk, {"round": number})
    partner.evaluate(trunk, {"round": ROUNDS})
    assert read_metrics(tmp_path / "by hand" / "metrics").equals(read_metrics(tmp_path / "local" / "alpha" / "metrics"))


def test_an_arm_that_is_done_is_skipped(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    list(pooled_arm(tmp_path, datasets, config))
    assert list(pooled_arm(tmp_path, datasets, config)) == []


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_arm_resumes_and_ends_with_the_same_figures(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, after: int
) -> None:
    undisturbed = list(pooled_arm(tmp_path / "undisturbed", datasets, config))
    events = pooled_arm(tmp_path / "killed", datasets, config)
    seen = [next(events) for _ in range(after)]
    events.close()
    resumed = list(pooled_arm(tmp_path / "killed", datasets, config))
    assert resumed[-1] == undisturbed[-1]
    assert {event.round for event in [*seen, *resumed]} == {1, 2, 3}
    assert read_metrics(tmp_path / "killed" / "pooled" / "metrics").equals(read_metrics(tmp_path / "undisturbed" / "pooled" / "metrics"))


def test_an_arm_killed_between_training_and_keeping_the_trunk_repeats_that_round(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = list(pooled_arm(tmp_path / "undisturbed", datasets, config))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    events = pooled_arm(tmp_path / "killed", datasets, config)
    next(events)
    with monkeypatch.context() as patched:
        patched.setattr("simulation.arms.save_trunk", die)
        with pytest.raises(KeyboardInterrupt):
            next(events)
    assert list(pooled_arm(tmp_path / "killed", datasets, config))[-1] == undisturbed[-1]


def test_the_comparison_has_one_row_a_counting_task_and_consistent_means(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config
) -> None:
    federate(tmp_path, datasets, config)
    events = [*local_arm(tmp_path, datasets, config), *pooled_arm(tmp_path, datasets, config)]
    assert isinstance(events[0], Event)
    summary = compare_arms(tmp_path, config)
    table = pl.read_parquet(tmp_path / "comparison.parquet")
    assert summary == read_json(tmp_path / "comparison.json")
    assert summary["tasks"] == len(table) == sum(own["tasks"] for own in summary["partners"].values())
    assert table["positives"].min() >= 3
    assert table["negatives"].min() >= 3
    for arm in ("local", "federated", "pooled"):
        for metric in ("auc_pr", "auc_roc", "bce"):
            assert summary[arm][metric] == pytest.approx(table[f"{arm}_{metric}"].mean())
    for row in table.iter_rows(named=True):
        assert row["riptop"] == pytest.approx((row["federated_auc_pr"] - row["local_auc_pr"]) / (1 - row["local_auc_pr"]))
    assert list(summary["partners"]) == ["alpha", "beta"]
    assert set(summary["partners"]["alpha"]["selected"]) == {"local", "federated", "pooled"}


def test_pooled_figures_belong_to_the_partners_own_tasks(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    federate(tmp_path, datasets, config)
    list(local_arm(tmp_path, datasets, config))
    list(pooled_arm(tmp_path, datasets, config))
    summary = compare_arms(tmp_path, config)
    chosen = {name: own["selected"]["pooled"] for name, own in summary["partners"].items()}
    pooled = read_metrics(tmp_path / "pooled" / "metrics").filter(pl.col("fold") == "test")
    offset = {"alpha": 0, "beta": 4}
    for row in pl.read_parquet(tmp_path / "comparison.parquet").iter_rows(named=True):
        mine = (pl.col("round") == chosen[row["partner"]]) & (pl.col("task") == row["task"] + offset[row["partner"]])
        (held,) = pooled.filter(mine).iter_rows(named=True)
        assert (held["positives"], held["negatives"], held["auc_pr"]) == (row["positives"], row["negatives"], row["pooled_auc_pr"])


def table(local: list[float], federated: list[float], pooled: list[float]) -> pl.DataFrame:
    columns = {f"{arm}_auc_pr": values for arm, values in (("local", local), ("federated", federated), ("pooled", pooled))}
    columns |= {f"{arm}_{metric}": local for metric in ("auc_roc", "bce") for arm in ("local", "federated", "pooled")}
    riptop = [(mp - sp) / (1 - sp) for mp, sp in zip(federated, local, strict=True)]
    return pl.DataFrame({**columns, "riptop": riptop})


def test_the_share_of_the_pooled_gain_is_a_ratio_of_mean_gains() -> None:
    summary = summarise(table([0.4, 0.6], [0.5, 0.59], [0.6, 0.6]))
    assert summary["pooled_gain_share"] == pytest.approx(0.045 / 0.1)
    assert summary["share_improved"] == 0.5
    assert summary["riptop_mean"] == pytest.approx((0.1 / 0.6 - 0.01 / 0.4) / 2)


def test_there_is_no_share_of_a_gain_that_is_none() -> None:
    assert summarise(table([0.5], [0.6], [0.5]))["pooled_gain_share"] is None


def test_an_arm_without_metrics_is_an_error_that_names_it(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    federate(tmp_path, datasets, config)
    with pytest.raises(RunError, match="the local arm of alpha has no metrics"):
        compare_arms(tmp_path, config)


def test_a_run_in_which_no_task_counts_is_an_error(tmp_path: Path, datasets: dict[str, Dataset]) -> None:
    strict = load_config(
        overrides=("chemistry.bits=256", "model.hidden=[8]", "evaluation.min_per_class=1000", f"federation.rounds={ROUNDS}")
    )
    federate(tmp_path, datasets, strict)
    list(local_arm(tmp_path, datasets, strict))
    list(pooled_arm(tmp_path, datasets, strict))
    with pytest.raises(RunError, match="no task has 1000 actives"):
        compare_arms(tmp_path, strict)
