"""One federation on half of the pool."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError
from fedapp.model.checkpoint import load_tensors
from fedapp.model.network import Heads
from fedapp.model.private_rows import DIFFERENCE, ROWS
from fedapp.partner.client import Partner
from fedapp.seeds import derived_seed
from simulation.audit.federations import Trial, run_trial
from simulation.audit.pool import selected
from simulation.audit.signals import Rounds, SuspectModel, model_signals
from simulation.federation import first_shared, form_of, guard, take_in, words_of
from tests.simulation.audit.demo_pool import demo_config, demo_pool


def signals(datasets: list[Dataset], models: list[SuspectModel], rounds: Rounds) -> dict[str, np.ndarray]:
    """How many bits a compound has, of those that are left."""
    for dataset, model in zip(datasets, models, strict=True):
        assert rounds.trunks[0][0].shape[0] == dataset.bits and len(model.heads.bias) == len(dataset.tasks)
        assert model.arrays[0].shape[0] == model.dataset.bits and len(model.dataset.folds) == len(dataset.folds)
    return {"bits": np.concatenate([np.diff(dataset.x_indptr) for dataset in datasets]).astype(np.float32)}


@pytest.fixture(scope="module", params=["privacy.row_guard=3", "privacy.row_guard=0"])
def config(request: pytest.FixtureRequest) -> Config:
    return demo_config(request.param)


@pytest.fixture(scope="module")
def trial(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return run_trial(demo_pool(), config, 0, tmp_path_factory.mktemp("trial"), signals, keep=True)


def with_all_rows(members: np.ndarray, config: Config, folder: Path) -> tuple[list[Partner], list[np.ndarray]]:
    """The partners of a trial and its last trunk, trained on whole fingerprints, step by step."""
    pool = demo_pool()
    halves = zip(pool.datasets.items(), pool.split(members), strict=True)
    datasets = {name: selected(dataset, inside) for (name, dataset), inside in halves}
    guarded = guard(datasets, config, folder)
    config = replace(config, seed=derived_seed(config.seed, "audit trial", 0))
    partners = [
        Partner(folder / name, dataset, config, sent=guarded.listed & own)
        for (name, dataset), own in zip(datasets.items(), guarded.supports, strict=True)
    ]
    shared = first_shared(config, guarded.listed)
    form = form_of(shared, config)
    for _ in range(config.federation.rounds):
        sums = np.zeros(form.words, dtype=np.uint32)
        for partner in partners:
            sums += words_of(partner, shared, form, config)
        shared = take_in(shared, form, sums, len(partners), config)
    return partners, shared.arrays


def test_cutting_fingerprints_to_the_listed_bits_changes_no_bit_of_the_trunk(config: Config, trial: Trial, tmp_path: Path) -> None:
    pool = demo_pool()
    _, arrays = with_all_rows(trial.members, config, tmp_path)
    seen = np.zeros(pool.bits, dtype=np.bool_)
    seen[pool.indices] = True
    if config.privacy.row_guard:
        assert np.array_equal(trial.trunks[-1][0], arrays[0])
    else:
        # Rounding noise is drawn coordinate after coordinate: rows of bits that nobody holds take none in the trial.
        assert np.allclose(trial.trunks[-1][0][seen], arrays[0][seen], atol=2e-4)


def test_what_a_partner_predicts_with_is_that_of_the_federation_with_all_rows(tmp_path: Path) -> None:
    pool, config, found = demo_pool(), demo_config("privacy.row_guard=3"), []

    def kept(datasets: list[Dataset], models: list[SuspectModel], rounds: Rounds) -> dict[str, np.ndarray]:
        found.extend(models)
        return {}

    members = run_trial(pool, config, 0, tmp_path / "trial", kept).members
    partners, arrays = with_all_rows(members, config, tmp_path)
    for partner, model in zip(partners, found, strict=True):
        state, _ = load_tensors(tmp_path / partner.dataset.name / "state" / f"round-{config.federation.rounds:04d}.safetensors")
        assert len(state[ROWS]) > 50
        first = arrays[0].copy()
        first[state[ROWS].numpy()] += state[DIFFERENCE].numpy()
        heads = Heads(first.shape[1], len(partner.dataset.tasks))
        heads.load_state_dict({name: state[f"heads.{name}"] for name in ("weight", "bias")})
        expected = model_signals(SuspectModel(pool.datasets[partner.dataset.name], [first, *arrays[1:]], heads.requires_grad_(False)))
        for name, values in model_signals(model).items():
            np.testing.assert_allclose(values, expected[name], atol=1e-5)


def test_the_trunks_of_all_rounds_are_kept_with_the_first_one_in_front(config: Config, trial: Trial) -> None:
    assert len(trial.trunks) == config.federation.rounds + 1
    first = first_shared(replace(config, seed=derived_seed(config.seed, "audit trial", 0)), trial.listed).arrays
    held = np.unique(demo_pool().indices)
    assert np.array_equal(trial.trunks[0][0][held], first[0][held]) and np.array_equal(trial.trunks[0][1], first[1])


def test_rows_that_are_not_listed_are_zero_in_every_trunk(trial: Trial) -> None:
    assert not any(trunk[0][~trial.listed].any() for trunk in trial.trunks)


def test_the_mean_of_the_partners_last_updates_is_the_last_mean_update(trial: Trial) -> None:
    assert trial.updates is not None
    assert np.allclose(trial.updates.mean(axis=0), trial.means[-1][0], atol=1e-6)


def test_a_trunk_moves_by_the_mean_updates_with_momentum(config: Config, trial: Trial) -> None:
    """What is attacked is the mean update of a round, not where the trunk would have gone without it."""
    assert config.federation.momentum > 0 and len(trial.means) == config.federation.rounds
    velocity = [np.zeros_like(array) for array in trial.means[0]]
    for before, after, mean in zip(trial.trunks[:-1], trial.trunks[1:], trial.means, strict=True):
        velocity = [config.federation.momentum * old + new for old, new in zip(velocity, mean, strict=True)]
        for one, other, step in zip(before, after, velocity, strict=True):
            np.testing.assert_allclose(other - one, config.federation.server_learning_rate * step, atol=1e-6)


def test_a_mean_update_is_nothing_where_nobody_sent_anything(trial: Trial) -> None:
    sent = np.zeros(demo_pool().bits, dtype=np.bool_)
    pool = demo_pool()
    for compound in np.flatnonzero(trial.members):
        sent[pool.indices[pool.indptr[compound] : pool.indptr[compound + 1]]] = True
    assert not any(mean[0][~(sent & trial.listed)].any() for mean in trial.means)


def test_a_partner_sends_nothing_in_rows_that_its_members_do_not_support(trial: Trial) -> None:
    assert trial.updates is not None
    for own, supported in zip(trial.updates, trial.supports, strict=True):
        assert not own[~supported].any()


def test_support_counts_members_alone(config: Config, trial: Trial) -> None:
    pool = demo_pool()
    counts = np.zeros((3, pool.bits), dtype=int)
    for compound in np.flatnonzero(trial.members):
        counts[pool.owners[compound], pool.indices[pool.indptr[compound] : pool.indptr[compound + 1]]] += 1
    if config.privacy.row_guard:
        assert np.array_equal(trial.supports, counts >= config.privacy.row_guard)
        assert np.array_equal(trial.listed, trial.supports.sum(axis=0) >= config.privacy.least_supporters)
    else:
        assert trial.listed.all()


def test_signals_cover_every_compound_of_the_pool_members_or_not(trial: Trial) -> None:
    pool = demo_pool()
    expected = np.add.reduceat(trial.listed[pool.indices].astype(np.float32), pool.indptr[:-1])
    assert np.array_equal(trial.signals["bits"], expected)


def test_a_trial_repeats_and_another_number_trains_on_another_half(config: Config, trial: Trial, tmp_path: Path) -> None:
    again = run_trial(demo_pool(), config, 0, tmp_path / "again", signals, keep=True)
    assert all(np.array_equal(a, b) for a, b in zip(trial.trunks[-1], again.trunks[-1], strict=True))
    other = run_trial(demo_pool(), config, 1, tmp_path / "other", signals)
    assert not np.array_equal(trial.members, other.members) and other.trunks == [] and other.updates is None
    assert not (tmp_path / "other").exists()


def test_a_guard_that_leaves_no_row_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row_guard of 1000 leaves no row") as error:
        run_trial(demo_pool(), demo_config("privacy.row_guard=1000"), 0, tmp_path / "none", signals)
    assert "audit.compounds" in error.value.hint
