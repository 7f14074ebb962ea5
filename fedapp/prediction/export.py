"""One portable folder of a partner's model: `predict` reads it anywhere, and its card says what it is and what it tells.

model.safetensors, .json   as the partner keeps them
tasks.csv                  each task, its column in predictions, and how well it is predicted
card.md                    for people
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedapp.config import NO_NOISE
from fedapp.data.normalisation import COMMON_UNITS
from fedapp.data.task_names import column_names
from fedapp.errors import RunError
from fedapp.evaluation.arms import ARMS, CLASSIFICATION, FEDERATED, LOCAL, METRICS_OF, PRINTED
from fedapp.evaluation.combination import IN_WORDS, in_words
from fedapp.model.saved_model import TASK_FIGURES, SavedModel, read_model, save_model
from fedapp.prediction.model_folder import model_folder
from fedapp.storage.files import write_text
from fedapp.storage.live_files import json_object
from fedapp.storage.output import Kind, output_folder
from fedapp.wording import plural, score

TASKS, CARD = "tasks.csv", "card.md"
EXPORT_FOLDER = Kind("an exported model")
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=False,  # noqa: S701  Markdown, for people who open a file of their own
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"plural": plural, "score": score, "oneline": lambda text: " ".join(text.split())}


def export_model(given: Path, out: Path) -> SavedModel:
    """Write a folder, mode 0700, that holds all of a model and nothing else of its partner's.

    Args:
        given: As `fedapp.prediction.model_folder.model_folder` takes it.
        out: The folder to write; new, empty, or an earlier export.
    Returns:
        The model as it was written: without a member that predicts nothing.
    Raises:
        RunError: No model, a damaged one, or another arm's of a comparison, of which the card would be untrue.
        OutputError: `out` holds what is not ours to replace.
    """
    folder = model_folder(given).resolve()
    if folder.parent.name != "partners" and any((parent / "run.json").is_file() for parent in folder.parents[:2]):
        raise RunError(f"{folder} was made for comparison only", "export the model that was learned together: RUN/partners/NAME")
    with output_folder(out, EXPORT_FOLDER, [given, folder]) as unfinished:
        whole = read_model(folder)
        save_model(unfinished, whole.used(), whole.choice, whole.header)
        saved = read_model(unfinished)
        write_text(unfinished / TASKS, task_table(saved).write_csv())
        shown = {"arms": compared_arms(folder), "metrics": printed_metrics(saved), "printed": PRINTED, "names": IN_WORDS}
        card = TEMPLATES.get_template("card.md.j2").render(model=saved.header, digest=saved.digest, **shown, **origin(saved))
        write_text(unfinished / CARD, card)
    return saved


def origin(saved: SavedModel) -> dict[str, Any]:
    """What of a model is whose: its members, what predicts each kind of task, and whose centres and scales values have."""
    members = {member.name: member for member in saved.members}
    units = {task.get(COMMON_UNITS, False) for task, kind in zip(saved.header["tasks"], saved.kinds, strict=True) if kind != CLASSIFICATION}
    return {
        "members": saved.members,
        "federated": members.get(FEDERATED),
        "own": members.get(LOCAL),
        "choices": {kind: in_words({kind: choice}, saved.shared_heads) for kind, choice in saved.choice.items()},
        "noisy": saved.header["privacy"]["profile"] != NO_NOISE,
        "own_units": False in units,
        "common_units": True in units,
    }


def task_table(saved: SavedModel) -> pl.DataFrame:
    """task, column (in predictions), group, threshold, kind, unit, auxiliary, and figures on the test fold, null where it has too few."""
    schema = {"group": pl.String, "threshold": pl.Float64, "kind": pl.String, "unit": pl.String, "auxiliary": pl.Boolean}
    tasks = pl.DataFrame(saved.header["tasks"], schema=schema | dict.fromkeys(TASK_FIGURES, pl.Float64))
    return tasks.select(pl.int_range(pl.len()).alias("task"), pl.Series("column", column_names(saved.tasks), pl.String), pl.all())


def printed_metrics(saved: SavedModel) -> list[str]:
    """The metrics of the kinds of task that a model has."""
    return [name for kind, metrics in METRICS_OF.items() if kind in saved.kinds for name in metrics]


def compared_arms(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Arm to this partner's mean metrics, where the run that the model lies in compared arms; else empty."""
    partners = json_object(folder.parent.parent / "comparison.json").get("partners")
    figures = partners.get(folder.name) if isinstance(partners, dict) and folder.parent.name == "partners" else None
    return {arm: figures[arm] for arm in ARMS if isinstance(figures.get(arm), dict)} if isinstance(figures, dict) else {}
