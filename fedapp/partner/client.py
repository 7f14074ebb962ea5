"""A partner: the trunk comes in and goes out, everything else stays in the partner's own folder (`fedapp.partner_folder`).

Every message may meet a fresh process, so nothing lives in memory from one round to the next. A request that is repeated, because
the reply was lost or the process was killed, starts from the state before that round and gives the same bytes. A round that was
abandoned is asked for again with a higher `attempt`: it starts from that same state, and draws other batches. Only a training with noise
never repeats: each time it draws anew, and under record-level privacy it is paid for anew.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from flwr.client import NumPyClient

from fedapp.config import NO_NOISE, RECORD_DP, Config
from fedapp.data.catalogue import NO_SLOT, catalogue_of
from fedapp.data.dataset import Dataset
from fedapp.errors import RunError
from fedapp.evaluation.arms import FEDERATED
from fedapp.evaluation.combination import ALONE, BOTH, choose
from fedapp.model.adam import Adam
from fedapp.model.evaluation import fold_scores
from fedapp.model.members import Member
from fedapp.model.network import Heads, Trunk, set_trunk_arrays
from fedapp.model.noisy_training import fitted_heads, plan, train_noisily
from fedapp.model.private_rows import PrivateRows, private_bits
from fedapp.model.saved_model import model_header, save_model
from fedapp.model.shared_heads import SharedHeads, in_common_units
from fedapp.model.state import private_state, restore
from fedapp.model.training import TrainingOutcome, choose_device, learning_rate, optimiser, train
from fedapp.model.trunk_shape import slot_count, trunk_shapes
from fedapp.partner.combined_model import keep_combined
from fedapp.partner.kept_rounds import KeptRounds
from fedapp.partner.local_model import LocalModel
from fedapp.partner.record_privacy import pay_for_training
from fedapp.partner_folder import PartnerFolder
from fedapp.privacy.accounting import NoiseEvent
from fedapp.privacy.noise import Noise
from fedapp.seeds import derived_seed


class Partner(NumPyClient):
    """One partner in local training, as Flower sees it.

    Args:
        directory: The partner's private directory; created if absent.
        dataset: The partner's own compounds and tasks.
        config: The experiment.
        device: Where to compute; None chooses.
        sent: What may leave: rows of the trunk's first array, then slots of its last one, shared heads, where the experiment has a
            catalogue; bool [bits + slots], None means all. Without noise, rows of other bits are this partner's own
            (`fedapp.model.private_rows`), and of bits that have neither its training compounds do without. With noise there are no
            rows of its own, and all that leave are trained: which they are must not depend on the compounds unless privately.
        slots: The slot of each task that is declared to a common endpoint, -1 for others: int32 [tasks]; None declares none.
        judged: Whether metrics and the best model are written; an audit, which has no compounds left to judge on, needs neither.
        local: Whether a model of its own is trained beside, in the folder `local`, and may predict; never where nothing is judged.
    """

    def __init__(  # noqa: PLR0913 - who it is, what it has, and what becomes of it
        self,
        directory: Path,
        dataset: Dataset,
        config: Config,
        device: torch.device | None = None,
        sent: np.ndarray | None = None,
        *,
        slots: np.ndarray | None = None,
        judged: bool = True,
        local: bool = True,
    ) -> None:
        self.directory, self.folder, self.config, self.judged = directory, PartnerFolder(directory), config, judged
        self.device = choose_device() if device is None else device
        self.slots = slot_count(config)
        slots = np.full(len(dataset.tasks), NO_SLOT, dtype=np.int32) if slots is None else slots
        dataset = in_common_units(dataset.learned_from(config.training_folds()), slots, catalogue_of(config))
        self.sent = np.ones(dataset.bits + self.slots, dtype=np.bool_) if sent is None else sent
        leaving = self.sent[: dataset.bits]
        rows = dataset.rows_in(config.training_folds())
        counts = np.bincount(dataset.fingerprints(rows)[1], minlength=dataset.bits)
        self.private = np.zeros_like(leaving) if self.noisy else private_bits(counts, leaving)
        self.changed = leaving if self.noisy else leaving & (counts > 0)
        self.dataset = dataset if leaving.all() else dataset.guarded(rows, leaving | self.private)
        self.shared = SharedHeads.of(slots, self.sent[dataset.bits :])
        self.rounds = KeptRounds(self.folder)
        self.rounds.make()
        own, held = PartnerFolder(self.folder.local), np.flatnonzero(counts)
        self.local = LocalModel(own, dataset, held, config, self.device) if local and judged else None

    def fit(self, parameters: list[np.ndarray], config: dict[str, Any]) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Fit the heads to the incoming trunk, evaluate both as the result of the round before, then train on.

        Args:
            parameters: The averaged trunk; its shared heads are the last array.
            config: {"round": r, "attempt": a}, r from 1. The next round after the last one trained here, a later one (this partner
                missed some and goes on with the heads it has), the last one again, or the one before it. The attempt, 0 if absent, enters
                the order of the compounds and the dropout.
        Returns:
            The trained trunk, the constant 1, and those metrics that `federation.metrics_shown` names. First-layer rows and slots that
            may not leave, and without noise rows of bits that no training compound holds and slots of which no task is declared, come
            back bit for bit as they came in: weight decay alone is no reason to send one.
        Raises:
            RunError: An earlier round than these or one beyond the end of the run, a trunk of another form, or training that
                diverges.
            BudgetError: Record-level privacy is spent.
        """
        number = self._checked_round(config, "train")
        self._check_form(parameters)
        if self.local:  # first: whatever happens to the federated round, what it is compared with is there
            self.local.fit(number, since=self.last_round())
        trunk, heads = self._network(parameters)
        adam = self._optimiser(trunk, heads)
        base, private_rows = self._resume(trunk, heads, adam, before=number)
        self._fill(heads, parameters)
        before = private_rows.add_to(trunk)
        adam.learning_rate = learning_rate(self.config.training, number, self.config.federation.rounds)
        shown = {"auc_pr": self._assess(trunk, heads, number - 1)} if base and self.judged else {}
        rows, seed = self.training_rows(), self._training_seed(number, int(config.get("attempt", 0)))
        if self.noisy:
            outcome = self._train_noisily(trunk, heads, adam, rows, number)
        else:
            dropout, labelled = self.config.model.dropout, self.shared.labelled(self.dataset)
            outcome = train(trunk, heads, adam, labelled, rows, settings=self.config.training, dropout=dropout, seed=seed)
        private_rows = private_rows.trained(before, trunk)
        state = private_state(trunk, heads, adam) | private_rows.tensors() | self.shared.tensors()
        self.rounds.keep(number, base, state, outcome)
        trained = [parameter.detach().cpu().numpy() for parameter in trunk.parameters()]  # no copies: nobody goes on with this trunk
        returned = ~self.changed if self.noisy else self.private  # of all rows that the optimiser may have changed
        trained[0][returned] = parameters[0][returned]
        if self.slots:
            trained.append(self.shared.trained(heads, parameters[-1]))
        return trained, 1, self._shown({"loss": outcome.loss, **shown})

    def evaluate(self, parameters: list[np.ndarray], config: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
        """Evaluate the averaged trunk of the last round with this partner's heads.

        Args:
            parameters: The averaged trunk.
            config: {"round": r}, the round whose result it is.
        Returns:
            0.0 (a loss would tell of the data), the constant 1, and those metrics that `federation.metrics_shown` names.
        Raises:
            RunError: An earlier round than the one before the last trained here, one beyond the end of the run, or a trunk of another form.
        """
        number = self._checked_round(config, "evaluate")
        self._check_form(parameters)
        if self.local and self.local.rounds.last():
            self.local.evaluate(number)
        trunk, heads = self._network(parameters)
        _, private_rows = self._resume(trunk, heads, self._optimiser(trunk, heads), before=number + 1)
        self._fill(heads, parameters)
        private_rows.add_to(trunk)
        return 0.0, 1, self._shown({"auc_pr": self._assess(trunk, heads, number)})

    def last_round(self) -> int:
        """The last round trained here, 0 before the first."""
        return self.rounds.last()

    def training_rows(self) -> np.ndarray:
        """Compounds to learn from, int64: those outside the validation and the test fold."""
        return self.dataset.rows_in(self.config.training_folds())

    @property
    def noisy(self) -> bool:
        """Whether a profile asks for noise in training."""
        return self.config.privacy.profile != NO_NOISE

    def _train_noisily(self, trunk: Trunk, heads: Heads, adam: Adam, rows: np.ndarray, number: int) -> TrainingOutcome:
        """Train with noise; under record-level privacy, pay first."""
        privacy, settings = self.config.privacy, self.config.training
        if privacy.profile == RECORD_DP and len(rows):
            steps = plan(len(rows), settings)
            event = NoiseEvent(privacy.noise_multiplier, steps.sample_rate, steps.count)
            pay_for_training(self.directory, self.config, len(rows), number, self.last_round(), event)
        return train_noisily(
            trunk,
            heads,
            adam,
            self.dataset,
            rows,
            trained=np.flatnonzero(self.changed),
            settings=settings,
            dropout=self.config.model.dropout,
            clipping_norm=privacy.clipping_norm,
            noise_multiplier=privacy.noise_multiplier,
            noise=Noise.fresh(),
        )

    def _checked_round(self, config: dict[str, Any], verb: str) -> int:
        """The round that a request names, not beyond the end of the run, nor more than one before the last one trained here.

        One before, since a round that too few finished is trained once more by those who went on from it, too.
        """
        number, last, end = int(config["round"]), self.last_round(), self.config.federation.rounds
        if number > end:
            raise RunError(
                f"{self.dataset.name} is asked to {verb} round {number}, but the run ends with round {end}",
                "a longer run needs a larger federation.rounds at every partner, from its start",
            )
        if number < max(last - 1, 1):
            raise RunError(
                f"{self.dataset.name} is asked to {verb} round {number}, but has trained round {last}",
                "resume the run where it stopped, or start a new one",
            )
        return number

    def _check_form(self, parameters: list[np.ndarray]) -> None:
        """The trunk that comes in has as many shared heads as the catalogue has slots; its layers are looked at as they are copied."""
        width, expected = self.config.model.hidden[-1], 2 * len(self.config.model.hidden) + bool(self.slots)
        form = parameters[-1].shape if parameters else ()
        if len(parameters) != expected or (self.slots and form != (self.slots, width + 1)):
            raise RunError(
                f"a trunk of shapes {[array.shape for array in parameters]} received, {trunk_shapes(self.config)} expected",
                "all partners need the same chemistry.bits, model.hidden and catalogue of endpoints",
            )
        if self.slots and not np.isfinite(parameters[-1]).all():
            raise RunError("the shared heads received have values that are not finite", "lower training.learning_rate")

    def _network(self, parameters: list[np.ndarray]) -> tuple[Trunk, Heads]:
        model, seed = self.config.model, self.config.seed
        trunk = Trunk(self.dataset.bits, model.hidden, seed=None)
        set_trunk_arrays(trunk, parameters[: 2 * len(model.hidden)])
        heads = Heads(model.hidden[-1], len(self.dataset.tasks), seed, self.dataset.name, len(self.shared))
        return trunk.to(self.device), heads.to(self.device)

    def _optimiser(self, trunk: Trunk, heads: Heads) -> Adam:
        """Over the rows that a training of this partner changes; noise falls on all that leave, whatever its compounds hold."""
        return optimiser(trunk, heads, self.config.training, None if self.noisy else self.changed | self.private)

    def _resume(self, trunk: Trunk, heads: Heads, adam: Adam, before: int) -> tuple[int, PrivateRows]:
        """Load the newest state older than round `before`; its round, 0 if there is none, and the private rows."""
        base, state = self.rounds.before(before)
        if base:
            restore(trunk, heads, adam, self.shared.resumed(state))
        return base, PrivateRows.resumed(torch.from_numpy(np.flatnonzero(self.private)).to(self.device), trunk, state)

    def _fill(self, heads: Heads, parameters: list[np.ndarray]) -> None:
        """Shared heads come in with the trunk, anew each round."""
        if self.slots:
            self.shared.fill(heads, parameters[-1])

    def _assess(self, trunk: Trunk, heads: Heads, number: int) -> float:
        """Write the metrics of round `number`, keep the model that predicts if there is a better one; mean validation AUC-PR or NaN."""
        heads, scores, shared = self._fitted(trunk, heads, number) if self.noisy else self._predicting(trunk, heads)
        judged = self.rounds.judge(scores, self.dataset, self.config, number)
        member = Member(FEDERATED, number, trunk, heads, shared) if judged.best else None
        if self.local:
            keep_combined(self.folder, self.dataset, self.config, member)
        elif member:
            choice = dict.fromkeys((kind.name for kind in self.dataset.kinds), FEDERATED)
            save_model(self.directory, [member], choice, model_header(self.dataset, self.config, number, judged.metrics))
        return judged.value

    def _predicting(self, trunk: Trunk, heads: Heads) -> tuple[Heads, pl.DataFrame, dict[str, str]]:
        """One head a task, its scores, and what it is of common endpoints: the mean of both heads or the shared one alone, by kind of task.

        The shared head has the labels of all who measure an endpoint, and the private one knows what is peculiar to our assay: which
        of that weighs more differs from consortium to consortium, and the validation fold tells.
        """
        kinds, folds = self.dataset.judged_kinds, self.config.held_out_folds()
        variants = {BOTH: self.shared.predicting(heads)}
        if len(self.shared):
            variants[ALONE] = self.shared.predicting(heads, alone=np.ones(len(self.dataset.tasks), dtype=np.bool_))
        scores = dict(zip(variants, fold_scores(trunk, list(variants.values()), self.dataset, folds), strict=True))
        chosen = choose(scores, kinds, self.config.evaluation.min_per_class)
        alone = np.zeros(len(self.dataset.tasks), dtype=np.bool_)
        for kind, own in kinds.items():
            alone |= own & (chosen.choice[kind.name] == ALONE)
        common = self.shared.places >= 0
        told = {kind.name: chosen.choice[kind.name] for kind, own in self.dataset.kinds.items() if (own & common).any()}
        return self.shared.predicting(heads, alone), chosen.scores, told

    def _fitted(self, trunk: Trunk, heads: Heads, number: int) -> tuple[Heads, pl.DataFrame, dict[str, str]]:
        """Heads that were fitted anew to a trunk trained with noise, and their scores; with noise no head is shared."""
        settings, model, seed = self.config.training, self.config.model, self.config.seed
        fitted = fitted_heads(
            trunk,
            self.shared.predicting(heads),
            self.dataset,
            self.training_rows(),
            settings=settings,
            dropout=model.dropout,
            seed=derived_seed(seed, "heads", self.dataset.name, number),
        )
        (scores,) = fold_scores(trunk, [fitted], self.dataset, self.config.held_out_folds())
        return fitted, scores, {}

    def _training_seed(self, number: int, attempt: int) -> int:
        """Attempt 0 has the seed of a run without attempts."""
        return derived_seed(self.config.seed, "training", self.dataset.name, number, *([attempt] if attempt else []))

    def _shown(self, metrics: dict[str, float]) -> dict[str, Any]:
        return {name: value for name, value in metrics.items() if name in self.config.federation.metrics_shown}
