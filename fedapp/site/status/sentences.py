"""The page's and the terminal's sentences and the form of their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedapp.evaluation.arms import CHOOSING, mean_name, score_name
from fedapp.evaluation.selection import TEST, VALIDATION
from fedapp.wording import duration, plural, score, was_or_were
from strategies.secagg.phases import Step

LISTED = 5  # rounds in a sentence
STEPS = {
    Step.ADVERTISE_KEYS: "offered fresh keys",
    Step.SHARE_KEYS: "shared key contributions",
    Step.HANDOVER: "handed the trunk over",
    Step.COLLECT: "masked its update",
    Step.CONSISTENCY: "signed who survived the round",
    Step.UNMASK: "revealed the survivors' shares",
    Step.FINISH: "took the last sum in",
}


def ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 7] -> 1–3, 7; set-up is round 0."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = [(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}") if part[0] else _from_set_up(part) for part in runs]
    return ", ".join(named)


def _from_set_up(part: list[int]) -> str:
    return "set-up" if len(part) == 1 else f"set-up–{part[-1]}"


def step(name: str) -> str:
    """What a partner did in a step, as the end of a sentence."""
    return STEPS.get(Step(name), name) if name in set(Step) else name


def privacy_spent(spent: Mapping[str, Any]) -> str:
    """What record-level privacy has cost, and what is left."""
    text = f"epsilon {spent['spent']:.3g} of {spent['budget']:g} at delta {spent['delta']:g}"
    return text if spent["rounds_left"] is None else f"{text}; enough for {plural(spent['rounds_left'], 'more round')} like the last"


def of_allowed(repetition: Mapping[str, Any], name: str) -> str:
    """How often, of how often a policy allows: 3 of 31."""
    most = repetition["allowed"][name]
    return f"{repetition[name]:,}" if most is None else f"{repetition[name]:,} of {most:,}"


def repeated_rounds(repetition: Mapping[str, Any]) -> str:
    """Which rounds were trained or signed more than once, the newest ones; and how often each may be signed."""
    newest, most = repetition["repeated"][-LISTED:], repetition["allowed"]["survivor_lists"]
    rounds = [f"{held['round']} (trained {held['trainings']:,}×, signed {held['survivor_lists']:,}×)" for held in newest]
    earlier = len(repetition["repeated"]) - len(newest)
    told = f"{', '.join(rounds)}{f' and {earlier:,} before' if earlier else ''}" if rounds else "none"
    return told if most is None else f"{told}; at most {most:,}× signed"


def shared_head(held: Mapping[str, Any]) -> str:
    """Whether a declared task's head is in play, and when a sum of it was over too few."""
    return "; ".join(["in play" if held["in_play"] else held["lacks"], *([too_few(held["few"])] if held["few"] else [])])


def too_few(few: Sequence[Mapping[str, Any]]) -> str:
    """What became of a shared head in the last round of which too few of its holders were left, and in how many rounds it was so."""
    number, holders = few[-1]["round"], few[-1]["holders"]
    heads = "its head" if holders == 1 else "the sum of their heads"
    read = f"; {heads} was not used, and every partner could read it" if holders else ""
    often = f" (as in {plural(len(few), 'round')} so far)" if len(few) > 1 else ""
    return f"round {number}: {plural(holders, 'holder') if holders else 'no holder'} {was_or_were(holders or 1)} left{read}{often}"


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
        return "good", f"All rounds are done. {what_predicts(status) or 'The model of the best round is kept.'}"
    if not status["requests"]:
        return "good", "Connected, and waiting for the coordinator's first request."
    last = f" This partner last {step(status['phase'])}." if status["phase"] in set(Step) else ""  # else nothing was answered yet
    return "good", f"Connected, and waiting for the coordinator.{last}"


def coordinator_state(status: Mapping[str, Any]) -> tuple[str, str]:
    """As `partner_state`."""
    if status["state"] == "not started":
        return "idle", "No run has been started yet."
    if status["state"] == "failed":
        return "bad", f"The run stopped after {of_rounds(status)}."
    if status["state"] == "interrupted":
        return "bad", f"The run was interrupted after {of_rounds(status)}: `polyphony federate` goes on."
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
    kept = next((entry for entry in status["learning"] if entry["round"] == status["selected"]), None)
    told = what_predicts(status)
    if not told and kept:  # the model's header is lost, or damaged, which is told as a problem
        told = f"Round {kept['round']} of the federated model is kept: {mean_name(status['score'])} {score(kept['test'])} on the test fold."
    if not told:
        return "idle", f"{so_far} done; no round has been evaluated yet."
    return "good" if done else "busy", f"{so_far} done. {told}"


def what_predicts(status: Mapping[str, Any]) -> str:
    """One sentence on the model that predicts: which it is, of which rounds, and its own figure; empty before there is one."""
    predicts = status["predicts"]
    return f"What predicts: {': '.join(filter(None, (of_model(predicts), how_well(predicts))))}." if predicts else ""


def of_model(predicts: Mapping[str, Any]) -> str:
    """Which model predicts, and of which rounds."""
    rounds = [(member["name"], f"round {member['round']}") for member in predicts["members"]]
    told = rounds[0][1] if len(rounds) == 1 else " and ".join(f"{name} {number}" for name, number in rounds)
    return f"{predicts['words']}, {told}"


def how_well(predicts: Mapping[str, Any]) -> str:
    """Its mean score on the test fold, or on the validation fold where none is kept for judging; empty if neither is known."""
    for fold in (TEST, VALIDATION):
        known = {kind: value for kind, name in CHOOSING.items() if (value := predicts["figures"].get(fold, {}).get(name)) is not None}
        if known:
            return f"{mean_name(score_name(known))} {score(sum(known.values()) / len(known))} on the {fold} fold"
    return ""


def headline(status: Mapping[str, Any]) -> tuple[str, str]:
    """State and sentence of either party."""
    return partner_state(status) if status["role"] == "partner" else coordinator_state(status)
