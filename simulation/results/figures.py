"""What the page says of the records: means over seeds, and findings by their names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fedapp.evaluation.arms import ARMS, AUC_PR, CLASS_METRICS
from fedapp.evaluation.comparison import DIFFERENCES
from fedapp.wording import MINUS
from simulation.results.records import Record


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
    """A number with so many decimals."""
    return f"{value:.{digits}f}".replace("-", MINUS)


def compared(records: Sequence[Record]) -> dict[str, Any]:
    """Several seeds of one comparison.

    Returns:
        seeds, ascending; per arm {metric: Spread}; each of `DIFFERENCES` as a Spread of differences of mean AUC-PR; tasks, rounds and bits
        of the first seed; rows_in_sum as a Spread; named: what the partners' own attacks on sums named, the largest share first.
    """
    results = [record.result for record in sorted(records, key=lambda record: int(record.result["seed"]))]
    known = [arm for arm in ARMS if all(arm in result for result in results)]
    arms = {arm: {metric: Spread.of([result[arm][metric] for result in results]) for metric in CLASS_METRICS} for arm in known}
    gains = {
        name: Spread.of([result[more][AUC_PR] - result[less][AUC_PR] for result in results])
        for name, (more, less) in DIFFERENCES.items()
        if {more, less} <= set(known)
    }
    first = {key: results[0][key] for key in ("tasks", "rounds", "bits")}
    rows = Spread.of([result["rows_in_sum"] for result in results])
    named = [seen for result in results for seen in result["named_in_sums"].values()]
    named.sort(key=lambda seen: seen["identified"] / seen["compounds"], reverse=True)
    return {"seeds": [result["seed"] for result in results], **arms, **gains, **first, "rows_in_sum": rows, "named": named}


def benchmarked(records: Sequence[Record]) -> dict[str, Any]:
    """Several runs of one `benchmark secagg`.

    Returns:
        mask_ratio and coordinator_speedup as Spreads; upload and upload_and_answers, of float32, the same in each run.
    """
    results = [record.result for record in records]
    (sizes,) = {(result["upload_bytes"], result["answer_bytes"], result["float32_bytes"]) for result in results}
    upload, answers, plain = sizes
    ratios = {key: Spread.of([result[key] for result in results]) for key in ("mask_ratio", "coordinator_speedup")}
    return {**ratios, "upload": upload / plain, "upload_and_answers": (upload + answers) / plain}


def findings_by_name(record: Record) -> dict[str, dict[str, dict[str, Any]]]:
    """Defences (`on`, `off`, `control`) to the findings of an audit: by name, and by attack where several share a name."""
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    findings = record.result["findings"]
    namesakes = Counter((finding["defences"], finding["name"]) for finding in findings)
    for finding in findings:
        unique = namesakes[finding["defences"], finding["name"]] == 1
        by_name.setdefault(finding["defences"], {})[finding["name"] if unique else finding["attack"]] = finding
    return by_name


def share_lost(value: float, whole: float) -> float:
    """What is missing of a whole, as a share of it."""
    return 1 - value / whole


def machine_words(facts: Mapping[str, Any]) -> str:
    """A machine in words, as much of it as was noted."""
    parts = [facts.get("processor"), f"{facts['cores']} cores", facts.get("gpu")]
    memory = f"{facts['memory_gib']} GiB" if "memory_gib" in facts else None
    return ", ".join(part for part in [*parts, memory] if part)
