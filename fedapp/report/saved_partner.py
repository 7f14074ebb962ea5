"""What one partner's own folder holds, where there is no run around it, as at a site."""

from pathlib import Path

import polars as pl

from fedapp.report.saved_run import TASKS, Arm, SavedRun, read_config, read_losses, read_metrics, read_optional, read_table


def read_partner(name: str, folder: Path, dataset: Path | None, config: Path) -> SavedRun:
    """One partner's own folder, outside of any run, as a run of that partner alone: its tasks, and its rounds of the federated arm.

    Args:
        folder: With `metrics` and `loss`.
        dataset: Where its dataset lies; None if there is none.
        config: The experiment's file.
    """
    problems: list[str] = []
    tasks = read_table(dataset / "tasks.parquet", TASKS, problems) if dataset else None
    header = read_optional(dataset / "dataset.json", problems) if dataset else None
    arm = Arm(read_metrics(folder, name, problems), read_losses(folder, name, problems))
    return SavedRun(
        directory=folder,
        facts={},
        config=read_config(config),
        partners=(name,),
        datasets={name: header or {}},
        tasks=(pl.DataFrame(schema=TASKS) if tasks is None else tasks).select(pl.lit(name).alias("partner"), pl.all()),
        arms={"federated": arm} if len(arm.metrics) or len(arm.losses) else {},
        comparison=None,
        compared=None,
        journal=(),
        problems=tuple(problems),
    )
