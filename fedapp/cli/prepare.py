"""`polyphony prepare`: a partner's own tables to its dataset."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json, read_experiment
from fedapp.cli.progress import RunProgress


def prepare(
    tables: Annotated[Path, typer.Argument(help="folder with compounds.* and activities.* (CSV, CSV.gz or Parquet)")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder to write")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[CONF] [KEY=VALUE]...", help="chemistry and tasks to use")] = None,
    as_json: Json = False,
) -> None:
    """Check, standardise and fingerprint tables, and build the tasks; rejected.csv names every row left out and why."""
    from fedapp.data.dataset import build_dataset  # imports polars and RDKit: seconds that --help need not wait
    from fedapp.data.prepare import EARLIER
    from fedapp.data.prepare import prepare as prepare_tables
    from fedapp.output import check_folder

    config, started = read_experiment(words), time.monotonic()
    with RunProgress(total_rounds=0, partners=[], json=as_json) as progress:
        replaces = check_folder(out, [tables], EARLIER)
        progress.stage(f"preparing {tables}{f', to replace the earlier {out}' if replaces else ''}")
        summary = prepare_tables(tables, out, config.chemistry, progress.advance_preparation)
        progress.stage("building tasks")
        dataset = build_dataset(out, out / "dataset", out.name, config.tasks)
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        print(json.dumps(summary | dataset.header | {"seconds": seconds}))
        return
    for name in ("compounds", "activities", "assays"):
        if name in summary:
            print(f"{summary[name]['file']}: {summary[name]['accepted']:,} of {summary[name]['read']:,} rows accepted")
            for reason, count in summary[name]["rejected"].items():
                print(f"  {count:>9,}  {reason}")
    print(f"{len(dataset.folds):,} compounds, {len(dataset.tasks):,} tasks, {len(dataset.y_labels):,} labels in {out / 'dataset'}")
    print(f"{seconds:.0f} s; rows left out: {out / 'rejected.csv'}")
