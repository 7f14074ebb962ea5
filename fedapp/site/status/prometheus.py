"""A status as Prometheus metrics (text exposition format 0.0.4). They carry nobody's names but those of phases."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAUGE, COUNTER, SUMMARY = "gauge", "counter", "summary"
Sample = tuple[str, Mapping[str, str], float | None]


@dataclass(frozen=True)
class PrometheusMetric:
    """One family; a sample whose value is None is left out.

    Attributes:
        samples: Suffix of the name, labels, value.
    """

    name: str
    kind: str
    help: str
    samples: list[Sample]


def exposition(status: Mapping[str, Any]) -> str:
    """The text of all metrics of a status, as `status.site_status` gives it."""
    families = partner_metrics(status) if status["role"] == "partner" else coordinator_metrics(status)
    return "".join(line + "\n" for family in families for line in lines(family))


def lines(family: PrometheusMetric) -> Iterator[str]:
    """A family's lines; none without a sample."""
    samples = [(suffix, labels, value) for suffix, labels, value in family.samples if value is not None]
    if not samples:
        return
    yield f"# HELP {family.name} {family.help.replace(chr(92), chr(92) * 2).replace(chr(10), chr(92) + 'n')}"
    yield f"# TYPE {family.name} {family.kind}"
    for suffix, labels, value in samples:
        inside = ",".join(f'{name}="{escaped(held)}"' for name, held in labels.items())
        yield f"{family.name}{suffix}{'{' + inside + '}' if inside else ''} {number(value)}"


def escaped(label: str) -> str:
    """A label's value, as it stands between quotes."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    """Integers without a point, and the format's own words for what is no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def one(name: str, kind: str, text: str, value: float | None) -> PrometheusMetric:
    """A family of a single sample."""
    return PrometheusMetric(f"polyphony_{name}", kind, text, [("", {}, value)])


def timed(name: str, text: str, phases: Sequence[Mapping[str, Any]], by: tuple[str, ...]) -> PrometheusMetric:
    """Durations: median, sum and count for each value of the labels `by`."""
    samples: list[Sample] = []
    for held in phases:
        labels = {label: str(held[label]) for label in by}
        samples.append(("", labels | {"quantile": "0.5"}, held["seconds"]))
        samples.append(("_sum", labels, held["total_seconds"]))
        samples.append(("_count", labels, held["exchanges"]))
    return PrometheusMetric(f"polyphony_{name}", SUMMARY, text, samples)


def partner_metrics(status: Mapping[str, Any]) -> list[PrometheusMetric]:
    """A partner's own business: they are served on loopback alone."""
    health, ledger = status["health"], status["ledger"]
    last = status["learning"][-1] if status["learning"] else {}
    scored = [held for held in status["learning"] if held["validation"] is not None]
    spent = status["privacy_spent"] or {}
    clipped = [held["clipped"] for held in status["sent"] if held["clipped"] is not None]
    return [
        one("round", GAUGE, "Rounds behind the trunk that is held.", status["round"]),
        one("rounds_planned", GAUGE, "Rounds of the project.", status["rounds"]),
        one("rounds_total", COUNTER, "Rounds whose sum was taken in.", ledger["sums"]),
        one("supernode_up", GAUGE, "1 if the SuperNode gave a sign of life within a minute.", int(health["up"])),
        one("supernode_age_seconds", GAUGE, "Seconds since the SuperNode's last sign of life.", health["age"]),
        one("failure", GAUGE, "1 if the last request could not be answered.", int(health["failure"] is not None)),
        one(
            "warnings",
            GAUGE,
            "What needs attention: named compounds and weak terms, as the page and the status tell it.",
            len(status["warnings"]),
        ),
        one("disk_free_bytes", GAUGE, "Free space where the site lies.", health["disk_free"]),
        one("requests_total", COUNTER, "Requests that arrived.", ledger["requests"]),
        one("refused_requests_total", COUNTER, "Requests that were refused.", ledger["refused"]),
        one("upload_bytes_total", COUNTER, "Payload that was sent, all of it masked, encrypted or public.", ledger["bytes_out"]),
        one("download_bytes_total", COUNTER, "Payload that came in.", ledger["bytes_in"]),
        one("rounds_sent_total", COUNTER, "Rounds for which a masked update left.", ledger["rounds_sent"]),
        one("clipped_coordinates", GAUGE, "Values that all partners together clipped, newest sum.", clipped[-1] if clipped else None),
        one("rows_listed", GAUGE, "Rows of the first layer that are trained and sent.", ledger["rows_listed"]),
        one("row_guard", GAUGE, "Training compounds that a row needs.", ledger["row_guard"]),
        one("privacy_epsilon_spent", GAUGE, "Epsilon of record-level privacy that was paid so far.", spent.get("spent")),
        one("privacy_epsilon_budget", GAUGE, "Epsilon of record-level privacy that may be spent.", spent.get("budget")),
        one("privacy_delta", GAUGE, "Delta at which these epsilons count.", spent.get("delta")),
        one("privacy_rounds_left", GAUGE, "Rounds like the last one that the budget still pays for.", spent.get("rounds_left")),
        one("training_compounds", GAUGE, "Own training compounds, as the self-audit counts them.", ledger["compounds"]),
        PrometheusMetric(
            "polyphony_self_audit_named",
            GAUGE,
            "Own training compounds that attacks named from one of our updates or from a sum, at most; more than 0 needs attention.",
            [("", {"vector": "own"}, ledger["named"]), ("", {"vector": "sum"}, ledger["named_by_sum"])],
        ),
        one("validation_auc_pr", GAUGE, "Mean over own tasks, newest evaluated round.", scored[-1]["validation"] if scored else None),
        one("training_loss", GAUGE, "Mean over own pairs, newest trained round.", last.get("loss")),
        timed("answer_seconds", "Seconds that our answers took.", status["phases"], by=("phase",)),
    ]


def coordinator_metrics(status: Mapping[str, Any]) -> list[PrometheusMetric]:
    """What the journal says."""
    made, drop_outs = status["made"], status["drop_outs"]
    return [
        one("round", GAUGE, "The last round whose sum was unmasked.", status["round"]),
        one("rounds_planned", GAUGE, "Rounds of the project.", status["rounds"]),
        one("rounds_total", COUNTER, "Rounds whose sum was unmasked.", sum(held["done"] for held in made)),
        one("run_failed", GAUGE, "1 if the run stopped with an error.", int(status["state"] == "failed")),
        one("run_finished", GAUGE, "1 if the run came to its end.", int(status["state"] == "finished")),
        one("download_bytes_total", COUNTER, "Payload sent to partners in rounds.", sum(held["bytes_down"] for held in made)),
        one("upload_bytes_total", COUNTER, "Payload received from partners in rounds.", sum(held["bytes_up"] for held in made)),
        one("drop_outs_total", COUNTER, "Replies that were left out.", sum(held["replies"] for held in drop_outs)),
        timed("exchange_seconds", "Seconds of the exchanges with partners.", status["phases"], by=("part", "phase")),
    ]
