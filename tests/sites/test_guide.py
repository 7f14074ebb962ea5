"""The rehearsal of a consortium on one machine, in `fedapp/site/README.md`, followed to the letter."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from fedapp.data.demo import demo_tables
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


def test_the_rehearsal_works_as_it_is_written(tmp_path: Path) -> None:
    for number, name in enumerate(PARTNERS, 1):
        demo_tables(tmp_path / "tables" / name, number, len(PARTNERS))
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
    trunks = [SharedTrunk.read(tmp_path / "sites" / name / "state" / "shared.safetensors") for name in PARTNERS]
    assert [trunk.version for trunk in trunks] == [ROUNDS] * 3
    assert len({trunk.digest for trunk in trunks}) == 1
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
