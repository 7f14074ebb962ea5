"""The rehearsal of a consortium on one machine, in `fedapp/site/README.md`, followed to the letter."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from fedapp.data.dataset import Dataset
from fedapp.data.demo import demo_tables
from fedapp.model.checkpoint import load_tensors
from fedapp.model.saved_model import read_model
from fedapp.partner_folder import PartnerFolder
from fedapp.site.folder import Site
from fedapp.site.status.site_status import site_status
from strategies.update.shared_trunk import SharedTrunk
from tests.conftest import ROOT
from tests.data.forms import as_chembl_download, as_two_columns
from tests.helpers.docs import commands, section
from tests.sites.consortium import kill_family

pytestmark = pytest.mark.sites

PARTNERS = ("alpha", "beta", "gamma")
ROUNDS = 3
ENDPOINT = "endpoints:\n- {id: charge, measures: the largest partial charge, unit: p, thresholds: [5.5, 6.5, 7.5]}\n"
# The group of a partner's tasks that is the endpoint, which all three hold, and where it names some of them these.
DECLARED = {"alpha": ("positive-charge", ""), "beta": ("activities", ""), "gamma": ("positive-charge", "5.5;6.5")}
OF_THE_DEMO = {"alpha": (1, 3), "beta": (2, 3), "gamma": (2, 2)}


def test_the_rehearsal_works_as_it_is_written(tmp_path: Path) -> None:
    for name in PARTNERS:
        demo_tables(tmp_path / "tables" / name, *OF_THE_DEMO[name])
    (tmp_path / "catalogue.yaml").write_text(ENDPOINT)
    (tmp_path / "declared").mkdir()
    for name, (group, thresholds) in DECLARED.items():
        (tmp_path / "declared" / f"{name}.csv").write_text(f"group,endpoint,thresholds\n{group},charge,{thresholds}\n")
    as_chembl_download(tmp_path / "tables" / "alpha")
    as_two_columns(tmp_path / "tables" / "beta")  # and gamma has our own form
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    (tmp_path / "new.smi").write_text("CC(=O)Oc1ccccc1C(=O)O aspirin\nnonsense broken\nCn1cnc2c1c(=O)n(C)c(=O)n2C caffeine\n")
    script = "\n".join(["set -e", *commands(section("fedapp/site/README.md", "A rehearsal on one machine"))])
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    with (tmp_path / "said").open("wb") as said:
        typed = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            status = typed.wait(timeout=600)
        finally:
            os.killpg(typed.pid, signal.SIGTERM)  # what was started with & serves for ever
            kill_family(typed)
    told = (tmp_path / "said").read_text()
    assert status == 0, told[-3000:]
    assert f"finished   {ROUNDS} rounds" in told
    assert "FAIL" not in told
    assert "WARNING" not in told and "accepts  row guard    20: " in told
    assert "shared heads in play: positive-charge >= 5.5, positive-charge >= 6.5, of 3 declared tasks" in told
    trunks = [SharedTrunk.read(tmp_path / "sites" / name / "state" / "shared.safetensors") for name in PARTNERS]
    assert [trunk.version for trunk in trunks] == [ROUNDS] * 3
    assert len({trunk.name for trunk in trunks}) == 1
    assert all((tmp_path / "sites" / name / "state" / "model.safetensors").is_file() for name in PARTNERS)
    predicted = pl.read_csv(tmp_path / "predictions.csv")
    assert predicted["compound_id"].to_list() == ["aspirin", "broken", "caffeine"]
    assert predicted["reason"].to_list() == ["", "SMILES cannot be parsed", ""]
    assert predicted[:, 3:].null_count().row(0) == (1,) * (predicted.width - 3)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "predictions.csv").read_text()
    assert pl.read_csv(tmp_path / "sites" / "alpha" / "tasks.csv")["column"].to_list() == predicted.columns[3:]
    assert f"{ROUNDS} of {ROUNDS} rounds done" in (tmp_path / "sites" / "alpha" / "report.html").read_text()
    for name in PARTNERS:
        status = site_status(Site.open(tmp_path / "sites" / name))
        assert status["warnings"] == [] and status["ledger"]["named_by_sum"] == status["ledger"]["named"] == 0
        assert status["ledger"]["rows_listed"] > 50, "the guard leaves rows to learn in common"
    left = {path.name for path in (tmp_path / "sites" / "coordinator" / "coordinator").iterdir()}
    assert left == {"journal.jsonl", "lock", "outcome.json"}
    checked = [shared_heads_predict(tmp_path / "sites" / name, DECLARED[name][0]) for name in PARTNERS]
    assert any(checked), "the state of some best round is kept"


def shared_heads_predict(site: Path, group: str) -> bool:
    """Hold what a partner's federated model predicts with against its private heads, and against those that came home:
    they differ in the two tasks whose shared head is in play, and in no other; False where the state of its best round is gone."""
    member = next(each for each in read_model(site / "state").members if each.name == "federated")
    state = PartnerFolder(site / "state").state_of(member.round)
    if not state.is_file():
        return False
    tasks = Dataset.open(site / "dataset").tasks
    private, own = load_tensors(state)[0]["heads.weight"][: len(tasks)], member.heads.weight.detach()
    differ = (own != private).any(dim=1)
    expected = ((tasks["group"] == group) & tasks["threshold"].is_in([5.5, 6.5])).to_list()
    assert differ.tolist() == expected and sum(expected) == 2
    if member.round == ROUNDS:
        shared = torch.from_numpy(SharedTrunk.read(PartnerFolder(site / "state").shared_trunk).arrays[-1][:2, :-1])
        alone = member.shared_heads == {"classification": "alone"}
        torch.testing.assert_close(own[differ], shared if alone else (private[differ] + shared) / 2)
    return True
