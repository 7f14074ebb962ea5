"""`polyphony prepare`: a partner's own tables to its dataset."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json, read_experiment
from fedapp.cli.progress import RunProgress
from fedapp.wording import plural, shown


def prepare(
    tables: Annotated[Path, typer.Argument(help="folder with compounds.* and activities.* (CSV, CSV.gz or Parquet), or one such file")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder to write")],
    experiment: Annotated[list[str] | None, typer.Argument(metavar="[CONF] [KEY=VALUE]...", help="chemistry and tasks to use")] = None,
    as_json: Json = False,
) -> None:
    """Check, standardise and fingerprint tables, and build the tasks; rejected.csv names every row left out and why."""
    from fedapp.data.dataset import LOSSES, build_dataset  # imports polars and RDKit: seconds that --help need not wait
    from fedapp.data.losses import further_lines, label_lines, label_warnings, table_lines, table_warnings, task_lines
    from fedapp.data.prepare import PREPARED_FOLDER, REJECTED
    from fedapp.data.prepare import prepare as prepare_tables
    from fedapp.storage.output import check_folder

    config, started = read_experiment(experiment), time.monotonic()
    with RunProgress(total_rounds=0, partners=[], json=as_json) as progress:
        replaces = check_folder(out, PREPARED_FOLDER, [tables])
        progress.stage(f"preparing {tables}{f', to replace the earlier {out}' if replaces else ''}")
        summary = prepare_tables(tables, out, config.chemistry, progress.advance_preparation)
    warnings = table_warnings(summary)
    if not as_json:  # before the tasks, so that a table of which nothing is left for them is explained
        lines = [line for table in summary["tables"].values() for line in table_lines(table)]
        print("\n".join([*lines, f"rows left out: {out / REJECTED}", *further_lines(summary)]))
    warn(warnings)
    dataset = build_dataset(out, out / "dataset", out.name, config.tasks)
    header, seconds = dataset.header, round(time.monotonic() - started, 1)
    warn(label_warnings(header))
    warnings += label_warnings(header)
    if as_json:
        inputs = {"input_digest": summary["digest"]}  # `digest` is the dataset's, as its other figures are
        print(json.dumps(summary | inputs | header | {"warnings": warnings, "seconds": seconds}))
        return
    sizes = ", ".join(plural(header[f"{what}s"], what) for what in ("compound", "task", "label"))
    print(f"{sizes} in {dataset.directory}")
    print(
        "\n".join(
            [*task_lines(dataset.tasks), *label_lines(header), f"{seconds:.0f} s; labels left out, by task: {dataset.directory / LOSSES}"]
        )
    )


def warn(losses: list[str]) -> None:
    """Tell large losses on stderr."""
    for loss in losses:
        print(f"warning: {shown(loss)}", file=sys.stderr)
