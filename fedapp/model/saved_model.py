"""A partner's model on disk: one file holds all that predicts, so that it may lie anywhere; beside it lies its header, for people."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedapp.config import Chemistry, Config
from fedapp.data.dataset import Dataset
from fedapp.data.normalisation import Normalisation
from fedapp.data.task_kinds import completed
from fedapp.data.task_names import TaskName, name_of_task
from fedapp.errors import RunError
from fedapp.evaluation.arms import AUC_PR, AUC_ROC, CHOOSING, CLASSIFICATION, METRICS, R2, SPEARMAN
from fedapp.evaluation.counting import enough
from fedapp.evaluation.selection import TEST, VALIDATION
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.evaluation import head_outputs
from fedapp.model.network import Heads, Trunk
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.versions import versions
from fedapp.storage.json_file import write_json

TASK_FACTS = ("group", "threshold", "kind", "unit", "auxiliary", "centre", "scale")
OF_A_CLASS = {"kind": CLASSIFICATION, "unit": None, "auxiliary": False, "centre": 0.0, "scale": 1.0}  # what a header need not say
TASK_FIGURES = (AUC_PR, AUC_ROC, SPEARMAN, R2)
NO_FIGURES = (None,) * len(TASK_FIGURES)
DIGITS = 3  # of a task's figures: more of them would tell counts


@dataclass(frozen=True)
class SavedModel:
    """A model that predicts.

    Attributes:
        header: As `model_header` makes it.
        tasks: What each is called by.
        kinds: Name of each one's kind.
        normalisation: Between outputs of heads and values in units.
        auxiliary: bool [tasks], those that were trained on for the others' sake.
        chemistry: How structures become fingerprints.
        trunk, heads: On the processor.
    """

    header: dict[str, Any]
    tasks: list[TaskName]
    kinds: list[str]
    normalisation: Normalisation
    auxiliary: NDArray[np.bool_]
    chemistry: Chemistry
    trunk: Trunk
    heads: Heads

    @property
    def digest(self) -> str:
        """SHA-256 over the header and all tensors, 64 hex digits."""
        summed = hashlib.sha256(json.dumps(self.header, sort_keys=True).encode())
        for name, tensor in sorted(named_tensors(self.trunk, self.heads).items()):
            summed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            summed.update(tensor.flatten().view(torch.uint8).numpy().data)
        return summed.hexdigest()

    def predict(self, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Probability of being active, or value in the task's unit, of each compound in each task: (compounds, tasks), float32.

        Args:
            indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
            indices: Set bits.
        Raises:
            RunError: Some are no numbers.
        """
        predicted = self.predictions(head_outputs(self.trunk, self.heads, indptr, indices))
        if not np.isfinite(predicted).all():
            broken = np.flatnonzero(~np.isfinite(predicted).all(axis=0))
            raise RunError(
                f"the model of {self.header['name']} gives no numbers for {len(broken)} of {predicted.shape[1]} tasks",
                "its file is damaged, or its training diverged: bring it back from a backup, or train again",
            )
        return predicted

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """What outputs of heads, float32 (compounds, tasks), predict: probabilities, and values in their tasks' units."""
        predicted = np.array(self.normalisation.in_units(np.arange(len(self.tasks)), outputs))
        classes = np.array(self.kinds) == CLASSIFICATION
        predicted[:, classes] = torch.sigmoid(torch.from_numpy(outputs[:, classes])).numpy()
        return predicted


def model_header(dataset: Dataset, config: Config, number: int, metrics: pl.DataFrame) -> dict[str, Any]:
    """All that is to be known of a model besides its tensors.

    It names tasks and tells how well they are predicted, but has no count of compounds or labels; a task's own figures are there only
    where it counts in the test fold. Of a task of values it has the centre and scale, without which nothing is predicted in its unit.

    Args:
        number: The round whose trunk it has.
        metrics: Of this round, as `evaluate` makes them.
    """
    counted = counting(metrics, TEST, config.evaluation.min_per_class)
    scores = {task: figures for task, *figures in counted.select("task", *TASK_FIGURES).iter_rows()}
    tasks = []
    for number_of_task, *facts in completed(dataset.tasks).sort("task").select("task", *TASK_FACTS).iter_rows():
        of_task = dict(zip(TASK_FACTS, facts, strict=True))
        figures = dict(zip(TASK_FIGURES, map(rounded, scores.get(number_of_task, NO_FIGURES)), strict=True))
        tasks.append(of_task | {"threshold": shortest(of_task["threshold"])} | figures)
    return {
        "name": dataset.name,
        "round": number,
        "rounds": config.federation.rounds,
        "figures": {fold: means(counting(metrics, fold, config.evaluation.min_per_class)) for fold in (VALIDATION, TEST)},
        "bits": dataset.bits,
        "hidden": list(config.model.hidden),
        "tasks": tasks,
        "chemistry": vars(config.chemistry) | {"fold_key_file": None},
        "privacy": {"row_guard": config.privacy.row_guard, "profile": config.privacy.profile},
        "note": dataset.note,
        "data": dataset.digest,
        "versions": versions(),
    }


def save_model(folder: Path, trunk: Trunk, heads: Heads, header: dict[str, Any]) -> None:
    """Write the model, and its header once more."""
    save_tensors(PartnerFolder(folder).model, named_tensors(trunk, heads), header)
    write_json(PartnerFolder(folder).model_header, header)


def named_tensors(trunk: Trunk, heads: Heads) -> dict[str, Tensor]:
    """As they are called in the file."""
    tensors = {f"trunk.{name}": tensor for name, tensor in trunk.state_dict().items()}
    return tensors | {f"heads.{name}": tensor for name, tensor in heads.state_dict().items()}


def read_model(folder: Path) -> SavedModel:
    """Read a model; of its folder, the model's own file alone is needed.

    Raises:
        RunError: No model there, a damaged one, or one of an earlier version.
    """
    path = PartnerFolder(folder).model
    tensors, header = load_tensors(path)
    try:
        tasks = [OF_A_CLASS | task for task in header["tasks"]]
        trunk, heads = Trunk(header["bits"], header["hidden"], seed=None), Heads(header["hidden"][-1], len(tasks))
        for part, module in (("trunk.", trunk), ("heads.", heads)):
            module.load_state_dict({name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)})
        centre, scale = (np.array([task[name] for task in tasks], dtype=np.float32) for name in ("centre", "scale"))
        return SavedModel(
            header=header,
            tasks=[name_of_task(str(task["group"]), task["threshold"], task["kind"], task["unit"]) for task in tasks],
            kinds=[task["kind"] for task in tasks],
            normalisation=Normalisation(centre, scale),
            auxiliary=np.array([task["auxiliary"] for task in tasks], dtype=np.bool_),
            chemistry=Chemistry(**header["chemistry"]),
            trunk=trunk,
            heads=heads,
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is no model that this version reads: {reason}", "use the version that wrote it, or train again") from error


def counting(metrics: pl.DataFrame, fold: str, minimum: int) -> pl.DataFrame:
    """The tasks that count in a fold: with `enough` labels, and a defined score."""
    return metrics.filter(pl.col("fold") == fold, enough(minimum), pl.coalesce(*CHOOSING.values()).is_not_null()).sort("task")


def means(metrics: pl.DataFrame) -> dict[str, float | int | None]:
    """Number of tasks, and means over them; `guessing` is the AUC-PR that chance gives, the mean share of actives."""
    share = pl.col("positives") / (pl.col("positives") + pl.col("negatives"))
    columns = {"guessing": share} | {name: pl.col(name) for name in METRICS}
    values = metrics.select(column.mean().alias(name) for name, column in columns.items()).row(0, named=True)
    return {"tasks": len(metrics)} | {name: rounded(value) for name, value in values.items()}


def rounded(value: float | None) -> float | None:
    """To `DIGITS` digits."""
    return None if value is None else round(value, DIGITS)


def shortest(threshold: float | None) -> float | None:
    """The shortest decimal number that is the same threshold in float32: 6.7, and not 6.69999980926."""
    return None if threshold is None else float(str(np.float32(threshold)))
