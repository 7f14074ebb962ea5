"""What several seeds of `polyphony price` say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fedapp.evaluation.arms import COMBINED, FEDERATED
from fedapp.evaluation.intervals import Interval
from fedapp.evaluation.selection import TEST, VALIDATION
from simulation.results.figures import Spread
from simulation.results.records import Record


@dataclass(frozen=True)
class Price:
    """One federation, over seeds.

    Attributes:
        settings: As `key=value`; none of the experiment as it is.
        rows: In its sum.
        federated, combined: Mean AUC-PR in the test fold.
        validation, test: How much higher the combined mean is than that of the experiment as it is, in each held-out fold; None of that.
        audit: Name of the record of an audit with these settings.
    """

    settings: tuple[str, ...]
    rows: Spread
    federated: Spread
    combined: Spread
    validation: Interval | None
    test: Interval | None
    audit: str


@dataclass(frozen=True)
class Prices:
    """All federations of an experiment, over seeds.

    Attributes:
        names: Of the records, by seed.
        seeds: Ascending.
        federations: The experiment as it is first.
    """

    names: list[str]
    seeds: list[int]
    federations: list[Price]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Prices":
        """From one record a seed, in any order; all asked for the same settings."""
        ordered = sorted(records, key=lambda record: int(record.result["seed"]))
        seeds = [record.result["federations"] for record in ordered]
        audit = f"audit-{ordered[0].result['name']}"
        federations = [price_of(of_seeds, audit) for of_seeds in zip(*seeds, strict=True)]
        return cls([record.name for record in ordered], [record.result["seed"] for record in ordered], federations)

    @property
    def audits(self) -> list[str]:
        """Names of the audits of federations with changed settings."""
        return [price.audit for price in self.federations if price.settings]


def price_of(seeds: Sequence[Mapping[str, Any]], audit: str) -> Price:
    """One federation, from what each seed says of it; `audit` is the audit of the experiment as it is."""
    (settings,) = {tuple(each["settings"]) for each in seeds}
    validation, test = (over_seeds([each[fold]["price"] for each in seeds]) if settings else None for fold in (VALIDATION, TEST))
    federated, combined = (Spread.of([each[TEST][arm] for each in seeds]) for arm in (FEDERATED, COMBINED))
    slugs = [words.partition(".")[2].replace("_", "-").replace("=", "-") for words in settings]
    rows = Spread.of([each["rows"] for each in seeds])
    return Price(settings, rows, federated, combined, validation, test, "-".join([audit, *slugs]))


def over_seeds(prices: Sequence[Mapping[str, Any]]) -> Interval:
    """Their mean, with Student's 95 % interval over seeds; of a single seed its own interval over tasks."""
    if len(prices) == 1:
        return Interval(**prices[0])
    from scipy.stats import ttest_1samp  # a second, which pages without prices need not wait

    values = [each["value"] for each in prices]
    low, high = ttest_1samp(values, 0.0).confidence_interval(0.95)
    return Interval(fmean(values), float(low), float(high))
