"""`polyphony privacy`, whole, on a few compounds of the demo."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fedapp.errors import ConfigError
from fedapp.model.noisy_training import plan
from fedapp.privacy.accounting import NoiseEvent, epsilon
from fedapp.privacy.noisy_support import support_event
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from simulation.privacy_curve import config_of
from tests.simulation.audit.demo_pool import demo_config, demo_datasets
from tests.simulation.demo_run import demo_run, exit_status

SMALL = (
    *("federation.rounds=2", "training.batch_size=64", "privacy.row_guard=3", "privacy.delta=0.00001"),
    *("evaluation.min_per_class=2", "audit.epsilons=[4.5,400]"),
)


def new_run(path: Path) -> RunFolder:
    return demo_run(path, "privacy", *SMALL)


def traced(path: Path, *words: str) -> int:
    return exit_status("privacy", "--resume", str(path), *words)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = new_run(tmp_path_factory.mktemp("privacy") / "run")
    assert traced(run.path) == 0
    return run.path


def test_every_budget_has_its_quality_and_so_have_the_federation_without_noise_and_partners_alone(done: Path) -> None:
    told = read_json(done / "privacy.json")
    assert [each["epsilon"] for each in told["points"]] == [None, 4.5, 400.0]
    assert all(0 < each["auc_pr"] < 1 and each["tasks"] > 0 for each in told["points"])
    assert 0 < told["local"] < 1
    none, tight, loose = (each["noise_multiplier"] for each in told["points"])
    assert none is None and tight > loose


def test_the_plot_is_a_picture_that_names_its_curves(done: Path) -> None:
    ElementTree.parse(done / "privacy.svg")
    drawn = (done / "privacy.svg").read_text()
    assert all(text in drawn for text in ("federated, no noise", "each partner alone, no noise", "delta 1e-05", "mean AUC-PR"))


def test_nothing_but_figures_is_left_of_the_federations(done: Path) -> None:
    assert sorted(path.name for path in (done / "privacy").iterdir()) == ["4.5.json", "400.json", "local.json", "none.json"]
    assert RunFolder.open(done).status()["state"] == "finished"


def test_a_killed_run_goes_on_with_the_points_that_were_finished(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "killed"
    shutil.copytree(done, path)
    (path / "privacy" / "none.json").unlink()
    (path / "privacy" / "none" / "alpha").mkdir(parents=True)
    kept = {each.name: each.stat().st_mtime_ns for each in (path / "privacy").glob("*.json")}
    assert traced(path, "--json") == 0
    assert {each.name: each.stat().st_mtime_ns for each in (path / "privacy").glob("*.json") if each.name in kept} == kept
    told = json.loads(capsys.readouterr().out)
    assert told["points"] == read_json(done / "privacy.json")["points"]
    assert told["rounds"] == 2
    assert told["training_compounds"] == [len(each.rows_in(demo_config().training_folds())) for each in demo_datasets().values()]
    assert told["provenance"]["command"] == f"polyphony privacy --resume {path} --json"


@pytest.mark.parametrize("guard", [0, 3])
def test_every_partner_can_pay_for_its_rows_and_all_rounds_and_the_smallest_hardly_more(guard: int) -> None:
    config, datasets = demo_config(*SMALL, f"privacy.row_guard={guard}"), demo_datasets()
    private = config_of(4.0, config, datasets)
    spent = []
    for dataset in datasets.values():
        steps = plan(len(dataset.rows_in(config.training_folds())), config.training)
        events = [NoiseEvent(private.privacy.noise_multiplier, steps.sample_rate, steps.count * config.federation.rounds)]
        spent.append(epsilon(events + ([support_event(4.0, config.privacy.delta)] if guard > 1 else []), config.privacy.delta))
    assert 3.9 < max(spent) <= 4.0


def test_a_budget_that_no_noise_can_keep_is_an_error_that_says_what_to_do() -> None:
    config = demo_config(*SMALL)
    huge = replace(config, federation=replace(config.federation, rounds=10**9))
    with pytest.raises(ConfigError, match="fit into an epsilon of 0.001") as error:
        config_of(0.001, huge, demo_datasets())
    assert "audit.epsilons" in error.value.hint
