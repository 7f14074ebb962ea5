"""Shared heads of values under attack, and canaries by shared heads: found where heads remember, and not where they do not."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from fedapp.config import Config
from fedapp.data.catalogue import Catalogue, Endpoint, write_catalogue
from fedapp.data.dataset import Dataset
from fedapp.data.labels import ABOVE, BELOW, EXACT, Labels
from simulation.audit.attacks.canaries import Canaries, audit, canaries, head_scores, in_units
from simulation.audit.attacks.shared_heads import labels_told
from simulation.audit.federations import Trial, run_trial
from simulation.audit.pool import Pool
from simulation.audit.run import all_signals
from simulation.audit.shared_signals import ASKED, SHARED, SharedLabels
from simulation.audit.signals import Rounds
from tests.model import synthetic
from tests.simulation.audit.attacks import test_shared_heads as of_classes
from tests.simulation.audit.attacks.test_shared_heads import BITS, EACH, TASKS
from tests.simulation.audit.demo_pool import scenario

CENTRE, SCALE = 5.0, 4.0  # the catalogue's; partners' own are 6 and 2
VALUED = 3  # tasks from this one on have values


@cache
def config() -> Config:
    """Six endpoints, of which the last three are learned as values."""
    path = Path(mkdtemp(prefix="polyphony-values-")) / "catalogue.yaml"
    classes = [Endpoint(f"target{task}", "something", "p", (5.5,)) for task in range(VALUED)]
    values = [Endpoint(f"target{task}", "something", "p", (), True, CENTRE, SCALE) for task in range(VALUED, TASKS)]
    write_catalogue(path, Catalogue((*classes, *values)))
    settings = of_classes.config()
    return replace(settings, tasks=replace(settings.tasks, catalogue=str(path), kinds=["classification", "regression"]))


@cache
def pool() -> Pool:
    made = of_classes.pool()
    return replace(made, datasets={name: synthetic.with_values(dataset, first=VALUED) for name, dataset in made.datasets.items()})


@cache
def trial() -> Trial:
    """A real federation without defences; every label is tossed, so that whatever a head knows it has by heart."""
    settings = replace(config(), privacy=replace(config().privacy, row_guard=0, endpoint_labels=1))
    return run_trial(pool(), settings, 0, Path(mkdtemp(prefix="polyphony-values-")), all_signals, holders=1, keep=True)


def labels_of(values: list[float], censors: list[int]) -> SharedLabels:
    """Of one compound each; the first is a class."""
    tasks = np.array([0, *[1] * (len(values) - 1)], dtype=np.int32)
    labels = Labels.unweighted(np.arange(len(values) + 1), tasks, np.array(values, dtype=np.float32), np.array(censors, dtype=np.int8))
    dataset = synthetic.with_values(synthetic.dataset(compounds=len(values), tasks=2), first=1, centre=CENTRE, scale=SCALE)
    return SharedLabels.of([replace(dataset, labels=labels)], [np.array([4, 2], dtype=np.int32)])


def test_values_are_in_the_units_of_their_head_and_pull_it_from_where_it_is_unless_a_bound_is_kept() -> None:
    labels = labels_of([1, 9, 1, 9, 1], [EXACT, EXACT, EXACT, ABOVE, ABOVE])
    assert labels.targets.tolist() == [1, 1, -1, 1, -1] and labels.slots.tolist() == [4, 2, 2, 2, 2]
    assert labels.signs.tolist() == [1, 1, -1, 1, 0], "what is above a low bound may be anywhere"
    said = np.full(5, 0.5, dtype=np.float32)
    assert labels.pulls(said).tolist() == [1, 1, -1, 1, 0]
    assert labels.fits(said).tolist() == [0.5, -0.5, -1.5, -0.5, 0]
    below = labels_of([0, 9, 1], [EXACT, BELOW, BELOW])
    assert below.signs.tolist() == [-1, 0, -1] and below.pulls(said[:3]).tolist() == [-1, 0, -1]
    assert below.fits(said[:3]).tolist() == [-0.5, 0, -1.5]


def test_signals_are_of_values_too_and_those_that_were_trained_on_fit_better() -> None:
    made = trial()
    asked = made.signals[ASKED] > 0
    expected = np.concatenate([np.diff(dataset.labels.indptr) > 0 for dataset in pool().datasets.values()])
    assert np.array_equal(asked, expected), "compounds with values alone are among them"
    fits, pulls = (made.signals[name] for name in SHARED[::2])
    for signal in (fits, pulls):
        assert signal[asked & made.members].mean() > signal[asked & ~made.members].mean()


@pytest.mark.parametrize(("share", "told"), [(1.0, True), (0.0, False)])
def test_a_head_that_remembers_on_which_side_of_the_centre_values_lie_is_told_from_one_that_does_not(share: float, told: bool) -> None:
    made, generator = trial(), np.random.default_rng(0)
    compounds = np.arange(len(pool().owners))
    heads = generator.choice([-1.0, 1.0], size=(TASKS, len(compounds) + 1)).astype(np.float32)
    heads[:, -1] = 0
    dense = np.zeros((len(compounds), BITS), dtype=np.float32)
    dense[np.repeat(compounds, np.diff(pool().indptr)), pool().indices] = 1
    for number, dataset in enumerate(pool().datasets.values()):
        owners, tasks, values = number * EACH + dataset.labels.owners, dataset.labels.tasks, dataset.labels.values
        chosen = made.members[owners] & (generator.random(len(owners)) < share)
        sides = np.where(tasks < VALUED, 2 * values - 1, np.sign(values - CENTRE))
        heads[tasks[chosen], owners[chosen]] = sides[chosen]
    remembering = replace(made, trunks=[[dense.T.copy(), 1 - dense.sum(axis=1), heads]])
    found = labels_told(scenario(pool(), remembering, config=config()))
    assert (found.lower > 0.2) == told and (told or found.lower < 0 < found.upper)


# Canaries


def planted(made: Canaries, own: Dataset, included: np.ndarray, known: float) -> Rounds:
    """Rounds of a trunk that has a unit for each canary, and of heads that know so much of the labels of those included."""
    count, generator = len(included), np.random.default_rng(0)
    dense = np.zeros((count, BITS), dtype=np.float32)
    dense[np.repeat(np.arange(count), np.diff(made.x_indptr)), made.x_indices] = 1
    mean = generator.normal(size=(TASKS, count + 1)).astype(np.float32)
    labels = made.labels
    sides = np.where(labels.tasks < VALUED, 2 * labels.values - 1, np.sign(labels.values - CENTRE))
    mean[labels.tasks, labels.owners] += known * sides * included[labels.owners]
    layers = [dense.T.copy(), (1 - dense.sum(axis=1)).astype(np.float32)]
    nothing = [np.zeros_like(array) for array in layers]
    return Rounds([[*layers, np.zeros_like(mean)], [*layers, mean]], [[*nothing, mean]])


def test_canaries_are_recognised_by_heads_that_remember_them_and_by_no_others() -> None:
    own, generator = next(iter(pool().datasets.values())), np.random.default_rng(0)
    made = canaries(np.ones(BITS, dtype=np.bool_), TASKS, count=300, size=30, labels=4, generator=generator)
    made = replace(made, labels=in_units(made.labels, own))
    included, slots = generator.random(300) < 0.5, np.arange(TASKS, dtype=np.int32)
    for known, least, most in ((4.0, 1.0, 50.0), (0.0, 0.0, 0.2)):
        scores = head_scores(made, own, slots, config(), planted(made, own, included, known))
        assert least <= audit(scores, included, 1e-6).epsilon <= most
    none = np.full(TASKS, -1, dtype=np.int32)
    assert not head_scores(made, own, none, config(), planted(made, own, included, 4.0)).any()


def test_canaries_of_tasks_of_values_have_values_that_are_usual_there() -> None:
    own = next(iter(pool().datasets.values()))
    made = canaries(np.ones(BITS, dtype=np.bool_), TASKS, count=20, size=30, labels=6, generator=np.random.default_rng(0))
    labels = in_units(made.labels, own)
    assert set(labels.values[labels.tasks < VALUED].tolist()) == {0.0, 1.0}
    assert set(labels.values[labels.tasks >= VALUED].tolist()) == {4.0, 8.0}, "the centre of 6, and the scale of 2 less or more"
