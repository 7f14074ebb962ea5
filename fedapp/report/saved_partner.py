"""What one partner's own folder holds, where there is no run around it, as at a site."""

from pathlib import Path

from fedapp.evaluation.arms import FEDERATED, LOCAL
from fedapp.partner_folder import PartnerFolder
from fedapp.report.saved_comparison import compared_at_home
from fedapp.report.saved_files import read_config, read_dataset, read_heads, setting
from fedapp.report.saved_run import SavedRun, read_arm


def read_partner(name: str, folder: Path, dataset: Path | None, config: Path) -> SavedRun:
    """One partner's own folder, outside of any run, as a run of that partner alone: its tasks, rounds and models.

    Args:
        folder: As `fedapp.partner_folder` has it.
        dataset: Where its dataset lies; None if there is none.
        config: The experiment's file.
    """
    problems: list[str] = []
    files, settings = PartnerFolder(folder), read_config(config)
    header, tasks = read_dataset(name, dataset or files.dataset, problems)
    arms = {arm: read_arm({name: path}, problems) for arm, path in ((FEDERATED, folder), (LOCAL, files.local))}
    minimum = int(setting(settings, "evaluation.min_per_class"))
    return SavedRun(
        directory=folder,
        facts={},
        config=settings,
        partners=(name,),
        datasets={name: header},
        tasks=tasks,
        arms={arm: saved for arm, saved in arms.items() if len(saved.metrics) or len(saved.losses)},
        comparison=compared_at_home({name: files}, tasks, minimum, problems),
        journal=(),
        heads={name: read_heads(files, problems)},
        problems=tuple(problems),
    )
