"""Which of a partner's declared tasks have a part in a shared head, and why others have none: for the partner's own eyes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fedapp.config import Config
from fedapp.data.catalogue import NO_SLOT, Declaration, Endpoint, catalogue_of, slots_of
from fedapp.data.dataset import Dataset
from fedapp.data.slot_labels import SlotLabels
from fedapp.data.task_kinds import KIND, completed
from fedapp.data.task_names import name_of_task, task_name
from fedapp.evaluation.arms import REGRESSION
from fedapp.wording import plural


@dataclass(frozen=True)
class DeclaredTask:
    """One declared task.

    Attributes:
        task: Its number.
        name: As tables call it.
        group: Of the dataset.
        threshold: None for 0/1 labels and for values.
        kind: Of task.
        endpoint: Id of what it is declared to be.
        slot: Of its shared head; `NO_SLOT` where the catalogue has none.
        labels: Training compounds with a label there, each once, of all tasks that are declared to it.
        lacks: What it lacks to have a part in the shared head; empty if it has one.
    """

    task: int
    name: str
    group: str
    threshold: float | None
    kind: str
    endpoint: str
    slot: int
    labels: int
    lacks: str


def declared_tasks(dataset: Dataset, config: Config, declarations: Mapping[str, Declaration]) -> list[DeclaredTask]:
    """The declared tasks, by number."""
    if not declarations:
        return []
    slots, count = slots_of(dataset.tasks, catalogue_of(config), declarations), len(catalogue_of(config).slots)
    counted = _counted(dataset.directory, dataset.digest, slots.tobytes(), count, tuple(config.training_folds()))
    rows = completed(dataset.tasks).select("group", "threshold", KIND, "unit").iter_rows()
    return [
        DeclaredTask(
            task=task,
            name=task_name(*name_of_task(group, threshold, kind, unit)),
            group=group,
            threshold=None if threshold is None else float(str(np.float32(threshold))),  # 6.7, and not 6.69999980926
            kind=kind,
            endpoint=declarations[group].endpoint,
            slot=slot,
            labels=0 if slot == NO_SLOT else int(counted.number[slot]),
            lacks=_lacks(slot, counted, config.privacy.endpoint_labels),
        )
        for task, ((group, threshold, kind, unit), slot) in enumerate(zip(rows, slots.tolist(), strict=True))
        if group in declarations and declarations[group].covers(threshold)
    ]


def _lacks(slot: int, counted: SlotLabels, least: int) -> str:
    if slot == NO_SLOT:
        return "the catalogue has no shared head there"
    if counted.enough(least)[slot]:
        return ""
    return (
        "all its training labels are alike"
        if counted.number[slot] >= least
        else (f"{plural(int(counted.number[slot]), 'training compound')}, fewer than {least:,}")
    )


@lru_cache(maxsize=8)
def _counted(directory: Path, _digest: str, slots: bytes, count: int, folds: tuple[int, ...]) -> SlotLabels:
    """Once per process and version of a dataset: a page asks every few seconds."""
    return SlotLabels.of(Dataset.open(directory), np.frombuffer(slots, dtype=np.int32), count, folds)


def in_words(found: list[DeclaredTask], config: Config) -> list[str]:
    """One line for each declared task: what it is, and whether it has a part in a shared head."""
    endpoints, lines = catalogue_of(config).by_id, []
    for each in found:
        task = f"the values of {each.group} are" if each.kind == REGRESSION else f"{each.name} is"
        labels = f"{plural(each.labels, 'training compound')} for a shared head"
        part = f"no part in a shared head, since {each.lacks}" if each.lacks else labels
        part += elsewhere(endpoints[each.endpoint]) if each.slot == NO_SLOT else ""
        lines.append(f"{task} {each.endpoint} ({endpoints[each.endpoint].measures}, {endpoints[each.endpoint].unit}): {part}")
    return lines


def elsewhere(endpoint: Endpoint) -> str:
    """Where an endpoint has shared heads, for whose task has another threshold."""
    places = [*(f"{threshold:g}" for threshold in endpoint.thresholds), *(["values"] if endpoint.value else [])]
    return f", but at {' and '.join(places)} (a column thresholds in a table of assays makes tasks there)" if places else ""
