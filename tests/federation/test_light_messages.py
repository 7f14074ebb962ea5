"""A message that trains nothing waits for neither torch nor rdkit nor scipy.sparse: in a deployment each message meets a fresh process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from flwr.app import Message

from strategies.secagg.phases import Step
from tests.conftest import ROOT
from tests.helpers.federation import federate, grid_for, held, step
from tests.helpers.small_run import small_run

RESUME = """
import json, sys
from pathlib import Path
from fedapp.run_folder import RunFolder
from tests.helpers.federation import federate, grid_for, step

told = []

def up(partition, message):
    told.append((step(message), [name for name in ("torch", "rdkit", "scipy.sparse") if name in sys.modules]))
    return message

run = RunFolder.open(Path(sys.argv[1]))
federate(run, grid_for(run, up=up))
print(json.dumps(told))
"""


def test_only_training_and_evaluation_import_torch_and_nothing_imports_rdkit(tmp_path: Path) -> None:
    """A run that stopped when two partners, a quorum, had its last sum: it resumes with every kind of message, and none that trains."""
    run = small_run(tmp_path / "run", "federation.rounds=1")

    def kill(partition: int, message: Message) -> Message:
        if step(message) == Step.FINISH and partition == 2:
            raise KeyboardInterrupt
        return message

    with pytest.raises(KeyboardInterrupt):
        federate(run, grid_for(run, kill))
    assert [held(run, name).version for name in run.partners()] == [1, 1, 0]

    command = [sys.executable, "-c", RESUME, str(run.path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(ended.stdout.splitlines()[-1])
    imported = {name: {part for each, parts in told if each == name for part in parts} for name, _ in told}
    assert set(imported) == set(Step)
    assert imported.pop(Step.FINISH) == {"torch", "scipy.sparse"}
    assert imported == {step: set() for step in set(Step) - {Step.FINISH}}
