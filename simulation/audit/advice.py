"""What to change, from what the audit found."""

from collections.abc import Iterable
from math import ceil, log

from fedapp.config import Config
from fedapp.report.audit_words import title
from fedapp.report.disclosure import ADVISED_GUARD
from fedapp.report.verdict import Verdict
from simulation.audit.findings import ON, Finding
from simulation.audit.statistics import CONFIDENCE

FEWEST_PARTNERS = 5


def advice(findings: Iterable[Finding], config: Config) -> list[str]:
    """Sentences for whoever decides on the configuration, the most urgent first."""
    judged = [finding for finding in findings if finding.defences == ON]
    failed = {finding.name for finding in judged if finding.verdict is Verdict.FAIL}
    unknown = [finding for finding in judged if finding.verdict is Verdict.TOO_FEW]
    guard = config.privacy.row_guard
    sentences = []
    if guard <= 1:
        sentences.append(f"Turn the row guard on: privacy.row_guard={ADVISED_GUARD}.")
    elif failed & {"identified_by_rows", "identified_by_elimination", "decoded_fingerprints"}:
        sentences.append(f"Raise privacy.row_guard beyond {guard}: the rows that it lets pass still name compounds.")
    if any(name.startswith("membership") for name in failed):
        sentences.append(
            f"Membership can be told from the trunk: raise privacy.row_guard beyond {guard}, train fewer rounds or local epochs, or take "
            "privacy.profile=record_dp where each partner has a hundred thousand compounds."
        )
    if "attribution" in failed:
        sentences.append("Compounds can be told apart by owner: take more partners, or a higher privacy.row_guard.")
    if "isolated_rows" in failed and guard > 1:
        sentences.append("Ask for three supporters a row, privacy.least_supporters=3: with two, each finds the other's row by subtraction.")
    if "coordinator_view" in failed or config.aggregation == "plain":
        sentences.append("The coordinator sees more than noise: use aggregation=secure, and report this as a defect if it already is.")
    if config.data.partners < FEWEST_PARTNERS:
        sentences.append(f"Take {FEWEST_PARTNERS} partners or more: what {config.data.partners} add up tells more of each.")
    if config.federation.min_partners is not None:
        sentences.append("Leave federation.min_partners at null: sums over changing cohorts tell what the one that came or went added.")
    if unknown:
        sentences.append(more(unknown, config))
    return sentences or ["Nothing: every gate holds. Audit again when the data, the configuration or the version changes."]


def more(unknown: list[Finding], config: Config) -> str:
    """How much it takes to tell of gates of which nothing can be told yet."""
    names = ", ".join(dict.fromkeys(f"“{title(finding.name)}”" for finding in unknown))
    strictest = min((finding.gate for finding in unknown if finding.gate), default=None)
    advised = (
        f"There were too few to tell of {names}: audit more compounds (audit.compounds is {config.audit.compounds}) or more trainings."
    )
    if strictest is None:
        return advised
    return (
        f"{advised} {needed(strictest):,} compounds trained on, and none of them found, are what a gate of {strictest:.1%} takes at least."
    )


def needed(gate: float) -> int:
    """Compounds of which none is found, so that the upper end of the share is within a gate above 0: (1 - gate)^n is at most 5 %."""
    return ceil(log(1 - CONFIDENCE) / log(1 - gate))
