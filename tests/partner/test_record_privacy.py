"""Record-level privacy at a partner: nothing is trained or told before it is paid for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fedapp.config import Config, load_config
from fedapp.consortium.agreement import configuration_digest
from fedapp.data.dataset import Dataset
from fedapp.model.network import Heads, Trunk, trunk_arrays
from fedapp.partner import client
from fedapp.partner.record_privacy import open_budget, pay_for_training, private_support
from fedapp.partner_folder import PartnerFolder
from fedapp.privacy.accounting import NoiseEvent, epsilon
from fedapp.privacy.budget import Budget, BudgetError
from fedapp.privacy.noise import Noise
from strategies.update.row_guard import support
from tests.helpers.federation import alike, all_held, federate
from tests.helpers.small_run import small_run
from tests.model.synthetic import dataset
from tests.partner.test_client import Arrays, Killed, equal, files, fit_dies_at_write, partner

OVERRIDES = ("chemistry.bits=256", "model.hidden=[16]", "training.batch_size=32", "privacy.profile=record_dp")


@pytest.fixture
def config() -> Config:
    return load_config(overrides=(*OVERRIDES, "privacy.noise_multiplier=4", "privacy.epsilon=6"))


@pytest.fixture
def initial() -> Arrays:
    return trunk_arrays(Trunk(256, [16], 1))


@pytest.fixture
def same_noise(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every stream that a training takes is the same one."""
    monkeypatch.setattr(Noise, "fresh", classmethod(lambda cls: cls(bytes(32))))
    yield


def paid(directory: Path, config: Config) -> list[str]:
    return [what for what, _ in open_budget(directory, config).events()]


def test_a_round_costs_what_its_steps_cost(tmp_path: Path, config: Config, initial: Arrays) -> None:
    home = partner(tmp_path, config)
    home.fit(initial, {"round": 1})
    ((what, event),) = open_budget(tmp_path, config).events()
    compounds = len(home.training_rows())
    assert what == "round 1"
    assert (event.noise_multiplier, event.sample_rate, event.steps) == (4.0, 32 / compounds, -(-compounds // 32))
    assert open_budget(tmp_path, config).spent() == epsilon([event], config.privacy.delta)
    assert PartnerFolder(tmp_path).budget.stat().st_mode & 0o777 == 0o600


def test_every_training_is_paid_for_and_none_repeats_another(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays, _, _ = partner(tmp_path, config).fit(initial, {"round": 1})
    first, _, _ = partner(tmp_path, config).fit(arrays, {"round": 2})
    again, _, _ = partner(tmp_path, config).fit(arrays, {"round": 2})
    another, _, _ = partner(tmp_path, config).fit(arrays, {"round": 2, "attempt": 1})
    assert paid(tmp_path, config) == ["round 1", "round 2", "round 2", "round 2"]
    assert not equal(first, again)
    assert not equal(again, another)


def test_the_budget_ends_training_with_a_named_error_and_leaves_everything_as_it_was(
    tmp_path: Path, config: Config, initial: Arrays
) -> None:
    arrays = initial
    one = partner(tmp_path / "one", config)
    one.fit(initial, {"round": 1})
    ((_, event),) = open_budget(tmp_path / "one", config).events()
    few = replace(config, privacy=replace(config.privacy, epsilon=epsilon([event] * 3, config.privacy.delta) * 1.001))
    for number in range(1, 4):
        assert Budget(PartnerFolder(tmp_path / "few").budget, few.privacy.epsilon, few.privacy.delta).left(event) == 4 - number
        arrays, _, _ = partner(tmp_path / "few", few).fit(arrays, {"round": number})
    with pytest.raises(BudgetError, match=r"round 4 would bring this partner's epsilon to .* beyond privacy.epsilon"):
        partner(tmp_path / "few", few).fit(arrays, {"round": 4})
    assert paid(tmp_path / "few", few) == ["round 1", "round 2", "round 3"]
    assert partner(tmp_path / "few", few).last_round() == 3
    partner(tmp_path / "few", few).evaluate(arrays, {"round": 3})


def test_a_partner_killed_at_any_of_its_writes_has_never_paid_for_less_than_it_trained(
    tmp_path: Path, config: Config, initial: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = initial
    for number in (1, 2):
        arrays, _, _ = partner(tmp_path / "before", config).fit(arrays, {"round": number})
    trained: list[int] = []
    really = client.train_noisily
    monkeypatch.setattr(client, "train_noisily", lambda *given, **named: trained.append(1) or really(*given, **named))
    killed = 0
    while fit_dies_at_write(killed, tmp_path / f"killed{killed}", tmp_path / "before", config, arrays, monkeypatch):
        folder = tmp_path / f"killed{killed}"
        assert len(paid(folder, config)) - 2 >= len(trained)
        partner(folder, config).fit(arrays, {"round": 3})
        assert len(paid(folder, config)) - 2 >= len(trained)
        trained.clear()
        killed += 1
    assert killed >= 4, "metrics, budget, state and loss at the least"


def test_a_state_without_its_account_is_not_trained_on(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays, _, _ = partner(tmp_path, config).fit(initial, {"round": 1})
    PartnerFolder(tmp_path).budget.unlink()
    held = files(tmp_path)
    with pytest.raises(BudgetError, match=r"privacy-budget\.json is missing") as error:
        partner(tmp_path, config).fit(arrays, {"round": 2})
    assert error.value.hint
    assert {name: content for name, content in files(tmp_path).items() if name in held and "model" not in name} == {
        name: content for name, content in held.items() if "model" not in name
    }


def test_a_state_that_was_trained_without_noise_cannot_become_private(tmp_path: Path, config: Config, initial: Arrays) -> None:
    open_config = replace(config, privacy=replace(config.privacy, profile="none"))
    arrays, _, _ = partner(tmp_path, open_config).fit(initial, {"round": 1})
    with pytest.raises(BudgetError, match=r"privacy-budget\.json is missing"):
        partner(tmp_path, config).fit(arrays, {"round": 2})


def test_a_delta_of_one_over_the_compounds_is_refused(tmp_path: Path, config: Config, initial: Arrays) -> None:
    careless = replace(config, privacy=replace(config.privacy, delta=0.01))
    with pytest.raises(BudgetError, match=r"delta is 0.01, and this partner trains on \d+ compounds"):
        partner(tmp_path, careless).fit(initial, {"round": 1})


def test_rows_outside_the_list_come_back_as_they_came_and_all_others_with_noise(tmp_path: Path, config: Config, initial: Arrays) -> None:
    config = replace(config, training=replace(config.training, weight_decay=0.01))
    trained = np.arange(256) % 3 > 0
    whole = dataset("alpha")
    without = np.arange(256) % 2 > 0  # bits that its compounds do not hold are trained all the same
    data = whole.guarded(np.arange(len(whole.folds)), without)
    home = client.Partner(tmp_path, data, config, None, trained)
    arrays, _, _ = home.fit(initial, {"round": 1})
    assert arrays[0][~trained].tobytes() == initial[0][~trained].tobytes()
    assert (arrays[0][trained] != initial[0][trained]).any(axis=1).all()


@pytest.mark.usefixtures("same_noise")
def test_the_heads_that_predict_never_come_back_into_training(
    tmp_path: Path, config: Config, initial: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_rounds(folder: Path) -> tuple[Arrays, bytes, bytes]:
        arrays, _, _ = partner(folder, config).fit(initial, {"round": 1})
        arrays, _, _ = partner(folder, config).fit(arrays, {"round": 2})
        state = (folder / "state" / "round-0002.safetensors").read_bytes()
        return arrays, state, (folder / "model.safetensors").read_bytes()

    arrays, state, model = two_rounds(tmp_path / "a")

    def others(_trunk: Trunk, heads: Heads, *_: object, **__: object) -> Heads:
        return type(heads)(16, 6, 99).to(heads.weight.device)

    monkeypatch.setattr(client, "fitted_heads", others)
    other_arrays, other_state, other_model = two_rounds(tmp_path / "b")
    assert equal(arrays, other_arrays)
    assert state == other_state
    assert model != other_model


def with_equal_heads(network: Callable[[Arrays], tuple[Trunk, Heads]], arrays: Arrays) -> tuple[Trunk, Heads]:
    trunk, _ = network(arrays)
    return trunk, Heads(16, 6, 5).to(trunk.weight.device)


@pytest.mark.usefixtures("same_noise")
def test_the_seed_that_all_partners_know_has_no_part_in_what_leaves(
    tmp_path: Path, config: Config, initial: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(config, seed=config.seed + 1)
    found = []
    for folder, each in (("a", config), ("b", other)):
        home = partner(tmp_path / folder, each)
        # the first heads do derive from the seed: they are no secret, and made equal here
        monkeypatch.setattr(home, "_network", partial(with_equal_heads, home._network))
        found.append(home.fit(initial, {"round": 1})[0])
    assert equal(*found)


def test_reconstruction_noise_keeps_no_account_and_still_never_repeats(tmp_path: Path, config: Config, initial: Arrays) -> None:
    noisy = replace(config, privacy=replace(config.privacy, profile="reconstruction_noise", noise_multiplier=0.02))
    one, _, _ = partner(tmp_path, noisy).fit(initial, {"round": 1})
    other, _, _ = partner(tmp_path, noisy).fit(initial, {"round": 1})
    assert not equal(one, other)
    assert not PartnerFolder(tmp_path).budget.exists()


def test_rows_are_chosen_once_and_paid_for_once(tmp_path: Path, config: Config) -> None:
    data = dataset(compounds=3000)
    first = private_support(tmp_path, data, config)
    assert first.shape == (256,)
    assert first.any()
    assert np.array_equal(private_support(tmp_path, data, config), first)
    assert paid(tmp_path, config) == ["row list"]


def test_rows_drawn_by_a_process_that_was_killed_are_paid_for_too(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = Path.replace

    def die(path: Path, target: Path) -> Path:
        if target == PartnerFolder(tmp_path).support:
            raise Killed
        return replaced(path, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", die)
        private_support(tmp_path, dataset(), config)
    private_support(tmp_path, dataset(), config)
    assert paid(tmp_path, config) == ["row list", "row list"]


def test_without_a_row_guard_all_rows_are_supported_and_nothing_is_paid(tmp_path: Path, config: Config) -> None:
    open_rows = replace(config, privacy=replace(config.privacy, row_guard=0))
    assert private_support(tmp_path, dataset(), open_rows).all()
    assert paid(tmp_path, open_rows) == []


def test_rows_that_do_not_fit_the_budget_are_not_chosen(tmp_path: Path, config: Config) -> None:
    private_support(tmp_path, dataset(), config)
    PartnerFolder(tmp_path).support.unlink()
    for _ in range(100):
        try:
            private_support(tmp_path, dataset(), config)
        except BudgetError:
            break
        PartnerFolder(tmp_path).support.unlink()
    assert not PartnerFolder(tmp_path).support.exists()
    assert open_budget(tmp_path, config).spent() <= config.privacy.epsilon


def test_rows_without_their_payment_stop_training(tmp_path: Path, config: Config) -> None:
    private_support(tmp_path, dataset(), config)
    PartnerFolder(tmp_path).budget.unlink()
    with pytest.raises(BudgetError, match=r"privacy-budget\.json is missing"):
        pay_for_training(tmp_path, config, 200, 1, 0, NoiseEvent(4.0, 0.1, 3))


@pytest.mark.parametrize("aggregation", ["secure", "plain"])
def test_a_whole_run_trains_only_rows_that_were_chosen_with_noise_and_paid_for(tmp_path: Path, aggregation: str) -> None:
    run = small_run(
        *(tmp_path / "run", f"aggregation={aggregation}", "privacy.profile=record_dp", "privacy.row_guard=2", "privacy.epsilon=1000"),
        *("training.batch_size=64", "federation.rounds=2", "federation.session_rounds=1"),
    )
    federate(run)
    changed = []
    for name in run.partners():
        folder, data = run.partner(name), Dataset.open(run.partner(name) / "dataset")
        chosen, trained = np.load(PartnerFolder(folder).support), np.load(PartnerFolder(folder).rows)
        assert trained.any()
        assert not (trained & ~chosen).any()
        changed.append(int((chosen != support(data.x_indptr, data.x_indices, data.rows_in([2, 3, 4]), data.bits, 2)).sum()))
        assert paid(folder, run.config()) == ["row list", "round 1", "round 2"]
    assert sum(changed) > 0, f"noise decides about rows {changed}"
    if aggregation == "secure":
        assert alike(all_held(run), 2)


@pytest.mark.parametrize(
    "override", ["privacy.profile=none", "privacy.noise_multiplier=5", "privacy.clipping_norm=2", "privacy.delta=1e-7"]
)
def test_partners_with_other_noise_are_not_of_one_configuration(config: Config, override: str) -> None:
    other = load_config(overrides=(*OVERRIDES, "privacy.noise_multiplier=4", "privacy.epsilon=6", override))
    assert configuration_digest(other) != configuration_digest(config)
