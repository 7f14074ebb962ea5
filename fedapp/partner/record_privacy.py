"""Record-level differential privacy at a partner: everything that leaves it, and what each costs its budget.

A record is one compound with all its labels at this partner. What leaves, and why it says little of any one:

- updates of the trunk: `fedapp.model.noisy_training`, paid for round by round before the training begins;
- the rows that the partner supports: `fedapp.privacy.noisy_support`, drawn once, paid for once and kept;
- nothing else that depends on compounds: its weight is 1 and no metric is shown (`fedapp.config` insists), and lengths, roundings and
  counts of clipped values follow from the above.

Public are the number of training compounds, the tasks with their weights, and that the partner takes part. Not covered: the model that
the partner keeps (its own heads are fitted without noise), how long a training took, and other runs on the same compounds, which have
accounts of their own: epsilons add up over runs, as they do over partners that hold the same compound.
"""

from pathlib import Path

import numpy as np

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.partner_folder import PartnerFolder
from fedapp.privacy.accounting import NoiseEvent
from fedapp.privacy.budget import Budget, BudgetError
from fedapp.privacy.noise import Noise
from fedapp.privacy.noisy_support import noisy_support, support_event
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.sealed_array import read_flags, write_flags
from fedapp.wording import plural

ROW_LIST = "row list"
KEEP = "bring back this very file: drawn anew, the rows would have to be paid for again"


def open_budget(directory: Path, config: Config) -> Budget:
    """The account of the partner with this private directory."""
    folder = PartnerFolder(directory)
    return Budget(folder.budget, config.privacy.epsilon, config.privacy.delta, folder.begun())


def pay_for_training(directory: Path, config: Config, compounds: int, number: int, last: int, event: NoiseEvent) -> None:
    """Pay for the training of round `number`, which may begin when this returns.

    Args:
        compounds: The partner trains on.
        last: Round of the newest state that the training goes on from or repeats, 0 for none.
    Raises:
        BudgetError: It does not fit; earlier training or a row list was not paid for; or delta is too large to mean anything.
    """
    if config.privacy.delta * compounds >= 1:
        raise BudgetError(
            f"privacy.delta is {config.privacy.delta:g}, and this partner trains on {plural(compounds, 'compound')}",
            "a delta of one over their number would allow to publish one of them whole: choose a far smaller one",
        )
    budget = open_budget(directory, config)
    needed = {f"round {last}"} if last else set()
    needed |= {ROW_LIST} if PartnerFolder(directory).support.is_file() else set()
    if missing := needed - {what for what, _ in budget.events()}:
        raise BudgetError(
            f"{budget.path} does not hold {' and '.join(sorted(missing))}",
            "bring back this very file, and no older copy, or start a new run: a state that was trained without noise, or unaccounted, "
            "cannot go on",
        )
    budget.spend(f"round {number}", event)


def private_support(directory: Path, dataset: Dataset, config: Config) -> np.ndarray:
    """Rows of the trunk's first layer that this partner supports: bool [bits]; the same ones whenever it is asked again.

    Raises:
        BudgetError: Choosing them does not fit the budget.
        DamagedFileError: The file that keeps them is damaged.
    """
    bits, path = config.chemistry.bits, PartnerFolder(directory).support
    if config.privacy.row_guard <= 1:
        return np.ones(bits, dtype=np.bool_)
    if not path.is_file():
        event = support_event(config.privacy.epsilon, config.privacy.delta)
        open_budget(directory, config).spend(ROW_LIST, event)
        compounds = dataset.fingerprints(dataset.rows_in(config.training_folds()))
        rows = noisy_support(*compounds, bits, config.privacy.row_guard, event, Noise.fresh())
        write_flags(path, rows)
    support = read_flags(path, KEEP)
    if support.shape != (bits,):
        raise DamagedFileError(f"{path} is damaged: a list of {len(support)}, not one for each of {bits} bits", KEEP)
    return support
