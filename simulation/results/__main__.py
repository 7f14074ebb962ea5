"""`python -m simulation.results` writes RESULTS.md anew; with `--add NAME` what a verb printed with `--json` becomes a record first."""

import sys
from typing import Annotated

import typer

from fedapp.errors import PolyphonyError
from fedapp.storage.files import write_text
from simulation.results.page import PAGE, rendered
from simulation.results.records import file_record


def results(add: Annotated[str | None, typer.Option(metavar="NAME", help="keep what is read from stdin as this record")] = None) -> None:
    """Write RESULTS.md from the records, with one more if it is given."""
    try:
        if add is not None:
            print(file_record(add, sys.stdin.read()), file=sys.stderr)
        write_text(PAGE, rendered())
    except PolyphonyError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(results)
