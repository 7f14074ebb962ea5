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
from numpy.typing import NDArray
from torch import Tensor

from fedapp.config import Chemistry, Config
from fedapp.data.dataset import Dataset
from fedapp.data.normalisation import COMMON_UNITS, Normalisation
from fedapp.data.task_kinds import completed
from fedapp.data.task_names import TaskName, name_of_task
from fedapp.errors import RunError
from fedapp.evaluation.arms import AUC_PR, AUC_ROC, CHOOSING, CLASSIFICATION, METRICS, R2, SPEARMAN
from fedapp.evaluation.combination import MEMBERS, in_words
from fedapp.evaluation.counting import enough
from fedapp.evaluation.selection import TEST
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.evaluation import head_outputs
from fedapp.model.members import USED, Member, PackedMember
from fedapp.model.network import Heads, Trunk
from fedapp.partner_folder import PartnerFolder
from fedapp.runtime.versions import versions
from fedapp.storage.json_file import write_sealed

TASK_FACTS = ("group", "threshold", "kind", "unit", "auxiliary", "centre", "scale", COMMON_UNITS)
# What a header need not say of a task.
OF_A_CLASS = {"kind": CLASSIFICATION, "unit": None, "auxiliary": False, "centre": 0.0, "scale": 1.0, COMMON_UNITS: False}
TASK_FIGURES = (AUC_PR, AUC_ROC, SPEARMAN, R2)
NO_FIGURES = (None,) * len(TASK_FIGURES)
UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError)  # what a header of another form raises
DIGITS = 3  # of a task's figures: more of them would tell counts


@dataclass(frozen=True)
class SavedModel:
    """A model that predicts.

    Attributes:
        header: As `model_header` makes it, and what `save_model` adds.
        tasks: What each is called by.
        kinds: Name of each one's kind.
        normalisation: Between outputs of heads and values in units.
        auxiliary: bool [tasks], those that were trained on for the others' sake.
        chemistry: How structures become fingerprints.
        members: One or two models.
    """

    header: dict[str, Any]
    tasks: list[TaskName]
    kinds: list[str]
    normalisation: Normalisation
    auxiliary: NDArray[np.bool_]
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

    @property
    def shared_heads(self) -> dict[str, str]:
        """Kind of task -> what predicts its common endpoints, as of the `Member` that has their shared heads."""
        return {kind: heads for member in self.members for kind, heads in member.shared_heads.items()}

    def chosen(self) -> str:
        """The choice, of models and of heads, in words (`in_words`)."""
        return in_words(self.choice, self.shared_heads)

    def shares(self, member: str) -> np.ndarray:
        """How much the outputs of a member count in each task: float32 [tasks]."""
        chosen = [MEMBERS[self.choice[kind]] for kind in self.kinds]
        return np.array([(member in names) / len(names) for names in chosen], dtype=np.float32)

    def used(self) -> tuple[Member, ...]:
        """Those members that predict anything."""
        return tuple(member for member in self.members if self.shares(member.name).any())

    def predict(self, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Probability of being active, or value in the task's unit, of each compound in each task: (compounds, tasks), float32.

        Args:
            indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
            indices: Set bits.
        Raises:
            RunError: Some are no numbers.
        """
        members = [(member.trunk, member.heads, self.shares(member.name)) for member in self.used()]
        predicted = self.predictions(head_outputs(members, indptr, indices))
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
    where it counts in the test fold; without a test fold none has any. Of a task of values it has the centre and scale, without which
    nothing is predicted in its unit, and whether these are the catalogue's.

    Args:
        number: The round whose trunk it has; of two members, the federated one's.
        metrics: Of the model as it predicts, as `metrics_of` makes them.
    """
    folds = config.held_out_folds()
    counted = counting(metrics, TEST, config.evaluation.min_per_class)
    scores = {task: figures for task, *figures in counted.select("task", *TASK_FIGURES).iter_rows()}
    table, tasks = completed(dataset.tasks).sort("task"), []
    if COMMON_UNITS not in table.columns:
        table = table.with_columns(pl.lit(False).alias(COMMON_UNITS))
    for number_of_task, *facts in table.select("task", *TASK_FACTS).iter_rows():
        of_task = dict(zip(TASK_FACTS, facts, strict=True))
        figures = dict(zip(TASK_FIGURES, map(rounded, scores.get(number_of_task, NO_FIGURES)), strict=True))
        tasks.append(of_task | {"threshold": shortest(of_task["threshold"])} | figures)
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


def save_model(folder: Path, members: Sequence[Member | PackedMember], choice: Mapping[str, str], header: Mapping[str, Any]) -> None:
    """Write the model, and its header once more.

    Args:
        choice: Kind of task -> one of `MEMBERS`, whose members are there.
        header: As `model_header` makes it.
    """
    told = [{"name": member.name, "round": member.round, "shared_heads": dict(member.shared_heads)} for member in members]
    whole = {**header, "members": told, "choice": dict(choice)}
    save_tensors(PartnerFolder(folder).model, {name: each for member in members for name, each in member.packed().tensors.items()}, whole)
    write_sealed(PartnerFolder(folder).model_header, whole)


def read_model(folder: Path) -> SavedModel:
    """Read a model; of its folder, the model's own file alone is needed.

    Raises:
        RunError: No model there, a damaged one, or one of an earlier version.
    """
    path = PartnerFolder(folder).model
    tensors, header = load_tensors(path)
    try:
        tasks = [OF_A_CLASS | task for task in header["tasks"]]
        members = tuple(_member(told, header, tensors) for told in header["members"])
        centre, scale = (np.array([task[name] for task in tasks], dtype=np.float32) for name in ("centre", "scale"))
        saved = SavedModel(
            header=header,
            tasks=[name_of_task(str(task["group"]), task["threshold"], task["kind"], task["unit"]) for task in tasks],
            kinds=[task["kind"] for task in tasks],
            normalisation=Normalisation(centre, scale),
            auxiliary=np.array([task["auxiliary"] for task in tasks], dtype=np.bool_),
            chemistry=Chemistry(**header["chemistry"]),
            members=members,
        )
        if not np.allclose(sum(saved.shares(member.name) for member in members), 1.0):
            raise ValueError(f"it has no {' and '.join(sorted(set(saved.choice.values())))} model for all of its tasks")
        return saved
    except UNUSABLE as error:
        raise _unreadable(path, error) from error


def read_packed(folder: Path, name: str) -> PackedMember:
    """One of the members of the model in a folder, to go into another file.

    Raises:
        RunError: No model there, a damaged one, or one of an earlier version.
    """
    path = PartnerFolder(folder).model
    tensors, header = load_tensors(path)
    try:
        (told,) = (told for told in header["members"] if told["name"] == name)
        own = {each: tensor for each, tensor in tensors.items() if each.startswith(f"{name}.")}
        return PackedMember(name, int(told["round"]), own, told["shared_heads"])
    except UNUSABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> RunError:
    """What is told of a model that has not the form of this version."""
    reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    return RunError(f"{path} is no model that this version reads: {reason}", "use the version that wrote it, or train again")


def _member(told: Mapping[str, Any], header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Member:
    name = told["name"]
    trunk = Trunk(header["bits"], header["hidden"], seed=None)
    heads = Heads(header["hidden"][-1], len(header["tasks"]))
    parts: list[dict[str, Tensor]] = []
    for part in (f"{name}.trunk.", f"{name}.heads."):
        parts.append({each.removeprefix(part): tensor for each, tensor in tensors.items() if each.startswith(part)})
    rows, used = parts[0]["weight"], parts[0].pop(USED)
    if used.shape != (header["bits"],) or used.dtype != torch.bool:
        raise ValueError(f"it says of {tuple(used.shape)} rows whether they are there, not of {header['bits']}")
    parts[0]["weight"] = torch.zeros((len(used), *rows.shape[1:]))
    parts[0]["weight"][used] = rows
    trunk.load_state_dict(parts[0])
    heads.load_state_dict(parts[1])
    return Member(name, told["round"], trunk, heads, told["shared_heads"])


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
