"""A partner's model on disk: one file holds all that predicts, so that it may lie anywhere; beside it lies its header, for people."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from fedapp.config import Chemistry, Config
from fedapp.data.dataset import Dataset
from fedapp.errors import RunError
from fedapp.evaluation.arms import AUC_PR, AUC_ROC, METRICS
from fedapp.evaluation.selection import TEST, VALIDATION
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.evaluation import probabilities
from fedapp.model.network import Heads, Trunk
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.versions import versions
from fedapp.storage.json_file import write_json

DIGITS = 3  # of a task's figures: more of them would tell counts


@dataclass(frozen=True)
class SavedModel:
    """A model that predicts.

    Attributes:
        header: As `model_header` makes it.
        tasks: Group and threshold (None for 0/1 labels) of each task.
        chemistry: How structures become fingerprints.
        trunk, heads: On the processor.
    """

    header: dict[str, Any]
    tasks: list[tuple[str, float | None]]
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
        """Probability of being active of each compound in each task: (compounds, tasks), float32.

        Args:
            indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
            indices: Set bits.
        Raises:
            RunError: Some are no numbers.
        """
        predicted = probabilities(self.trunk, self.heads, indptr, indices)
        if not np.isfinite(predicted).all():
            broken = np.flatnonzero(~np.isfinite(predicted).all(axis=0))
            raise RunError(
                f"the model of {self.header['name']} gives no numbers for {len(broken)} of {predicted.shape[1]} tasks",
                "its file is damaged, or its training diverged: bring it back from a backup, or train again",
            )
        return predicted


def model_header(dataset: Dataset, config: Config, number: int, metrics: pl.DataFrame) -> dict[str, Any]:
    """All that is to be known of a model besides its tensors.

    It names tasks and tells how well they are predicted, but has no count of compounds or labels; a task's own figures are there only
    where it has `evaluation.min_per_class` of each class in the test fold.

    Args:
        number: The round whose trunk it has.
        metrics: Of this round, as `evaluate` makes them.
    """
    counted = counting(metrics, TEST, config.evaluation.min_per_class)
    scores = {task: (pr, roc) for task, pr, roc in counted.select("task", AUC_PR, AUC_ROC).iter_rows()}
    tasks = []
    for task, group, threshold in dataset.tasks.sort("task").select("task", "group", "threshold").iter_rows():
        pr, roc = scores.get(task, (None, None))
        tasks.append({"group": group, "threshold": shortest(threshold), AUC_PR: rounded(pr), AUC_ROC: rounded(roc)})
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
        tasks = header["tasks"]
        trunk, heads = Trunk(header["bits"], header["hidden"], seed=None), Heads(header["hidden"][-1], len(tasks))
        for part, module in (("trunk.", trunk), ("heads.", heads)):
            module.load_state_dict({name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)})
        named = [(str(task["group"]), task["threshold"]) for task in tasks]
        return SavedModel(header, named, Chemistry(**header["chemistry"]), trunk, heads)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is no model that this version reads: {reason}", "use the version that wrote it, or train again") from error


def counting(metrics: pl.DataFrame, fold: str, minimum: int) -> pl.DataFrame:
    """The tasks that count in a fold: with `minimum` of each class, and a defined score."""
    enough = metrics.filter(pl.col("fold") == fold, pl.col("positives") >= minimum, pl.col("negatives") >= minimum)
    return enough.filter(pl.col(AUC_PR).is_not_null()).sort("task")


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
