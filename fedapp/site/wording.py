"""The page's and the terminal's sentences and the form of their numbers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from strategies.secagg.phases import Step

DASH, NBSP = "–", "\u00a0"
UNITS = ("B", "kB", "MB", "GB", "TB")
STEPS = {
    Step.ADVERTISE_KEYS: "offered fresh keys",
    Step.SHARE_KEYS: "shared key contributions",
    Step.HANDOVER: "handed the trunk over",
    Step.COLLECT: "masked its update",
    Step.CONSISTENCY: "signed who survived the round",
    Step.UNMASK: "revealed the survivors' shares",
    Step.FINISH: "took the last sum in",
}


def count(value: float | None) -> str:
    """1460 -> 1,460."""
    return DASH if value is None else f"{int(value):,}"


def score(value: float | None) -> str:
    """A metric, three decimals."""
    return DASH if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """Of small shares two digits are shown: 0.00012 -> 0.012 %."""
    if share is None:
        return DASH
    return f"{share * 100:.0f}{NBSP}%" if share >= 0.1 or share == 0 else f"{share * 100:.2g}{NBSP}%"


def size(value: float | None) -> str:
    """Bytes in decimal units: 1234567 -> 1.2 MB."""
    if value is None:
        return DASH
    held, unit = float(value), 0
    while held >= 999.5 and unit < len(UNITS) - 1:
        held, unit = held / 1000, unit + 1
    return f"{held:.0f}{NBSP}{UNITS[unit]}" if unit == 0 or held >= 99.5 else f"{held:.1f}{NBSP}{UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """95 -> 1 min 35 s."""
    if seconds is None:
        return DASH
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}{NBSP}d {hours}{NBSP}h"
    if hours:
        return f"{hours}{NBSP}h {minutes}{NBSP}min"
    return f"{minutes}{NBSP}min {rest}{NBSP}s" if minutes else f"{rest}{NBSP}s"


def moment(value: str | None) -> str:
    """An ISO time as `12 Mar, 14:03:22 UTC`; what is none, as it is."""
    try:
        held = datetime.fromisoformat(value or "").astimezone(UTC)
    except ValueError:
        return value or DASH
    return f"{held.day} {held:%b}, {held:%H:%M:%S}{NBSP}UTC"


def short(digest: str) -> str:
    """The first digits of a digest."""
    return f"{digest[:16]}…" if len(digest) > 16 else digest or DASH


def plural(number: int, word: str) -> str:
    """1 round, 2 rounds."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 7] -> 1–3, 7; set-up is round 0."""
    held: list[list[int]] = []
    for number in numbers:
        if held and number == held[-1][-1] + 1:
            held[-1].append(number)
        else:
            held.append([number])
    named = [(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}") if part[0] else _from_set_up(part) for part in held]
    return ", ".join(named)


def _from_set_up(part: list[int]) -> str:
    return "set-up" if len(part) == 1 else f"set-up–{part[-1]}"


def step(name: str) -> str:
    """What a partner did in a step, as the end of a sentence."""
    return STEPS.get(Step(name), name) if name in set(Step) else name


def of_rounds(status: Mapping[str, Any]) -> str:
    """How far a project has come."""
    planned = status["rounds"]
    return f"round {status['round']} of {planned}" if planned else f"round {status['round']}"


def doing(kind: str, label: str) -> str:
    """What the SuperNode is busy with: a kind of Flower's messages, and the coordinator's label of the round."""
    if kind == "train":
        return f"Training for round {label}, then masking the update." if label not in ("", "0") else "Masking the list of rows."
    if kind == "evaluate":
        return "Taking the last sum in, and evaluating the trunk."
    return f"Answering a short request of round {label}." if label not in ("", "0") else "Agreeing on keys with the other partners."


def partner_state(status: Mapping[str, Any]) -> tuple[str, str]:
    """`good`, `busy`, `bad` or `idle`, and a sentence; `warn` if all goes on, and something needs attention."""
    return with_attention(*activity(status), status)


def with_attention(mood: str, sentence: str, status: Mapping[str, Any]) -> tuple[str, str]:
    """A partner's mood and sentence, unless something needs attention, which no green dot stands above."""
    number = len(status["warnings"]) + len(status["problems"]) + (status["health"]["failure"] is not None)
    if not number:
        return mood, sentence
    needs = "needs" if number == 1 else "need"
    return "bad" if mood == "bad" else "warn", f"{sentence} {plural(number, 'thing')} {needs} attention."


def activity(status: Mapping[str, Any]) -> tuple[str, str]:
    """What a partner does: `good`, `busy`, `bad` or `idle`, and a sentence."""
    health, done = status["health"], status["rounds"] is not None and 0 < status["rounds"] <= status["round"]
    if health["state"] == "not started":
        return "idle", "The SuperNode has not been started here yet."
    if health["stale"]:
        ago = f" for {duration(health['age'])}" if health["age"] is not None else ""
        return "bad", f"The SuperNode has given no sign of life{ago}. It was last seen {health['state']}."
    if health["state"] == "stopped":
        return ("idle", "All rounds are done, and the SuperNode is stopped.") if done else ("bad", "The SuperNode is stopped.")
    if health["state"] == "connecting":
        return "busy", "Connecting to the coordinator."
    if health["state"] == "answering":
        return "busy", doing(health["step"], health["round"])
    if done and status["phase"] == Step.FINISH:
        return "good", "All rounds are done. The model of the best round is kept."
    if not status["requests"]:
        return "good", "Connected, and waiting for the coordinator's first request."
    return "good", f"Connected, and waiting for the coordinator. This house last {step(status['phase'])}."


def coordinator_state(status: Mapping[str, Any]) -> tuple[str, str]:
    """As `partner_state`."""
    if status["state"] == "not started":
        return "idle", "No run has been started yet."
    if status["state"] == "failed":
        return "bad", f"The run stopped after {of_rounds(status)}."
    if status["state"] == "finished":
        return "good", f"The run is finished: {plural(status['round'], 'round')}."
    if not status["made"]:
        return "busy", "Setting up: partners agree on keys and rows."
    again = f", attempt {status['attempt']}" if (status["attempt"] or 0) > 1 else ""
    return "busy", f"Running: {of_rounds(status)} is done{again and f', the next one is at{again[1:]}'}."


def report_headline(status: Mapping[str, Any]) -> tuple[str, str]:
    """Mood and sentence of a report to keep: how far the rounds came, what they gave, and whether something needs attention."""
    if status["role"] != "partner":
        return coordinator_state(status)
    return with_attention(*outcome(status), status)


def outcome(status: Mapping[str, Any]) -> tuple[str, str]:
    """How far a partner's rounds came, and what they gave: `good`, `busy` or `idle`, and a sentence."""
    done = status["rounds"] is not None and 0 < status["rounds"] <= status["round"]
    so_far = f"{status['round']} of {plural(status['rounds'], 'round')}" if status["rounds"] else plural(status["round"], "round")
    kept = next((held for held in status["learning"] if held["round"] == status["selected"]), None)
    if kept is None:
        return "idle", f"{so_far} done; no round has been evaluated yet."
    return (
        "good" if done else "busy"
    ), f"{so_far} done. Round {kept['round']} is kept: mean AUC-PR {score(kept['test'])} on the test fold."


def headline(status: Mapping[str, Any]) -> tuple[str, str]:
    """State and sentence of either party."""
    return partner_state(status) if status["role"] == "partner" else coordinator_state(status)
