"""What to change, from what the audit found."""

from math import ceil, log

from fedapp.config import Config
from fedapp.report.disclosure import ADVISED_GUARD
from fedapp.report.verdict import Verdict
from simulation.audit.findings import ON, Finding
from simulation.audit.statistics import CONFIDENCE

FEWEST_PARTNERS = 5


def advice(findings: list[Finding], config: Config) -> list[str]:
    """Sentences for whoever decides on the configuration, the most urgent first."""
    judged = [each for each in findings if each.defences == ON]
    failed = {each.name for each in judged if each.verdict is Verdict.FAIL}
    unknown = [each for each in judged if each.verdict is Verdict.TOO_FEW]
    guard = config.privacy.row_guard
    said = []
    if guard <= 1:
        said.append(f"Turn the row guard on: privacy.row_guard={ADVISED_GUARD}.")
    elif failed & {"identified_by_rows", "identified_by_elimination", "decoded_fingerprints"}:
        said.append(f"Raise privacy.row_guard beyond {guard}: the rows that it lets pass still name compounds.")
    if any(name.startswith("membership") for name in failed):
        said.append(
            f"Membership can be told from the trunk: raise privacy.row_guard beyond {guard}, train fewer rounds or local epochs, or take "
            "privacy.profile=record_dp where each partner has a hundred thousand compounds."
        )
    if "attribution" in failed:
        said.append("Compounds can be told apart by owner: take more partners, or a higher privacy.row_guard.")
    if "coordinator_view" in failed or config.aggregation == "plain":
        said.append("The coordinator sees more than noise: use aggregation=secure, and report this as a defect if it already is.")
    if config.data.partners < FEWEST_PARTNERS:
        said.append(f"Take {FEWEST_PARTNERS} partners or more: what {config.data.partners} add up tells more of each.")
    if config.federation.min_partners is not None:
        said.append("Leave federation.min_partners at null: sums over changing cohorts tell what the one that came or went added.")
    if unknown:
        said.append(more(unknown, config))
    return said or ["Nothing: every gate holds. Audit again when the data, the configuration or the version changes."]


def more(unknown: list[Finding], config: Config) -> str:
    """How much it takes to tell of gates of which nothing can be told yet."""
    names = ", ".join(dict.fromkeys(each.name.replace("_", " ") for each in unknown))
    strictest = min((each.gate for each in unknown if each.gate), default=None)
    told = f"There were too few to tell of {names}: audit more compounds (audit.compounds is {config.audit.compounds}) or more trainings."
    if strictest is None:
        return told
    return f"{told} {needed(strictest):,} compounds trained on, and none of them found, are what a gate of {strictest:.1%} takes at least."


def needed(gate: float) -> int:
    """Compounds of which none is found, so that the upper end of the share is within a gate above 0: (1 - gate)^n is at most 5 %."""
    return ceil(log(1 - CONFIDENCE) / log(1 - gate))
