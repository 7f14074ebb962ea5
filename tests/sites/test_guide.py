"""The README's rehearsal of a consortium on one machine, followed to the letter."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedapp.data.demo import demo_tables
from strategies.shared_trunk import SharedTrunk
from tests.conftest import ROOT
from tests.data.forms import as_chembl_download, as_two_columns
from tests.readme import commands_of
from tests.sites.consortium import kill_family

pytestmark = pytest.mark.sites

PARTNERS = ("alpha", "beta", "gamma")
ROUNDS = 3


def test_the_rehearsal_in_the_readme_works_as_it_is_written(tmp_path: Path) -> None:
    for number, name in enumerate(PARTNERS, 1):
        demo_tables(tmp_path / "tables" / name, number, len(PARTNERS))
    as_chembl_download(tmp_path / "tables" / "alpha")
    as_two_columns(tmp_path / "tables" / "beta")  # and gamma has our own form
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    script = "\n".join(["set -e", *commands_of("A rehearsal on one machine")])
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
    trunks = [SharedTrunk.read(tmp_path / "sites" / name / "state" / "shared.safetensors") for name in PARTNERS]
    assert [trunk.version for trunk in trunks] == [ROUNDS] * 3
    assert len({trunk.digest for trunk in trunks}) == 1
    assert all((tmp_path / "sites" / name / "state" / "model.safetensors").is_file() for name in PARTNERS)
    left = {path.name for path in (tmp_path / "sites" / "coordinator" / "coordinator").iterdir()}
    assert left == {"journal.jsonl", "outcome.json"}
