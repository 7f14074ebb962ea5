"""Forests and constants, the floor of a comparison."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import logit
from scipy.stats import spearmanr

from fedapp.config import Config
from fedapp.data.dataset import Dataset, save
from fedapp.evaluation.scores import read_scores
from simulation.baselines import constant_scores, forest_arm
from tests.helpers.small_run import small_config

BITS, COMPOUNDS = 256, 300


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A value that grows with the number of some bits, and two classes of it at a threshold of 6; one value in ten is a bound."""
    draw = np.random.default_rng(5)
    bits = draw.random((COMPOUNDS, BITS)) < np.where(np.arange(BITS) < 8, 0.3, 0.05)
    values = (4 + bits[:, :8].sum(axis=1) * 0.8).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(bits.sum(axis=1))])
    rows = np.arange(COMPOUNDS)
    labels = pl.concat(
        [
            pl.DataFrame({"row": rows, "task": 0, "value": (values >= 6).astype(np.float32), "censor": 0}),
            pl.DataFrame({"row": rows, "task": 1, "value": values, "censor": np.where(rows % 10 == 0, 1, 0)}),
        ],
        how="vertical_relaxed",
    )
    tasks = pl.DataFrame({"task": [0, 1], "group": "x", "threshold": [6.0, None], "weight": 1.0, "kind": ["classification", "regression"]})
    tasks = tasks.cast({"task": pl.Int32, "threshold": pl.Float32, "weight": pl.Float32})
    folds = pl.DataFrame({"smiles": [f"C{row}" for row in rows], "fold": rows % 5})
    header = {"name": "a", "bits": BITS, "folds": 5, "note": "", "dropped": {}}
    out = tmp_path_factory.mktemp("floor") / "dataset"
    return save(out, header, folds, (indptr, np.nonzero(bits)[1]), labels=labels.sort("row", "task"), tasks=tasks)


@pytest.fixture(scope="module")
def config() -> Config:
    return small_config("evaluation.min_per_class=3")


def test_the_constant_is_the_share_of_actives_or_the_mean_of_exact_values_in_training(dataset: Dataset, config: Config) -> None:
    scores = constant_scores(dataset, config)
    assert scores.group_by("fold", "task").len()["len"].to_list() == [COMPOUNDS // 5] * 4
    training = np.isin(dataset.labels.owners % 5, [2, 3, 4])
    for task, expected in ((0, lambda own: logit((own.sum() + 1) / (len(own) + 2))), (1, np.mean)):
        own = dataset.labels.values[training & (dataset.labels.tasks == task) & (dataset.labels.censors == 0)]
        said = scores.filter(pl.col("task") == task)["output"].unique()
        assert said.to_list() == pytest.approx([expected(own)], rel=1e-5)


def test_forests_rank_compounds_that_they_have_not_seen_and_predict_values_in_their_unit(
    dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    assert list(forest_arm(tmp_path, {"a": dataset}, config)) == ["a"]
    scores = read_scores(tmp_path / "forest" / "a" / "scores.parquet").filter(pl.col("fold") == "test")
    for task in (0, 1):
        own = scores.filter(pl.col("task") == task, pl.col("censor") == 0)
        assert spearmanr(own["value"], own["output"]).statistic > 0.3
    values = scores.filter(pl.col("task") == 1)["output"]
    assert 4 < values.min() < values.max() < 10
    assert list(forest_arm(tmp_path, {"a": dataset}, config)) == [], "what is done is not done again"


def test_a_task_without_a_label_to_learn_from_has_the_constant(dataset: Dataset, tmp_path: Path) -> None:
    few = replace(dataset, folds=np.where(np.arange(COMPOUNDS) % 2 == 0, 0, 1).astype(np.uint8))
    config = small_config()
    assert (constant_scores(few, config).filter(pl.col("task") == 0)["output"] == 0).all()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("simulation.baselines.Dataset.open", lambda _: few)
        list(forest_arm(tmp_path, {"a": few}, config))
    label = ["fold", "row", "task"]
    assert read_scores(tmp_path / "forest" / "a" / "scores.parquet").sort(label).equals(constant_scores(few, config).sort(label))
