"""What a model leaves in its folder, round after round; the federated one, and the one that is trained beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
from torch import Tensor

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.evaluation.arms import AUC_PR
from fedapp.evaluation.scores import metrics_of, write_scores
from fedapp.evaluation.selection import best_of, read_metrics, validation_curve
from fedapp.model.checkpoint import load_tensors, save_tensors
from fedapp.model.training import TrainingOutcome
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.files import PRIVATE_DIRECTORY
from fedapp.storage.json_file import write_sealed
from fedapp.storage.sealed_table import write_table

AGAIN = "begin afresh in a new folder with the same keys/, floor.yaml and took-part.json, and the other partners hand the trunk over"


class Judged(NamedTuple):
    """A round's metrics, its mean validation AUC-PR (NaN if undefined), and whether it is the best so far."""

    metrics: pl.DataFrame
    value: float
    best: bool


@dataclass(frozen=True)
class KeptRounds:
    """The rounds of one model in its folder."""

    folder: PartnerFolder

    def make(self) -> None:
        """Make the folders, for their owner alone."""
        for folder in (self.folder.path, self.folder.states, self.folder.metrics, self.folder.losses):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(PRIVATE_DIRECTORY)

    def last(self) -> int:
        """The last round that was trained, 0 before the first."""
        return max(self.folder.states_by_round(), default=0)

    def before(self, number: int) -> tuple[int, dict[str, Tensor]]:
        """The newest state older than round `number`, and its round; 0 and none before the first.

        Raises:
            DamagedFileError: The state of a round that was trained is lost: heads would begin anew, or go on from an older round.
        """
        base = self.older(number)
        trained = max((each for each in self.folder.losses_by_round() if each < number), default=0)
        if trained > base:
            raise DamagedFileError(f"{self.folder.state_of(trained)} is missing, and round {trained} was trained", AGAIN)
        return base, load_tensors(self.folder.state_of(base), AGAIN)[0] if base else {}

    def older(self, number: int) -> int:
        """The newest state's round before `number`; 0 if there is none."""
        return max((each for each in self.folder.states_by_round() if each < number), default=0)

    def trained(self, number: int) -> bool:
        """Whether a round was trained, and all that this left is there."""
        return self.folder.state_of(number).is_file() and self.folder.loss_of(number).is_file()

    def keep(self, number: int, base: int, state: Mapping[str, Tensor], outcome: TrainingOutcome) -> None:
        """Write what a training left, its loss last: where that is, a state was.

        Of earlier states that of `base` stays, and the one before it, since partners go back by one round where too few finished it.
        """
        save_tensors(self.folder.state_of(number), dict(state), {"round": number})
        write_sealed(self.folder.loss_of(number), {"round": number, **vars(outcome)})
        for each in set(self.folder.states_by_round()) - {self.older(base), base, number}:
            self.folder.state_of(each).unlink()

    def judge(self, scores: pl.DataFrame, dataset: Dataset, config: Config, number: int) -> Judged:
        """Write the metrics of round `number`, and its scores if it is the best so far."""
        minimum = config.evaluation.min_per_class
        metrics = metrics_of(scores, dataset.judged_kinds, number, config.held_out_folds())
        write_table(self.folder.metrics_of(number), metrics)
        until = read_metrics(self.folder.path).filter(pl.col("round") <= number)
        curve = validation_curve(until, minimum)
        best = best_of(curve) in (number, None)  # as `best_round` of these rounds, of which this is the last
        if best:
            write_scores(self.folder.scores, scores)
        return Judged(metrics, validation_curve(metrics, minimum, AUC_PR).get(number, float("nan")), best)
