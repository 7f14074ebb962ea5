"""The model that a partner trains on its own, beside the federated one: what the federation gains is told by it, and it may predict too.

It has the same schedule, batches of the same size and as many of them, and its own trunk from end to end, without a guard since nothing
of it leaves. So it needs no other batches when a round is attempted again: a round that was trained is there, whatever becomes of the
federated one's, and is not trained twice.

Its first layer has the rows of bits that its training compounds hold: a third of them at a partner with a thousand. All others begin at
random, never learn anything and only be noise; in the file of the model, which is of the common form, they are zero.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.evaluation.arms import LOCAL
from fedapp.model.adam import Adam
from fedapp.model.evaluation import fold_scores
from fedapp.model.members import Member
from fedapp.model.network import Heads, Trunk
from fedapp.model.saved_model import model_header, save_model
from fedapp.model.state import private_state, restore
from fedapp.model.training import learning_rate, optimiser, train
from fedapp.partner.kept_rounds import AGAIN, KeptRounds
from fedapp.partner_folder import PartnerFolder
from fedapp.seeds import derived_seed
from fedapp.storage.damage import DamagedFileError

TRUNK = "trunk."


@dataclass
class Trained:
    """The model after some round, 0 before the first, with its optimiser."""

    round: int
    trunk: Trunk
    heads: Heads
    adam: Adam


class LocalModel:
    """A partner's own model in its folder `local`.

    Args:
        folder: `PartnerFolder.local`; made if absent.
        dataset: With all bits of its compounds.
        held: Bits that its training compounds hold, ascending, int64.
        config: The experiment.
        device: Where to compute.
    """

    def __init__(self, folder: PartnerFolder, dataset: Dataset, held: NDArray[np.int64], config: Config, device: torch.device) -> None:
        self.folder, self.whole, self.held, self.config, self.device = folder, dataset, held, config, device
        self.dataset = dataset.of_bits(held)
        self.rounds = KeptRounds(folder)
        self.rounds.make()

    def fit(self, number: int, since: int = 0) -> None:
        """Evaluate the model as the result of the round before, then train round `number`, unless that was done.

        Args:
            since: The last round that the federated model trained, and so this one.
        Raises:
            RunError: A training that diverges.
            DamagedFileError: What an earlier round left is lost.
        """
        if self.rounds.last() < min(since, number - 1):
            raise DamagedFileError(f"{self.folder.state_of(since)} is missing, and round {since} was trained", AGAIN)
        model = self._before(number)
        if model.round:
            self._assess(model, number - 1)
        if not self.rounds.trained(number):
            self._train(model, number)

    def evaluate(self, number: int) -> None:
        """Evaluate the model as the result of round `number`."""
        self._assess(self._before(number + 1), number)

    def _before(self, number: int) -> Trained:
        model, settings = self.config.model, self.config.training
        base, state = self.rounds.before(number)
        trunk = Trunk(len(self.held), model.hidden, seed=None)
        trunk.load_state_dict(
            {name.removeprefix(TRUNK): tensor for name, tensor in state.items() if name.startswith(TRUNK)} if base else self._first_trunk()
        )
        heads = Heads(model.hidden[-1], len(self.dataset.tasks), self.config.seed, self.dataset.name)
        trunk, heads = trunk.to(self.device), heads.to(self.device)
        adam = optimiser(trunk, heads, settings)
        if base:
            restore(trunk, heads, adam, state)
        return Trained(base, trunk, heads, adam)

    def _first_trunk(self) -> dict[str, Tensor]:
        """As without this model's cut: the rows of its bits."""
        first = Trunk(self.whole.bits, self.config.model.hidden, self.config.seed).state_dict()
        return first | {"weight": first["weight"][torch.from_numpy(self.held)]}

    def _train(self, model: Trained, number: int) -> None:
        settings = self.config.training
        model.adam.learning_rate = learning_rate(settings, number, self.config.federation.rounds)
        outcome = train(
            model.trunk,
            model.heads,
            model.adam,
            self.dataset,
            self.dataset.rows_in(self.config.training_folds()),
            settings=settings,
            dropout=self.config.model.dropout,
            seed=derived_seed(self.config.seed, "training", self.dataset.name, number),
        )
        state = private_state(model.trunk, model.heads, model.adam)
        state |= {f"{TRUNK}{name}": tensor for name, tensor in model.trunk.state_dict().items()}
        self.rounds.keep(number, model.round, state, outcome)

    def _assess(self, model: Trained, number: int) -> None:
        (scores,) = fold_scores(model.trunk, [model.heads], self.dataset, self.config.held_out_folds())
        judged = self.rounds.judge(scores, self.dataset, self.config, number)
        if judged.best:
            held = torch.zeros(self.whole.bits, dtype=torch.bool)
            held[torch.from_numpy(self.held)] = True
            member = Member(LOCAL, number, model.trunk, model.heads).packed(held)
            choice = dict.fromkeys((kind.name for kind in self.dataset.kinds), LOCAL)
            save_model(self.folder.path, [member], choice, model_header(self.whole, self.config, number, judged.metrics))
