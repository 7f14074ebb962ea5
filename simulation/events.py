"""Reads a running federation's folder, and tells what is new."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedapp.evaluation.selection import read_round, validation_curve
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_sealed


@dataclass(frozen=True)
class RunEvent:
    """A partner finished its training of a round, or the evaluation of a round's trunk.

    Attributes:
        arm: `federated`, `local`, `pooled` or `unguarded`.
        partner: Its name, `pooled` for the pooled arm.
        round: Federated round or epoch.
        loss: Mean training loss, when training finished.
        score: Mean validation score over tasks, by which rounds are chosen, when evaluation finished.
    """

    arm: str
    partner: str
    round: int
    loss: float | None
    score: float | None


class Follower:
    """Sees each of the partners' files once.

    Args:
        run: A run folder that Flower's processes write to.
    """

    def __init__(self, run: RunFolder) -> None:
        self.folders = {name: PartnerFolder(run.partner(name)) for name in run.partners()}
        self.minimum = run.config().evaluation.min_per_class
        self.seen: set[Path] = set()

    def events(self) -> list[RunEvent]:
        """What is new since the last call, as rounds went: all partners trained a round, then all evaluated its trunk.

        Partner by partner, a run that is resumed would tell its first rounds as if the last partner had not evaluated them.
        """
        events = []
        for name, folder in self.folders.items():
            for path in self._new(folder.losses_by_round()).values():
                record = read_loss(path)
                events.append(RunEvent("federated", name, record["round"], float(record["loss"]), None))
            for number, path in self._new(folder.metrics_by_round()).items():
                events.append(RunEvent("federated", name, number, None, saved_score(path, number, self.minimum)))
        return sorted(events, key=lambda event: (event.round, event.loss is None))

    def _new(self, files: dict[int, Path]) -> dict[int, Path]:
        new = {number: path for number, path in files.items() if path not in self.seen}
        self.seen |= set(new.values())
        return new


def saved_event(arm: str, partner: str, folder: Path, number: int, minimum: int) -> RunEvent:
    """A round that a partner's folder holds whole: trained and evaluated."""
    files = PartnerFolder(folder)
    loss = float(read_loss(files.loss_of(number))["loss"])
    return RunEvent(arm, partner, number, loss, saved_score(files.metrics_of(number), number, minimum))


def read_loss(path: Path) -> dict[str, Any]:
    """What a training left: round, loss, and more.

    Raises:
        DamagedFileError: The file is damaged.
    """
    return read_sealed(path, {"round": int, "loss": (int, float)}, "restore it from a backup, or remove it: that round then has no loss")


def saved_score(path: Path, number: int, minimum: int) -> float | None:
    """Mean validation score of one metrics file; None where it is undefined."""
    return validation_curve(read_round(path), minimum).get(number)
