"""A partner: what goes in and out, what stays, and what a repeated or killed round leaves."""

import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.config import Config, load_config
from fedapp.errors import RunError
from fedapp.evaluation.arms import REGRESSION
from fedapp.evaluation.selection import best_round, read_metrics, validation_curve
from fedapp.model import checkpoint
from fedapp.model.network import Heads, Trunk, set_trunk_arrays, trunk_arrays
from fedapp.model.saved_model import read_model
from fedapp.model.training import choose_device, optimiser, train
from fedapp.partner.client import Partner
from fedapp.partner.kept_rounds import KeptRounds
from fedapp.partner_folder import PartnerFolder
from fedapp.seeds import derived_seed
from fedapp.storage.json_file import read_json, read_sealed
from tests.model.synthetic import dataset, with_values

Arrays = list[np.ndarray]
OVERRIDES = ("chemistry.bits=256", "model.hidden=[16]", "training.batch_size=32", "training.learning_rate=0.01")


@pytest.fixture
def config() -> Config:
    return load_config(overrides=OVERRIDES)


@pytest.fixture
def initial() -> Arrays:
    return trunk_arrays(Trunk(256, [16], 1))


def partner(directory: Path, config: Config, name: str = "alpha") -> Partner:
    """A partner as a fresh process makes it."""
    return Partner(directory, dataset(name), config)


def rounds(directory: Path, config: Config, arrays: Arrays, last: int) -> Arrays:
    for number in range(1, last + 1):
        arrays, _, _ = partner(directory, config).fit(arrays, {"round": number})
    return arrays


def equal(one: Arrays, other: Arrays) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def files(directory: Path) -> dict[str, bytes]:
    """Contents of everything but the seconds that a round took."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.*") if path.parent.name != "loss"}


def test_nothing_but_the_trunk_leaves_whatever_the_partner_has(tmp_path: Path, config: Config, initial: Arrays) -> None:
    for name, data in {"few": dataset("few", compounds=50, tasks=2), "many": dataset("many", compounds=300, tasks=9)}.items():
        reply, count, metrics = Partner(tmp_path / name, data, config).fit(initial, {"round": 1})
        assert [(array.shape, array.dtype) for array in reply] == [(array.shape, array.dtype) for array in initial]
        assert (count, metrics) == (1, {})
        assert Partner(tmp_path / name, data, config).evaluate(reply, {"round": 1}) == (0.0, 1, {})


def test_metrics_are_shown_only_where_the_configuration_allows(tmp_path: Path, config: Config, initial: Arrays) -> None:
    allowed = replace(config, federation=replace(config.federation, metrics_shown=["auc_pr"]))
    reply, _, first = partner(tmp_path, allowed).fit(initial, {"round": 1})
    _, _, second = partner(tmp_path, allowed).fit(reply, {"round": 2})
    assert first == {}
    assert set(second) == {"auc_pr"}


def test_what_is_shown_as_auc_pr_is_never_the_score_of_another_kind_of_task(tmp_path: Path, config: Config) -> None:
    """With values alone a round is chosen by Spearman, which nobody agreed to show."""
    data = dataset(tasks=1)
    valued = replace(data, tasks=data.tasks.with_columns(pl.lit(REGRESSION).alias("kind")))
    values = np.linspace(4, 9, 30)
    scores = pl.DataFrame({"fold": "validation", "row": range(30), "task": 0, "value": values, "censor": 0, "output": values})
    kept = KeptRounds(PartnerFolder(tmp_path))
    kept.make()
    judged = kept.judge(scores, valued, config, 1)
    assert judged.best
    assert validation_curve(judged.metrics, 5) == {1: pytest.approx(1.0)}
    assert math.isnan(judged.value)


def test_a_repeated_round_gives_the_same_bytes(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = rounds(tmp_path, config, initial, 2)
    reply, _, _ = partner(tmp_path, config).fit(arrays, {"round": 3})
    held = files(tmp_path)
    for _ in range(2):
        again, _, _ = partner(tmp_path, config).fit(arrays, {"round": 3})
        assert equal(reply, again)
        assert files(tmp_path) == held


def test_the_first_round_can_be_repeated_too(tmp_path: Path, config: Config, initial: Arrays) -> None:
    first, _, _ = partner(tmp_path, config).fit(initial, {"round": 1})
    assert equal(first, partner(tmp_path, config).fit(initial, {"round": 1})[0])


def test_two_partners_with_equal_data_draw_different_batches(tmp_path: Path, config: Config, initial: Arrays) -> None:
    data = dataset()
    one, _, _ = Partner(tmp_path / "a", data, config).fit(initial, {"round": 1})
    other, _, _ = Partner(tmp_path / "b", replace(data, name="beta"), config).fit(initial, {"round": 1})
    assert not equal(one, other)


def test_another_attempt_at_a_round_draws_other_batches_from_the_state_before_that_round(
    tmp_path: Path, config: Config, initial: Arrays
) -> None:
    arrays = rounds(tmp_path / "a", config, initial, 2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    abandoned, _, _ = partner(tmp_path / "a", config).fit(arrays, {"round": 3})
    afresh, _, _ = partner(tmp_path / "a", config).fit(arrays, {"round": 3, "attempt": 1})
    assert not equal(abandoned, afresh)
    assert equal(afresh, partner(tmp_path / "a", config).fit(arrays, {"round": 3, "attempt": 1})[0])
    assert equal(afresh, partner(tmp_path / "b", config).fit(arrays, {"round": 3, "attempt": 1})[0])
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert not equal(afresh, partner(tmp_path / "a", config).fit(arrays, {"round": 3, "attempt": 2})[0])


def test_the_first_attempt_is_that_of_a_run_without_attempts(tmp_path: Path, config: Config, initial: Arrays) -> None:
    config = replace(config, training=replace(config.training, weight_decay=0.0))
    device = choose_device()
    data, trunk, heads = dataset(), Trunk(256, [16]).to(device), Heads(16, 6, config.seed, "alpha").to(device)
    set_trunk_arrays(trunk, initial)
    adam, rows = optimiser(trunk, heads, config.training), partner(tmp_path, config).training_rows()
    seed = derived_seed(config.seed, "training", "alpha", 1)
    train(trunk, heads, adam, data, rows, settings=config.training, dropout=config.model.dropout, seed=seed)
    for request in ({"round": 1}, {"round": 1, "attempt": 0}):
        assert equal(partner(tmp_path, config).fit(initial, request)[0], trunk_arrays(trunk))


def test_rows_of_bits_that_no_training_compound_holds_come_back_as_they_came(tmp_path: Path, config: Config, initial: Arrays) -> None:
    config = replace(config, training=replace(config.training, weight_decay=0.01))
    whole = dataset()
    rows = Partner(tmp_path / "whole", whole, config).training_rows()
    kept = np.arange(256) % 3 > 0
    guarded = Partner(tmp_path / "guarded", whole.guarded(rows, kept), config)
    arrays = initial
    for number in (1, 2):
        trained, _, _ = guarded.fit(arrays, {"round": number})
        assert trained[0][~kept].tobytes() == arrays[0][~kept].tobytes()
        assert (trained[0][kept] != arrays[0][kept]).any(axis=1).all()
        arrays = [array + np.float32(0.01) for array in trained]  # other partners move the rows that this one may not


def test_a_partner_that_is_not_judged_trains_alike_and_writes_neither_metrics_nor_a_model(
    tmp_path: Path, config: Config, initial: Arrays
) -> None:
    arrays = initial
    for number in (1, 2):
        judged = partner(tmp_path / "judged", config).fit(arrays, {"round": number})
        other = Partner(tmp_path / "other", dataset(), config, judged=False).fit(arrays, {"round": number})
        assert equal(judged[0], other[0])
        arrays = judged[0]
    assert (tmp_path / "judged" / "model.safetensors").is_file()
    assert {path.parent.name for path in (tmp_path / "other").rglob("*.*")} == {"state", "loss"}


def test_only_compounds_outside_the_validation_and_test_fold_are_trained_on(tmp_path: Path, config: Config) -> None:
    rows = partner(tmp_path, config).training_rows()
    held_out = {config.evaluation.validation_fold, config.evaluation.test_fold}
    assert rows.tolist() == [row for row, fold in enumerate(dataset().folds) if fold not in held_out]


def test_what_is_measured_in_the_other_folds_does_not_enter_a_training_on_values(tmp_path: Path, config: Config, initial: Arrays) -> None:
    made = with_values(dataset())
    elsewhere = ~np.isin(made.folds, config.training_folds())[made.labels.owners] & (made.labels.tasks >= 3)
    moved = replace(made.labels, values=np.where(elsewhere, made.labels.values + 3, made.labels.values).astype(np.float32))
    other = replace(
        made, labels=moved, tasks=made.tasks.with_columns(pl.when(pl.col("task") >= 3).then(9.0).otherwise("centre").alias("centre"))
    )
    trained, models = [], []
    for name, data in (("one", made), ("other", other)):
        arrays, _, _ = Partner(tmp_path / name, data, config).fit(initial, {"round": 1})
        Partner(tmp_path / name, data, config).evaluate(arrays, {"round": 1})
        trained.append(arrays)
        models.append(read_model(tmp_path / name))
    assert elsewhere.any() and equal(*trained)
    assert models[0].normalisation.centre.tolist() == models[1].normalisation.centre.tolist() != made.tasks["centre"].to_list()


class Killed(BaseException):
    """Stands for a process that dies."""


def test_a_partner_killed_before_any_of_its_writes_gives_the_same_bytes_when_asked_again(
    tmp_path: Path, config: Config, initial: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = rounds(tmp_path / "before", config, initial, 2)
    shutil.copytree(tmp_path / "before", tmp_path / "undisturbed")
    undisturbed, _, _ = partner(tmp_path / "undisturbed", config).fit(arrays, {"round": 3})
    killed = 0
    while fit_dies_at_write(killed, tmp_path / f"killed{killed}", tmp_path / "before", config, arrays, monkeypatch):
        folder = tmp_path / f"killed{killed}"
        reply, _, _ = partner(folder, config).fit(arrays, {"round": 3})
        assert equal(reply, undisturbed)
        assert files(folder) == files(tmp_path / "undisturbed")
        killed += 1
    assert killed >= 3, "metrics, state and loss at the least"


def fit_dies_at_write(number: int, folder: Path, before: Path, config: Config, arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Train round 3 in a copy of `before`, killed as its write `number` begins; False if there are fewer writes."""
    shutil.copytree(before, folder)
    replaced, count = Path.replace, 0  # every file takes its name by one rename

    def replace_or_die(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count > number:
            raise Killed
        return replaced(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_or_die)
        try:
            partner(folder, config).fit(arrays, {"round": 3})
        except Killed:
            return True
    return False


@pytest.mark.parametrize("number", [1, 0])
def test_a_round_before_the_one_before_the_last_is_refused_and_changes_nothing(
    tmp_path: Path, config: Config, initial: Arrays, number: int
) -> None:
    arrays = rounds(tmp_path, config, initial, 3)
    held = files(tmp_path)
    with pytest.raises(RunError, match=f"round {number}, but has trained round 3"):
        partner(tmp_path, config).fit(arrays, {"round": number})
    with pytest.raises(RunError, match=f"round {number}, but has trained round 3"):
        partner(tmp_path, config).evaluate(arrays, {"round": number})
    assert files(tmp_path) == held


def test_the_round_before_the_last_is_trained_again_from_what_it_was_trained_from(tmp_path: Path, config: Config, initial: Arrays) -> None:
    """Too few partners finished it, and the session goes on before it; the same attempt would even give the same update."""
    before = rounds(tmp_path / "one", config, initial, 2)
    arrays = rounds(tmp_path / "other", config, initial, 2)
    assert equal(before, arrays)
    third = partner(tmp_path / "one", config).fit(before, {"round": 3})[0]
    partner(tmp_path / "one", config).fit(third, {"round": 4})
    again = partner(tmp_path / "one", config).fit(before, {"round": 3})[0]
    assert equal(again, third)
    assert partner(tmp_path / "one", config).last_round() == 3


def test_a_round_beyond_the_end_of_the_run_is_refused_and_changes_nothing(tmp_path: Path, config: Config, initial: Arrays) -> None:
    config = replace(config, federation=replace(config.federation, rounds=2))
    arrays = rounds(tmp_path, config, initial, 2)
    held = files(tmp_path)
    with pytest.raises(RunError, match="asked to train round 3, but the run ends with round 2"):
        partner(tmp_path, config).fit(arrays, {"round": 3})
    with pytest.raises(RunError, match="asked to evaluate round 3, but the run ends with round 2"):
        partner(tmp_path, config).evaluate(arrays, {"round": 3})
    assert files(tmp_path) == held
    partner(tmp_path, config).evaluate(arrays, {"round": 2})


def test_a_partner_that_missed_rounds_goes_on_with_the_heads_it_has(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = rounds(tmp_path, config, initial, 2)
    before = checkpoint.load_tensors(tmp_path / "state" / "round-0002.safetensors")[0]
    reply, _, _ = partner(tmp_path, config).fit(arrays, {"round": 6})
    assert equal(reply, partner(tmp_path, config).fit(arrays, {"round": 6})[0])
    after = checkpoint.load_tensors(tmp_path / "state" / "round-0006.safetensors")[0]
    assert after["adam.steps"] > before["adam.steps"]
    assert read_metrics(tmp_path)["round"].unique().to_list() == [1, 5]


def test_a_partner_that_joins_late_has_nothing_to_evaluate_yet(tmp_path: Path, config: Config, initial: Arrays) -> None:
    partner(tmp_path, config).fit(initial, {"round": 4})
    assert read_metrics(tmp_path).is_empty()


def test_each_round_leaves_its_metrics_and_its_loss(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = rounds(tmp_path, config, initial, 3)
    partner(tmp_path, config).evaluate(arrays, {"round": 3})
    metrics = read_metrics(tmp_path)
    assert metrics["round"].unique().sort().to_list() == [1, 2, 3]
    assert metrics["fold"].unique().sort().to_list() == ["test", "validation"]
    loss = read_sealed(tmp_path / "loss" / "round-0003.json", {})
    assert set(loss) == {"round", "loss", "seconds", "compounds", "steps"}
    assert loss["round"] == 3


def test_only_the_states_of_the_last_three_rounds_are_kept(tmp_path: Path, config: Config, initial: Arrays) -> None:
    rounds(tmp_path, config, initial, 4)
    assert sorted(path.stem for path in (tmp_path / "state").iterdir()) == ["round-0002", "round-0003", "round-0004"]


def test_no_state_holds_the_trunk(tmp_path: Path, config: Config, initial: Arrays) -> None:
    rounds(tmp_path, config, initial, 1)
    tensors, _ = checkpoint.load_tensors(tmp_path / "state" / "round-0001.safetensors")
    assert not [name for name in tensors if name.startswith("trunk.")]


def test_directories_and_files_are_private(tmp_path: Path, config: Config, initial: Arrays) -> None:
    home = tmp_path / "alpha"
    rounds(home, config, initial, 2)
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_the_model_kept_is_that_of_the_best_round_on_the_validation_fold(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = rounds(tmp_path, config, initial, 6)
    partner(tmp_path, config).evaluate(arrays, {"round": 6})
    header = read_json(tmp_path / "model.json")
    assert header["round"] == best_round(read_metrics(tmp_path), config.evaluation.min_per_class)
    data = dataset()
    assert read_model(tmp_path).predict(data.x_indptr, data.x_indices).shape == (len(data.folds), len(data.tasks))


def test_training_alone_beats_a_random_trunk_on_the_validation_fold(tmp_path: Path, config: Config, initial: Arrays) -> None:
    data = dataset(compounds=2000)
    home, arrays = Partner(tmp_path, data, config), initial
    for number in range(1, 9):
        arrays, _, _ = home.fit(arrays, {"round": number})
    home.evaluate(arrays, {"round": 8})
    mean = read_metrics(tmp_path).group_by("round", "fold").agg(pl.col("auc_roc").mean())
    curve = dict(mean.filter(pl.col("fold") == "validation").select("round", "auc_roc").iter_rows())
    assert curve[8] > 0.8
    assert curve[8] > curve[1]


def test_a_trunk_of_another_form_is_refused_and_leaves_no_state(tmp_path: Path, config: Config) -> None:
    with pytest.raises(RunError, match="shapes"):
        partner(tmp_path, config).fit(trunk_arrays(Trunk(256, [8])), {"round": 1})
    assert partner(tmp_path, config).last_round() == 0


def test_a_state_of_other_tasks_is_refused(tmp_path: Path, config: Config, initial: Arrays) -> None:
    arrays = rounds(tmp_path, config, initial, 1)
    with pytest.raises(RunError, match="saved heads have shape"):
        Partner(tmp_path, dataset(tasks=7), config).fit(arrays, {"round": 2})


def test_importing_a_partner_does_not_import_rdkit() -> None:
    code = "import sys, fedapp.partner.client; sys.exit('rdkit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
