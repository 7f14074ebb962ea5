"""What to change, from what the audit found."""

from fedapp.config import Config
from simulation.audit.findings import ON, Finding

ADVISED_GUARD = 20
FEWEST_PARTNERS = 5


def advice(findings: list[Finding], config: Config) -> list[str]:
    """Sentences for whoever decides on the configuration, the most urgent first."""
    failed = {each.name for each in findings if each.defences == ON and each.passes is False}
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
    return said or ["Nothing: every gate holds. Audit again when the data, the configuration or the version changes."]
