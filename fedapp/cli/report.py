"""`polyphony report`: a run folder to its page."""

from pathlib import Path
from typing import Annotated

import typer

from fedapp.run_folder import RunFolder


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, such as runs/demo-20260131-120000-1")]) -> None:
    """Write report.html anew from what the run folder holds."""
    from fedapp.report import write_report  # imports scipy and matplotlib: seconds that --help need not wait

    print(write_report(RunFolder.open(run).path))
