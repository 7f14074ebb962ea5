"""A status as Prometheus metrics. They carry nobody's names but those of phases."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from fedapp.evaluation.arms import AUC_PR, SPEARMAN

PREFIX = "polyphony_"


class StatusCollector(Collector):
    """All metrics of a status, as `site_status.site_status` gives it; of one that has no value yet, nothing is said."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self.status = status

    def collect(self) -> Iterable[Metric]:
        families = partner_metrics(self.status) if self.status["role"] == "partner" else coordinator_metrics(self.status)
        return [family for family in families if family.samples]


def exposition(status: Mapping[str, Any]) -> str:
    """The text of all metrics of a status, in Prometheus' text format 0.0.4."""
    return generate_latest(registry(status)).decode()


def exposition_for(accept: str, status: Mapping[str, Any]) -> tuple[bytes, str]:
    """The metrics of a status and their content type, in the newest format that an Accept header asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(registry(status)), content_type


def registry(status: Mapping[str, Any]) -> CollectorRegistry:
    """A registry of these metrics alone: the library's own has those of a process, which would tell of a machine."""
    registered = CollectorRegistry()
    registered.register(StatusCollector(status))
    return registered


def gauge(name: str, text: str, value: float | Mapping[str, float | None] | None, by: str | None = None) -> Metric:
    """A family of one sample, or of one for each value of the label `by`; a sample whose value is None is left out."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=[] if by is None else [by])
    for label, number in value.items() if isinstance(value, Mapping) else [(None, value)]:
        if number is not None:
            family.add_metric([] if label is None else [label], number)
    return family


def counter(name: str, text: str, value: float | None) -> Metric:
    """A family of one sample, whose name ends with `_total`."""
    return CounterMetricFamily(PREFIX + name, text, value=value)


def timed(name: str, text: str, phases: Sequence[Mapping[str, Any]], by: tuple[str, ...]) -> Metric:
    """Durations: median, sum and count for each value of the labels `by`."""
    family = Metric(PREFIX + name, text, "summary")  # the library's own summary has no quantiles
    for phase in phases:
        labels = {label: str(phase[label]) for label in by}
        family.add_sample(family.name, labels | {"quantile": "0.5"}, phase["seconds"])
        family.add_sample(f"{family.name}_sum", labels, phase["total_seconds"])
        family.add_sample(f"{family.name}_count", labels, phase["exchanges"])
    return family


def partner_metrics(status: Mapping[str, Any]) -> list[Metric]:
    """A partner's own business: they are served on loopback alone."""
    health, ledger = status["health"], status["ledger"]
    last = status["learning"][-1] if status["learning"] else {}
    newest: Mapping[str, float] = next((learned["metrics"] for learned in reversed(status["learning"]) if learned["metrics"]), {})
    spent = status["privacy_spent"] or {}
    repetition = status["repetition"] or {}
    allowed = repetition.get("allowed", {})
    clipped = [sent["clipped"] for sent in status["sent"] if sent["clipped"] is not None]
    return [
        gauge("round", "Rounds behind the trunk that is held.", status["round"]),
        gauge("rounds_planned", "Rounds of the project.", status["rounds"]),
        counter("rounds_total", "Rounds whose sum was taken in, with an update of ours.", ledger["sums"]),
        gauge("supernode_up", "1 if the SuperNode gave a sign of life within a minute.", int(health["up"])),
        gauge("supernode_age_seconds", "Seconds since the SuperNode's last sign of life.", health["age"]),
        gauge("failure", "1 if the last request could not be answered.", int(health["failure"] is not None)),
        gauge(
            "warnings",
            "What needs attention: what attacks found and weak terms, as the page and the status tell it.",
            len(status["warnings"]),
        ),
        gauge("partners_proven_guilty", "Partners that are proven to have misbehaved, by what we were shown.", len(status["proven"])),
        gauge("disk_free_bytes", "Free space where the site lies.", health["disk_free"]),
        counter("requests_total", "Requests that arrived.", ledger["requests"]),
        counter("refused_requests_total", "Requests that were refused.", ledger["refused"]),
        counter("upload_bytes_total", "Payload that was sent, all of it masked, encrypted or public.", ledger["bytes_out"]),
        counter("download_bytes_total", "Payload that came in.", ledger["bytes_in"]),
        counter("rounds_sent_total", "Rounds for which a masked update left.", ledger["rounds_sent"]),
        gauge("clipped_coordinates", "Values that all partners together clipped, newest sum.", clipped[-1] if clipped else None),
        gauge("rows_listed", "Rows of the first layer in every update, as partners agreed.", ledger["rows_listed"]),
        gauge("row_guard", "Training compounds that a row needs.", ledger["row_guard"]),
        gauge("privacy_epsilon_spent", "Epsilon of record-level privacy that was paid so far.", spent.get("spent")),
        gauge("privacy_epsilon_budget", "Epsilon of record-level privacy that may be spent.", spent.get("budget")),
        gauge("privacy_delta", "Delta at which these epsilons count.", spent.get("delta")),
        gauge("privacy_rounds_left", "Rounds like the last one that the budget still pays for.", spent.get("rounds_left")),
        counter("sessions_total", "Sessions of this run that were joined.", repetition.get("sessions")),
        gauge("sessions_allowed", "Sessions of a run that policy.yaml allows.", allowed.get("sessions")),
        counter("cohort_changes_total", "Signed survivor lists with others than the one before.", repetition.get("cohort_changes")),
        gauge("cohort_changes_allowed", "Changes of cohort in a run that policy.yaml allows.", allowed.get("cohort_changes")),
        gauge("survivor_lists", "Survivor lists signed for the round after the trunk that is held.", repetition.get("survivor_lists")),
        gauge("survivor_lists_allowed", "Survivor lists of one round that policy.yaml allows.", allowed.get("survivor_lists")),
        gauge("rounds_repeated", "Rounds trained or signed more than once.", len(repetition["repeated"]) if repetition else None),
        gauge("training_compounds", "Own training compounds, as the self-audit counts them.", ledger["compounds"]),
        gauge(
            "self_audit_named",
            "Own training compounds that attacks named from one of our updates or from a sum, at most; more than 0 needs attention.",
            {"own": ledger["named"], "sum": ledger["named_by_sum"]},
            by="vector",
        ),
        gauge(
            "self_audit_told_apart",
            "Share of pairs in which an own compound that was trained on is told from one that was not, at most; 0.5 is chance.",
            {"own": ledger["told_apart"], "sum": ledger["told_apart_by_sum"]},
            by="vector",
        ),
        gauge(
            "rows_bare",
            "Listed rows of which one partner sees another's update bare, ours and those of others; more than 0 needs attention.",
            {"own": ledger["rows_bare"], "others": ledger["others_rows_bare"]},
            by="whose",
        ),
        gauge("validation_auc_pr", "Of the federated model, mean over own tasks of classes, newest evaluated round.", newest.get(AUC_PR)),
        gauge(
            "validation_spearman", "Of the federated model, mean over own tasks of values, newest evaluated round.", newest.get(SPEARMAN)
        ),
        gauge("training_loss", "Mean over own pairs, newest trained round.", last.get("loss")),
        timed("answer_seconds", "Seconds that our answers took.", status["phases"], by=("phase",)),
    ]


def coordinator_metrics(status: Mapping[str, Any]) -> list[Metric]:
    """What the journal says."""
    made, drop_outs = status["made"], status["drop_outs"]
    return [
        gauge("round", "The last round whose sum was unmasked.", status["round"]),
        gauge("rounds_planned", "Rounds of the project.", status["rounds"]),
        counter("rounds_total", "Rounds whose sum was unmasked.", sum(entry["done"] for entry in made)),
        gauge("run_failed", "1 if the run stopped with an error.", int(status["state"] == "failed")),
        gauge("run_finished", "1 if the run came to its end.", int(status["state"] == "finished")),
        counter("download_bytes_total", "Payload sent to partners in rounds.", sum(entry["bytes_down"] for entry in made)),
        counter("upload_bytes_total", "Payload received from partners in rounds.", sum(entry["bytes_up"] for entry in made)),
        counter("drop_outs_total", "Replies that were left out.", sum(entry["replies"] for entry in drop_outs)),
        timed("exchange_seconds", "Seconds of the exchanges with partners.", status["phases"], by=("part", "phase")),
    ]
