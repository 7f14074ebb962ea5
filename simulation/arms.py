"""The arms that a federation is compared with, and how they are trained.

Local: each partner trains on its own data, which it does beside the federation. Second: the same with other random numbers, so that two
local models can be averaged, as the combined arm may average two. Pooled: one partner that has everybody's data and each partner's tasks
side by side. Merged: the same, with an endpoint of several partners as one task, as a third party could do whom all trust with their
data. Unguarded: the federation without its row guard, which shows what the guard costs; it takes a whole federation, and is trained on
request.
All drive `Partner` as the coordinator does, so the arms share code, folds, budget (rounds × local epochs) and the choice of the round
on the validation fold. How they are compared is `simulation.comparison`'s; it trains nothing.

    run/partners/<name>/{dataset,metrics,loss,scores}    federated (written elsewhere)
    run/partners/<name>/local                            local (likewise)
    run/second/<name>/{metrics,loss,scores}
    run/unguarded/<name>/{metrics,loss,scores}
    run/{pooled,merged}/{metrics,loss,scores,dataset}
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.data.merge import merge_datasets
from fedapp.evaluation.arms import MERGED, POOLED, UNGUARDED
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.partner.client import Partner
from fedapp.partner_folder import PartnerFolder
from fedapp.seeds import derived_seed
from simulation.events import RunEvent, saved_event
from simulation.federation import declared_slots, first_shared, form_of, guard, take_in, words_of
from simulation.workers import processes
from strategies.update.shared_trunk import SharedTrunk

SECOND = "second"
POLL = 0.5  # seconds between looks at what worker processes have done
WORTH_WORKERS = 2_000_000  # labels × rounds; less is done before worker processes have started


@dataclass(frozen=True)
class Course:
    """One training of an arm, from its first round to its last.

    Attributes:
        arm: Whose.
        directory: Where it leaves what it does.
        dataset: Folder of what it learns from.
        labels: How many that are.
        config: The experiment; its seed is the course's own.
    """

    arm: str
    directory: Path
    dataset: Path
    labels: int
    config: Config

    @property
    def done(self) -> bool:
        """Whether its last round is evaluated."""
        return PartnerFolder(self.directory).metrics_of(self.config.federation.rounds).is_file()

    def train(self) -> Iterator[RunEvent]:
        """Train, or go on where a killed process stopped."""
        yield from train_alone(self.arm, self.directory, Dataset.open(self.dataset), self.config)


def second_courses(run: Path, datasets: Mapping[str, Dataset], config: Config) -> list[Course]:
    """One for every partner, with other random numbers."""
    other = replace(config, seed=derived_seed(config.seed, "second model"))
    return [own_course(SECOND, run, dataset, other) for dataset in datasets.values()]


def own_course(arm: str, run: Path, dataset: Dataset, config: Config) -> Course:
    """A partner's on its own data."""
    return Course(arm, run / arm / dataset.name, dataset.directory, len(dataset.labels), without_catalogue(config))


def without_catalogue(config: Config) -> Config:
    """Who trains alone shares no head with anybody."""
    return replace(config, tasks=replace(config.tasks, catalogue=None))


def pooled_courses(run: Path, datasets: Mapping[str, Dataset], config: Config, arm: str = POOLED) -> list[Course]:
    """One on all partners' data, which are merged first."""
    folder = PartnerFolder(run / arm).dataset
    if not (folder / "dataset.json").is_file():
        merge_datasets(datasets, folder, one_task_each=arm == MERGED)
    dataset = Dataset.open(folder)
    return [Course(arm, run / arm, folder, len(dataset.labels), without_catalogue(config))]


def merged_courses(run: Path, datasets: Mapping[str, Dataset], config: Config) -> list[Course]:
    """One on all partners' data, in which equal endpoints are one task."""
    return pooled_courses(run, datasets, config, MERGED)


# The largest first: the small ones fill the gaps at the end.
COURSES: dict[str, Callable[[Path, Mapping[str, Dataset], Config], list[Course]]] = {
    POOLED: pooled_courses,
    MERGED: merged_courses,
    SECOND: second_courses,
}


def train_arms(run: Path, datasets: Mapping[str, Dataset], config: Config, arms: Collection[str] = tuple(COURSES)) -> Iterator[RunEvent]:
    """Train some of `COURSES`; rounds that are done are skipped.

    Courses do not depend on one another, and so each processor is given its own; small ones are trained here, one after another.
    """
    courses = [course for arm in arms for course in COURSES[arm](run, datasets, config) if not course.done]
    work = sum(course.labels for course in courses) * config.federation.rounds
    if len(courses) < 2 or (os.cpu_count() or 1) < 2 or work < WORTH_WORKERS:
        for course in courses:
            yield from course.train()
    else:
        yield from train_side_by_side(courses)


def train_side_by_side(courses: list[Course]) -> Iterator[RunEvent]:
    """Train in a process on each processor, and tell what they have done."""
    told = {course.directory: _evaluated(course) for course in courses}
    with processes() as workers:
        open_courses = {workers.submit(run_course, course): course for course in courses}
        while open_courses:
            ended = wait(open_courses, timeout=POLL).done
            for course in courses:
                for number in range(told[course.directory] + 1, _evaluated(course) + 1):
                    name, minimum = course.directory.name, course.config.evaluation.min_per_class
                    yield saved_event(course.arm, name, course.directory, number, minimum)
                    told[course.directory] = number
            for future in ended:
                del open_courses[future]
                future.result()


def run_course(course: Course) -> None:
    """A worker's part."""
    for _ in course.train():
        pass


def _evaluated(course: Course) -> int:
    """The last round that is evaluated; 0 before the first."""
    return max(PartnerFolder(course.directory).metrics_by_round(), default=0)


def train_alone(arm: str, directory: Path, dataset: Dataset, config: Config) -> Iterator[RunEvent]:
    """Train one partner that gets its own trunk back each round; resumes a killed run where it stopped."""
    final = config.federation.rounds
    if PartnerFolder(directory).metrics_of(final).is_file():
        return
    partner = Partner(directory, dataset, config, local=False)
    done, arrays = load_trunk(directory / "trunk.safetensors", config)
    for number in range(done + 1, final + 1):
        arrays, _, _ = partner.fit(arrays, {"round": number})
        save_trunk(directory / "trunk.safetensors", arrays, number)
        if number > 1:
            yield saved_event(arm, dataset.name, directory, number - 1, config.evaluation.min_per_class)
    partner.evaluate(arrays, {"round": final})
    yield saved_event(arm, dataset.name, directory, final, config.evaluation.min_per_class)
    # What only a resumed run would need: two states and a trunk weigh ten times the rest.
    shutil.rmtree(PartnerFolder(directory).states, ignore_errors=True)
    (directory / "trunk.safetensors").unlink()


def unguarded_arm(run: Path, datasets: Mapping[str, Dataset], config: Config) -> Iterator[RunEvent]:
    """Train the federation without its row guard, in `run/unguarded`; rounds that are done are skipped."""
    folder = run / UNGUARDED
    if not all(PartnerFolder(folder / name).metrics_of(config.federation.rounds).is_file() for name in datasets):
        guarded = guard(datasets, replace(config, privacy=replace(config.privacy, row_guard=0)), folder)
        partners = {
            name: Partner(
                folder / name, dataset, config, sent=guarded.listed & supported, slots=declared_slots(dataset, config), local=False
            )
            for (name, dataset), supported in zip(datasets.items(), guarded.supports, strict=True)
        }
        yield from federate_unguarded(partners, PartnerFolder(folder).shared_trunk, config)
    for name in datasets:
        shutil.rmtree(PartnerFolder(folder / name).states, ignore_errors=True)
    (PartnerFolder(folder).shared_trunk).unlink(missing_ok=True)


def federate_unguarded(partners: Mapping[str, Partner], path: Path, config: Config) -> Iterator[RunEvent]:
    """Add up what partners send of every row, and of the shared heads that they may, round after round.

    Args:
        path: Keeps the trunk, from which a killed run goes on.
    """
    federation, minimum = config.federation, config.evaluation.min_per_class
    listed = np.any([partner.sent for partner in partners.values()], axis=0)
    shared = SharedTrunk.read(path) if path.is_file() else first_shared(config, listed)
    form = form_of(shared, config)
    for number in range(shared.version + 1, federation.rounds + 1):
        sums = np.zeros(form.words, dtype=form.quantiser(shared.value_range).word_type)
        for name, partner in partners.items():
            sums += words_of(partner, shared, form, config)
            if number > 1:
                yield saved_event(UNGUARDED, name, partner.directory, number - 1, minimum)
        shared = take_in(shared, form, sums, len(partners), config)
        shared.write(path)
    for name, partner in partners.items():
        partner.evaluate(shared.arrays, {"round": federation.rounds})
        yield saved_event(UNGUARDED, name, partner.directory, federation.rounds, minimum)


def has_unguarded(config: Config) -> bool:
    """Whether the unguarded arm is asked for, and differs from the federated one."""
    return config.evaluation.unguarded and config.privacy.row_guard > 1


def save_trunk(path: Path, arrays: list[np.ndarray], number: int) -> None:
    """Keep the trunk after round `number`."""
    save_tensors(path, {f"{position:03d}": torch.from_numpy(array) for position, array in enumerate(arrays)}, {"round": number})


def load_trunk(path: Path, config: Config) -> tuple[int, list[np.ndarray]]:
    """The last round kept and its trunk; 0 and the initial trunk if there is none."""
    if not path.is_file():
        return 0, trunk_arrays(Trunk(config.chemistry.bits, config.model.hidden, config.seed))
    tensors, header = load_tensors(path)
    return header["round"], [tensors[name].numpy() for name in sorted(tensors)]
