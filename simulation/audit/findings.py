"""What attacks found, how sure that is, and whether it passes."""

from dataclasses import asdict, dataclass
from math import inf, isnan
from typing import Any

from fedapp.report.verdict import SEVERITY, Verdict, judge

ON, OFF, CONTROL = "on", "off", "control"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure of one attack; `value`, `lower`, `upper`, `trials` and `finest` are those of an `Estimate`.

    Attributes:
        name: Key in `gates`, such as "identified_by_rows".
        attack: What it is called in the report, such as "twin rows".
        adversary: "coordinator", "partner", "coordinator with partners" or "outsider".
        defences: ON: as configured; OFF: the same without them; CONTROL: a setting in which the attack is known to work.
        what: One sentence for a security officer: what the value is a share or a measure of.
        value: The figure, with a 95 % interval from `lower` to `upper`.
        chance: What guessing gives.
        gate: The most that what it limits may be; None if the figure is only told.
        judged: Which of value, lower and upper the gate limits.
        trials: Compounds, guesses or models behind the figure.
        note: A limit of the figure that its reader must know; may be empty.
        finest: The upper end that so many trials would give if nothing were found; 0 where that is no share.
    """

    name: str
    attack: str
    adversary: str
    defences: str
    what: str
    value: float
    lower: float
    upper: float
    chance: float
    gate: float | None = None
    judged: str = "value"
    trials: int
    note: str = ""
    finest: float = 0.0

    @property
    def verdict(self) -> Verdict | None:
        """Whether the gate holds, fails, or cannot be judged; None without a gate."""
        if self.gate is None:
            return None
        return judge(getattr(self, self.judged), self.value, self.lower, self.chance, self.gate, self.finest)

    @property
    def passes(self) -> bool | None:
        """Whether the gate is known to hold; None without a gate."""
        return None if self.verdict is None else self.verdict is Verdict.PASS

    def severity(self) -> tuple[int, float]:
        """Of findings with gates, the worse ones are greater."""
        limited = getattr(self, self.judged)
        return (-1 if self.verdict is None else SEVERITY[self.verdict], -inf if isnan(limited) else limited)

    def as_json(self) -> dict[str, Any]:
        """With its verdict; what is not a number is null."""
        fields = {key: None if isinstance(value, float) and isnan(value) else value for key, value in asdict(self).items()}
        return fields | {"verdict": self.verdict, "pass": self.passes}


@dataclass(frozen=True)
class Recovered:
    """One structure that an attack recovered, for the report's pictures.

    Attributes:
        attack, defences: As in `Finding`.
        true_smiles: Of the compound that was trained on.
        found_smiles: Of the candidate that the attack named; empty if it named none.
        similarity: Tanimoto, of what the attack recovered and the true fingerprint, 0 to 1.
        partner: Whose compound it was.
    """

    attack: str
    defences: str
    true_smiles: str
    found_smiles: str
    similarity: float
    partner: str


@dataclass(frozen=True)
class Curve:
    """True against false positives of a membership attack, both ascending from 0 to 1.

    Attributes:
        attack, adversary, defences: As in `Finding`.
    """

    attack: str
    adversary: str
    defences: str
    false_positives: list[float]
    true_positives: list[float]


@dataclass(frozen=True)
class AuditOutcome:
    """What came out of an attack, or, added up, of several."""

    findings: tuple[Finding, ...] = ()
    curves: tuple[Curve, ...] = ()
    recovered: tuple[Recovered, ...] = ()

    def __add__(self, other: "AuditOutcome") -> "AuditOutcome":
        return AuditOutcome(self.findings + other.findings, self.curves + other.curves, self.recovered + other.recovered)
