"""What record-level privacy has cost a partner so far, and what is left of its budget."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fedapp.config import RECORD_DP, Config
from fedapp.partner_folder import PartnerFolder
from fedapp.privacy.budget import Budget
from fedapp.storage.live_files import written


@dataclass(frozen=True)
class PrivacySpent:
    """A partner's account under record-level privacy, which speaks of one compound with all its labels at this partner.

    Attributes:
        budget: The epsilon that the configuration lets it spend.
        delta: At which every epsilon here counts.
        spent: Epsilon of all that was paid for.
        left: What of the budget is not spent. Epsilons do not add up: a round costs less than its own epsilon after many others.
        rounds_left: How many more rounds fit that cost as much as the last one; None before the first.
    """

    budget: float
    delta: float
    spent: float
    left: float
    rounds_left: int | None


def privacy_spent(folder: Path, config: Config) -> PrivacySpent | None:
    """The account in a partner's private folder; None under a profile that keeps none.

    Raises:
        BudgetError: The file is damaged.
    """
    privacy, files = config.privacy, PartnerFolder(folder)
    if privacy.profile != RECORD_DP:
        return None
    return _account(Budget(files.budget, privacy.epsilon, privacy.delta, files.begun()), written(files.budget))


@lru_cache(maxsize=16)
def _account(budget: Budget, _changed: float | None) -> PrivacySpent:
    """Reckoned once for each payment: the accountant takes a second."""
    rounds = [event for what, event in budget.events() if what.startswith("round ")]
    spent = budget.spent()
    rounds_left = budget.left(rounds[-1]) if rounds else None
    return PrivacySpent(budget.epsilon, budget.delta, spent, max(0.0, budget.epsilon - spent), rounds_left)
