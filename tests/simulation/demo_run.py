"""A run folder with the demo's partners in place, and the command line on it."""

import shutil
import sys
from pathlib import Path

import pytest

from fedapp.cli.main import main
from fedapp.run_folder import RunFolder
from tests.simulation.audit.demo_pool import demo_config, demo_datasets


def demo_run(path: Path, kind: str, *overrides: str) -> RunFolder:
    """A new run of that kind."""
    run = RunFolder.create(path, demo_config(*overrides), kind)
    for name, dataset in demo_datasets().items():
        shutil.copytree(dataset.directory, run.partner(name) / "dataset")
    return run


def exit_status(*words: str) -> int:
    """Of `polyphony` with these words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["polyphony", *words])
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
    return int(ended.value.code or 0)
