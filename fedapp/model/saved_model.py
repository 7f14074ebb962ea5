"""A partner's model on disk: one file holds all that predicts, so that it may lie anywhere; beside it lies its header, for people."""

import hashlib
import json
from collections.abc import Mapping, Sequence
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
from fedapp.evaluation.combination import MEMBERS
from fedapp.evaluation.selection import TEST
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.evaluation import probabilities
from fedapp.model.network import Heads, Trunk
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.versions import versions
from fedapp.storage.json_file import write_json

DIGITS = 3  # of a task's figures: more of them would tell counts


@dataclass(frozen=True)
class Member:
    """A model that predicts, or one of two whose outputs are averaged.

    Attributes:
        name: `FEDERATED` or `LOCAL`.
        round: Whose trunk it has.
        trunk, heads: In a file, and read from one, on the processor.
    """

    name: str
    round: int
    trunk: Trunk
    heads: Heads

    def tensors(self) -> dict[str, Tensor]:
        """As they are called in the file."""
        parts = {"trunk": self.trunk, "heads": self.heads}
        return {f"{self.name}.{part}.{name}": each for part, module in parts.items() for name, each in module.state_dict().items()}


@dataclass(frozen=True)
class SavedModel:
    """A model that predicts.

    Attributes:
        header: As `model_header` makes it, and what `save_model` adds.
        tasks: Group and threshold (None for 0/1 labels) of each task.
        chemistry: How structures become fingerprints.
        members: One or two models.
    """

    header: dict[str, Any]
    tasks: list[tuple[str, float | None]]
    chemistry: Chemistry
    members: tuple[Member, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the header and all tensors, 64 hex digits."""
        summed = hashlib.sha256(json.dumps(self.header, sort_keys=True).encode())
        for name, tensor in sorted((name, tensor) for member in self.members for name, tensor in member.tensors().items()):
            summed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            summed.update(tensor.flatten().view(torch.uint8).numpy().data)
        return summed.hexdigest()

    @property
    def choice(self) -> dict[str, str]:
        """Kind of task -> which members predict it, one of `MEMBERS`."""
        return dict(self.header["choice"])

    def shares(self, member: str) -> np.ndarray:
        """How much the outputs of a member count in each task: float32 [tasks]."""
        chosen = [MEMBERS[self.choice[task["kind"]]] for task in self.header["tasks"]]
        return np.array([(member in names) / len(names) for names in chosen], dtype=np.float32)

    def used(self) -> tuple[Member, ...]:
        """Those members that predict anything."""
        return tuple(member for member in self.members if self.shares(member.name).any())

    def predict(self, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Probability of being active of each compound in each task: (compounds, tasks), float32.

        Args:
            indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
            indices: Set bits.
        Raises:
            RunError: Some are no numbers.
        """
        members = [(member.trunk, member.heads, self.shares(member.name)) for member in self.used()]
        predicted = probabilities(members, indptr, indices)
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
    where it has `evaluation.min_per_class` of each class in the test fold. Without a test fold no task has any.

    Args:
        number: The round whose trunk it has; of two members, the federated one's.
        metrics: Of the model as it predicts, as `metrics_of` makes them.
    """
    folds = config.held_out_folds()
    counted = counting(metrics, TEST, config.evaluation.min_per_class)
    scores = {task: (pr, roc) for task, pr, roc in counted.select("task", AUC_PR, AUC_ROC).iter_rows()}
    kinds = {int(task): kind.name for kind, own in dataset.kinds.items() for task in np.flatnonzero(own)}
    tasks = []
    for task, group, threshold in dataset.tasks.sort("task").select("task", "group", "threshold").iter_rows():
        pr, roc = scores.get(task, (None, None))
        told = {"group": group, "threshold": shortest(threshold), "kind": kinds[task]}
        tasks.append(told | {AUC_PR: rounded(pr), AUC_ROC: rounded(roc)})
    return {
        "name": dataset.name,
        "round": number,
        "rounds": config.federation.rounds,
        "figures": {fold: means(counting(metrics, fold, config.evaluation.min_per_class)) for fold in folds},
        "bits": dataset.bits,
        "hidden": list(config.model.hidden),
        "tasks": tasks,
        "chemistry": vars(config.chemistry) | {"fold_key_file": None},
        "privacy": {"row_guard": config.privacy.row_guard, "profile": config.privacy.profile},
        "note": dataset.note,
        "data": dataset.digest,
        "versions": versions(),
    }


def save_model(folder: Path, members: Sequence[Member], choice: Mapping[str, str], header: Mapping[str, Any]) -> None:
    """Write the model, and its header once more.

    Args:
        choice: Kind of task -> one of `MEMBERS`, whose members are there.
        header: As `model_header` makes it.
    """
    told = [{"name": member.name, "round": member.round} for member in members]
    whole = {**header, "members": told, "choice": dict(choice)}
    save_tensors(PartnerFolder(folder).model, {name: each for member in members for name, each in member.tensors().items()}, whole)
    write_json(PartnerFolder(folder).model_header, whole)


def read_model(folder: Path) -> SavedModel:
    """Read a model; of its folder, the model's own file alone is needed.

    Raises:
        RunError: No model there, a damaged one, or one of an earlier version.
    """
    path = PartnerFolder(folder).model
    tensors, header = load_tensors(path)
    try:
        tasks = header["tasks"]
        members = tuple(_member(told["name"], told["round"], header, tensors) for told in header["members"])
        named = [(str(task["group"]), task["threshold"]) for task in tasks]
        saved = SavedModel(header, named, Chemistry(**header["chemistry"]), members)
        if not np.allclose(sum(saved.shares(member.name) for member in members), 1.0):
            raise ValueError(f"it has no {' and '.join(sorted(set(saved.choice.values())))} model for all of its tasks")
        return saved
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is no model that this version reads: {reason}", "use the version that wrote it, or train again") from error


def _member(name: str, number: int, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Member:
    trunk = Trunk(header["bits"], header["hidden"], seed=None)
    heads = Heads(header["hidden"][-1], len(header["tasks"]))
    for part, module in ((f"{name}.trunk.", trunk), (f"{name}.heads.", heads)):
        module.load_state_dict({each.removeprefix(part): tensor for each, tensor in tensors.items() if each.startswith(part)})
    return Member(name, number, trunk, heads)


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
