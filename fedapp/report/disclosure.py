"""What the coordinator and the partners of a run could see: what aggregation and row guard hold back, and no more than that."""

from dataclasses import dataclass

from fedapp.report.saved_run import SavedRun


@dataclass(frozen=True)
class Statement:
    """One thing that somebody saw or did not see; `loud` if no confidential compound should ever be run this way."""

    title: str
    text: str
    loud: bool = False


def disclosure(run: SavedRun) -> list[Statement]:
    """What the coordinator saw, what partners saw, and what that says about compounds."""
    secure, guard = run.setting("aggregation") == "secure", int(run.setting("privacy.row_guard"))
    coordinator = blind_coordinator(run) if secure else plain_coordinator(guard)
    return [coordinator, partners_saw(counted=secure and guard > 1), guarded(guard) if guard > 1 else unguarded()]


def plain_coordinator(guard: int) -> Statement:
    lists = ", as did its list of fingerprint bits" if guard > 1 else ""
    return Statement(
        "The coordinator saw every update in the clear.",
        f"This run has aggregation = plain, which is for comparison only: each partner's update reached the coordinator unmasked{lists}, "
        "and the coordinator held the trunk. That needs trust in the coordinator which competitors do not have. Do not run confidential "
        "compounds this way.",
        loud=True,
    )


def blind_coordinator(run: SavedRun) -> Statement:
    shown = run.setting("federation.metrics_shown")
    means = f", and the partners' mean of {' and '.join(map(str, shown))} in every round" if shown else ""
    first = ""
    if run.setting("federation.initial_trunk") == "seed":
        first = " The trunk before the first round was drawn from the seed, so that the simulation repeats, and was no secret."
    return Statement(
        "The coordinator saw neither an update nor the sum of the updates nor the trunk.",
        "Partners masked their updates, and the coordinator added words that it could not read. That holds as long as no partner works "
        f"with it. What it does know: who answered and when, how long the messages were and with that how many rows the sum has{means}."
        f"{first}",
    )


def partners_saw(counted: bool) -> Statement:
    counts = "They also know of each fingerprint bit how many partners support it. " if counted else ""
    return Statement(
        "Partners saw the sum of the updates, and the trunk.",
        f"They have to, to train on. {counts}And no aggregation keeps all partners but one, working together, from finding that one's "
        "update by subtraction.",
    )


def guarded(guard: int) -> Statement:
    return Statement(
        "The row guard limits what the sum says about single compounds.",
        f"Each partner sent only those rows of the first layer whose fingerprint bit {guard:,} or more of its training compounds hold, "
        "and only rows that at least two partners support were in the sum; so no row belongs to a single compound, or to a single "
        f"partner. Other rows stayed at home, with the heads. That is all it limits: what {guard:,} or more compounds have in common "
        "stays visible, whoever holds the trunk can still test whether a substructure or a known compound is likely to be among the "
        "training data, and there is no differential privacy.",
    )


def unguarded() -> Statement:
    return Statement(
        "The row guard was off.",
        "Rows of the first layer were trained and sent however few compounds hold their fingerprint bit. Those that one compound alone "
        "holds move alike in every step, in the sum too, and together they spell that compound out to whoever sees it.",
        loud=True,
    )
