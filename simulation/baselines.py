"""The floor of a comparison: a random forest for each task, and the share of actives, on the folds of all other arms."""

from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.data.task_kinds import KIND, completed
from fedapp.evaluation.arms import FOREST, REGRESSION
from fedapp.evaluation.scores import SCORES_SCHEMA, write_scores
from fedapp.partner_folder import PartnerFolder
from fedapp.seeds import derived_seed
from simulation.workers import processes

TREES = 100
FOLDED = 2048  # bits of a forest's fingerprints: position modulo this, as is usual for forests
WORTH_WORKERS = 200  # tasks; fewer are done before worker processes have started


def forest_arm(run: Path, datasets: Mapping[str, Dataset], config: Config) -> Iterator[str]:
    """Fit each partner's forests, in `run/forest/<name>`; names whose are done, one by one, and skips those that were done before."""
    todo = [dataset for name, dataset in datasets.items() if not PartnerFolder(run / FOREST / name).scores.is_file()]
    if len(todo) < 2 or sum(len(dataset.tasks) for dataset in todo) < WORTH_WORKERS:
        for dataset in todo:
            fit_forests(dataset.directory, run / FOREST / dataset.name, config)
            yield dataset.name
        return
    with processes() as workers:
        folders = [run / FOREST / dataset.name for dataset in todo]
        finished = workers.map(fit_forests, [dataset.directory for dataset in todo], folders, repeat(config))
        for dataset, _ in zip(todo, finished, strict=True):
            yield dataset.name


def fit_forests(dataset_folder: Path, folder: Path, config: Config) -> None:
    """Fit a forest for each task of one partner, and write what they say of the labels that are not trained on."""
    dataset = Dataset.open(dataset_folder)
    held_out = constant_scores(dataset, config)  # which stays where a task has no label to learn from
    training = labels_of(dataset, dataset.rows_in(config.training_folds()))
    valued = tasks_of_values(dataset)
    parts = [pl.DataFrame(schema=SCORES_SCHEMA)]
    for (task,), own in held_out.partition_by("task", as_dict=True).items():
        known = training.filter(pl.col("task") == task)
        if known.is_empty():
            parts.append(own)
            continue
        fit = forest_of_values if valued[task] else forest_of_classes
        seed = derived_seed(config.seed, "forest", dataset.name, task) % 2**32
        output = pl.Series("output", fit(dataset, known, own, seed), dtype=pl.Float32)
        parts.append(own.with_columns(output).select(*SCORES_SCHEMA))
    write_scores(PartnerFolder(folder).scores, pl.concat(parts))


def forest_of_classes(dataset: Dataset, known: pl.DataFrame, new: pl.DataFrame, seed: int) -> np.ndarray:
    """Logits of new labels of a task, from its known ones: of the share of trees' votes."""
    from sklearn.ensemble import RandomForestClassifier  # takes a second, and only `compare` grows forests

    forest = RandomForestClassifier(TREES, random_state=seed)
    forest.fit(folded(dataset, known["row"].to_numpy()), known["value"].to_numpy() > 0.5)
    shares = forest.predict_proba(folded(dataset, new["row"].to_numpy()))
    active = shares[:, list(forest.classes_).index(True)] if True in forest.classes_ else np.zeros(len(new))
    return smoothed_logit(active * TREES, TREES)


def forest_of_values(dataset: Dataset, known: pl.DataFrame, new: pl.DataFrame, seed: int) -> np.ndarray:
    """Values of new labels of a task, from its known ones; a censored one is taken for its bound."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(TREES, max_features=1 / 3, random_state=seed)
    forest.fit(folded(dataset, known["row"].to_numpy()), known["value"].to_numpy())
    return np.asarray(forest.predict(folded(dataset, new["row"].to_numpy())))


def constant_scores(dataset: Dataset, config: Config) -> pl.DataFrame:
    """Of every label of the validation and the test fold the share of actives among the task's training labels, as a logit, or the mean of
    its exact training values."""
    training, valued = labels_of(dataset, dataset.rows_in(config.training_folds())), tasks_of_values(dataset)
    training = training.filter((pl.col("censor") == 0) | ~pl.Series(valued[training["task"].to_numpy()]))
    tasks, values = training["task"].to_numpy(), training["value"].to_numpy()
    size, total = np.bincount(tasks, minlength=len(valued)), np.bincount(tasks, weights=values, minlength=len(valued))
    outputs = np.where(valued, total / np.maximum(size, 1), smoothed_logit(np.where(valued, 0, total), size))
    held_out = held_out_labels(dataset, config)
    return held_out.with_columns(pl.Series("output", outputs[held_out["task"].to_numpy()], dtype=pl.Float32)).select(*SCORES_SCHEMA)


def tasks_of_values(dataset: Dataset) -> np.ndarray:
    """bool [tasks]."""
    return (completed(dataset.tasks)[KIND] == REGRESSION).to_numpy()


def held_out_labels(dataset: Dataset, config: Config) -> pl.DataFrame:
    """fold, row, task, value and censor of every label in the validation and the test fold."""
    parts = [
        labels_of(dataset, dataset.rows_in([number])).insert_column(0, pl.lit(fold).alias("fold"))
        for fold, number in config.held_out_folds().items()
    ]
    return pl.concat(parts)


def labels_of(dataset: Dataset, rows: np.ndarray) -> pl.DataFrame:
    """row, task, value and censor of every label of some compounds."""
    labels = dataset.labels.of(rows)
    columns = {"row": rows[labels.owners], "task": labels.tasks, "value": labels.values, "censor": labels.censors}
    return pl.DataFrame(columns, schema={name: SCORES_SCHEMA[name] for name in columns})


def folded(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Fingerprints of some compounds, folded: float32 (rows, `FOLDED`), as forests take them without a copy."""
    indptr, indices = dataset.fingerprints(rows.astype(np.int64))
    dense = np.zeros((len(rows), FOLDED), dtype=np.float32)
    dense[np.repeat(np.arange(len(rows)), np.diff(indptr)), indices % FOLDED] = 1.0
    return dense


def smoothed_logit(actives: np.ndarray, all_of_them: np.ndarray | int) -> np.ndarray:
    """Logit of the share of actives, with one more of each class: finite, whatever there is."""
    return np.log((actives + 1.0) / (all_of_them - actives + 1.0))
