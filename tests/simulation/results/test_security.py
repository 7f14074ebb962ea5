"""What the pages promise and admit, held against the records."""

import re
from pathlib import Path
from typing import Any

from simulation.results.records import read_records

PAGE = Path(__file__).parents[3] / "strategies" / "SECURITY.md"
ROW = re.compile(r"^\| [^|]+ \| [^|]+ \| (?P<attack>[^|]+) \| (?P<found>[^|]+) \| [^|]+ \|$", re.MULTILINE)
PARTS_OF_AN_ATTACK = ("_at_0", "_at_1_percent", "_auc", "_active", "_inactive", "_rare", "_alone")


def test_what_partners_learn_is_told_with_the_figures_that_were_measured() -> None:
    record = read_records()["audit-fsmol"]
    measured: dict[str, dict[str, Any]] = {
        finding["attack"]: finding
        for finding in record.result["findings"]
        if finding["defences"] == "on" and not finding["name"].endswith(PARTS_OF_AN_ATTACK)
    }
    section = PAGE.read_text(encoding="utf-8").split("## What partners learn of each other\n")[1].split("\n## ")[0]
    told = [(row["attack"], row["found"]) for row in ROW.finditer(section) if row["attack"] in measured]
    assert len(told) > 12
    assert len(told) == section.count("\n| ") - 1  # all but the heading
    for attack, found in told:
        assert found == f"{measured[attack]['value']:.4f} ({measured[attack]['chance']:.4f})", attack


def test_a_gate_that_does_not_hold_is_admitted() -> None:
    record = read_records()["audit-fsmol"]
    failing = {finding["attack"] for finding in record.result["findings"] if finding["defences"] == "on" and finding["verdict"] == "fail"}
    admitted = {row["attack"] for row in ROW.finditer(PAGE.read_text(encoding="utf-8")) if "**not within" in row.group()}
    assert admitted == failing
    assert read_records()["audit-fsmol-row-guard-60"].result["verdict"] == "pass"
