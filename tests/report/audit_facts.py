"""Audits as `polyphony audit` saves them, made up, and the page of one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedapp.report import drawing
from fedapp.report.audit_page import write_audit_report
from fedapp.report.verdict import SEVERITY
from simulation.audit.findings import Curve, Finding, Recovered
from tests.report.html_page import Page

Save = Callable[..., Page]
HOSTILE = "<script>alert(1)<script>\" onload=\"x' onerror='y"
ASPIRIN, PARACETAMOL, CAFFEINE = "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"


def finding(
    name: str, attack: str, adversary: str, defences: str, value: float, lower: float, upper: float, chance: float, **other: Any
) -> dict[str, Any]:
    """As simulation.audit saves it."""
    fields: dict[str, Any] = {"what": f"Share of {name.replace('_', ' ')}.", "judged": "upper", "trials": 4800} | other
    return Finding(
        name=name, attack=attack, adversary=adversary, defences=defences, value=value, lower=lower, upper=upper, chance=chance, **fields
    ).as_json()


def rows(on: float = 0.0, upper: float = 0.00077) -> list[dict[str, Any]]:
    """The attack by twin rows, with a gate at 0.1 %."""
    what = "Share of compounds that were trained on and whose structure the attack named rightly."
    attack = ("identified_by_rows", "twin rows", "partner")
    return [
        finding(*attack, "on", on, 0.7 * on, upper, 0.0, what=what, gate=0.001),
        finding(*attack, "off", 0.8313, 0.8204, 0.8418, 0.0, what=what, note="Of compounds that hold a bit of their own."),
    ]


def membership(on: float = 0.0016, off: float = 0.094) -> list[dict[str, Any]]:
    """The attack on membership from the trunk alone, with a gate at 0.3 %, and from the heads, without one."""
    what = "Share of members recognised while only 0.1 % of the others are mistaken for members."
    attack = ("membership_of_trunk", "membership", "partner")
    return [
        finding(*attack, "on", on, 0.0012, 0.0022, 0.001, what=what, gate=0.003, judged="value", trials=76800),
        finding(*attack, "off", off, 0.9 * off, 1.1 * off, 0.001, what=what, trials=38400),
        finding("membership_of_heads", "membership", "outsider", "on", 0.021, 0.018, 0.024, 0.001, what=what),
        finding("membership_of_heads", "membership", "outsider", "off", 0.061, 0.055, 0.066, 0.001, what=what),
    ]


def decoding() -> list[dict[str, Any]]:
    """An attack that works in its control only."""
    attack = ("identified_by_decoding", "decoding", "partner")
    return [
        finding(*attack, "on", 0.0, 0.0, 0.00077, 0.0, gate=0.001),
        finding(*attack, "off", 0.0, 0.0, 0.00077, 0.0),
        finding(*attack, "control", 0.97, 0.89, 0.996, 0.0, trials=64),
    ]


def curve(defences: str, power: float, points: int = 200) -> dict[str, Any]:
    """Recognised members grow as a power of the others mistaken: 1 is guessing."""
    false = np.concatenate([[0.0], np.geomspace(1e-4, 1, points)])
    return vars(Curve("membership", "partner", defences, false.tolist(), (false**power).tolist()))


def recovered(defences: str, true: str = ASPIRIN, named: str = ASPIRIN, similarity: float = 1.0) -> dict[str, Any]:
    return vars(Recovered("twin rows", defences, true, named, similarity, "Birch"))


def facts(findings: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    """audit.json of these findings."""
    gated = [row for row in findings if row["gate"] is not None and row["defences"] == "on"]
    worst = {row["name"]: row for row in sorted(gated, key=lambda row: (SEVERITY[row["verdict"]], row[row["judged"]] or 0.0))}
    gates = {
        name: {key: row[key] for key in ("adversary", "value", "upper", "gate", "chance", "verdict", "pass")} for name, row in worst.items()
    }
    return {
        "run": "audit-2026-11-24",
        "name": "fsmol",
        "seed": 1,
        "started": "2026-11-24T09:14:03+00:00",
        "seconds": 1284.6,
        "note": "",
        "partners": 8,
        "pool": 9600,
        "members": 4800,
        "rounds": 10,
        "trials": {"on": 16, "off": 8},
        "row_guard": 10,
        "listed_rows": {"on": 2448, "off": 32768},
        "configuration": {"privacy.row_guard": 10, "model.hidden": [400], "training.learning_rate": 0.002},
        "versions": {"polyphony": "0.1.0", "torch": "2.13.0+cpu"},
        "gates": gates,
        "findings": findings,
        "curves": [],
        "recovered": [],
        "advice": [],
    } | other


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write audit.json of these facts, make its page and read that."""

    def make(content: dict[str, Any]) -> Page:
        (tmp_path / "audit.json").write_text(json.dumps(content), encoding="utf-8")
        return Page(write_audit_report(tmp_path))

    return make


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read words only: drawing takes most of a page's time."""
    monkeypatch.setattr(drawing, "drawn", lambda name, alt, draw, height=0: "<svg></svg>")


def full() -> dict[str, Any]:
    """An audit with everything in it."""
    return facts(
        rows() + membership() + decoding(),
        curves=[curve("on", 0.95), curve("off", 0.4)],
        recovered=[recovered("off"), recovered("off", PARACETAMOL, CAFFEINE, 0.21)],
        advice=["Keep the row guard at 10."],
        note="Labels are computed.",
    )


def document(svg: str) -> str:
    """An element of the page as a document of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
