"""The audit's figures as saved: how they read in print, and what each says of its gate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedapp.report.audit_words import title
from fedapp.report.verdict import SEVERITY, Verdict, judge
from fedapp.wording import DASH, MINUS, NBSP

ON, OFF, CONTROL = "on", "off", "control"
WORDS = {ON: "defences on", OFF: "defences off", CONTROL: "control setting"}
JUDGED = {"value": "figure", "lower": "lower end", "upper": "upper end"}
# Names and attacks whose figures are no shares.
PLAIN = {"canary_epsilon", "canary_gaussian", "data_quality", "partner_sizes", "correlation", "uniform bytes"}
TEXTS = ("name", "attack", "adversary", "defences", "what", "judged", "note")
NUMBERS = ("value", "lower", "upper", "chance", "finest")
RESULTS = {Verdict.PASS: "holds", Verdict.FAIL: "fails", Verdict.TOO_FEW: "too few to tell"}
PERCENT = f"{NBSP}%"


def as_printed(value: float, limit: float | None = None, digits: int = 2, plain: bool = False) -> str:
    """A figure in print.

    Args:
        value: A dash if it is not a number.
        limit: What it is held against: digits are added until the printed figure lies on the same side of it as the true one.
        digits: Significant ones, at least.
        plain: A number as it is. Otherwise a share, in percent if it lies from -1 to 1.
    """
    if not math.isfinite(value):
        return DASH
    plain, factor = (True, 1) if plain or abs(value) > 1 else (False, 100)
    texts = [fixed(value, abs(value), places + 1) if plain else percentage(value, places) for places in range(digits, 12)]
    if limit is None or not math.isfinite(limit):
        return texts[0]
    return next((text for text in texts if (printed(text) <= round(limit * factor, 10)) == (value <= limit)), texts[-1])


def percentage(share: float, digits: int = 2) -> str:
    """A share in `digits` significant digits, counted from the nearer of 0 and 100 %: 0.08 %, 42 %, 99.96 %."""
    value = share * 100
    return fixed(value, min(abs(value), 100 - abs(value)), digits) + PERCENT


def fixed(value: float, size: float, digits: int) -> str:
    """A number with as many decimals as `size` needs for `digits` significant digits, without zeros at the end."""
    places = max(0, digits - 1 - math.floor(math.log10(size))) if size > 0 else 0
    text = f"{value:.{min(places, 12)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def printed(text: str) -> float:
    """The number that is printed, percent as percent."""
    return float(text.removesuffix(PERCENT).replace(MINUS, "-"))


def span(lower: float, upper: float, limit: float | None = None, plain: bool = False) -> str:
    """An interval: 0 to 0.08 %. Ends that differ do not look alike."""
    pairs = ((as_printed(lower, limit, digits, plain), as_printed(upper, limit, digits, plain)) for digits in range(2, 12))
    low, high = next((pair for pair in pairs if pair[0] != pair[1]), (as_printed(lower, plain=plain),) * 2)
    if low == high:
        return low
    return f"{low.removesuffix(PERCENT) if high.endswith(PERCENT) else low} to {high}"


@dataclass(frozen=True)
class Figure:
    """One figure of one attack, see simulation.audit.findings.Finding; NaN where the audit found none."""

    name: str
    attack: str
    adversary: str
    defences: str
    what: str
    judged: str
    note: str
    value: float
    lower: float
    upper: float
    chance: float
    finest: float
    gate: float | None
    trials: int
    told_verdict: str

    @property
    def title(self) -> str:
        """Its name as words."""
        return title(self.name)

    @property
    def gated(self) -> bool:
        """Limits are for the configuration that is used."""
        return self.gate is not None and self.defences == ON

    @property
    def leaks(self) -> bool:
        """Whether the attack does better than guessing, by its whole interval."""
        return self.lower > self.chance

    @property
    def limited(self) -> float:
        """What the gate limits."""
        return float(getattr(self, self.judged))

    @property
    def verdict(self) -> Verdict:
        """Of its gate, from the file's figures; without a gate nothing is known of any."""
        if self.gate is None:
            return Verdict.TOO_FEW
        return judge(self.limited, self.value, self.lower, self.chance, self.gate, self.finest)

    @property
    def severity(self) -> tuple[int, float]:
        """Of figures under one limit, the worse ones are greater."""
        return SEVERITY[self.verdict], -math.inf if math.isnan(self.limited) else self.limited

    @property
    def undecided(self) -> str:
        """Why nothing can be told of the gate; empty if something can."""
        if not self.gated or self.verdict is not Verdict.TOO_FEW:
            return ""
        told_of = f"“{self.title}” ({self.attack})"
        if not math.isfinite(self.value):
            return f"{told_of} has no figure. {self.note}".strip()
        if self.gate is not None and self.finest > self.gate:
            return (
                f"{told_of} was tried on {self.trials:,}: had nothing been found among them, the upper end would still be "
                f"{as_printed(self.finest, self.gate, plain=self.plain)}, beyond the limit of {self.limit}."
            )
        if self.value > (self.gate or 0):
            return f"{told_of} lies at {self.shown}, beyond the limit of {self.limit}, and by its interval it may be chance."
        return f"{told_of} lies at {self.shown}, within the limit of {self.limit}, and its interval of {self.interval} reaches beyond."

    @property
    def plain(self) -> bool:
        """Whether it is a number as it stands rather than a share in percent."""
        return self.name in PLAIN or self.attack in PLAIN

    @property
    def shown(self) -> str:
        """Its value in print, on the true side of its limit."""
        return as_printed(self.value, self.gate if self.judged == "value" else None, plain=self.plain)

    @property
    def interval(self) -> str:
        """Its 95 % interval in print."""
        return span(self.lower, self.upper, None if self.judged == "value" else self.gate, self.plain)

    @property
    def guessing(self) -> str:
        """In print, what guessing gives."""
        return as_printed(self.chance, plain=self.plain)

    @property
    def limit(self) -> str:
        """Its limit in print; a dash without one."""
        return DASH if self.gate is None else as_printed(self.gate, digits=3, plain=self.plain)

    @property
    def result(self) -> str:
        """What it says of its gate, or of guessing where it has none."""
        if self.gated:
            return RESULTS[self.verdict]
        return "above chance" if self.leaks else "not above chance"


def read_figure(row: Mapping[str, Any]) -> Figure:
    """A finding as the audit saved it.

    Raises:
        KeyError, TypeError, ValueError: A part is missing or of the wrong kind.
    """
    if row["defences"] not in WORDS or row["judged"] not in JUDGED:
        raise ValueError(f"finding {row['name']} has defences {row['defences']!r} and judged {row['judged']!r}")
    parts: dict[str, Any] = {key: str(row[key]) for key in TEXTS}
    parts |= {key: math.nan if row[key] is None else float(row[key]) for key in NUMBERS}
    gate = None if row["gate"] is None else float(row["gate"])
    return Figure(**parts, gate=gate, trials=int(row["trials"]), told_verdict=str(row["verdict"]))
