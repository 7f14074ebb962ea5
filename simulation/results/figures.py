"""What the page says of the records: figures with their spread, and findings by their names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fedapp.evaluation.intervals import Interval
from fedapp.wording import DASH, MINUS, percent, signed
from simulation.results.records import Record

LEARNED = (
    *("cooccurrence", "label_direction", "isolated_rows", "target_in_play", "series_in_play", "partner_sizes"),
    *("membership_repeated_round", "identified_repeated_round"),
)
SECAGG_SPREADS = ("partner_mask_s", "mask_ratio", "partner_share_s", "partner_answer_s", "set_up_s", "coordinator_s")


@dataclass(frozen=True)
class Spread:
    """A mean over runs, with the least and the most of one."""

    mean: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(fmean(values), min(values), max(values))

    def text(self, digits: int) -> str:
        """0.687 (0.685 to 0.690), and of one run 0.687 alone."""
        mean, bounds = fixed(self.mean, digits), self.bounds(digits)
        return mean if self.least == self.most else f"{mean} ({bounds})"

    def bounds(self, digits: int) -> str:
        """0.685 to 0.690, and where both read alike 0.687."""
        least, most = fixed(self.least, digits), fixed(self.most, digits)
        return least if least == most else f"{least} to {most}"


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals; what rounds to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.replace("-", MINUS if float(text) else "")


def gained(gain: Interval | None, digits: int = 4) -> str:
    """+0.0061 (+0.0035 to +0.0090), and a dash for what was not measured."""
    if gain is None:
        return DASH
    value = signed(gain.value, digits)
    return value if gain.low is None else f"{value} ({signed(gain.low, digits)} to {signed(gain.high, digits)})"


def shared(share: Interval | None) -> str:
    """83 % (79 % to 88 %), and a dash for what was not measured."""
    return DASH if share is None else f"{percent(share.value)} ({percent(share.low)} to {percent(share.high)})"


def benchmarked(records: Sequence[Record]) -> dict[str, Any]:
    """Several runs of one `benchmark secagg`.

    Returns:
        partners, words and dropped; as Spreads partner_mask_s, mask_ratio, partner_share_s, partner_answer_s, set_up_s, coordinator_s, and
        stock_coordinator_s where SecAgg+ was run beside them, else None; upload and upload_and_answers, of float32, the same in each run.
    """
    results = [record.result for record in records]
    sizes = ("partners", "words", "dropped", "upload_bytes", "answer_bytes", "float32_bytes")
    (same,) = {tuple(result[key] for key in sizes) for result in results}
    *setting, upload, answers, plain = same
    times = {key: [result[key] for result in results] for key in (*SECAGG_SPREADS, "stock_coordinator_s")}
    spreads = {key: None if None in values else Spread.of(values) for key, values in times.items()}
    return {
        **dict(zip(sizes, setting, strict=False)),
        **spreads,
        "upload": upload / plain,
        "upload_and_answers": (upload + answers) / plain,
    }


def findings_by_name(record: Record) -> dict[str, dict[str, dict[str, Any]]]:
    """Defences (`on`, `off`, `control`) to the findings of an audit: by name, and by attack where several share a name."""
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    findings = record.result["findings"]
    namesakes = Counter((finding["defences"], finding["name"]) for finding in findings)
    for finding in findings:
        unique = namesakes[finding["defences"], finding["name"]] == 1
        by_name.setdefault(finding["defences"], {})[finding["name"] if unique else finding["attack"]] = finding
    return by_name


def learned(record: Record) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """What an audit tells of partners as a whole: each finding with the defences on, and the same with them off, if there is one."""
    findings = [finding for finding in record.result["findings"] if finding["name"] in LEARNED]
    off = {finding["attack"]: finding for finding in findings if finding["defences"] == "off"}
    return [(finding, off.get(finding["attack"])) for finding in findings if finding["defences"] == "on"]


def seed_words(seeds: Sequence[int]) -> str:
    """seed 1; seeds 1 to 3; seeds 1, 4."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    in_a_row = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"seeds {seeds[0]} to {seeds[-1]}" if in_a_row else f"seeds {', '.join(map(str, seeds))}"


def share_lost(value: float, whole: float) -> float:
    """What is missing of a whole, as a share of it."""
    return 1 - value / whole


def machine_words(facts: Mapping[str, Any]) -> str:
    """A machine in words, as much of it as was noted."""
    parts = [facts.get("processor"), f"{facts['cores']} cores", facts.get("gpu")]
    memory = f"{facts['memory_gib']} GiB" if "memory_gib" in facts else None
    return ", ".join(part for part in [*parts, memory] if part)
